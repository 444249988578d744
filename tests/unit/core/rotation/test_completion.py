"""When a rollout is complete, and when an overlap begins and ends."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from keyturn.api.status import WorkloadState
from keyturn.core.errors import Wait
from keyturn.core.labels import ROTATE
from keyturn.core.observation.emergency import Emergency
from keyturn.core.observation.external import Pulled, being_read
from keyturn.core.observation.workload import PodsSeen
from keyturn.core.reasons import ErrorReason
from keyturn.core.rotation.completion import (
    Need,
    carried_values,
    held_values,
    is_rollout_complete,
    kept_items,
    kept_since,
    need_of,
    needs_holders,
    overlap_limit,
    publication_limit,
)
from keyturn.core.rotation.decision import next_step
from keyturn.core.rotation.steps import Expire, Overlap, Reason, Rest, Stage
from keyturn.core.rotation.triggers import is_overdue, reason_for_revision, start_time, waits_for_overlap
from keyturn.core.spec.desired import resolve_spec
from keyturn.core.state.records import ItemValues, Revision, Validity
from keyturn.core.state.state import Publication
from keyturn.core.value import Value
from tests.unit.core import builders as make
from tests.unit.core.builders import (
    API_KEY,
    NOW,
    PASSWORD,
    UID,
    USERNAME,
    consumer,
    managed,
    minutes,
    observed,
    revision,
    seconds,
    state,
)
from tests.unit.core.rotation.test_decision_pulled import AWAY, GONE, NO_ANSWER, READ
from tests.unit.core.rotation.test_old_pods_others import PUBLISHED, rotated
from tests.unit.core.rotation.test_rollout_obstacles import crashing, look, rolling, standing
from tests.unit.core.rotation.test_store_steps import OLD, at_rest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from keyturn.core.errors import Stalled
    from keyturn.core.observation.observed import Consumer, Observed
    from keyturn.core.rotation.steps import Step


PREVIOUS = frozenset({"password.previous"})
FIRST = Publication(1, make.MADE)
KEPT: dict[str, Any] = {"data": [{**make.PASSWORD, "keepPrevious": True}]}
ROLLING = make.consumer("api", marker="db=2", settled=False, restarted=make.NOW - make.minutes(1))


def test_a_rollout_is_complete_when_no_workload_and_no_other_pod_is_behind() -> None:
    done = rotated()
    held = replace(done, holders=PodsSeen((make.holding(),)))
    rolling = replace(done, consumers=(ROLLING,))

    complete = [is_rollout_complete(one, make.wanted(one)) for one in (done, held, rolling)]

    assert complete == [True, False, False]


def test_the_overlap_begins_when_no_pod_holds_earlier_values() -> None:
    assert isinstance(next_step(rotated(make.holding(), spec=KEPT, previous=frozenset({"password"}))), Rest)
    assert next_step(rotated(spec=KEPT, previous=frozenset({"password"}))) == Overlap(
        2, make.NOW + make.minutes(60)
    )


@pytest.mark.parametrize(
    ("limit", "ends"),
    [pytest.param("70m", False, id="before the limit"), pytest.param("40m", True, id="at the limit")],
)
def test_the_overlap_ends_at_its_limit_whatever_pods_hold(limit: str, ends: bool) -> None:  # noqa: FBT001
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


def kept_on(**rotation: str) -> Observed:
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

    assert overlap_limit(observed, make.wanted(observed)) == PUBLISHED + make.minutes(70)
    assert publication_limit(observed, make.wanted(observed)) == make.NOW + make.minutes(70)
    assert overlap_limit(unknown, make.wanted(unknown)) == make.NOW + make.minutes(70), "the first known one"


def test_without_publication_there_is_no_limit() -> None:
    spec = {**KEPT, "rotation": {"overlap": "10m", "maxOverlap": "30m"}}
    observed = make.observed(spec, target=make.target(None))

    assert overlap_limit(observed, make.wanted(observed)) is None


# Previous values that should be gone


def test_previous_values_should_be_gone_at_the_end_of_their_overlap() -> None:
    ends = make.NOW + make.minutes(10)
    open_ = rotated(spec=KEPT, previous=frozenset({"password"}))
    begun = rotated(spec=KEPT, previous=frozenset({"password"}), valid_until=ends)
    ended = rotated(spec=KEPT, previous=frozenset({"password"}), valid_until=make.NOW, ended=True)
    removed = rotated(spec=KEPT)
    none = replace(removed, state=None)

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

UNREAD = Wait(ErrorReason.API_SERVER_UNAVAILABLE, "the API server does not answer", make.seconds(2))


def unread(*consumers: Consumer, **rotation: str) -> Observed:
    """Return a rotation whose pods cannot be listed."""
    observed = rotated(
        consumers=consumers, spec={**KEPT, "rotation": rotation}, previous=frozenset({"password"})
    )
    return replace(observed, unread=UNREAD)


@pytest.mark.parametrize(
    "consumers",
    [
        pytest.param((), id="no workload uses the Secret"),
        pytest.param((make.consumer("api", marker="db=2"),), id="one has restarted"),
        pytest.param((make.consumer("api", marker="db=1"),), id="one would be restarted"),
        pytest.param(
            (replace(ROLLING, workload=replace(ROLLING.workload, failed=True)),), id="one has failed"
        ),
    ],
)
def test_without_a_list_of_pods_nothing_is_done_and_the_error_is_the_reason(
    consumers: tuple[Consumer, ...],
) -> None:
    observed = unread(*consumers)

    assert next_step(observed) == Rest(None, UNREAD)
    assert not is_rollout_complete(observed, make.wanted(observed))


def test_without_a_list_of_pods_the_overlap_ends_at_its_limit() -> None:
    assert next_step(unread(overlap="10m", maxOverlap="40m")) == Expire(2)
    assert next_step(unread(overlap="10m", maxOverlap="70m")) == Rest(None, UNREAD)


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        pytest.param(make.NOW, Expire(2), id="at its end"),
        pytest.param(make.NOW + make.seconds(1), Rest(None, UNREAD), id="before"),
    ],
)
def test_without_a_list_of_pods_an_overlap_that_has_begun_ends_in_time(
    ends: datetime, expected: Step
) -> None:
    begun = rotated(spec=KEPT, previous=frozenset({"password"}), valid_until=ends)
    assert next_step(replace(begun, unread=UNREAD)) == expected


def test_without_a_list_of_pods_an_overlap_that_a_later_revision_keeps_ends_in_time() -> None:
    assert next_step(replace(kept_on(overlap="10m"), unread=UNREAD)) == Expire(3)


# Reads of stores that a change of the spec waits for


ENTRY = {"storeRef": {"kind": "SecretStore", "name": "vault"}, "remoteRef": {"key": "prod/app"}}
ONE_ENTRY: dict[str, Any] = {"data": [PASSWORD], "dataFrom": [ENTRY]}
ENTRIES = {"dataFrom[0]": {"a": "a"}, "dataFrom[1]": {"b": "b"}}
OURS = {"username": {"value": "username"}}


def look_at(keys: dict[str, dict[str, str]], spec: dict[str, Any] | None = None, **facts: Any) -> Observed:
    known = replace(state(), keys={"password": {"value": "password"}, **keys})
    return observed({**ONE_ENTRY, **(spec or {})}, state=known, **facts)


TWO_ENTRIES = look_at(ENTRIES, mismatched_items=["dataFrom[0]"])
NEW_TEMPLATE = {"target": {"template": {"data": {"url": "x"}}}}


@pytest.mark.parametrize(
    ("look", "fresh"),
    [
        pytest.param(TWO_ENTRIES, {"dataFrom[0]"}, id="the first entry was removed"),
        pytest.param(look_at(ENTRIES), set(), id="the last entry was removed"),
        pytest.param(look_at({"dataFrom[0]": {"a": "a"}, **OURS}), {"dataFrom[0]"}, id="a key was removed"),
        pytest.param(
            look_at(
                {"dataFrom[0]": {"a": "a"}, "username": {"value": "login"}}, {"data": [PASSWORD, USERNAME]}
            ),
            {"dataFrom[0]"},
            id="a key was renamed",
        ),
        pytest.param(
            look_at({"dataFrom[0]": {"a": "a"}, "theirs (found)": {"value": "a"}}, NEW_TEMPLATE),
            set(),
            id="an adopted key is none of data",
        ),
        pytest.param(
            look_at({"dataFrom[0]": {"a": "a"}}, NEW_TEMPLATE, mismatched_items=["dataFrom[0]"]),
            {"dataFrom[0]"},
            id="another source, and another template",
        ),
    ],
)
def test_entries_of_data_from_are_read_for_the_revision_of_a_changed_spec(
    look: Observed, fresh: set[str]
) -> None:
    assert look.desired
    found = reason_for_revision(replace(look, pulled=READ), look.desired)
    assert found
    assert (found.name, set(found.fresh)) == ("SpecChanged", fresh)


def test_such_a_change_waits_for_the_store() -> None:
    waiting = next_step(replace(TWO_ENTRIES, pulled=NO_ANSWER))
    assert waiting == Rest(NOW + seconds(5), AWAY)


def test_a_change_that_needs_no_read_does_not_wait() -> None:
    assert isinstance(next_step(look_at(ENTRIES, pulled=NO_ANSWER)), Stage)
    assert isinstance(next_step(look_at(ENTRIES, pulled=Pulled())), Stage)


# What does not wait

LEAK = Emergency("leak", UID, NOW - minutes(1))
WITH_ADDED: dict[str, Any] = {"data": [PASSWORD, API_KEY]}
AN_HOUR_OLD = state(revision(made=NOW - minutes(60)))
ENDING = replace(state(), lives={"password": Validity(NOW - minutes(1), NOW + minutes(1))})
ASKED = Reason(
    "Emergency",
    "the emergency leak asks for it",
    frozenset({"password"}),
    rotates=True,
    awaited=frozenset({"api-key"}),
)


@pytest.mark.parametrize("problem", [AWAY, GONE], ids=["wait", "stalled"])
def test_an_emergency_does_not_wait_for_an_added_value_that_cannot_be_read(problem: Wait | Stalled) -> None:
    look = observed(WITH_ADDED, state=AN_HOUR_OLD, emergencies=(LEAK,), pulled=Pulled(problem=problem))
    assert next_step(look) == Stage(2, ASKED)


def test_an_emergency_waits_for_a_first_read_which_is_in_progress() -> None:
    for pulled in (Pulled(problem=being_read()), Pulled()):
        step = next_step(observed(WITH_ADDED, state=AN_HOUR_OLD, emergencies=(LEAK,), pulled=pulled))
        assert isinstance(step, Rest)
        assert step.problem
        assert step.problem.reason == "ReadingStores"


def test_an_emergency_and_a_value_that_expires_are_one_revision_without_the_added_value() -> None:
    look = observed(WITH_ADDED, state=ENDING, emergencies=(LEAK,), pulled=NO_ANSWER)
    step = next_step(look)
    assert isinstance(step, Stage)
    assert (step.reason.fresh, step.reason.awaited) == (ASKED.fresh, ASKED.awaited)


def test_a_value_that_expires_does_not_wait_for_an_added_one() -> None:
    step = next_step(observed(WITH_ADDED, state=ENDING, pulled=NO_ANSWER))
    assert isinstance(step, Stage)
    assert (step.reason.name, step.reason.awaited) == ("Ending", ASKED.awaited)


A_KEY_WAS_REMOVED = look_at({"dataFrom[0]": {"a": "a"}, **OURS}, pulled=Pulled(problem=GONE))
A_KEY_WAS_RENAMED = look_at(
    {"dataFrom[0]": {"a": "a"}, "username": {"value": "login"}},
    {"data": [PASSWORD, USERNAME]},
    pulled=Pulled(problem=GONE),
)
A_KEY_WAS_MOVED = look_at(
    {"dataFrom[0]": {"a": "a"}, **OURS}, {"data": [PASSWORD, API_KEY]}, pulled=Pulled(problem=GONE)
)


def with_request(look: Observed) -> Observed:
    metadata = look.managed.metadata
    asking = metadata.model_copy(update={"annotations": {ROTATE: "a"}})
    return replace(look, managed=look.managed.model_copy(update={"metadata": asking}))


def test_a_requested_rotation_does_not_wait_for_the_keys_of_a_removed_item() -> None:
    step = next_step(with_request(A_KEY_WAS_REMOVED))
    assert isinstance(step, Stage)
    assert (step.reason.name, step.reason.fresh, step.reason.awaited) == (
        "Triggered",
        frozenset({"password"}),
        frozenset({"dataFrom[0]"}),
    )


def test_a_due_rotation_does_not_wait_for_the_keys_of_a_removed_item() -> None:
    spec = {**ONE_ENTRY, "rotation": {"every": "1h"}}
    desired = resolve_spec(managed(spec), None)
    step = next_step(replace(A_KEY_WAS_REMOVED, desired=desired, now=NOW + timedelta(days=9)))
    assert isinstance(step, Stage)
    assert (step.reason.name, step.reason.awaited) == ("RotationDue", frozenset({"dataFrom[0]"}))


@pytest.mark.parametrize("look", [A_KEY_WAS_RENAMED, A_KEY_WAS_MOVED], ids=["renamed", "added"])
def test_a_requested_rotation_waits_with_what_it_would_not_keep(look: Observed) -> None:
    step = next_step(with_request(look))
    assert isinstance(step, Rest)
    assert step.problem == GONE


def test_an_emergency_without_an_added_value_awaits_nothing() -> None:
    look = observed(WITH_ADDED, state=state(names=("password", "api-key")), emergencies=(LEAK,))
    step = next_step(replace(look, pulled=NO_ANSWER))
    assert isinstance(step, Stage)
    assert not step.reason.awaited


# Which values stay readable next to new ones, and what waits for the overlap of one that it would drop


AGAIN = {ROTATE: "again"}
LATER = make.NOW + make.minutes(30)
STARTING = make.consumer("api", marker="db=2", settled=False, restarted=make.NOW)
LATE = make.consumer("api", marker="db=2", settled=False, restarted=make.NOW - make.minutes(60))


def second(**facts: Any) -> Any:
    """Return the facts of a rotation that keeps the value of the first revision, until later."""
    kept = make.revision(2, "Triggered", **{"previous": PREVIOUS, "valid_until": LATER, **facts})
    return make.state(kept, make.revision())


def kept_in(spec: dict[str, Any] | None = None, *consumers: Any, **others: Any) -> Any:
    known = {"state": second(), "target": make.target(2, overlapping=True), "status": {"revision": 2}}
    return make.observed(KEPT if spec is None else spec, *consumers, **{**known, **others})


def waiting(found: Any) -> tuple[str | None, str | None]:
    """Return what waits, and what does not."""
    waits, begins = (
        waits_for_overlap(found, make.wanted(found)),
        reason_for_revision(found, make.wanted(found)),
    )
    return waits.name if waits else None, begins.name if begins else None


TOKEN: dict[str, Any] = {"name": "token", "generate": {"bytes": {}}}
TWO = {"state": replace(second(), keys={name: {"value": name} for name in ("password", "token")})}
LONGER: dict[str, Any] = {"mismatched_items": ["password"]}


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param(kept_in(annotations=AGAIN), ("Triggered", None), id="a request"),
        pytest.param(
            kept_in(annotations=AGAIN, state=second(valid_until=None)), ("Triggered", None), id="early"
        ),
        pytest.param(
            kept_in(annotations=AGAIN, state=second(ended=True)), (None, "Triggered"), id="at its end"
        ),
        pytest.param(
            kept_in({"data": [make.PASSWORD]}, annotations=AGAIN), (None, "Triggered"), id="no value is kept"
        ),
        pytest.param(
            kept_in(
                {"data": [*KEPT["data"], TOKEN], "rotation": {"only": ["token"]}}, annotations=AGAIN, **TWO
            ),
            (None, "Triggered"),
            id="a request for other values",
        ),
        pytest.param(kept_in(**LONGER), (None, "SpecChanged"), id="a change of the spec in the overlap"),
        pytest.param(
            kept_in(KEPT, STARTING, state=second(valid_until=None), **LONGER),
            ("SpecChanged", None),
            id="a change of the spec in the rollout",
        ),
        pytest.param(
            kept_in(KEPT, LATE, state=second(valid_until=None), **LONGER),
            (None, "SpecChanged"),
            id="a change of the spec after a rollout that failed",
        ),
        pytest.param(
            kept_in(state=second(valid_until=None), target=make.target(1), status={"revision": 1}, **LONGER),
            (None, "SpecChanged"),
            id="a change of the spec before the publication",
        ),
        pytest.param(
            kept_in({"data": [*KEPT["data"], make.USERNAME]}, STARTING, state=second(valid_until=None)),
            (None, "SpecChanged"),
            id="an added item in the rollout",
        ),
        pytest.param(
            kept_in(
                {**KEPT, "rotation": {"schedule": {"cron": "0 12 * * *"}}},
                now=make.NOW + make.minutes(1),
                state=replace(second(), rotated=make.MADE),
            ),
            ("RotationDue", None),
            id="a date after a request",
        ),
    ],
)
def test_a_rotation_waits_for_the_end_and_a_change_of_the_spec_for_the_begin(
    found: Any, expected: tuple[str | None, str | None]
) -> None:
    assert waiting(found) == expected


@pytest.mark.parametrize(
    ("text", "names"),
    [("{{ previous.password }}", {"password"}), ("{{ password }}", set())],
    ids=["that reads it", "that does not"],
)
def test_a_template_keeps_a_previous_value(text: str, names: set[str]) -> None:
    spec = {"data": [make.PASSWORD, make.USERNAME], "target": {"template": {"data": {"url": text}}}}
    found = kept_in(spec, state=second(previous=frozenset({"url"})))

    assert kept_items(found, make.wanted(found)) == names


def test_without_a_state_nothing_is_kept() -> None:
    found = kept_in(state=None)

    assert kept_items(found, make.wanted(found)) == frozenset()


def test_a_requested_rotation_starts_at_the_end_of_the_overlap() -> None:
    found = kept_in(annotations=AGAIN)

    assert next_step(found) == Rest(LATER)
    assert start_time(found) == LATER
    ended = replace(found, state=second(ended=True))
    assert isinstance(next_step(ended), Stage)


def test_a_date_that_waits_for_an_overlap_is_not_overdue() -> None:
    spec = {**KEPT, "rotation": {"schedule": {"cron": "0 12 * * *"}}}
    state = replace(second(), rotated=make.MADE)
    found = kept_in(spec, now=make.NOW + make.minutes(1), state=state)

    assert start_time(found) == LATER
    assert not is_overdue(found)
    assert is_overdue(replace(found, now=LATER + make.minutes(1)))


# Which values stay readable


def value(text: str, **others: Any) -> ItemValues:
    return ItemValues("", {"value": Value.of_text(text)}, {"value": "password"}, **others)


def texts(values: Mapping[str, ItemValues]) -> dict[str, str]:
    return {name: one.outputs["value"].reveal().decode() for name, one in values.items()}


FIRST_VALUES = Revision({"password": value("first"), "token": value("same")})
SECOND = Revision(
    {
        "password": value("second", previous=value("first").outputs),
        "token": value("same"),
        "new": value("new"),
    }
)
IN_SECRET = make.target(2, overlapping=True)


@pytest.mark.parametrize(
    ("facts", "others", "expected"),
    [
        pytest.param({"previous": PREVIOUS}, {}, ["first", "same", "new"], id="until its overlap begins"),
        pytest.param({}, {}, ["second", "same", "new"], id="of a published revision that keeps none"),
        pytest.param({"previous": PREVIOUS, "valid_until": LATER}, {}, ["second", "same", "new"], id="then"),
        pytest.param({"previous": PREVIOUS, "ended": True}, {}, ["second", "same", "new"], id="afterwards"),
        pytest.param(
            {"previous": PREVIOUS},
            {"target": make.target(1), "status": {"revision": 1}},
            ["first", "same"],
            id="of one that was never published",
        ),
        pytest.param(
            {"previous": PREVIOUS, "fallback": None, "base": 7},
            {},
            ["first", "same", "new"],
            id="as it is kept",
        ),
    ],
)
def test_what_pods_hold_stays_readable(facts: Any, others: Any, expected: list[str]) -> None:
    known = make.record((make.revision(2, "Triggered", **facts), SECOND), (make.revision(), FIRST_VALUES))
    found = make.observed(
        KEPT, **{"state": known.facts, "target": IN_SECRET, "status": {"revision": 2}, **others}
    )

    assert [*texts(held_values(known, found, make.wanted(found))).values()] == expected


def test_the_first_revision_carries_no_values() -> None:
    assert carried_values(None) == {}


# Which pods are read: of a workload during its rollout, and all others if something is asserted about them


DONE: dict[str, Any] = {"revision": 2, "secretName": "db"}
ROTATED = make.state(make.revision(2, "Scheduled"), make.revision(1, made=make.BEFORE))
HISTORY_ENTRY = {
    "revision": 2,
    "reason": "Scheduled",
    "startedAt": make.MADE,
    "finishedAt": make.NOW,
    "result": "Succeeded",
}
LEAKED = Emergency("leak", make.UID, make.NOW)


@pytest.mark.parametrize(
    ("one", "need"),
    [
        pytest.param(rolling(None), Need.LATER, id="it rolls"),
        pytest.param(consumer(marker="db=1", settled=False), Need.LATER, id="an earlier rollout is not over"),
        pytest.param(rolling([crashing()]), Need.SOON, id="it has failed"),
        pytest.param(consumer(marker="db=1"), None, id="it is to be restarted"),
        pytest.param(consumer(marker="db=1", settled=False, paused=True), None, id="it is paused"),
        pytest.param(consumer(marker="db=1", settled=False, restart="never"), None, id="it refuses"),
    ],
)
def test_pods_are_read_now_and_then_while_a_rollout_is_waited_for(one: Consumer, need: Need | None) -> None:
    at = look(one)
    assert at.desired
    assert need_of(standing(one), at, at.desired) is need


@pytest.mark.parametrize(
    ("now", "need"),
    [pytest.param(NOW, Need.LATER, id="in time"), pytest.param(NOW + minutes(11), Need.NOW, id="late")],
)
def test_whether_old_pods_hold_the_places_of_new_ones_is_read_when_it_is_late(
    now: datetime, need: Need
) -> None:
    one = rolling(None, in_place=True)
    at = look(one, now=now)
    assert at.desired
    assert need_of(standing(one, now=now), at, at.desired) is need


def test_a_workload_that_breaks_after_its_rollout_is_not_looked_at() -> None:
    row = {"kind": "Deployment", "name": "api", "state": "Current", "revision": 2}
    status = {"revision": 2, "secretName": "db", "workloads": [row], "history": [HISTORY_ENTRY]}
    one = rolling([crashing()])
    at = look(one, status=status)
    found = standing(one, status=status)
    assert at.desired
    assert found.state is WorkloadState.CURRENT
    assert need_of(found, at, at.desired) is None


@pytest.mark.parametrize(
    ("observed", "expected"),
    [
        pytest.param(make.observed(), False, id="a first revision has no earlier values"),
        pytest.param(
            make.observed(state=ROTATED, target=make.target(1)),
            False,
            id="an unpublished revision asserts nothing",
        ),
        pytest.param(
            make.observed(None, ROLLING, state=ROTATED, target=make.target(2), status=DONE),
            False,
            id="a rollout is waited for first",
        ),
        pytest.param(
            make.observed(
                None, ROLLING, state=ROTATED, target=make.target(2), status=DONE, emergencies=(LEAKED,)
            ),
            True,
            id="an emergency names their owners before",
        ),
        pytest.param(
            make.observed(
                None,
                ROLLING,
                state=ROTATED,
                target=make.target(2),
                status={**DONE, "history": [HISTORY_ENTRY]},
                emergencies=(LEAKED,),
            ),
            False,
            id="an emergency at rest",
        ),
        pytest.param(
            make.observed(state=ROTATED, target=make.target(2), status=DONE), True, id="the end of a rotation"
        ),
        pytest.param(
            make.observed(state=ROTATED, target=make.target(2), status={**DONE, "history": [HISTORY_ENTRY]}),
            False,
            id="at rest",
        ),
        pytest.param(
            at_rest(OLD, status={**DONE, "history": [{**HISTORY_ENTRY, "reason": "Refreshed"}]}),
            True,
            id="a lease that is to be revoked",
        ),
    ],
)
def test_pods_are_needed_when_something_is_asserted(observed: Observed, expected: bool) -> None:  # noqa: FBT001
    assert needs_holders(observed) is expected
