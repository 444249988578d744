"""A password that cannot be hashed in time is no silence of the server."""

from __future__ import annotations

import threading
from datetime import timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from keyturn.core.value import Value
from keyturn.databases.base import Login
from keyturn.databases.engines._postgresql import driver
from keyturn.databases.engines._postgresql.driver import Session
from keyturn.databases.errors import Overloaded, Unreachable
from keyturn.runtime import threadpools

if TYPE_CHECKING:
    from collections.abc import Callable

LOGIN = Login("app", Value.of_text("canary"))


def session(hash_: Callable[..., bytes]) -> Session:
    """Make a session of a server with usual settings, whose passwords are hashed by this function."""
    connection = SimpleNamespace(parameter_status=lambda _: b"4096")
    opening: Any = SimpleNamespace(connection=connection, verifier=hash_)
    return Session(opening, 1.0, "shop")


async def test_a_hash_that_gets_no_thread_in_time_is_no_silence_of_the_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(driver, "_HASHED_WITHIN", 0.05)
    released = threading.Event()

    def wait(*_: object) -> bytes:
        released.wait(20)
        return b""

    try:
        with pytest.raises(Overloaded) as failure:
            await session(wait).verifier(LOGIN)
    finally:
        released.set()
    assert failure.value.code == "NoThread"
    assert failure.value.__cause__ is failure.value.__context__ is None


async def test_a_tenant_whose_work_is_suspended_is_no_silence_of_the_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def refuse(*_: object) -> bytes:
        raise threadpools.TookTooLong("WorkSuspended", "suspended", timedelta(minutes=10))

    monkeypatch.setattr(threadpools, "for_tenant", refuse)
    with pytest.raises(Overloaded):
        await session(lambda *_: b"").verifier(LOGIN)


async def test_a_connection_that_is_closed_before_the_hash_is_lost() -> None:
    with pytest.raises(Unreachable) as failure:
        await session(lambda *_: b"").verifier(LOGIN)
    assert failure.value.code == "ConnectionLost"


async def test_a_password_is_hashed() -> None:
    assert await session(lambda *_: b"SCRAM-SHA-256$4096:").verifier(LOGIN) == "SCRAM-SHA-256$4096:"
