"""How long a command waits for a request, and which problem of a ManagedSecret ends the wait."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import click
import pytest

from keyturn.api.managedsecret import ManagedSecret
from keyturn.api.meta import Condition
from keyturn.cli import wait
from keyturn.cli.cluster import Cluster
from keyturn.cli.emergency import incidents
from keyturn.cli.managed import FoundManagedSecret, found_in
from keyturn.cli.wait import Waiting, follow
from keyturn.kube import errors
from keyturn.kube.wire import Change
from tests.support.cases import case, cases
from tests.support.jumping_loop import JumpingLoop
from tests.unit.cli.fake_api import managed

CLUSTER = cast("Cluster", SimpleNamespace(namespace="shop", now=lambda: datetime.now(UTC)))
_LATER = 10.0
"""Seconds after which the operator should have taken up a request."""


def found(reason: str = "", **more: Any) -> FoundManagedSecret:
    body = managed("auth", stalled="see the message" if reason else None, **more)
    for condition in body["status"]["conditions"]:
        if condition["type"] == "Stalled":
            condition["reason"] = reason
    body["metadata"]["resourceVersion"] = "1"
    return found_in(body)


async def followed(
    monkeypatch: pytest.MonkeyPatch, *versions: FoundManagedSecret, takes_up: bool = True
) -> FoundManagedSecret:
    """Follow an object through its versions; the last one shows whether the operator took up the request."""

    async def seen(*_: object) -> AsyncIterator[FoundManagedSecret]:
        for one in versions:
            yield one

    def is_taken_up(one: ManagedSecret) -> bool:
        return takes_up and one is versions[-1].managed

    monkeypatch.setattr(wait, "_versions", seen)
    began = asyncio.get_running_loop().time() - _LATER
    waiting = Waiting(timedelta(minutes=15), began=began)
    return await follow(CLUSTER, versions[0], is_taken_up, waiting, lambda _: None)


@pytest.mark.parametrize("reason", ["RolledBack", "RolloutFailed", "NoSuchRevision"])
async def test_a_problem_that_the_request_ends_is_waited_for(
    reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rotation that waits for its window is taken up later."""
    done = found()
    assert await followed(monkeypatch, found(reason), found(reason), done) is done


