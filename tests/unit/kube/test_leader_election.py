"""Times of an election, with an API server whose answers are slow; `tests/cluster` has its rules on a real one."""

import asyncio
import copy
from collections.abc import Coroutine
from datetime import UTC, datetime
from math import inf
from typing import Any

import pytest
import structlog

from keyturn import __version__
from keyturn.core.labels import HOLDER
from keyturn.kube import errors
from keyturn.kube.leader_election import (
    Elector,
    Hindrance,
    Holder,
    LeadershipLost,
    Terms,
    holder_of,
    signature,
)
from keyturn.kube.wire import Body
from keyturn.runtime import build, metrics
from tests.support.cases import case, cases
from tests.support.jumping_loop import JumpingLoop

TERMS = Terms(lease_duration=10.0, renew_deadline=7.0, retry_period=2.0)


class LeaseServer:
    """API server with one Lease, which answers each write after `lasts` seconds."""

    def __init__(self, lasts: float = 0.0) -> None:
        self.lasts = lasts
        self.lease: Body | None = None
        self._version = 0

    def hold(self, identity: str, seconds: int = 10) -> None:
        """Have another process acquire the Lease."""
        self._store({"metadata": {}, "spec": {"holderIdentity": identity, "leaseDurationSeconds": seconds}})

    async def get(self, path: str) -> Body:
        if self.lease is None:
            raise errors.NotFound("get", path, 404, "NotFound")
        return copy.deepcopy(self.lease)

    async def create(self, _: str, body: Body) -> Body:
        await asyncio.sleep(self.lasts)
        return self._store(body)

    async def replace(self, path: str, body: Body) -> Body:
        if self.lease is None or body["metadata"]["resourceVersion"] != str(self._version):
            raise errors.Conflict("update", path, 409, "Conflict")
        await asyncio.sleep(self.lasts)
        return self._store(body)

    def _store(self, body: Body) -> Body:
        self._version += 1
        self.lease = copy.deepcopy(body)
        self.lease["metadata"]["resourceVersion"] = str(self._version)
        return copy.deepcopy(self.lease)


def now() -> float:
    return asyncio.get_running_loop().time()


