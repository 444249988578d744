"""Pods with earlier values that are waited for: which they are, when they are read, and what they do not fail."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from keyturn.api.workloads import Via, WorkloadState
from keyturn.core.errors import Wait
from keyturn.core.observation.observed import Consumer, Managed
from keyturn.core.observation.workload import Pod, PodsSeen
from keyturn.core.reasons import ErrorReason
from keyturn.core.rotation.completion import depends_on_pods
from keyturn.core.rotation.decision import next_step
from keyturn.core.rotation.old_pods import are_newer, older_pods, was_blocked_before
from keyturn.core.rotation.rollout import (
    Turn,
    WorkloadProgress,
    next_changes,
    next_restarts,
    progress_of_workloads,
)
from keyturn.core.rotation.steps import Expire, Overlap, Rest
from keyturn.core.state.state import RollbackPause
from keyturn.core.status.conditions import ConditionInput, conditions_of
from keyturn.core.status.status import Outcome, status_of
from tests.support.cases import case, cases
from tests.unit.core import builders
from tests.unit.core.builders import (
    BEFORE,
    MADE,
    NOW,
    PUBLISHED,
    consumer,
    minutes,
    observed,
    revision,
    seconds,
    state,
    target,
    use,
)

CURRENT, ROLLING, FAILED = WorkloadState.CURRENT, WorkloadState.ROLLING, WorkloadState.FAILED
KEPT = {"password.previous"}
TWO = revision(2, "Triggered", made=PUBLISHED - seconds(1))
LATE = PUBLISHED + minutes(10)
LEFT = PUBLISHED + seconds(20)


def pod(name: str = "api-1", marker: str = "", **facts: Any) -> Pod:
    """Make a pod of which only the metadata was read."""
    return builders.pod(name, marker=marker, **{"ready": None, **facts})


def ending(name: str = "api-1", marker: str = "db=1", **facts: Any) -> Pod:
    return pod(name, marker, **{"leaves": LEFT, **facts})


def with_pods(one: Consumer, *pods: Pod) -> Consumer:
    return replace(one, pods=PodsSeen(pods=pods))


def settled(*pods: Pod, name: str = "api", **of_workload: Any) -> Consumer:
    """Return one whose rollout to the second revision is through for its controller."""
    return with_pods(consumer(name, marker="db=2", restarted=PUBLISHED, **of_workload), *pods)


def look(*consumers: Consumer, two: Any = TWO, **changed: Any) -> Managed:
    known: dict[str, Any] = {
        "state": state(two, revision(made=BEFORE)),
        "target": target(2),
        "status": {"revision": 2},
    }
    return observed(changed.pop("spec", None), *consumers, **known | changed)


def standing_of(at: Managed) -> WorkloadProgress:
    return progress_of_workloads(at)[0]


# Pods from before the first keys


MERGED = {"target": {"creationPolicy": "Merge"}}
OPTIONAL = replace(use(), optional=True)


@cases(
    ("spec", "one", "is_behind"),
    case("every key of a Secret that existed", MERGED, consumer(), True),
    case("a key it waits for", MERGED, consumer(uses=(use("db", "password", via=(Via.ENV,)),)), False),
    case("files, which the kubelet updates", MERGED, consumer(uses=(use(via=(Via.VOLUME,)),)), False),
    case("a workload that is younger", MERGED, consumer(created=PUBLISHED + minutes(1)), False),
    case("pods that are younger", MERGED, consumer(renewed=True), False),
    case("a restart with the first revision", MERGED, consumer(marker="db=1"), False),
    case("listed, without a use", MERGED, consumer(uses=()), False),
    case("a Secret that it waited for", None, consumer(), False),
    case("a Secret that is optional", None, consumer(uses=(OPTIONAL,)), True),
)
def test_pods_from_before_the_first_keys_lack_them_and_are_not_restarted(
    spec: dict[str, Any] | None, one: Consumer, *, is_behind: bool
) -> None:
    at = observed(spec, one, state=state(revision(made=BEFORE)), target=target(1))
    progress = standing_of(at)

    assert (progress.state, progress.turn) == (
        (WorkloadState.PENDING, Turn.REFUSED) if is_behind else (CURRENT, Turn.DONE)
    )
    assert progress.reason == ("EarlierPods" if is_behind else None)
    assert next_restarts(at) == ()


# Which pods have earlier values


@cases(
    ("one", "is_older"),
    case("terminating, of the template before", ending(marker="db=1"), True),
    case("terminating, without a marker, older than the revision", ending(marker=""), True),
    case("terminating, made after the revision", ending(marker="", created=PUBLISHED + seconds(1)), False),
    case(
        "terminating, of the template before, made after the revision",
        ending(marker="db=1", created=PUBLISHED + seconds(1)),
        False,
    ),
    case("terminating, of the current template", ending(marker="db=2"), False),
    case("terminating, of a revision that is not known", ending(marker="db=9"), True),
    case("stays, of the template before", pod(marker="db=1"), True),
    case("stays, of the current template", pod(marker="db=2"), False),
    case("stays, of a template from before the first restart", pod(marker=""), True),
    case("stays, made after the revision", pod(marker="", created=PUBLISHED + seconds(1)), False),
)
def test_a_pod_has_the_values_of_its_marker_or_of_its_age(one: Pod, is_older: bool) -> None:
    at = look(settled(one))
    assert older_pods(at.consumers[0], at) == ((one,) if is_older else ())


def test_a_running_pod_without_a_marker_is_not_older_by_its_age_alone() -> None:
    at = look(with_pods(consumer(renewed=True), pod(marker="")))
    assert older_pods(at.consumers[0], at) == ()


def test_pods_that_a_strategy_keeps_after_the_first_restart_are_waited_for() -> None:
    one = settled(pod("a", ""), pod("b", "db=2"), kind="Rollout")
    message = "1 pod with revision 1 still runs: a"
    assert standing_of(look(one)) == WorkloadProgress(
        one, ROLLING, Turn.HINDERED, message, "EarlierPods", leaving=True
    )


def test_a_pod_that_uses_no_key_that_changed_has_the_current_values() -> None:
    at = look(settled(ending(), uses=(use("db", "username"),)))
    assert older_pods(at.consumers[0], at) == ()


@cases(
    ("pods", "newer"),
    case("none", (), True),
    case("made after it", (pod(created=PUBLISHED + seconds(1)),), True),
    case("made in the same second", (pod(created=PUBLISHED),), False),
    case("the older one is terminating", (ending(), pod(created=PUBLISHED + seconds(1))), True),
)
def test_pods_are_newer_than_a_revision_by_the_second(pods: tuple[Pod, ...], newer: bool) -> None:
    assert are_newer(pods, PUBLISHED) == newer


# What is said of them


@cases(
    ("pods", "message"),
    case("one", (ending("a"),), "1 pod with revision 1 is still terminating: a"),
    case("two", (ending("b"), ending("a")), "2 pods with revision 1 are still terminating: a, b"),
    case(
        "many",
        tuple(ending(name) for name in "abcde"),
        "5 pods with revision 1 are still terminating: a, b, c and 2 more",
    ),
    case(
        "of several revisions",
        (ending("a"), ending("b", "db=9")),
        "2 pods with revisions 1 and 9 are still terminating: a, b",
    ),
    case("one that stays", (pod("a", "db=1"),), "1 pod with revision 1 still runs: a"),
    case(
        "some that stay",
        (pod("a", "db=1"), pod("b", "db=1"), ending("c")),
        "2 pods with revision 1 still run: a, b; 1 pod with revision 1 is still terminating: c",
    ),
)
def test_they_are_counted_and_named(pods: tuple[Pod, ...], message: str) -> None:
    one = settled(*pods)
    assert standing_of(look(one)) == WorkloadProgress(
        one, ROLLING, Turn.HINDERED, message, "EarlierPods", leaving=True
    )


def test_of_pods_from_before_every_record_no_revision_is_named() -> None:
    lost = state(revision(2, "Lost", made=PUBLISHED - seconds(1)))
    said = standing_of(look(settled(ending("a", "")), state=lost)).message
    assert said == "1 pod with earlier values is still terminating: a"


def test_where_pods_cannot_be_read_nothing_is_said_to_be_through() -> None:
    one = replace(settled(), pods=PodsSeen(forbidden=True))
    at = look(one)

    said = standing_of(at)
    assert (said.state, said.under_way) == (ROLLING, True)
    assert said.message
    assert said.message.startswith("whether pods with earlier values still run is unknown: the operator")
    told = {one.type: one for one in conditions_of(ConditionInput(at, (said,), None, None))}[
        "WorkloadsCurrent"
    ]
    assert (told.status, told.reason) == ("Unknown", "PodsUnknown")


def test_one_that_is_behind_is_known_to_be_whatever_cannot_be_read() -> None:
    at = look(replace(settled(), pods=PodsSeen(forbidden=True)), consumer("web", marker="db=1"))
    everyone = progress_of_workloads(at)
    told = {one.type: one for one in conditions_of(ConditionInput(at, everyone, None, None))}[
        "WorkloadsCurrent"
    ]
    assert (told.status, told.reason) == ("False", "RollingOut")


@pytest.mark.parametrize("unread", [None, Wait(ErrorReason.REFUSED, "no answer", seconds(2))])
def test_while_pods_cannot_be_listed_no_rollout_has_failed_whose_places_they_may_hold(
    unread: Wait | None,
) -> None:
    late = consumer(
        "api", marker="db=2", settled=False, failed=True, in_place=True, restarted=NOW - timedelta(minutes=1)
    )
    at = replace(look(replace(late, pods=PodsSeen(forbidden=True))), unread=unread)

    said = standing_of(at)

    assert said.state is (ROLLING if unread else WorkloadState.FAILED)
    if unread:
        assert said.message == "whether pods with earlier values still run is unknown: no answer"


@pytest.mark.parametrize(
    ("failed", "told"), [(False, ("Unknown", "PodsUnknown")), (True, ("False", "RolloutFailed"))]
)
def test_while_pods_cannot_be_listed_workloads_are_unknown_unless_one_has_failed(
    failed: bool, told: tuple[str, str]
) -> None:
    restarted = NOW - timedelta(minutes=1)
    one = consumer("api", marker="db=2", settled=not failed, failed=failed, restarted=restarted)
    at = replace(look(one), unread=Wait(ErrorReason.REFUSED, "no answer", seconds(2)))
    found = {
        one.type: one for one in conditions_of(ConditionInput(at, progress_of_workloads(at), None, None))
    }
    assert (found["WorkloadsCurrent"].status, found["WorkloadsCurrent"].reason) == told


# What waits for them, and what does not


OVERLAPPING = revision(2, "Triggered", made=PUBLISHED - seconds(1), previous=KEPT)
BOTH = target(2, overlapping=True)


def test_the_overlap_begins_when_the_last_one_has_ended() -> None:
    waiting = look(settled(ending()), two=OVERLAPPING, target=BOTH)
    assert isinstance(next_step(waiting), Rest)
    through = look(settled(pod(marker="db=2")), two=OVERLAPPING, target=BOTH)
    assert next_step(through) == Overlap(2, NOW + timedelta(hours=1))


def test_an_overlap_that_is_over_does_not_end_before_it_either() -> None:
    over = replace(OVERLAPPING, valid_until=NOW)
    assert isinstance(next_step(look(settled(ending()), two=over, target=BOTH)), Rest)
    assert next_step(look(settled(), two=over, target=BOTH)) == Expire(2)


def test_other_workloads_take_their_turn_meanwhile() -> None:
    targets = [{"kind": "Deployment", "name": "api", "wave": -1}]
    spec = {"rollout": {"targets": targets, "maxConcurrent": 1}}
    at = look(settled(ending()), consumer("web", marker="db=1"), spec=spec)
    (only,) = next_restarts(at)
    assert only.workload.key.name == "web"


def test_no_deadline_counts_for_them() -> None:
    at = look(settled(ending()), now=LATE + minutes(60))
    assert standing_of(at).state is ROLLING
    step = next_step(at)
    assert isinstance(step, Rest)
    assert step.until == at.now + minutes(1)


@pytest.mark.parametrize(("waited", "pause"), [(0, 2), (8, 2), (20, 5), (240, 60), (3600, 60)])
def test_they_are_looked_at_more_and_more_rarely(waited: int, pause: int) -> None:
    at = look(settled(ending()), now=LEFT + seconds(waited))
    assert next_changes(at) == [at.now + seconds(pause)]


def test_one_that_waits_for_nothing_of_the_kind_is_not_looked_at_for_it() -> None:
    at = look(settled())
    assert next_changes(at) == []
    stays = look(settled(pod(marker="db=1")))
    assert next_changes(stays) == [NOW + minutes(1)]


# When they are read


def asked(at: Managed) -> bool:
    return depends_on_pods(standing_of(at), at)


DONE = {"revision": 2, "reason": "Triggered", "startedAt": MADE, "finishedAt": MADE, "result": "Succeeded"}
HISTORY = {"revision": 2, "history": [DONE]}


@cases(
    ("at", "expected"),
    case("its rollout seems to be through", look(settled()), True),
    case("its controller counts some", look(settled(terminates=True)), True),
    case("its controller counts none", look(settled(terminates=False)), False),
    case("its rollout is not through", look(settled(settled=False)), False),
    case("all was told to be through", look(settled(), status=HISTORY), False),
    case(
        "all was told to be through, and an overlap would begin",
        look(settled(), status=HISTORY, two=OVERLAPPING, target=BOTH),
        True,
    ),
    case(
        "an overlap lasts",
        look(settled(), status=HISTORY, two=replace(OVERLAPPING, valid_until=NOW), target=BOTH),
        False,
    ),
    case("its pods were made anew by another one", look(consumer(renewed=True)), True),
    case("uses nothing that changed", look(consumer(uses=(use("db", "username"),))), False),
    case("is newer than the revision", look(consumer(created=NOW)), False),
    case("there is one revision only", observed(None, consumer(marker="db=1")), False),
)
def test_pods_are_read_where_something_is_about_to_be_said(at: Managed, expected: bool) -> None:
    assert asked(at) == expected


# Back at an earlier revision

BACK: dict[str, Any] = {
    "state": state(
        TWO,
        revision(made=BEFORE),
        current=1,
        rollback_pause=RollbackPause(2, 1, PUBLISHED + minutes(5), failed=True),
    ),
    "target": target(1, published=PUBLISHED + minutes(5)),
    "now": PUBLISHED + minutes(6),
}
TOLD = {
    "revision": 1,
    "reason": "RolledBack",
    "startedAt": PUBLISHED + minutes(5),
    "finishedAt": NOW,
    "result": "Succeeded",
}


def returned(*pods: Pod, **of_workload: Any) -> Consumer:
    """Return one whose template is what it was before the failed revision: without a marker."""
    return with_pods(consumer(created=BEFORE, **{"settled": False, **of_workload}), *pods)


@pytest.mark.parametrize(
    ("status", "expected"), [({"revision": 1}, True), ({"revision": 1, "history": [TOLD]}, False)]
)
def test_pods_are_read_until_the_return_was_reported(status: dict[str, Any], expected: bool) -> None:
    assert asked(look(returned(), **BACK, status=status)) == expected


def test_a_return_is_not_through_while_pods_of_what_was_given_up_run() -> None:
    at = look(returned(pod("a"), pod("b", "db=2")), **BACK)
    said = standing_of(at)
    assert (said.state, said.message) == (ROLLING, "1 pod with revision 2 still runs: b")
    assert not said.leaving
    assert standing_of(look(returned(pod("a")), **BACK)).state is CURRENT


def told_as(state: str, number: int | None = None, name: str = "api") -> dict[str, Any]:
    row = {"kind": "Deployment", "name": name, "state": state, "revision": number}
    return {"revision": 1, "workloads": [row]}


@cases(
    ("status", "of_workload", "expected"),
    case("it went back, and has not ended", told_as("Rolling"), {}, ROLLING),
    case("it went back, and was late", told_as("Failed"), {}, ROLLING),
    case("it had the revision that was given up", told_as("Pending", 2), {}, ROLLING),
    case("it went back, and is through", told_as("Rolling"), {"settled": True}, CURRENT),
    case("it had never another revision", told_as("Pending", 1), {}, CURRENT),
    case("nothing was told of it", told_as("Rolling", name="web"), {}, CURRENT),
)
def test_one_that_goes_back_to_its_pods_is_waited_for_until_it_is_settled(
    status: dict[str, Any], of_workload: dict[str, Any], expected: WorkloadState
) -> None:
    at = look(returned(pod("a"), **of_workload), **BACK, status=status)
    assert standing_of(at).state is expected


def test_an_unsettled_workload_is_current_where_nothing_was_given_up() -> None:
    rolling = told_as("Rolling") | {"history": [DONE]}
    assert standing_of(look(settled(settled=False), status=rolling)).state is CURRENT


def test_a_return_that_is_late_has_failed() -> None:
    late = {**BACK, "now": PUBLISHED + minutes(15)}
    assert standing_of(look(returned(pod("b", "db=2")), **late)).state is FAILED
    assert standing_of(look(returned(ending("b", "db=2")), **late)).state is ROLLING


@cases(
    ("progressed", "expected"),
    case("the failure that the rollback ends", PUBLISHED + minutes(5), ROLLING),
    case("one after it", PUBLISHED + minutes(5) + seconds(1), FAILED),
    case("at an unknown time", None, FAILED),
)
def test_a_return_does_not_fail_by_the_failure_before_it(
    progressed: datetime | None, expected: WorkloadState
) -> None:
    back = returned(pod("b", "db=2"), failed=True, progressed=progressed)
    assert standing_of(look(back, **BACK)).state is expected


# Pods that hold the places of others


def late(*pods: Pod, **of_workload: Any) -> Consumer:
    """Return one that is not through at its deadline."""
    return settled(*pods, **{"kind": "StatefulSet", "settled": False, "in_place": True, **of_workload})


@cases(
    ("one", "expected"),
    case("an old one is terminating", late(ending()), ROLLING),
    case("and the new ones are ready", late(ending(), pod("a", "db=2", ready=True)), ROLLING),
    case("and a new one does not get ready", late(ending(), pod("a", "db=2", ready=False)), FAILED),
    case("only a new one is terminating", late(ending(marker="db=2")), FAILED),
    case("an old one runs", late(pod("a", "db=1", ready=True)), FAILED),
    case("there is no old one", late(), FAILED),
    case("new ones do not wait for old ones", late(ending(), in_place=False), FAILED),
    case("new ones cannot be made", late(ending(), complaint="a quota"), FAILED),
    case("its own deadline was over before", late(ending(), kind="Deployment", failed=True), ROLLING),
)
def test_a_rollout_has_not_failed_while_old_pods_hold_the_places_of_new_ones(
    one: Consumer, expected: WorkloadState
) -> None:
    said = standing_of(look(one, now=LATE))
    assert (said.state, said.leaving) == (expected, expected is ROLLING)


@cases(
    ("since", "failed", "expected"),
    case("its deadline counts from their end", LATE, False, ROLLING),
    case("its own deadline knows nothing of them", LATE, True, ROLLING),
    case("it is over again", LATE - minutes(10), False, FAILED),
)
def test_new_pods_get_their_time_when_the_old_ones_have_ended(
    since: datetime, failed: bool, expected: WorkloadState
) -> None:
    one = replace(late(pod("a", "db=2", ready=False), failed=failed), blocked_since=since)
    assert standing_of(look(one, now=LATE + seconds(1))).state is expected


@cases(
    ("one", "expected"),
    case("late", late(), True),
    case("late, and new ones do not wait for old ones", late(in_place=False), False),
    case("late, and its controller counts none", late(terminates=False), False),
    case("was held up", replace(late(), blocked_since=LATE), True),
)
def test_whether_pods_are_ready_is_read_where_it_would_have_failed(one: Consumer, expected: bool) -> None:
    assert asked(look(one, now=LATE)) == expected


def test_a_restart_that_is_refused_waits_for_no_pod() -> None:
    at = look(late(), now=LATE)
    assert not depends_on_pods(WorkloadProgress(late(), FAILED, Turn.NEXT, denied=True), at)


@cases(
    ("row", "expected"),
    case("terminating", {"state": "Rolling", "terminating": 1}, True),
    case("failed", {"state": "Failed", "terminating": 1}, False),
    case("no number", {"state": "Rolling", "message": "is still terminating"}, False),
    case("nothing was said", {"state": "Rolling"}, False),
    case("not told of", None, False),
)
def test_what_an_earlier_process_saw_counts_from_now(row: dict[str, Any] | None, expected: bool) -> None:
    rows = [{"kind": "StatefulSet", "name": "api", **row}] if row else []
    at = look(late(), status={"revision": 2, "workloads": rows})
    assert was_blocked_before(at.consumers[0].workload, at) == expected


@cases(
    ("one", "now", "expected"),
    case("two end, one runs", settled(ending("a"), ending("b"), pod("c", "db=1")), NOW, 2),
    case("none ends", settled(pod("c", "db=1")), NOW, None),
    case("one holds a place", late(ending()), LATE, 1),
    case(
        "one held a place before", replace(late(ending()), blocked_since=PUBLISHED), PUBLISHED + minutes(1), 1
    ),
    case("its deadline counts", late(ending()), PUBLISHED + minutes(1), None),
)
def test_the_status_counts_pods_whose_end_is_waited_for(
    one: Consumer, now: datetime, expected: int | None
) -> None:
    at = look(one, now=now)
    (row,) = status_of(at, Outcome(next_step(at))).workloads
    assert row.terminating == expected