@cases(
    ("versions", "message"),
    case("another problem", (found("InvalidSpec"), found()), "stalled by InvalidSpec"),
    case("taken up", (found("RolledBack"), found("RolledBack")), "stalled by RolledBack"),
    case(
        "suspended",
        (found("RolledBack", spec={"suspend": True}), found()),
        "a request starts after `keyturn resume auth`",
    ),
)
async def test_a_problem_that_stays_ends_the_wait(
    versions: tuple[FoundManagedSecret, ...], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(click.ClickException, match=message):
        await followed(monkeypatch, *versions)


async def test_a_wait_that_ends_before_the_window_opens_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    later = found(nextRotationTime="2026-12-05T01:00:00Z")

    with pytest.raises(click.ClickException) as timeout:
        await followed(monkeypatch, found(nextRotationTime="2027-02-01T01:00:00Z"), later, takes_up=False)

    assert timeout.value.message == (
        "timed out after 15m waiting for auth: it starts at 2026-12-05 01:00:00 UTC"
    )


async def test_a_wait_for_a_store_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    refreshed = {
        "type": "Refreshed",
        "status": "False",
        "reason": "StoreUnreachable",
        "message": "vault is down",
    }
    timed = refreshed | {"lastTransitionTime": "2026-11-24T12:00:00Z"}
    last = found()
    status = last.managed.status
    conditions = [*status.conditions, Condition.model_validate(timed)]
    status = status.model_copy(update={"conditions": conditions})
    last = replace(last, managed=last.managed.model_copy(update={"status": status}))

    with pytest.raises(click.ClickException) as timeout:
        await followed(monkeypatch, last, takes_up=False)

    assert timeout.value.message == (
        "timed out after 15m waiting for auth: the operator has not started the request"
        " (now NotSynced: vault is down); see `keyturn status auth` and `keyturn check`"
    )


async def test_an_interrupted_wait_says_that_the_operator_continues(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []

    async def seen(*_: object) -> AsyncIterator[FoundManagedSecret]:
        yield found()
        raise asyncio.CancelledError

    monkeypatch.setattr(wait, "_versions", seen)
    with pytest.raises(asyncio.CancelledError):
        await follow(CLUSTER, found(), lambda _: False, Waiting(timedelta(minutes=1)), told.append)

    assert told == ["the operator continues, see `keyturn status auth`"]


async def test_one_whose_turn_comes_after_the_timeout_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    done = found()

    async def seen(*_: object) -> AsyncIterator[FoundManagedSecret]:
        await asyncio.sleep(0.01)
        yield done

    monkeypatch.setattr(wait, "_versions", seen)
    waiting = Waiting(timedelta(0), began=asyncio.get_running_loop().time() - _LATER)

    assert await follow(CLUSTER, done, lambda _: True, waiting, lambda _: None) is done


@pytest.mark.parametrize(
    ("patience", "passed", "left"),
    [(900, 0, 900), (900, 899, 5), (900, 1000, 5), (3, 0, 3), (3, 10, 3), (0, 0, 1), (0, 10, 1)],
)
async def test_each_look_has_some_seconds(patience: float, passed: float, left: float) -> None:
    now = asyncio.get_running_loop().time()
    waiting = Waiting(timedelta(seconds=patience), began=now - passed)
    assert waiting.left is not None
    assert left - 0.5 < waiting.left <= left


class Busy:
    """API server that serves an object and its changes, and rejects some watches as it is overloaded."""

    def __init__(self, *refusals: errors.ApiError) -> None:
        self.watched_at: list[float] = []
        self._refusals = list(refusals)

    async def get(self, _: str) -> dict[str, Any]:
        return found().body

    async def watch(self, *_: Any, **__: Any) -> AsyncIterator[Change]:
        self.watched_at.append(round(asyncio.get_running_loop().time(), 3))
        if self._refusals:
            raise self._refusals.pop(0)
        yield Change("MODIFIED", found(revision=2).body)


def throttled(after: float | None) -> errors.Throttled:
    return errors.Throttled("watch", "/", 429, "TooManyRequests", retry_after=after)


@cases(
    ("refusal", "pause"),
    case("overloaded", throttled(None), 0.5),
    case("overloaded for some seconds", throttled(4), 4),
    case("overloaded for a day", throttled(86400), 30),
    case("away", errors.Unavailable("watch", "/", 0, "Timeout"), 0.5),
    case("with a new history", errors.Gone("watch", "/", 410, "Expired"), 0.5),
)
def test_a_wait_continues_after_a_pause_when_its_watch_is_refused(
    refusal: errors.ApiError, pause: float
) -> None:
    api = Busy(refusal)
    here = cast("Cluster", SimpleNamespace(api=api, namespace="shop"))

    async def revisions() -> list[int | None]:
        async with aclosing(wait._versions(here, "auth")) as versions:
            return [(await anext(versions)).managed.status.revision for _ in range(3)]

    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        assert runner.run(revisions()) == [1, 1, 2]
    assert api.watched_at == [0, pause]


async def test_an_emergency_is_followed_across_an_api_server_that_restarts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(incidents, "_PAUSE", 0.0)
    answers: list[Any] = [
        errors.Unavailable("get", "/", 0, "ClientConnectorError"),
        errors.Throttled("get", "/", 429, "TooManyRequests"),
        {
            "metadata": {"name": "inc-7", "namespace": "shop"},
            "spec": {"reason": "stolen"},
            "status": {"servicesUpdatedAt": "2026-11-29T00:00:00Z"},
        },
    ]

    async def get(_: str) -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    cluster = cast("Cluster", SimpleNamespace(api=SimpleNamespace(get=get)))
    await incidents.follow(cluster, "inc-7", ["shop"], timedelta(minutes=1))
    assert not answers


def test_an_emergency_that_does_not_change_is_printed_once(capsys: pytest.CaptureFixture[str]) -> None:
    stalled = {"type": "Stalled", "status": "True", "reason": "SecretStalled", "message": "db: immutable"}

    async def get(_: str) -> Any:
        return {
            "metadata": {"name": "inc-7", "namespace": "shop"},
            "spec": {"reason": "stolen"},
            "status": {"conditions": [stalled | {"lastTransitionTime": "2026-11-29T00:00:00Z"}]},
        }

    cluster = cast("Cluster", SimpleNamespace(api=SimpleNamespace(get=get)))
    with (
        asyncio.Runner(loop_factory=JumpingLoop) as runner,
        pytest.raises(click.ClickException, match="timed out after 40"),
    ):
        runner.run(incidents.follow(cluster, "inc-7", ["shop"], timedelta(seconds=40)))

    assert [line.split("shop: ")[1] for line in capsys.readouterr().out.splitlines()] == [
        "manual action required: db: immutable"
    ]
