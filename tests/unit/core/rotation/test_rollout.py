"""Who is restarted, when, in which order, and with which marker."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from keyturn.api.status import MOST_WORKLOADS
from keyturn.api.workloads import WorkloadState
from keyturn.core.errors import Attempts, Wait
from keyturn.core.observation.emergency import Emergency
from keyturn.core.observation.observed import Consumer, Denial, Managed, Restarted, RestartWait, Sibling
from keyturn.core.rotation.decision import next_step
from keyturn.core.rotation.old_pods import runs_other_values
from keyturn.core.rotation.publication import reports_completion
from keyturn.core.rotation.rollout import (
    Turn,
    WorkloadProgress,
    marker_for,
    next_restarts,
    progress_of_workloads,
    restart_due,
)
from keyturn.core.rotation.rollout_obstacles import was_paused
from keyturn.core.rotation.steps import Rest, rotation_id
from keyturn.core.state.state import Publication, RollbackPause
from keyturn.core.status.status import Outcome, status_of
from tests.support.cases import case, cases
from tests.unit.core.builders import (
    BEFORE,
    MADE,
    NOW,
    PUBLISHED,
    UID,
    consumer,
    minutes,
    observed,
    pod,
    revision,
    seconds,
    state,
    target,
    use,
)

HISTORY = state(
    revision(4, "Triggered", changed=["password"]),
    revision(3, "SpecChanged", changed=["username"]),
    revision(2, "Triggered", changed=["token"]),
    names=("password", "username", "token"),
    publications=(
        Publication(3, PUBLISHED - timedelta(days=10)),
        Publication(2, PUBLISHED - timedelta(days=20)),
    ),
)
AT_FOUR: dict[str, Any] = {"state": HISTORY, "target": target(4)}
CURRENT, PENDING = WorkloadState.CURRENT, WorkloadState.PENDING


def look(*consumers: Consumer, spec: dict[str, Any] | None = None, **changed: Any) -> Managed:
    return observed(spec, *consumers, **AT_FOUR | changed)


def standing_of(one: Consumer, **changed: Any) -> WorkloadProgress:
    (only,) = everyone(look(one, **changed))
    return only


def everyone(at: Managed) -> tuple[WorkloadProgress, ...]:
    return progress_of_workloads(at)


def restarted(at: Managed) -> tuple[str, ...]:
    return tuple(one.workload.key.name for one in next_restarts(at))


# How far a workload is


@cases(
    ("one", "state", "turn", "reason"),
    case("runs the newest", consumer(marker="db=4"), CURRENT, Turn.DONE, None),
    case("runs an older one", consumer(marker="db=3"), PENDING, Turn.NEXT, "WaitingForTurn"),
    case("was never restarted by us", consumer(), PENDING, Turn.NEXT, "WaitingForTurn"),
    case("its pods are newer than the revision", consumer(renewed=True), CURRENT, Turn.DONE, None),
    case("was made after the revision", consumer(created=PUBLISHED + seconds(1)), CURRENT, Turn.DONE, None),
    case(
        "rolls",
        consumer(marker="db=4", settled=False, hint="a partition"),
        WorkloadState.ROLLING,
        Turn.HINDERED,
        "UpdatedByHand",
    ),
    case(
        "failed",
        consumer(marker="db=4", settled=False, failed=True),
        WorkloadState.FAILED,
        Turn.HINDERED,
        "ProgressDeadlineExceeded",
    ),
    case(
        "was aborted",
        consumer(marker="db=4", settled=False, failed=True, aborted=True),
        WorkloadState.FAILED,
        Turn.HINDERED,
        "RolloutAborted",
    ),
    case("is paused", consumer(paused=True), PENDING, Turn.HINDERED, "Paused"),
    case("still rolls for another reason", consumer(settled=False), PENDING, Turn.HINDERED, "EarlierRollout"),
    case(
        "another rollout of it was aborted",
        consumer(settled=False, failed=True, aborted=True),
        PENDING,
        Turn.HINDERED,
        "EarlierRollout",
    ),
    case("refuses", consumer(restart="never"), PENDING, Turn.REFUSED, "RestartNever"),
    case(
        "refuses and was restarted by hand", consumer(restart="never", renewed=True), CURRENT, Turn.DONE, None
    ),
)
def test_a_workload_stands_where_its_marker_and_its_rollout_say(
    one: Consumer, state: WorkloadState, turn: Turn, reason: str | None
) -> None:
    found = standing_of(one)
    assert (found.state, found.turn, found.reason) == (state, turn, reason)
    assert bool(found.message) is bool(reason)


LISTED = {"rollout": {"restart": "Listed", "targets": [{"kind": "Deployment", "name": "api"}]}}
NOBODY = {"rollout": {"restart": "None"}}


@pytest.mark.parametrize(
    ("spec", "one", "turn", "reason"),
    [
        case("restart: None", NOBODY, consumer(), Turn.REFUSED, "RestartDisabled"),
        case("listed", LISTED, consumer("api"), Turn.NEXT, "WaitingForTurn"),
        case("not listed", LISTED, consumer("web"), Turn.REFUSED, "NotListed"),
        case(
            "listed is one of the same name and another kind",
            LISTED,
            consumer("api", kind="StatefulSet"),
            Turn.REFUSED,
            "NotListed",
        ),
        case(
            "listed, does not consume, has not agreed",
            LISTED,
            consumer("api", uses=()),
            Turn.REFUSED,
            "NotConsuming",
        ),
        *(
            case(
                f"listed, does not consume, agreed: {text}",
                LISTED,
                consumer("api", uses=(), restart=text),
                Turn.NEXT,
                "WaitingForTurn",
            )
            for text in ("allow", "Allow")
        ),
        case("listed and refuses", LISTED, consumer("api", restart="never"), Turn.REFUSED, "RestartNever"),
        *(
            case(f"misspelt: {text!r}", {}, consumer("api", restart=text), Turn.REFUSED, "RestartNever")
            for text in ("Never", "false", "none", "never ", "")
        ),
    ],
)
def test_who_may_be_restarted(spec: dict[str, Any], one: Consumer, turn: Turn, reason: str) -> None:
    found = standing_of(one, spec=spec)
    assert (found.state, found.turn, found.reason) == (PENDING, turn, reason)


@pytest.mark.parametrize(
    ("turn", "waits"), [(Turn.DONE, False), (Turn.NEXT, True), (Turn.HINDERED, True), (Turn.REFUSED, False)]
)
def test_a_rotation_waits_for_who_can_still_come(turn: Turn, waits: bool) -> None:
    assert WorkloadProgress(consumer(), PENDING, turn).under_way == waits


# What a workload has missed


@cases(
    ("keys", "marker", "created", "is_older"),
    case("all keys, one revision behind", (), "db=3", BEFORE, True),
    case("the key that changed", ("password",), "db=3", BEFORE, True),
    case("a key that did not change", ("username",), "db=3", BEFORE, False),
    case("a key that changed two revisions ago", ("username",), "db=2", BEFORE, True),
    case("a key that this very revision had changed", ("token",), "db=2", BEFORE, False),
    case("older than what is kept: who knows", ("other",), "db=1", BEFORE, True),
    case("from another life of the Secret", ("other",), "db=9", BEFORE, True),
    case("unmarked, made in the second of publication", ("password",), "", PUBLISHED, True),
    case("unmarked, made a second later", ("password",), "", PUBLISHED + seconds(1), False),
    case("unmarked, made after its key changed", ("username",), "", BEFORE, False),
    case("unmarked, made when its key changed", ("username",), "", PUBLISHED - timedelta(days=10), True),
    case("unmarked and very old", ("token",), "", PUBLISHED - timedelta(days=99), True),
    case("garbage is no marker", ("password",), "x=4,nonsense,db=", BEFORE, True),
)
def test_a_workload_is_older_if_a_key_that_it_uses_changed_since(
    keys: tuple[str, ...], marker: str, created: datetime, is_older: bool
) -> None:
    one = consumer(uses=(use("db", *keys),), marker=marker, created=created)
    at = look(one)
    assert runs_other_values(one, at) == is_older


def test_the_first_revision_makes_no_pod_outdated() -> None:
    assert standing_of(consumer(), state=state(), target=target()).turn is Turn.DONE


def test_the_first_that_is_published_makes_no_pod_outdated_even_if_another_was_made_before_it() -> None:
    unpublished = state(revision(2, "SpecChanged", changed=["token"]), revision(), publications=())
    assert standing_of(consumer(), state=unpublished, target=target(2)).turn is Turn.DONE


# Turns


def pending(*names: str, **of_workload: Any) -> tuple[Consumer, ...]:
    return tuple(consumer(name, marker="db=3", **of_workload) for name in names)


def test_one_at_a_time_in_alphabetical_order() -> None:
    assert restarted(look(*pending("web", "api"))) == ("api",)


def test_listed_ones_come_first_as_listed() -> None:
    targets = [{"kind": "Deployment", "name": "web"}, {"kind": "Deployment", "name": "batch"}]
    spec = {"rollout": {"targets": targets, "maxConcurrent": 9}}
    assert restarted(look(*pending("api", "batch", "web"), spec=spec)) == ("web", "batch", "api")


ROLLING = consumer("rolling", marker="db=4", settled=False)


@cases(
    ("limit", "others", "names"),
    case("one", 1, (), ("a",)),
    case("two", 2, (), ("a", "b")),
    case("two, one of whom rolls", 2, (ROLLING,), ("a",)),
    case("one, who rolls", 1, (ROLLING,), ()),
    case("more roll than may", 1, (ROLLING, consumer("more", marker="db=4", settled=False)), ()),
    case("a paused one takes nobody's turn", 1, pending("0", paused=True), ("a",)),
    case(
        "one that is paused during its rollout takes no turn",
        1,
        (consumer("0", marker="db=4", settled=False, paused=True),),
        ("a",),
    ),
    case(
        "one whose rollout waits for a person takes nobody's turn",
        1,
        (consumer("0", marker="db=4", settled=False, hint="a partition"),),
        ("a",),
    ),
    case(
        "nobody is sent after a failure", 9, (consumer("bad", marker="db=4", settled=False, failed=True),), ()
    ),
)
def test_as_many_roll_as_may(limit: int, others: tuple[Consumer, ...], names: tuple[str, ...]) -> None:
    spec = {"rollout": {"maxConcurrent": limit}}
    assert restarted(look(*others, *pending("a", "b", "c"), spec=spec)) == names


# Waves

WAVES = {
    "rollout": {
        "maxConcurrent": 9,
        "targets": [
            {"kind": "Deployment", "name": "migrate", "wave": -1},
            {"kind": "Deployment", "name": "web", "wave": 1},
        ],
    }
}


@cases(
    ("consumers", "names"),
    case("the lowest first", pending("web", "api", "migrate"), ("migrate",)),
    case("who is not listed is in wave 0", pending("web", "api", "batch"), ("api", "batch")),
    case("the last", pending("web"), ("web",)),
    case("the wave before rolls", (consumer("api", marker="db=4", settled=False), *pending("web")), ()),
    case("the wave before is paused", (*pending("api", paused=True), *pending("web")), ()),
    case("who refuses holds up nobody", (*pending("api", restart="never"), *pending("web")), ("web",)),
    case(
        "who waits for a person holds up nobody",
        (consumer("api", marker="db=4", settled=False, hint="a partition"), *pending("web")),
        ("web",),
    ),
    case("it is restarted in its wave", (*pending("api", hint="a partition"), *pending("web")), ("api",)),
)
def test_a_wave_starts_when_the_one_before_is_through(
    consumers: tuple[Consumer, ...], names: tuple[str, ...]
) -> None:
    assert restarted(look(*consumers, spec=WAVES)) == names


DECLARED = Emergency("inc-1", "uid-1", BEFORE)
BROKEN = consumer("api", marker="db=4", settled=False, failed=True)


@cases(
    ("emergencies", "others", "names"),
    case("without an emergency nothing follows", (), pending("web"), ()),
    case("the next wave", (DECLARED,), pending("web"), ("web",)),
    case("the rest of its own wave first", (DECLARED,), pending("batch", "web"), ("batch",)),
    case("its secret is done", (replace(DECLARED, is_complete=True),), pending("web"), ()),
    case("it is over", (replace(DECLARED, is_open=False),), pending("web"), ()),
    case(
        "another of its wave still rolls",
        (DECLARED,),
        (consumer("batch", marker="db=4", settled=False), *pending("web")),
        (),
    ),
)
def test_a_failed_workload_holds_up_no_other_in_an_emergency(
    emergencies: tuple[Emergency, ...], others: tuple[Consumer, ...], names: tuple[str, ...]
) -> None:
    assert restarted(look(BROKEN, *others, spec=WAVES, emergencies=emergencies)) == names


@pytest.mark.parametrize(
    ("is_updated", "emergencies", "turn", "message"),
    [
        (
            True,
            (),
            Turn.HINDERED,
            "waits until all of its pods are available; every pod has its current template",
        ),
        (True, (DECLARED,), Turn.NEXT, "queued for restart"),
        (False, (), Turn.HINDERED, "waits for its current rollout to complete"),
        (False, (DECLARED,), Turn.HINDERED, "waits for its current rollout to complete"),
    ],
)
def test_a_pod_that_is_not_available_holds_up_a_restart_except_in_an_emergency(
    emergencies: tuple[Emergency, ...], turn: Turn, message: str, *, is_updated: bool
) -> None:
    one = standing_of(consumer(marker="db=3", settled=False, is_updated=is_updated), emergencies=emergencies)
    assert (one.turn, one.message) == (turn, message)


def test_a_restart_that_is_refused_for_long_holds_up_no_other_in_an_emergency() -> None:
    refused = pending("api")
    denials = {
        refused[0].workload.key: Denial(
            4, NOW - minutes(11), Attempts(Wait("Refused", "", minutes(5)), NOW + minutes(5))
        )
    }
    found = look(*refused, *pending("web"), spec=WAVES, denials=denials, emergencies=(DECLARED,))

    assert restarted(found) == ("web",)
    assert restarted(replace(found, emergencies=())) == ()


# Deadlines

LATE = PUBLISHED + timedelta(minutes=10)
SINCE = PUBLISHED + seconds(6)


def rolling(**of_workload: Any) -> Consumer:
    return consumer(**{"marker": "db=4", "settled": False, "restarted": SINCE, **of_workload})


@cases(
    ("one", "at", "expected"),
    case("a second before", rolling(), SINCE + seconds(599), WorkloadState.ROLLING),
    case("at the deadline", rolling(), SINCE + seconds(600), WorkloadState.FAILED),
    case("its own deadline was earlier", rolling(failed=True), SINCE, WorkloadState.FAILED),
    case("a template before it failed", rolling(failed=True, progressed=SINCE), SINCE, WorkloadState.ROLLING),
    case("it has failed", rolling(failed=True, progressed=SINCE + seconds(1)), LATE, WorkloadState.FAILED),
    case("waits for a person", rolling(hint="OnDelete"), SINCE + seconds(900), WorkloadState.ROLLING),
    case("nobody knows since", rolling(restarted=None), SINCE + seconds(900), WorkloadState.ROLLING),
    case(
        "counted from the publication at the earliest",
        rolling(restarted=PUBLISHED - timedelta(days=1)),
        PUBLISHED + seconds(599),
        WorkloadState.ROLLING,
    ),
    case("is paused", rolling(paused=True), SINCE + seconds(900), WorkloadState.ROLLING),
    case("failed before its pause", rolling(paused=True, failed=True), SINCE, WorkloadState.FAILED),
    case(
        "counted from the end of its pause",
        replace(rolling(), resumed=SINCE + seconds(60)),
        SINCE + seconds(659),
        WorkloadState.ROLLING,
    ),
    case(
        "counted from the end of its pause, by its controller",
        rolling(progressing=SINCE + seconds(60)),
        SINCE + seconds(659),
        WorkloadState.ROLLING,
    ),
    case(
        "its pause ended long ago",
        replace(rolling(progressing=SINCE + seconds(60)), resumed=SINCE + seconds(60)),
        SINCE + seconds(660),
        WorkloadState.FAILED,
    ),
)
def test_a_workload_has_failed_when_its_deadline_is_over(
    one: Consumer, at: datetime, expected: WorkloadState
) -> None:
    assert standing_of(one, now=at).state is expected


def test_a_pause_during_a_rollout_is_shown() -> None:
    standing = standing_of(rolling(paused=True, complaint="a quota"), now=LATE)
    assert standing.reason == "Paused"
    assert standing.message == "waits because the Deployment is paused; a quota"


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ([{"state": "Rolling", "reason": "Paused"}], True),
        ([{"state": "Pending", "reason": "Paused"}], False),
        ([{"state": "Rolling", "reason": "RollingOut"}], False),
        ([], False),
    ],
    ids=["during its rollout", "before it", "it was not", "unknown"],
)
def test_a_new_process_knows_that_a_rollout_was_paused(told: list[dict[str, str]], *, expected: bool) -> None:
    one = rolling()
    workloads = [{"kind": "Deployment", "name": "api"} | of_one for of_one in told]
    at = look(one, status={"revision": 4, "workloads": workloads})
    assert was_paused(one.workload, at) is expected


def test_the_deadline_can_be_written() -> None:
    spec = {"rollout": {"progressDeadline": "1h"}}
    assert standing_of(rolling(), spec=spec, now=SINCE + seconds(3599)).state is WorkloadState.ROLLING
    assert standing_of(rolling(), spec=spec, now=SINCE + seconds(3600)).state is WorkloadState.FAILED


def test_what_its_controller_complains_of_is_shown() -> None:
    assert standing_of(rolling(complaint="a quota"), now=SINCE).message == "a quota"
    failed = standing_of(rolling(complaint="a quota"), now=LATE + seconds(6))
    assert failed.message == "its pods did not become available in time; a quota"
    assert standing_of(consumer(marker="db=3", settled=False, complaint="a quota")).message == "a quota"


@cases(
    ("one", "at", "turn"),
    case("failed long ago", consumer(marker="db=3", settled=False, failed=True), NOW, Turn.HINDERED),
    case("was broken before us", consumer(settled=False, failed=True), NOW, Turn.HINDERED),
    case(
        "failed with one that nobody ran", consumer(marker="db=5", settled=False, failed=True), NOW, Turn.NEXT
    ),
    case(
        "a template before it failed",
        consumer(
            marker="db=5",
            settled=False,
            failed=True,
            restarted=NOW - minutes(2),
            progressed=NOW - minutes(3),
        ),
        NOW,
        Turn.HINDERED,
    ),
    case(
        "missed our deadline",
        consumer(marker="db=5", settled=False, restarted=NOW - timedelta(minutes=10)),
        NOW,
        Turn.NEXT,
    ),
    case(
        "still has time",
        consumer(marker="db=5", settled=False, restarted=NOW - timedelta(minutes=9)),
        NOW,
        Turn.HINDERED,
    ),
)
def test_a_rollout_of_ours_that_came_to_no_end_is_not_waited_for(
    one: Consumer, at: datetime, turn: Turn
) -> None:
    revisions = (revision(6, "Triggered", base=5, fallback=4), revision(5, "Triggered"), *HISTORY.revisions)
    later = state(*revisions, publications=HISTORY.publications)
    assert standing_of(one, state=later, target=target(6, published=NOW - seconds(60)), now=at).turn is turn


# After a return to an earlier revision

BACK: dict[str, Any] = {
    "state": state(
        revision(5, "Triggered", changed=["password"]),
        *HISTORY.revisions,
        current=4,
        rollback_pause=RollbackPause(5, 1, NOW, failed=True),
        publications=(Publication(5, NOW - seconds(60)), Publication(4, PUBLISHED), *HISTORY.publications),
    ),
    "target": target(4, published=NOW - seconds(1)),
    "now": NOW,
}


@cases(
    ("one", "turn"),
    case("hangs in what was given up", consumer(marker="db=5", settled=False), Turn.NEXT),
    case("ran what was given up", consumer(marker="db=5"), Turn.NEXT),
    case("was not yet restarted", consumer(marker="db=4"), Turn.DONE),
    case("uses nothing that changed", consumer(marker="db=5", uses=(use("db", "username"),)), Turn.DONE),
    case("was made while it was published", consumer(created=NOW - seconds(30)), Turn.NEXT),
    case("was made before it", consumer(created=PUBLISHED + seconds(9)), Turn.DONE),
    case("was behind before", consumer(created=PUBLISHED - timedelta(days=1)), Turn.NEXT),
)
def test_who_runs_what_was_given_up_comes_back(one: Consumer, turn: Turn) -> None:
    assert standing_of(one, **BACK).turn is turn


@cases(
    ("restarted", "progressed", "expected"),
    case("before the request", None, -1, WorkloadState.ROLLING),
    case("after the request", None, 1, WorkloadState.FAILED),
    case("after the request and before its restart", 40, 30, WorkloadState.ROLLING),
    case("after its restart", 40, 41, WorkloadState.FAILED),
)
def test_a_failure_of_what_was_given_up_does_not_count_on_the_way_back(
    restarted: int | None, progressed: int, expected: WorkloadState
) -> None:
    one = consumer(
        marker="db=4",
        settled=False,
        failed=True,
        restarted=None if restarted is None else NOW + seconds(restarted),
        progressed=NOW + seconds(progressed),
    )
    assert standing_of(one, **BACK | {"now": NOW + seconds(50)}).state is expected


@pytest.mark.parametrize(
    ("minutes_later", "expected"), [(None, WorkloadState.FAILED), (9, WorkloadState.ROLLING)]
)
def test_the_way_back_is_overdue_from_the_restart_that_removed_the_marker(
    minutes_later: int | None, expected: WorkloadState
) -> None:
    one = consumer(marker="db=4", settled=False)
    done = {} if minutes_later is None else {one.workload.key: Restarted(None, NOW + minutes(minutes_later))}

    assert standing_of(one, restarted=done, **BACK | {"now": NOW + minutes(11)}).state is expected


def test_the_way_back_waits_for_no_debounce() -> None:
    assert restarted(look(consumer(marker="db=5", settled=False), **BACK)) == ("api",)


def test_the_way_back_starts_ten_seconds_after_the_last_restart_of_the_workload() -> None:
    at = look(consumer(marker="db=5", settled=False, restarted=NOW - seconds(4)), **BACK)
    assert restart_due(at, everyone(at)[0]) == NOW + seconds(6)
    assert restarted(at) == ()


# A later rollout, of another image or with more pods

THROUGH = {"kind": "Deployment", "name": "api", "state": "Current", "revision": 4}
TOLD = {"revision": 4, "reason": "Triggered", "startedAt": MADE, "finishedAt": NOW, "result": "Succeeded"}
LATER = {"now": PUBLISHED + timedelta(days=20)}


@cases(
    ("status", "expected"),
    case("nothing was told yet", {}, WorkloadState.FAILED),
    case("it was through", {"workloads": [THROUGH]}, CURRENT),
    case("it was rolling", {"workloads": [THROUGH | {"state": "Rolling"}]}, WorkloadState.FAILED),
    case("with the one before", {"workloads": [THROUGH | {"revision": 3}]}, WorkloadState.FAILED),
    case("another was through", {"workloads": [THROUGH | {"name": "web"}]}, WorkloadState.FAILED),
    case("all were through", {"history": [TOLD]}, CURRENT),
    case("with the one before, all", {"history": [TOLD | {"revision": 3}]}, WorkloadState.FAILED),
    case("it was rolled back", {"history": [TOLD | {"result": "RolledBack"}]}, WorkloadState.FAILED),
)
@pytest.mark.parametrize("one", [rolling(), rolling(failed=True)], ids=["late", "failed"])
def test_a_workload_that_was_through_does_not_fall_back(
    one: Consumer, status: dict[str, Any], expected: WorkloadState
) -> None:
    assert standing_of(one, status={"revision": 4, **status}, **LATER).state is expected


def test_a_workload_was_through_if_an_overlap_began() -> None:
    overlapping = replace(HISTORY.current, valid_until=NOW)
    assert standing_of(rolling(), state=HISTORY.with_revision_facts(overlapping), **LATER).state is CURRENT
    one_of_others = replace(overlapping, overlap_from=3)
    later = standing_of(rolling(), state=HISTORY.with_revision_facts(one_of_others), **LATER)
    assert later.state is WorkloadState.FAILED


@cases(
    ("status", "at", "expected"),
    case("without a status", {}, SINCE + seconds(600), CURRENT),
    case("without a status, in its time", {}, SINCE + seconds(599), WorkloadState.ROLLING),
    case("with a status", {"revision": 4}, SINCE + seconds(600), WorkloadState.FAILED),
)
def test_what_was_overdue_before_the_first_status_is_not_judged(
    status: dict[str, Any], at: datetime, expected: WorkloadState
) -> None:
    assert standing_of(rolling(), status=status, now=at).state is expected
    assert standing_of(rolling(restarted=None), status=status, now=at).state is WorkloadState.ROLLING


WAITS = THROUGH | {"state": "Rolling", "reason": "EarlierPods"}
OVERDUE: dict[str, Any] = {"now": SINCE + seconds(600), "status": {"revision": 4, "workloads": [WAITS]}}
OLD_POD = pod("api-old", marker="db=3")


@cases(
    ("one", "changed", "expected"),
    case("the status has it", rolling(), {}, CURRENT),
    case("earlier pods still run", rolling(pods=[OLD_POD]), {}, WorkloadState.ROLLING),
    case("they may occupy places", rolling(in_place=True), {}, WorkloadState.FAILED),
    case(
        "pods could not be listed",
        rolling(in_place=True),
        {"status": {"revision": 4, "workloads": [WAITS | {"reason": "PodsUnknown"}]}},
        CURRENT,
    ),
    case(
        "its pods were not ready",
        rolling(),
        {"status": {"revision": 4, "workloads": [WAITS | {"reason": "RollingOut"}]}},
        WorkloadState.FAILED,
    ),
    case(
        "with another revision",
        rolling(),
        {"status": {"revision": 4, "workloads": [WAITS | {"revision": 3}]}},
        WorkloadState.FAILED,
    ),
    case(
        "on its way back",
        rolling(),
        {"state": replace(HISTORY, rollback_pause=RollbackPause(5, 0, SINCE, failed=True))},
        WorkloadState.FAILED,
    ),
    case("it has time", rolling(), {"now": SINCE + seconds(599)}, WorkloadState.ROLLING),
    case("the process knows it", replace(rolling(), completed=True), {"status": {"revision": 4}}, CURRENT),
    case(
        "the process knows it, and its controller reports a failure",
        replace(rolling(failed=True, pods=[OLD_POD]), completed=True),
        {"status": {"revision": 4}},
        WorkloadState.ROLLING,
    ),
)
def test_a_workload_that_waited_for_earlier_pods_is_not_late(
    one: Consumer, changed: dict[str, Any], expected: WorkloadState
) -> None:
    assert standing_of(one, **OVERDUE | changed).state is expected


@cases(
    ("one", "expected"),
    case("complete", consumer(marker="db=4"), True),
    case("with another revision", consumer(marker="db=3"), False),
    case("not ready", rolling(), False),
)
def test_a_controller_reports_the_rollout_of_the_current_revision(one: Consumer, *, expected: bool) -> None:
    at = look(one)
    assert reports_completion(one, at) is expected


def test_after_a_return_it_counts_who_is_through_now() -> None:
    before = {"revision": 4, "history": [TOLD]}

    assert standing_of(rolling(), status=before, **BACK).state is WorkloadState.ROLLING


@cases(
    ("step", "expected"),
    case("of the rollback", "Rollback", CURRENT),
    case("of the wait for other pods", "WaitForPods", CURRENT),
    case("of the end of an overlap", "Settle", CURRENT),
    case("from before it", "RollOut", WorkloadState.ROLLING),
    case("without a rotation", None, WorkloadState.ROLLING),
)
def test_on_the_way_back_a_workload_is_complete_by_a_status_of_the_rollback(
    step: str | None, expected: WorkloadState
) -> None:
    rotation = (
        {"id": rotation_id(UID, 5), "reason": "Triggered", "step": step, "startedAt": SINCE} if step else None
    )
    told = {"revision": 4, "rotation": rotation, "workloads": [THROUGH]}
    assert standing_of(rolling(), status=told, **BACK).state is expected


def test_a_status_of_an_earlier_rotation_is_from_before_a_rollback() -> None:
    rotation = {"id": rotation_id(UID, 4), "reason": "Triggered", "step": "Settle", "startedAt": SINCE}
    told = {"revision": 4, "rotation": rotation, "workloads": [THROUGH]}
    assert standing_of(rolling(), status=told, **BACK).state is WorkloadState.ROLLING


# Somebody who reverts a restart


@cases(
    ("told", "turn"),
    case("for this revision", {"revision": 4}, Turn.REFUSED),
    case("and was told of it before", {"restarted": 4}, Turn.REFUSED),
    case("with an older marker put back", {"restarted": 4, "revision": 3}, Turn.REFUSED),
    case("for another revision", {"revision": 3}, Turn.NEXT),
    case("of another kind", {"revision": 4, "kind": "StatefulSet"}, Turn.NEXT),
    case("of another name", {"revision": 4, "name": "web"}, Turn.NEXT),
)
def test_who_takes_the_marker_off_is_reported_and_not_fought(told: dict[str, Any], turn: Turn) -> None:
    entry = {"kind": "Deployment", "name": "api", "state": "Rolling", **told}
    one = standing_of(consumer(marker="db=3"), status={"revision": 4, "workloads": [entry]})
    assert one.turn is turn


@pytest.mark.parametrize(("number", "turn"), [(4, Turn.REFUSED), (3, Turn.NEXT)])
def test_who_takes_the_marker_off_before_the_report_is_not_fought_either(number: int, turn: Turn) -> None:
    one = consumer(marker="db=3")
    assert (
        standing_of(one, restarted={one.workload.key: Restarted(number, NOW)}, status={"revision": 4}).turn
        is turn
    )


def on_the_way_back(step: str) -> dict[str, Any]:
    rotation = {"id": rotation_id(UID, 5), "reason": "Triggered", "step": step, "startedAt": SINCE}
    return {"revision": 4, "rotation": rotation, "workloads": [THROUGH]}


@cases(
    ("told", "turn"),
    case("of an unknown time", {"revision": 4, "workloads": [THROUGH]}, Turn.NEXT),
    case("from before the rollback", on_the_way_back("RollOut"), Turn.NEXT),
    case("of the rollback", on_the_way_back("Rollback"), Turn.REFUSED),
    case("after the workloads", on_the_way_back("WaitForPods"), Turn.REFUSED),
    case(
        "after the rollback",
        {"history": [TOLD | {"reason": "RolledBack", "startedAt": NOW}], "workloads": [THROUGH]},
        Turn.REFUSED,
    ),
)
def test_a_marker_of_a_later_revision_was_put_back_if_the_status_since_the_rollback_has_the_restart(
    told: dict[str, Any], turn: Turn
) -> None:
    """A rollback right after a restart finds a status without that restart."""
    assert standing_of(consumer(marker="db=5"), status=told, **BACK).turn is turn


@cases(
    ("written", "turn"),
    case("in place of that of the restart", 4, Turn.REFUSED),
    case("that the restart had removed", None, Turn.REFUSED),
    case("of the restart itself", 5, Turn.NEXT),
)
def test_a_marker_of_a_later_revision_was_put_back_if_this_process_has_written_another(
    written: int | None, turn: Turn
) -> None:
    one = consumer(marker="db=5")
    assert standing_of(one, restarted={one.workload.key: Restarted(written, NOW)}, **BACK).turn is turn


def test_a_marker_that_is_as_this_process_has_written_it_was_not_taken_off() -> None:
    """The status is from before the restart, which has removed the marker again."""
    one = consumer(created=NOW - seconds(30))
    told = {"revision": 4, "workloads": [THROUGH]}
    assert (
        standing_of(one, restarted={one.workload.key: Restarted(None, NOW)}, status=told, **BACK).turn
        is Turn.NEXT
    )


@pytest.mark.parametrize("count", [200, 201, MOST_WORKLOADS])
def test_the_last_of_many_is_remembered_as_well(count: int) -> None:
    """Who has no row in the status would be restarted again whenever somebody takes the marker off."""
    names = [f"app-{number:04}" for number in range(count)]
    rolled = look(*(consumer(name, marker="db=4") for name in names))
    told = status_of(rolled, Outcome(Rest(None))).model_dump(mode="json", by_alias=True)

    reverted = look(*(consumer(name, marker="db=4") for name in names[:-1]), consumer(names[-1]), status=told)

    assert len(told["workloads"]) == count
    assert everyone(reverted)[-1].turn is Turn.REFUSED


def test_no_more_workloads_are_reported_than_the_schema_takes() -> None:
    many = look(*(consumer(f"app-{number:04}", marker="db=4") for number in range(MOST_WORKLOADS + 1)))

    assert len(status_of(many, Outcome(Rest(None))).workloads) == MOST_WORKLOADS


# Limits of the cluster


HOLD = RestartWait(NOW + minutes(3), "--max-rolling 5")


def test_a_restart_waits_while_the_limits_of_the_cluster_are_reached() -> None:
    names = "password", "username", "token"
    three = {"data": [{"name": name, "generate": {"password": {}}} for name in names]}
    at = look(*pending("api"), spec=three, restart_wait=HOLD)
    (only,) = everyone(at)
    assert (only.state, only.turn, only.reason) == (PENDING, Turn.HINDERED, "RestartBudget")
    assert only.message
    assert HOLD.limits in only.message
    assert restarted(at) == ()
    assert next_step(at) == Rest(HOLD.again)


def test_an_emergency_does_not_wait_for_the_limits_of_the_cluster() -> None:
    declared = Emergency("leak", "uid", PUBLISHED - minutes(1))
    assert restarted(look(*pending("api"), restart_wait=HOLD, emergencies=(declared,))) == ("api",)


# Debounce


@pytest.mark.parametrize(("after", "names"), [(4, ()), (5, ("api",))], ids=["a second early", "in time"])
def test_a_restart_waits_for_the_debounce(after: int, names: tuple[str, ...]) -> None:
    assert restarted(look(*pending("api"), now=PUBLISHED + seconds(after))) == names


def due(
    *siblings: Sibling, marker: str = "db=3", spec: dict[str, Any] | None = None, **changed: Any
) -> datetime:
    at = look(consumer("api", *siblings, marker=marker), spec=spec, **changed)
    return restart_due(at, everyone(at)[0])


@cases(
    ("siblings", "marker", "expected"),
    case("alone", (), "db=3", PUBLISHED + seconds(5)),
    case(
        "a sibling changed later: one restart serves both",
        (Sibling("tls", 2, PUBLISHED + seconds(3)),),
        "db=3,tls=1",
        PUBLISHED + seconds(8),
    ),
    case(
        "a sibling that it runs already",
        (Sibling("tls", 2, PUBLISHED + seconds(3)),),
        "db=3,tls=2",
        PUBLISHED + seconds(5),
    ),
    case(
        "a sibling of long ago", (Sibling("tls", 2, PUBLISHED - seconds(9)),), "db=3", PUBLISHED + seconds(5)
    ),
    case("nobody knows when", (Sibling("tls", 2, None),), "db=3", PUBLISHED + seconds(5)),
)
def test_the_debounce_starts_with_the_last_change_that_the_workload_uses(
    siblings: tuple[Sibling, ...], marker: str, expected: datetime
) -> None:
    assert due(*siblings, marker=marker) == expected


@cases(
    ("since", "expected"),
    case("after the change", PUBLISHED + seconds(60), PUBLISHED + seconds(65)),
    case("before it", PUBLISHED - seconds(60), PUBLISHED + seconds(5)),
)
def test_a_process_that_takes_over_waits_for_what_else_was_about_to_change(
    since: datetime, expected: datetime
) -> None:
    at = replace(look(consumer(marker="db=3")), since=since)
    assert restart_due(at, everyone(at)[0]) == expected


def test_the_debounce_can_be_written() -> None:
    assert due(spec={"rollout": {"debounce": "0s"}}) == PUBLISHED
    assert due(spec={"rollout": {"debounce": "1m"}}) == PUBLISHED + seconds(60)


@cases(
    ("before", "expected"),
    case("it was restarted shortly before", seconds(4), PUBLISHED + seconds(6)),
    case("it was restarted ten seconds before", seconds(10), PUBLISHED),
    case("it was restarted long before", timedelta(days=1), PUBLISHED),
)
def test_between_two_restarts_of_a_workload_are_ten_seconds_without_a_debounce_too(
    before: timedelta, expected: datetime
) -> None:
    at = look(
        consumer("api", marker="db=3", restarted=PUBLISHED - before), spec={"rollout": {"debounce": "0s"}}
    )
    assert restart_due(at, everyone(at)[0]) == expected


@cases(
    ("ahead", "expected"),
    case("as clocks differ", 60, NOW + seconds(70)),
    case("the clock was put back", 61, NOW),
)
def test_no_restart_waits_for_the_clock_of_the_last_one_to_catch_up(ahead: int, expected: datetime) -> None:
    at = look(consumer("api", marker="db=3", restarted=NOW + seconds(ahead)), now=NOW)
    assert restart_due(at, everyone(at)[0]) == expected


@cases(
    ("ahead", "expected"),
    case("as clocks differ", 60, NOW + seconds(65)),
    case("the clock was put back", 61, NOW),
)
def test_no_restart_waits_for_a_clock_to_catch_up(ahead: int, expected: datetime) -> None:
    assert due(target=target(4, published=NOW + seconds(ahead))) == expected


def test_without_a_time_of_publication_the_time_of_making_counts() -> None:
    assert due(target=target(4, published=None)) == MADE + seconds(5)


# Markers


@cases(
    ("one", "marker"),
    case("the first", consumer(), "db=4"),
    case("the next", consumer(marker="db=3"), "db=4"),
    case(
        "with siblings, sorted",
        consumer("api", Sibling("tls", 7, NOW), Sibling("api-key", 2, NOW), uses=(use(), use("tls"))),
        "api-key=2,db=4,tls=7",
    ),
    case("stale names go", consumer(marker="db=3,gone=5,kept=6", uses=(use(), use("kept"))), "db=4,kept=6"),
    case("garbage goes", consumer(marker="nonsense,=,db=x"), "db=4"),
)
def test_a_marker_says_what_the_new_pods_read(one: Consumer, marker: str) -> None:
    assert marker_for(one, "db", 4) == marker