def play(scenario: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        runner.run(scenario)


def elector(server: LeaseServer) -> Elector:
    return Elector(server, "keyturn", "leader", "one", TERMS)  # type: ignore[arg-type]  # a fake


def test_a_slow_answer_lengthens_no_leadership() -> None:
    """A follower may have observed the renewal when it was sent, and counts its term from there."""

    async def renew() -> None:
        server = LeaseServer(lasts=1.5)
        one = elector(server)
        began = now()
        await one._seek()
        assert one.deadline() == began + TERMS.renew_deadline

        await asyncio.sleep(2.0)
        began = now()
        await one._renew()
        assert (now(), one.deadline()) == (began + 1.5, began + TERMS.renew_deadline)

    play(renew())


def test_a_leader_that_could_not_renew_stops_before_a_follower_starts() -> None:
    async def lose() -> None:
        one = elector(LeaseServer())
        await one._seek()
        await asyncio.sleep(TERMS.renew_deadline)

        assert one.deadline() <= now()
        with pytest.raises(LeadershipLost):
            await one._renew()

    play(lose())


@pytest.mark.parametrize("is_deleted", [False, True], ids=["not renewed", "deleted"])
def test_a_follower_waits_for_the_end_of_the_term_of_a_lease(*, is_deleted: bool) -> None:
    async def follow() -> None:
        server = LeaseServer()
        server.hold("another")
        one = elector(server)
        await one._seek()
        if is_deleted:
            server.lease = None

        await asyncio.sleep(TERMS.lease_duration - 0.1)
        await one._seek()
        assert one.leader == "another"

        await asyncio.sleep(0.1)
        await one._seek()
        assert one.leader == "one"

    play(follow())


@pytest.mark.parametrize("is_deleted", [False, True], ids=["not renewed", "deleted"])
def test_a_follower_waits_three_of_its_own_terms_for_a_lease_of_years(*, is_deleted: bool) -> None:
    async def follow() -> None:
        server = LeaseServer()
        server.hold("thief", seconds=2**31 - 1)
        one = elector(server)
        await one._seek()
        if is_deleted:
            server.lease = None

        await asyncio.sleep(3 * TERMS.lease_duration - 0.1)
        await one._seek()
        assert one.leader == "thief"

        await asyncio.sleep(0.1)
        await one._seek()
        assert one.leader == "one"

    play(follow())


@pytest.mark.parametrize("leads", [False, True], ids=["standby", "leader"])
def test_a_lease_of_an_earlier_version_ends_the_process(*, leads: bool) -> None:
    """As after a restore of etcd, when nothing that is cached holds."""

    async def restore() -> None:
        server = LeaseServer()
        one = elector(server)
        server.hold("" if leads else "another")
        backup = copy.deepcopy(server.lease)
        await one._seek()
        if not leads:
            server.hold("another")
        await one.attempt()
        server.lease, server._version = backup, 1

        with pytest.raises(errors.HistoryLost):
            await one.attempt()
        assert one.deadline() == -inf

    play(restore())


def test_a_read_that_a_renewal_overtakes_is_no_earlier_version() -> None:
    class Slow(LeaseServer):
        async def get(self, path: str) -> Body:
            lease = await super().get(path)
            await asyncio.sleep(self.lasts)
            return lease

    async def overtake() -> None:
        server = Slow()
        one = elector(server)
        await one._seek()
        server.lasts = 1.0
        reading = asyncio.create_task(one._read())
        await asyncio.sleep(0.1)
        server.lasts = 0.0
        await one.attempt()
        assert (await reading or {})["metadata"]["resourceVersion"] == "1"
        assert one.is_leading

    play(overtake())


def test_a_replica_reports_how_often_the_lease_was_acquired() -> None:
    async def acquire_twice() -> None:
        server = LeaseServer()
        for _ in range(2):
            one = elector(server)
            await one._seek()
            await one.release()

    play(acquire_twice())
    assert metrics.REGISTRY.get_sample_value("keyturn_lease_transitions", {"lease": "leader"}) == 1


def test_the_number_of_transitions_stays_one_that_the_api_server_takes() -> None:
    async def seek() -> None:
        server = LeaseServer()
        server.hold("")
        assert server.lease is not None
        server.lease["spec"]["leaseTransitions"] = 2**31 - 1
        await elector(server)._seek()
        assert server.lease["spec"]["leaseTransitions"] == 0

    play(seek())


def test_a_process_without_a_cache_observes_the_lease_and_takes_it_with_one() -> None:
    async def wait() -> None:
        server, is_primed = LeaseServer(), asyncio.Event()
        one = Elector(server, "keyturn", "leader", "one", TERMS, may_take=is_primed.is_set)  # type: ignore[arg-type]
        await one.attempt()
        assert not one.is_leading

        is_primed.set()
        await one.attempt()
        assert one.is_leading

    play(wait())


_PATH = "/apis/coordination.k8s.io/v1/namespaces/keyturn-system/leases/keyturn"


class Clock:
    """The time of the loop, as a test sets it."""

    def __init__(self) -> None:
        self.now = 1000.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("keyturn.kube.leader_election.loop_time", lambda: clock.now)
    return clock


def refused(verb: str = "get") -> errors.Forbidden:
    return errors.Forbidden(verb, _PATH, 403, "Forbidden")


def unreachable(reason: str = "Timeout") -> errors.Unavailable:
    return errors.Unavailable("get", _PATH, 0, reason)


@pytest.mark.usefixtures("clock")
@cases(
    ("error", "line"),
    case("get", refused("get"), "may not get leases"),
    case("create", refused("create"), "may not create leases"),
    case("update", refused("update"), "may not update leases"),
    case("no namespace", errors.NotFound("create", _PATH, 404, "NotFound"), "there is no namespace"),
)
def test_what_only_a_person_can_change_is_no_readiness_at_once(error: errors.ApiError, line: str) -> None:
    hindered = Hindrance("keyturn-system")
    hindered.record_failure(error)

    (problem,) = hindered.problems()
    assert line in problem


@pytest.mark.parametrize(
    ("error", "line"),
    [(unreachable(), f"get {_PATH}: Timeout"), (TimeoutError(), "the API server does not answer in time")],
    ids=["no answer", "timeout"],
)
def test_what_may_pass_gets_a_grace(error: errors.ApiError | TimeoutError, line: str, clock: Clock) -> None:
    hindered = Hindrance("keyturn-system")
    hindered.record_failure(error)
    clock.now += 29
    hindered.record_failure(error)
    assert hindered.problems() == []

    clock.now += 2
    assert hindered.problems() == [f"lease not reachable: {line}"]
    hindered.record_success()
    assert hindered.problems() == []


def test_a_new_outage_has_a_grace_of_its_own(clock: Clock) -> None:
    hindered = Hindrance("keyturn-system")
    hindered.record_failure(unreachable())
    hindered.record_success()
    clock.now += 100
    hindered.record_failure(unreachable())

    assert hindered.problems() == []


def test_the_same_is_logged_once_and_then_seldom(clock: Clock) -> None:
    hindered = Hindrance("keyturn-system")
    with structlog.testing.capture_logs() as logged:
        for _ in range(1800):  # an hour of looks
            hindered.record_failure(refused())
            clock.now += 2

    # After 0, 10, 20, 30, 40 and 50 minutes.
    assert [line["reason"] for line in logged] == ["may not get leases in namespace keyturn-system"] * 6


@pytest.mark.usefixtures("clock")
def test_a_change_and_the_end_are_logged_at_once() -> None:
    hindered = Hindrance("keyturn-system")
    with structlog.testing.capture_logs() as logged:
        for error in (refused("get"), refused("get"), refused("create")):
            hindered.record_failure(error)
        hindered.record_success()
        hindered.record_success()

    assert [(line["event"], line.get("reason", "")) for line in logged] == [
        ("lease not reachable", "may not get leases in namespace keyturn-system"),
        ("lease not reachable", "may not create leases in namespace keyturn-system"),
        ("lease reachable again", ""),
    ]


_SPEC = {"holderIdentity": "one", "leaseDurationSeconds": 10, "renewTime": "2026-11-27T00:00:00.123456Z"}
_RENEWED = datetime(2026, 11, 27, 0, 0, 0, 123456, UTC)


def lease(annotations: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "keyturn", "annotations": annotations}, "spec": {**_SPEC, **spec}}


def test_a_holder_says_which_keyturn_it_is() -> None:
    assert holder_of(lease(signature("one"))) == Holder("one", _RENEWED, 10, __version__, build.commit())


@pytest.mark.parametrize(
    "annotations",
    [None, {}, signature("the one before"), {HOLDER: "{"}, {HOLDER: '"0.1.0"'}, {HOLDER: "null"}],
    ids=["no annotations", "none of ours", "another's", "no JSON", "a text", "null"],
)
def test_what_it_does_not_say_is_unknown(annotations: dict[str, str] | None) -> None:
    assert holder_of(lease(annotations)) == Holder("one", _RENEWED, 10)


@pytest.mark.parametrize("time", [None, "", "yesterday", 5])
def test_a_time_that_cannot_be_read_is_none(time: Any) -> None:
    holder = holder_of(lease(renewTime=time))

    assert holder is not None
    assert holder.renewed is None


@pytest.mark.parametrize("body", [lease(holderIdentity=""), {"metadata": {}}, {"metadata": {}, "spec": None}])
def test_a_free_lease_has_no_holder(body: dict[str, Any]) -> None:
    assert holder_of(body) is None
