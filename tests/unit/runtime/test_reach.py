"""Hosts that an administrator allows."""

import asyncio
from threading import Thread

import pytest

from keyturn.runtime import reach
from keyturn.runtime.reach import AllowedHost, Lookups


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("vault.shop.svc", AllowedHost("vault.shop.svc")),
        ("Vault.shop.svc:8200", AllowedHost("vault.shop.svc", 8200)),
        ("[fd00::1]:8200", AllowedHost("fd00::1", 8200)),
        ("127.0.0.1:1", AllowedHost("127.0.0.1", 1)),
    ],
)
def test_an_allowed_host_is_read(text: str, allowed: AllowedHost) -> None:
    assert AllowedHost.parse(text) == allowed


@pytest.mark.parametrize("text", ["", "https://x", "x:", "x:0", "x:65536", "x y", "*", "x/y", "[::1", "a:b"])
def test_what_is_no_host_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="write HOST"):
        AllowedHost.parse(text)


class NoThread(Thread):
    """What Python makes where the machine has no more threads."""

    def start(self) -> None:
        raise RuntimeError("can't start new thread")


async def test_a_lookup_that_gets_no_thread_keeps_no_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    lookups = Lookups()
    with monkeypatch.context() as patched:
        patched.setattr(reach, "Thread", NoThread)
        for _ in range(300):  # more than there are turns
            with pytest.raises(OSError, match="no thread for a lookup"):
                async with asyncio.timeout(10):
                    await lookups.resolve("localhost", 443)

    found, *_ = await lookups.resolve("localhost", 443)
    assert found["host"] in {"127.0.0.1", "::1"}


async def test_an_address_needs_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach, "Thread", NoThread)

    (found,) = await Lookups().resolve("127.0.0.1", 443)

    assert (found["host"], found["port"]) == ("127.0.0.1", 443)
