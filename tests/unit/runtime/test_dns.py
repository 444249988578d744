"""Lookups of names, and the turns that they take."""

from __future__ import annotations

import asyncio
from threading import Thread

import pytest

from keyturn.runtime import dns
from keyturn.runtime.dns import Lookups


class NoThread(Thread):
    """What Python makes where the machine has no more threads."""

    def start(self) -> None:
        raise RuntimeError("can't start new thread")


async def test_a_lookup_that_gets_no_thread_keeps_no_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    lookups = Lookups()
    with monkeypatch.context() as patched:
        patched.setattr(dns, "Thread", NoThread)
        for _ in range(300):  # more than there are turns
            with pytest.raises(OSError, match="no thread for a lookup"):
                async with asyncio.timeout(10):
                    await lookups.resolve("localhost", 443)

    found, *_ = await lookups.resolve("localhost", 443)
    assert found["host"] in {"127.0.0.1", "::1"}


async def test_an_address_needs_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dns, "Thread", NoThread)

    (found,) = await Lookups().resolve("127.0.0.1", 443)

    assert (found["host"], found["port"]) == ("127.0.0.1", 443)
