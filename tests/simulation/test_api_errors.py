"""What the API server refuses is told, and tried again more and more slowly."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import CapturingLogger

from keyturn.kube import errors
from keyturn.runtime import metrics
from tests.simulation.simulated_cluster import MANAGED, STATE, Cluster

if TYPE_CHECKING:
    from keyturn.kube.errors import ApiError
    from keyturn.kube.wire import Body

SPEC = {"data": [{"name": "password", "generate": {"password": {"length": 32}}}]}


class Posted:
    """Keeps the reasons of events."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def record(self, regarding: object, reason: str, *_: object, **__: object) -> None:
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
    monkeypatch.setattr("keyturn.controllers.managedsecret.reconcile._log", log)
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
    assert await pauses(Refusing(SPEC), 9) == [2, 4, 8, 16, 32, 64, 128, 256, 300]


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
    cluster.context.events = posted  # type: ignore[assignment]  # a fake

    await pauses(cluster, 3)

    assert posted.reasons == told


class Unreadable(Cluster):
    """Hands out no Secret."""

    refusal: type[ApiError] | None = None
    defect = False

    async def get(self, path: str, *, metadata_only: bool = False) -> Body:
        if self.defect:
            raise RuntimeError
        if self.refusal:
            raise self.refusal("get", path, 403, self.refusal.__name__)
        return await super().get(path, metadata_only=metadata_only)

    def condition(self, type_: str) -> tuple[str, str] | None:
        found = (one for one in self.objects[MANAGED]["status"]["conditions"] if one["type"] == type_)
        return next(((one["status"], one["reason"]) for one in found), None)


async def drifted() -> tuple[Unreadable, Posted]:
    """Edit a Secret, of which the operator learns."""
    cluster, posted = Unreadable(SPEC), Posted()
    await cluster.settle()
    cluster.context.events = posted  # type: ignore[assignment]  # a fake
    cluster.edit_target("password", "b3RoZXI=")
    return cluster, posted


async def test_a_secret_that_may_not_be_read_is_not_called_ready() -> None:
    cluster, posted = await drifted()
    cluster.refusal = errors.Forbidden

    assert await pauses(cluster, 3) == [2, 4, 8]

    assert cluster.condition("Ready") == ("Unknown", "Forbidden")
    assert cluster.condition("Reconciling") == ("True", "Forbidden")
    assert posted.reasons == ["Forbidden"]


async def test_it_is_repaired_when_it_may_be_read_again() -> None:
    cluster, posted = await drifted()
    cluster.refusal = errors.Forbidden
    await pauses(cluster, 3)
    cluster.refusal = None
    await cluster.settle()

    assert cluster.condition("Ready") == ("True", "Published")
    assert cluster.condition("Reconciling") is None
    assert posted.reasons == ["Forbidden", "DriftRepaired"]


async def test_another_process_reports_a_look_that_is_refused_no_second_time() -> None:
    cluster, posted = await drifted()
    cluster.refusal = errors.Forbidden
    await pauses(cluster, 1)
    cluster.restart()
    cluster.context.events = posted  # type: ignore[assignment]  # a fake
    writes = cluster.writes

    await pauses(cluster, 2)

    assert posted.reasons == ["Forbidden"]
    assert cluster.writes == writes


@pytest.mark.parametrize("passing", [errors.Throttled, errors.Unavailable])
async def test_an_api_server_in_trouble_is_no_news_of_the_secret(passing: type[ApiError]) -> None:
    cluster, posted = await drifted()
    cluster.refusal = passing

    await pauses(cluster, 3)

    assert cluster.condition("Ready") == ("True", "Published")
    assert posted.reasons == []


async def test_a_defect_is_reported_and_left_to_the_queue() -> None:
    cluster, posted = await drifted()
    cluster.defect = True
    cluster.tell()

    with pytest.raises(RuntimeError):
        await cluster.look()

    assert cluster.condition("Ready") == ("Unknown", "UnexpectedError")
    assert posted.reasons == ["UnexpectedError"]


async def test_a_webhook_that_denies_is_reported_once() -> None:
    cluster, posted = Refusing(SPEC), Posted()
    cluster.refusal = errors.BadRequest
    cluster.context.events = posted  # type: ignore[assignment]  # a fake

    assert await pauses(cluster, 3) == [15, 30, 60]

    assert posted.reasons == ["Refused"]


class Sealed(Cluster):
    """Lets nobody change the record of the values."""

    is_sealed = False

    async def replace(self, path: str, body: Body) -> Body:
        if self.is_sealed and path == STATE:
            raise errors.Forbidden("update", path, 403, "Forbidden")
        return await super().replace(path, body)


async def test_what_waits_beside_a_whole_secret_is_reported_once_and_in_a_condition() -> None:
    cluster, posted = Sealed(SPEC), Posted()
    await cluster.settle()
    cluster.context.events = posted  # type: ignore[assignment]  # a fake
    cluster.is_sealed = True
    cluster.change_managed()["target"] = {"deletionPolicy": "Delete"}

    await pauses(cluster, 4)

    conditions = {one["type"]: one for one in cluster.objects[MANAGED]["status"]["conditions"]}
    assert (conditions["Ready"]["status"], conditions["Ready"]["reason"]) == ("True", "Published")
    assert (conditions["Hindered"]["status"], conditions["Hindered"]["reason"]) == ("True", "Forbidden")
    assert "to update the Secret 'db-keyturn'" in conditions["Ready"]["message"]
    assert posted.reasons.count("Forbidden") == 1


class Failing(Cluster):
    """Keeps no status."""

    failure: type[ApiError] | None = None

    async def replace(self, path: str, *arguments: Any, **options: Any) -> Body:
        if self.failure and path.endswith("/status"):
            raise self.failure("update", path, 0, self.failure.__name__)
        return await super().replace(path, *arguments, **options)


@pytest.mark.parametrize(
    "failure", [errors.ApiError, errors.BadRequest, errors.Invalid, errors.NotFound, errors.Forbidden]
)
async def test_a_look_that_fails_is_reported_and_tried_again_more_slowly(
    failure: type[ApiError], log: CapturingLogger
) -> None:
    cluster = Failing(SPEC)
    cluster.failure = failure

    assert await pauses(cluster, 3) == [2, 4, 8]
    assert [call.args for call in log.calls] == [("observation failed",)] * 3


async def test_a_look_that_succeeds_starts_the_count_again(log: CapturingLogger) -> None:
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


async def test_what_finds_no_rest_is_reported_and_tried_again_more_slowly(log: CapturingLogger) -> None:
    cluster = Failing(SPEC)
    cluster.failure = errors.Conflict
    before = metrics.NOT_CONVERGED._value.get()  # the library has no other way

    assert await pauses(cluster, 3) == [0.2, 0.4, 0.8]
    assert [call.args for call in log.calls] == [("reconcile did not converge",)] * 3
    assert metrics.NOT_CONVERGED._value.get() == before + 3


async def test_secrets_that_may_not_be_listed_are_not_taken_for_absent() -> None:
    cluster, posted = await drifted()
    cluster.context.covers = lambda _: False
    before = cluster.data()

    assert await pauses(cluster, 3) == [2, 4, 8]
    assert cluster.condition("Ready") == ("Unknown", "Forbidden")
    assert posted.reasons == ["Forbidden"]
    assert cluster.data() == before

    cluster.context.covers = lambda _: True
    await cluster.settle()
    assert cluster.condition("Ready") == ("True", "Published")
