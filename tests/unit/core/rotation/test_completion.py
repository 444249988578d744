"""When a rollout is complete, and when an overlap begins and ends."""

from dataclasses import replace
from datetime import datetime
from typing import Any

from keyturn.core.errors import Wait
from keyturn.core.observation.observed import Consumer, Managed, with_facts
from keyturn.core.observation.workload import PodsSeen
from keyturn.core.reasons import ErrorReason
from keyturn.core.rotation.completion import is_rollout_complete, kept_since, overlap_limit, publication_limit
from keyturn.core.rotation.decision import next_step
from keyturn.core.rotation.steps import Expire, Overlap, Rest, Step
from keyturn.core.state.state import Publication
from tests.support.cases import case, cases
from tests.unit.core import builders as make
from tests.unit.core.rotation.test_old_pods_others import PUBLISHED, rotated

PREVIOUS = frozenset({"password.previous"})
FIRST = Publication(1, make.MADE)
KEPT: dict[str, Any] = {"data": [{**make.PASSWORD, "keepPrevious": True}]}
ROLLING = make.consumer("api", marker="db=2", settled=False, restarted=make.NOW - make.minutes(1))


def test_a_rollout_is_complete_when_no_workload_and_no_other_pod_is_behind() -> None:
    done = rotated()
    held = replace(done, holders=PodsSeen((make.holding(),)))
    rolling = replace(done, consumers=(ROLLING,))

    complete = [is_rollout_complete(one) for one in (done, held, rolling)]

    assert complete == [True, False, False]


def test_the_overlap_begins_when_no_pod_holds_earlier_values() -> None:
    assert isinstance(next_step(rotated(make.holding(), spec=KEPT, previous=frozenset({"password"}))), Rest)
    assert next_step(rotated(spec=KEPT, previous=frozenset({"password"}))) == Overlap(
        2, make.NOW + make.minutes(60)
    )


@cases(("limit", "ends"), case("before the limit", "70m", False), case("at the limit", "40m", True))
def test_the_overlap_ends_at_its_limit_whatever_pods_hold(limit: str, ends: bool) -> None:
    spec = {**KEPT, "rotation": {"overlap": "10m", "maxOverlap": limit}}
    step = next_step(rotated(make.holding(), spec=spec, previous=frozenset({"password"})))

    assert (step == Expire(2)) is ends
    if not ends:
        assert isinstance(step, Rest)
        assert step.until is not None


def test_the_reconcile_wakes_at_the_limit_and_for_the_next_read() -> None:
    spec = {**KEPT, "rotation": {"overlap": "10m", "maxOverlap": "45m"}}
    rest = next_step(rotated(make.holding(), spec=spec, previous=frozenset({"password"})))
    assert rest == Rest(PUBLISHED + make.minutes(45))

    observed = make.with_holders(rotated(make.holding()), again=make.NOW + make.seconds(9))
    assert next_step(observed) == Rest(make.NOW + make.seconds(9))


def test_a_limit_that_is_over_does_not_wait_for_a_rollout() -> None:
    spec = {**KEPT, "rotation": {"overlap": "10m", "maxOverlap": "30m"}}

    assert next_step(rotated(consumers=(ROLLING,), spec=spec, previous=frozenset({"password"}))) == Expire(2)


def kept_on(**rotation: str) -> Managed:
    """Observe a third revision, published now and rolling, that keeps the previous value of the second."""
    second = make.revision(2, "Triggered", base=1, previous=PREVIOUS, valid_until=make.NOW)
    third = replace(
        second, number=3, reason="Refreshed", base=2, overlap_from=2, changed=frozenset({"api-key"})
    )
    known = make.state(third, second, make.revision(), publications=(Publication(2, PUBLISHED), FIRST))
    status = {"revision": 3, "secretName": "db"}
    rolling = make.consumer("api", marker="db=3", settled=False, restarted=make.NOW)
    return make.observed(
        {**KEPT, "rotation": rotation},
        rolling,
        state=known,
        target=make.target(3, published=make.NOW, overlapping=True),
        status=status,
    )


