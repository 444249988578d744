"""What the API server refuses is told, and tried again more and more slowly."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import CapturingLogger

from keyturn.kube import errors
from tests.model.cluster import Cluster

if TYPE_CHECKING:
    from keyturn.kube.client import Body
    from keyturn.kube.errors import ApiError

SPEC = {"data": [{"name": "password", "generate": {"password": {"length": 32}}}]}


class Posted:
    """Keeps the reasons of events."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def post(self, regarding: object, reason: str, *_: object) -> None:
        del regarding
        self.reasons.append(reason)


class Refusing(Cluster):
    """Refuses to create anything."""

    refusal: type[ApiError] = errors.Forbidden

    async def create(self, path: str, body: Body) -> Body:
        del body
        raise self.refusal("create", path, 0, self.refusal.__name__)


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> CapturingLogger:
    log = CapturingLogger()
    monkeypatch.setattr("keyturn.reconcile._log", log)
    return log


async def pauses(cluster: Cluster, looks: int) -> list[float]:
    """Look as often, each time when it is due; return the seconds that it wants to wait after each."""
    found = []
    for _ in range(looks):
        cluster.tell()
        until = await cluster.look()
        assert until
        found.append((until - cluster.now).total_seconds())
        cluster.now = until - timedelta(seconds=1)
    return found


async def test_a_wait_lasts_as_long_as_it_asks_for_and_then_longer() -> None:
    assert await pauses(Refusing(SPEC), 7) == [15, 30, 60, 120, 240, 300, 300]


@pytest.mark.parametrize(
    ("refusal", "told"),
    [
        pytest.param(errors.Forbidden, ["Forbidden"], id="a quota"),
        pytest.param(errors.Unavailable, [], id="an API server that is away"),
    ],
)
async def test_a_wait_is_an_event_once(refusal: type[ApiError], told: list[str]) -> None:
    cluster, posted = Refusing(SPEC), Posted()
    cluster.refusal = refusal
    cluster.world.events = posted  # type: ignore[assignment]  # a fake

    await pauses(cluster, 3)

    assert posted.reasons == told


class Failing(Cluster):
    """Keeps no status."""

    failure: type[ApiError] | None = None

    async def patch(self, path: str, *arguments: Any, **options: Any) -> Body:
        if self.failure:
            raise self.failure("patch", path, 0, self.failure.__name__)
        return await super().patch(path, *arguments, **options)


@pytest.mark.parametrize(
    "failure", [errors.ApiError, errors.BadRequest, errors.Invalid, errors.NotFound, errors.Forbidden]
)
async def test_a_look_that_fails_is_told_and_tried_again_more_slowly(
    failure: type[ApiError], log: CapturingLogger
) -> None:
    cluster = Failing(SPEC)
    cluster.failure = failure

    assert await pauses(cluster, 3) == [2, 4, 8]
    assert [call.args for call in log.calls] == [("look failed",)] * 3


async def test_a_look_that_succeeds_starts_the_count_anew(log: CapturingLogger) -> None:
    cluster = Failing(SPEC)
    cluster.failure = errors.ApiError
    await pauses(cluster, 3)
    cluster.failure = None
    await cluster.settle()
    cluster.change_managed()["data"].append({"name": "username", "literal": "shop"})
    cluster.failure = errors.ApiError

    assert await pauses(cluster, 1) == [2]
    assert len(log.calls) == 4


async def test_a_process_that_does_not_lead_leaves_it_to_another() -> None:
    cluster = Failing(SPEC)
    cluster.failure = errors.NotLeading

    with pytest.raises(errors.NotLeading):
        await pauses(cluster, 1)


async def test_what_finds_no_rest_is_told_and_tried_again_more_slowly(log: CapturingLogger) -> None:
    cluster = Failing(SPEC)
    cluster.failure = errors.Conflict

    assert await pauses(cluster, 3) == [0.2, 0.4, 0.8]
    assert [call.args for call in log.calls] == [("no rest found",)] * 3
