"""A password that cannot be hashed in time is no silence of the server."""

from __future__ import annotations

import threading
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from keyturn.core.value import Value
from keyturn.databases.base import Login, Salt
from keyturn.databases.engines._postgresql import driver, scram
from keyturn.databases.engines._postgresql.driver import Session
from keyturn.databases.errors import Overloaded, RefusedByPolicy
from keyturn.runtime import threadpools

LOGIN = Login("app", Value.of_text("canary"))
SALT = b"s" * 16


def session(iterations: bytes | None = b"4096") -> Session:
    """Make a session of a server that has passwords hashed so often."""
    connection = SimpleNamespace(parameter_status=lambda _: iterations)
    opening: Any = SimpleNamespace(connection=connection)
    return Session(opening, 1.0, "shop")


async def test_a_hash_that_gets_no_thread_in_time_is_no_silence_of_the_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(driver, "_HASHED_WITHIN", 0.05)
    released = threading.Event()
    monkeypatch.setattr(scram, "verifier", lambda *_: released.wait(20))

    try:
        with pytest.raises(Overloaded) as failure:
            await session().verifier(LOGIN, SALT)
    finally:
        released.set()
    assert failure.value.code == "NoThread"
    assert failure.value.__cause__ is failure.value.__context__ is None


async def test_a_tenant_whose_work_is_suspended_is_no_silence_of_the_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def refuse(*_: object) -> bytes:
        raise threadpools.TookTooLong("WorkSuspended", "suspended", timedelta(minutes=10))

    monkeypatch.setattr(threadpools, "run_for_tenant", refuse)
    with pytest.raises(Overloaded):
        await session().verifier(LOGIN, SALT)


@pytest.mark.parametrize(
    ("said", "iterations"), [(None, 4096), (b"5000", 5000)], ids=["before 16", "since 16"]
)
async def test_a_password_is_hashed_as_often_as_the_server_says(said: bytes | None, iterations: int) -> None:
    verifier = await session(said).verifier(LOGIN, SALT)

    assert verifier == scram.verifier(b"canary", Salt(SALT, iterations))


@pytest.mark.parametrize("said", [b"0", b"65537", b"4096x", b"9" * 10])
async def test_a_number_of_hashes_that_no_server_needs_is_refused(said: bytes) -> None:
    with pytest.raises(RefusedByPolicy) as refusal:
        await session(said).verifier(LOGIN, SALT)

    assert refusal.value.code == "TooManyIterations"
