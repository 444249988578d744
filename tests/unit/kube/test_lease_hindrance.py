"""What keeps a process from its Lease: said in one line, logged once, and weighed by how long it lasts."""

from __future__ import annotations

import asyncio

import pytest
import structlog

from keyturn.kube import errors
from keyturn.kube.lease_hindrance import Hindrance

_PATH = "/apis/coordination.k8s.io/v1/namespaces/keyturn-system/leases/keyturn"


class Clock:
    """The time of the loop, as a test sets it."""

    def __init__(self) -> None:
        self.now = 1000.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("keyturn.kube.lease_hindrance.loop_time", lambda: clock.now)
    return clock


def refused(verb: str = "get") -> errors.Forbidden:
    return errors.Forbidden(verb, _PATH, 403, "Forbidden")


def unreachable(reason: str = "Timeout") -> errors.Unavailable:
    return errors.Unavailable("get", _PATH, 0, reason)


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize(
    ("error", "line"),
    [
        (refused("get"), "lease not reachable: may not get leases in namespace keyturn-system"),
        (refused("create"), "lease not reachable: may not create leases in namespace keyturn-system"),
        (refused("update"), "lease not reachable: may not update leases in namespace keyturn-system"),
        (
            errors.NotFound("create", _PATH, 404, "NotFound"),
            "lease not reachable: there is no namespace keyturn-system",
        ),
    ],
    ids=["get", "create", "update", "no namespace"],
)
def test_what_only_a_person_can_change_is_no_readiness_at_once(error: errors.ApiError, line: str) -> None:
    hindered = Hindrance("keyturn-system")
    hindered.record_failure(error)

    assert hindered.problems() == [line]


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (unreachable(), "the API server does not answer (Timeout)"),
        (TimeoutError(), "the API server does not answer in time"),
        (
            errors.Unavailable("get", _PATH, 503, "ServiceUnavailable"),
            "the API server answers 503 ServiceUnavailable",
        ),
        (
            errors.Unauthorized("get", _PATH, 401, "Unauthorized"),
            "the API server rejects the credentials of this process",
        ),
    ],
    ids=["no answer", "timeout", "503", "401"],
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

    # After 0, 1, 3, 7, 15 and 31 minutes.
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


@pytest.mark.usefixtures("clock")
def test_looks_become_seldom_only_where_a_person_must_act() -> None:
    lasting, passing = Hindrance("keyturn-system"), Hindrance("keyturn-system")
    for _ in range(20):
        lasting.record_failure(refused())
        passing.record_failure(unreachable())

    assert (lasting.patience, passing.patience) == (5, 1)
    lasting.record_success()
    assert lasting.patience == 1


async def test_it_goes_by_the_clock_of_the_loop() -> None:
    hindered = Hindrance("keyturn-system")
    hindered.record_failure(unreachable())

    assert hindered.problems() == []
    assert asyncio.get_running_loop().time() > 0