def test_an_overlap_that_a_later_revision_keeps_ends_in_time() -> None:
    """All workloads ran on the new value already, so the rollout of another one is not waited for."""
    observed = kept_on(overlap="10m")
    before = replace(observed, now=make.NOW - make.seconds(1))

    assert next_step(observed) == Expire(3)
    assert isinstance(next_step(before), Rest)


def test_the_limit_of_an_overlap_counts_from_the_publication_of_its_value() -> None:
    observed = kept_on(overlap="10m", maxOverlap="70m")
    assert observed.state
    unknown = replace(observed, state=replace(observed.state, publications=()))

    assert overlap_limit(observed) == PUBLISHED + make.minutes(70)
    assert publication_limit(observed) == make.NOW + make.minutes(70)
    assert overlap_limit(unknown) == make.NOW + make.minutes(70), "the first known one"


def test_without_publication_there_is_no_limit() -> None:
    spec = {**KEPT, "rotation": {"overlap": "10m", "maxOverlap": "30m"}}
    observed = make.observed(spec, target=make.target(None))

    assert overlap_limit(observed) is None


# Previous values that should be gone


def test_previous_values_should_be_gone_at_the_end_of_their_overlap() -> None:
    ends = make.NOW + make.minutes(10)
    open_ = rotated(spec=KEPT, previous=frozenset({"password"}))
    begun = rotated(spec=KEPT, previous=frozenset({"password"}), valid_until=ends)
    ended = rotated(spec=KEPT, previous=frozenset({"password"}), valid_until=make.NOW, ended=True)
    removed = rotated(spec=KEPT)
    none = with_facts(removed, state=None)

    assert [kept_since(one) for one in (open_, begun, ended, removed, none)] == [
        None,
        ends,
        make.NOW,
        None,
        None,
    ]


def test_previous_values_that_no_overlap_keeps_should_be_gone_since_the_publication() -> None:
    ended = rotated(spec=KEPT, previous=frozenset({"password"}), ended=True)

    assert kept_since(ended) == PUBLISHED


# Pods that cannot be listed

UNREAD = Wait(ErrorReason.API_SERVER_UNAVAILABLE, "no answer", make.seconds(2))


def unread(*consumers: Consumer, **rotation: str) -> Managed:
    """Return a rotation whose pods cannot be listed."""
    observed = rotated(
        consumers=consumers, spec={**KEPT, "rotation": rotation}, previous=frozenset({"password"})
    )
    return replace(observed, unread=UNREAD)


@cases(
    "consumers",
    case("no workload uses the Secret", ()),
    case("one has restarted", (make.consumer("api", marker="db=2"),)),
    case("one would be restarted", (make.consumer("api", marker="db=1"),)),
    case("one has failed", (replace(ROLLING, workload=replace(ROLLING.workload, failed=True)),)),
)
def test_without_a_list_of_pods_nothing_is_done_and_the_error_is_the_reason(
    consumers: tuple[Consumer, ...],
) -> None:
    observed = unread(*consumers)

    assert next_step(observed) == Rest(None, UNREAD)
    assert not is_rollout_complete(observed)


def test_without_a_list_of_pods_the_overlap_ends_at_its_limit() -> None:
    assert next_step(unread(overlap="10m", maxOverlap="40m")) == Expire(2)
    assert next_step(unread(overlap="10m", maxOverlap="70m")) == Rest(None, UNREAD)


@cases(
    ("ends", "expected"),
    case("at its end", make.NOW, Expire(2)),
    case("before", make.NOW + make.seconds(1), Rest(None, UNREAD)),
)
def test_without_a_list_of_pods_an_overlap_that_has_begun_ends_in_time(
    ends: datetime, expected: Step
) -> None:
    begun = rotated(spec=KEPT, previous=frozenset({"password"}), valid_until=ends)
    assert next_step(replace(begun, unread=UNREAD)) == expected


def test_without_a_list_of_pods_an_overlap_that_a_later_revision_keeps_ends_in_time() -> None:
    assert next_step(replace(kept_on(overlap="10m"), unread=UNREAD)) == Expire(3)
