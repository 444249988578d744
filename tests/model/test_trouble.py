"""What the API server refuses is told, and tried again more and more slowly."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

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


async def test_what_is_forbidden_is_tried_again_after_the_time_that_it_asks_for_and_then_more_slowly() -> None:
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
