"""Which pods hold earlier values that Keyturn does not restart, and how long they are waited for."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from keyturn.api.workloads import Via
from keyturn.core.observation.emergency import Emergency
from keyturn.core.observation.observed import Consumer, Managed
from keyturn.core.observation.workload import Controller, Pod, PodsSeen
from keyturn.core.rotation.decision import next_step
from keyturn.core.rotation.old_pods import (
    are_unread,
    behind_message,
    holds_back,
    next_read_of_all,
    owners_behind,
    pod_to_evict,
    pods_behind,
    waiting_message,
)
from keyturn.core.rotation.steps import EvictPod
from tests.support.cases import case, cases
from tests.unit.core import builders as make

PUBLISHED = make.NOW - make.minutes(40)


def rotated(
    *pods: Pod,
    consumers: tuple[Consumer, ...] = (),
    spec: dict[str, Any] | None = None,
    forbidden: bool = False,
    published: datetime = PUBLISHED,
    **of_revision: Any,
) -> Managed:
    """Observe the second revision, which is in the Secret, with these pods that no consumer controls."""
    made = make.state(
        make.revision(2, "Scheduled", made=published, answers=make.ANSWERED, **of_revision),
        make.revision(1, made=make.BEFORE),
    )
    return make.observed(
        spec,
        *consumers,
        state=made,
        target=make.target(2, published=published, overlapping=bool(of_revision)),
        status={"revision": 2, "secretName": "db"},
        holders=PodsSeen(pods, forbidden=forbidden),
    )


def behind(observed: Managed) -> list[str]:
    return [pod.name for pod in pods_behind(observed)]


@cases(
    ("pod", "expected"),
    case("began before it", make.holding(began=PUBLISHED - make.seconds(1)), ["report"]),
    case("began in the same second", make.holding(began=PUBLISHED), ["report"]),
    case("began after it", make.holding(began=PUBLISHED + make.seconds(1)), []),
    case("uses a key that is unchanged", make.holding(uses=(make.use("db", "username"),)), []),
    case("uses a changed key", make.holding(uses=(make.use("db", "password"),)), ["report"]),
)
def test_a_pod_holds_earlier_values_by_its_age_and_its_keys(pod: Pod, expected: list[str]) -> None:
    assert behind(rotated(pod)) == expected


def test_nothing_is_known_of_pods_that_were_not_read() -> None:
    observed = make.observed()

    assert behind(observed) == []
    assert not are_unread(observed)
    assert not holds_back(observed)
    assert waiting_message(observed) is None


def test_pods_are_grouped_by_their_topmost_owner() -> None:
    job, older = ("Job", "report"), make.BEFORE + make.minutes(1)
    files = make.use("db", via=(Via.VOLUME,))
    observed = rotated(
        make.holding("report-b", owner=job, began=make.BEFORE + make.minutes(9), leaves=make.NOW),
        make.holding("report-a", owner=job, began=older, uses=(files, make.use("mail"))),
        make.holding("alone"),
    )

    jobs, alone = owners_behind(observed)

    assert (str(jobs), len(jobs.pods), jobs.since) == ("Job/report", 2, older)
    assert jobs.via == (Via.ENV_FROM, Via.VOLUME)
    assert (str(alone), len(alone.pods)) == ("Pod/alone", 1)


def test_the_message_has_owner_time_and_revision() -> None:
    one, several = make.holding("a", owner=("Job", "a")), make.holding("b", owner=("Job", "a"))
    for pods in ((one,), (one, several), (make.holding(),), (make.holding(owner=("Kafka", "c")),)):
        observed = rotated(*pods)
        (owner,) = owners_behind(observed)
        assert f"{owner.since:%Y-%m-%d %H:%M} UTC with revision 1" in behind_message(owner, observed)


def test_the_summary_names_the_first_owner_and_counts_the_others() -> None:
    observed = rotated(make.holding("a"), make.holding("b"))
    summary = waiting_message(observed)

    assert summary is not None
    assert "Pod/a" in summary
    assert "Pod/b" not in summary
    assert "1 more" in summary


def test_pods_that_may_not_be_listed_hold_everything_back() -> None:
    observed = rotated(forbidden=True)

    assert are_unread(observed)
    assert holds_back(observed)
    assert waiting_message(observed) is not None
    assert next_read_of_all(observed) == make.NOW + make.minutes(1)


@cases(
    ("ago", "pause"),
    case("at least two seconds", make.seconds(1), make.seconds(2)),
    case("a quarter of the time so far", make.seconds(40), make.seconds(10)),
    case("at most five minutes", timedelta(days=1), make.minutes(5)),
)
def test_pods_are_read_again_at_growing_intervals(ago: timedelta, pause: timedelta) -> None:
    assert next_read_of_all(rotated(make.holding(), published=make.NOW - ago)) == make.NOW + pause
    assert next_read_of_all(rotated(published=make.NOW - ago)) is None


# Evictions in an emergency

LEAK = Emergency("leak", make.UID, make.NOW - make.minutes(50), evict=True)
OF_JOB = Controller("Job", "report", "uid-of-report")


@cases(
    ("pod", "expected"),
    case("a bare pod", make.holding(), True),
    case("a pod of a Job", make.holding(controller=OF_JOB), True),
    case("of a ReplicaSet", make.holding(controller=OF_JOB._replace(kind="ReplicaSet")), False),
    case("a mirror pod", make.holding(controller=OF_JOB._replace(kind="Node")), False),
    case("one that is terminating", make.holding(leaves=make.NOW), False),
    case("one with the new values", make.holding(began=make.NOW), False),
)
def test_an_emergency_evicts(pod: Pod, expected: bool) -> None:
    step = next_step(replace(rotated(pod), emergencies=(LEAK,)))

    assert (step == EvictPod(pod)) is expected


@cases(
    "emergency",
    case("that does not demand it", replace(LEAK, evict=False)),
    case("that is over", replace(LEAK, is_open=False)),
    case("with which the secret is done", replace(LEAK, is_complete=True)),
)
def test_no_emergency_evicts(emergency: Emergency) -> None:
    assert not isinstance(next_step(replace(rotated(make.holding()), emergencies=(emergency,))), EvictPod)


def test_a_pod_is_evicted_once_per_read() -> None:
    first, second = make.holding("a"), make.holding("b")
    observed = replace(rotated(first, second), emergencies=(LEAK,))

    assert next_step(observed) == EvictPod(first)
    assert next_step(make.with_holders(observed, tried=frozenset({first.uid}))) == EvictPod(second)


def test_pods_that_were_not_read_are_not_evicted() -> None:
    observed = make.observed(emergencies=(LEAK,))

    assert pod_to_evict(observed) is None
