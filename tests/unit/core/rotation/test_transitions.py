"""What each step records in the state, without its values."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from keyturn.api.source import StoreKind
from keyturn.api.status import HistoryEntry
from keyturn.core.labels import FINALIZER
from keyturn.core.observation.observed import TargetFacts
from keyturn.core.observation.workload import Trouble
from keyturn.core.rotation import steps, transitions
from keyturn.core.rotation.rollback import GoBack
from keyturn.core.rotation.steps import Reason
from keyturn.core.rotation.transitions import record
from keyturn.core.spec.references import Destination
from keyturn.core.state.records import RevisionFacts, StoreLease
from keyturn.core.state.state import Publication, Pushed, RollbackPause, StateFacts, Triggers
from tests.support.cases import case, cases
from tests.unit.core import builders as make
from tests.unit.core.builders import MADE, NOW, PUBLISHED, UID, minutes

ROLLBACK = {"keyturn.dev/rollback": "2026-11"}
ROTATE = {"keyturn.dev/rotate": "leaver"}
WAITS = {
    "type": "Rotating",
    "status": "False",
    "reason": "WaitsForWindow",
    "message": "",
    "lastTransitionTime": NOW,
}
RUNNING = {"id": "r", "reason": "Due", "step": "RollOut", "startedAt": NOW}
SHUT = {"cron": f"{(NOW - minutes(60)).minute} {(NOW - minutes(120)).hour} * * *", "duration": "1m"}


def state(*numbers: int) -> StateFacts:
    return make.state(*(make.revision(number) for number in numbers), publications=())


def test_an_overlap_is_recorded_of_the_current_revision() -> None:
    after = record(steps.Overlap(2, NOW + minutes(5)), state(2, 1), make.observed(), NOW)

    assert [revision.valid_until for revision in after.revisions] == [NOW + minutes(5), None]


def test_the_end_of_an_overlap_is_recorded_of_the_current_revision() -> None:
    after = record(steps.Expire(2), state(2, 1), make.observed(), NOW)

    assert [revision.ended for revision in after.revisions] == [True, False]


def test_a_declined_request_is_handled_and_a_hold_ends() -> None:
    held = replace(
        state(1), rollback_pause=RollbackPause(2, 1, NOW, failed=False), triggers=Triggers(rollback="before")
    )

    after = record(steps.Decline(), held, make.observed(annotations=ROTATE | ROLLBACK), NOW)

    assert (after.triggers.annotation, after.triggers.rollback, after.rollback_pause) == (
        "leaver",
        "before",
        None,
    )


def test_a_rollback_makes_an_earlier_revision_current_and_holds_the_other() -> None:
    observed = make.observed(
        annotations=ROLLBACK, state=make.state(make.revision(2), make.revision(1)), target=make.target(2)
    )

    after = record(GoBack(1, rolled_back=2, failed=True), state(2, 1), observed, NOW)

    assert after.current_number == 1
    assert after.rollback_pause == RollbackPause(2, 1, NOW, failed=True)
    assert after.publications == (Publication(2, PUBLISHED),)
    assert after.triggers.rollback == "2026-11"


LONG_AGO, LATELY = MADE - minutes(90), MADE - minutes(30)


@cases(
    ("failed", "times", "rotated"),
    case("before both rotations", True, {3: LATELY, 2: LONG_AGO}, LONG_AGO),
    case("before one of them, with a spec change", True, {3: LATELY}, LATELY),
    case("spec changes only", True, {}, MADE),
    case("on request", False, {3: LATELY, 2: LONG_AGO}, MADE),
)
def test_a_rotation_whose_rollout_failed_is_still_due(
    failed: bool, times: dict[int, datetime], rotated: datetime
) -> None:
    revisions = (make.revision(3, base=2), make.revision(2, base=1), make.revision(1))
    known = make.state(*(replace(one, rotated_before=times.get(one.number)) for one in revisions))

    assert record(GoBack(1, rolled_back=3, failed=failed), known, make.observed(), NOW).rotated == rotated


def test_a_rollback_after_a_failure_records_the_failed_workloads_and_pods() -> None:
    crashing = make.pod("api-0", ready=False, crashes=5, restarts=5, trouble=Trouble("Error", "main", 1))
    api = make.consumer("api", marker="db=2", settled=False, pods=[crashing])
    observed = make.observed(
        None, api, state=make.state(make.revision(2), make.revision(1)), target=make.target(2)
    )

    failed = record(GoBack(1, rolled_back=2, failed=True), state(2, 1), observed, NOW).rollback_pause
    requested = record(GoBack(1, rolled_back=2, failed=False), state(2, 1), observed, NOW).rollback_pause

    assert failed is not None
    assert requested is not None
    assert all(word in failed.cause for word in ("Deployment/api", "pod api-0", "Error, exit code 1"))
    assert requested.cause == ""


def test_a_rollback_to_the_current_revision_only_handles_the_request() -> None:
    before = state(2, 1)

    after = record(GoBack(2, rolled_back=2, failed=False), before, make.observed(annotations=ROLLBACK), NOW)

    assert after == replace(before, triggers=Triggers(rollback="2026-11"))


@pytest.mark.parametrize("lasts", [True, False])
def test_a_request_for_the_current_revision_changes_how_long_the_pause_lasts(lasts: bool) -> None:
    held = RollbackPause(2, 1, NOW, failed=False, lasts=not lasts)
    step = GoBack(1, rolled_back=1, failed=False, lasts=lasts)
    after = record(step, replace(state(2, 1), rollback_pause=held), make.observed(annotations=ROLLBACK), NOW)
    failed = record(step, replace(state(2, 1), rollback_pause=HELD), make.observed(annotations=ROLLBACK), NOW)

    assert (after.rollback_pause, failed.rollback_pause) == (replace(held, lasts=lasts), HELD)


@cases(
    ("step", "pause", "handled"),
    case("on request", GoBack(1, 2, failed=False), None, "leaver"),
    case("after a failure", GoBack(1, 2, failed=True), None, "before"),
    case("to the current revision, no pause", GoBack(2, 2, failed=False), None, "before"),
    case("to the current revision, paused", GoBack(2, 2, failed=False), 1, "leaver"),
    case("to the current revision, pause over", GoBack(2, 2, failed=False), 0, "before"),
)
def test_a_rollback_on_request_supersedes_a_rotation_that_has_waited(
    step: GoBack, pause: int | None, handled: str
) -> None:
    paused = None if pause is None else RollbackPause(3, pause, NOW, failed=False)
    before = replace(asked_before(), rollback_pause=paused)
    observed = make.observed(annotations=ROTATE | ROLLBACK, state=before, status={"conditions": [WAITS]})

    assert record(step, before, observed, NOW).triggers == asked_before(handled, rollback="2026-11").triggers


@cases(
    ("status", "windows", "handled"),
    case("it was not seen before", {}, [], "before"),
    case("it was not seen before, and the window is shut", {}, [SHUT], "before"),
    case("it waits behind a rotation for a window", {"rotation": RUNNING}, [SHUT], "leaver"),
    case("it supersedes the rotation in progress", {"rotation": RUNNING}, [], "before"),
)
def test_a_rotation_that_may_have_been_requested_after_a_rollback_is_not_superseded(
    status: dict[str, Any], windows: list[dict[str, str]], handled: str
) -> None:
    before = asked_before()
    observed = make.observed(
        {"rotation": {"every": "90d", "windows": windows}},
        annotations=ROTATE | ROLLBACK,
        state=before,
        status=status,
    )

    after = record(GoBack(1, 2, failed=False), before, observed, NOW)

    assert after.triggers == asked_before(handled, rollback="2026-11").triggers


def asked_before(annotation: str = "before", rollback: str | None = None) -> StateFacts:
    triggers = Triggers(annotation=annotation, last="before", rollback=rollback)
    return replace(state(2, 1), triggers=triggers)


def test_a_rollback_on_request_records_how_long_the_pause_lasts() -> None:
    step = GoBack(1, rolled_back=2, failed=False, lasts=False)

    after = record(step, state(2, 1), make.observed(annotations=ROLLBACK), NOW)

    assert after.rollback_pause == RollbackPause(2, 1, NOW, failed=False, lasts=False)


def test_a_rollback_without_a_request_keeps_the_last_request() -> None:
    before = replace(state(2, 1), triggers=Triggers(rollback="before"))

    after = record(GoBack(1, rolled_back=2, failed=True), before, make.observed(), NOW)

    assert after.triggers.rollback == "before"


def test_a_read_on_request_is_handled_and_has_a_time() -> None:
    observed = make.observed(annotations={"keyturn.dev/refresh": "now"})

    after = record(steps.Refresh(), state(1), observed, NOW)

    assert (after.triggers.refresh, after.refreshed) == ("now", NOW)


# New revisions

CONTENT = transitions.Content(
    keys={"token": {"value": "TOKEN"}},
    templates={"url": "{{ token }}"},
    changed=frozenset({"TOKEN", "TOKEN.previous"}),
    previous=frozenset({"TOKEN.previous"}),
    begins_overlap=True,
    fresh=frozenset({"token"}),
)
UNCHANGED = replace(CONTENT, changed=frozenset())
KEPT = replace(CONTENT, changed=frozenset({"TOKEN"}), begins_overlap=False)
REASON = Reason("Triggered", "a new trigger asks for it", frozenset({"password"}), rotates=True)
SPEC_CHANGE = Reason("SpecChanged", "data has new items", frozenset({"password"}), rotates=False)
HELD = RollbackPause(1, 7, NOW, failed=True)


@pytest.mark.parametrize(
    ("target", "publications"),
    [(make.target(), ()), (None, (Publication(1, NOW),))],
    ids=["with its Secret", "alone"],
)
def test_the_state_of_a_recreated_object_is_taken_over(
    target: TargetFacts | None, publications: tuple[Publication, ...]
) -> None:
    observed = make.observed(uid="new", annotations=ROTATE, target=target)

    earlier = HistoryEntry(revision=1, reason="Created", started_at=NOW, finished_at=NOW, result="Succeeded")
    after = transitions.take_over(replace(state(1), rollback_pause=HELD, history=(earlier,)), observed)

    assert (after.uid, after.triggers.annotation, after.rollback_pause) == (
        "new",
        "leaver",
        replace(HELD, generation=observed.managed.metadata.generation),
    )
    assert after.history == ()
    assert (after.revisions, after.publications) == (state(1).revisions, publications)


@cases(
    ("target", "fallback"),
    case("was published", make.target(2), None),
    case("of a Secret without its revision", make.target(None), None),
    case("without a Secret", None, None),
    case("is yet to be published", make.target(1), 1),
)
def test_a_rollout_that_an_earlier_object_began_causes_no_rollback(
    target: TargetFacts | None, fallback: int | None
) -> None:
    observed = make.observed(uid="new", target=target)

    assert transitions.take_over(state(2, 1), observed).current.fallback == fallback


def test_a_request_to_read_the_stores_at_the_creation_of_an_object_is_handled() -> None:
    observed = make.observed(uid="new", annotations={"keyturn.dev/refresh": "now"})

    assert transitions.take_over(state(1), observed).triggers.refresh == "now"


@pytest.mark.parametrize(
    ("number", "changed"),
    [(1, frozenset()), (4, frozenset({"TOKEN"}))],
    ids=["the first", "a later one, which workloads may lack"],
)
def test_a_claimed_revision_has_changed_for_workloads_unless_it_is(
    number: int, changed: frozenset[str]
) -> None:
    observed = make.observed(state=None, status={"revision": 3})

    after = transitions.claim(steps.Claim(number), observed, CONTENT, MADE, NOW)

    assert after.revisions == (RevisionFacts(number, "Claimed", NOW, changed, previous=CONTENT.previous),)
    assert (after.uid, after.current_number, after.restorable, after.used) == (
        UID,
        number,
        frozenset({number}),
        3,
    )
    assert (after.keys, after.templates) == (CONTENT.keys, CONTENT.templates)


@cases(
    ("status", "rotated"),
    case("unknown to the status", {}, MADE),
    case("known", {"lastRotationTime": PUBLISHED}, PUBLISHED),
    case("in the future", {"lastRotationTime": NOW + minutes(5)}, NOW),
)
def test_the_last_rotation_of_a_claimed_secret(status: dict[str, object], rotated: datetime) -> None:
    observed = make.observed(state=None, status=status)

    assert transitions.claim(steps.Claim(1), observed, CONTENT, MADE, NOW).rotated == rotated


def test_the_age_of_adopted_values_counts_from_their_adoption() -> None:
    observed = make.observed(state=None, target=make.target(None, owner=None), annotations=ROTATE)

    after = transitions.adopt(steps.Adopt(1), None, observed, UNCHANGED, NOW)

    assert after.revisions == (
        RevisionFacts(1, "Claimed", NOW, frozenset(), fallback=1, previous=CONTENT.previous),
    )
    assert (after.rotated, after.triggers.annotation, after.publications) == (NOW, "leaver", ())


def test_a_secret_is_adopted_over_a_recorded_revision() -> None:
    observed = make.observed()

    after = transitions.adopt(steps.Adopt(2), state(1), observed, UNCHANGED, NOW)

    assert after.newest == RevisionFacts(
        2, "Claimed", NOW, frozenset(), base=1, fallback=2, previous=CONTENT.previous
    )
    assert (after.rotated, after.publications) == (MADE, (Publication(1, PUBLISHED),))
    assert (after.current_number, after.restorable, after.keys) == (2, frozenset({1, 2}), CONTENT.keys)


def test_adopted_values_that_differ_from_the_recorded_ones_are_rolled_out() -> None:
    after = transitions.adopt(steps.Adopt(2), state(1), make.observed(), CONTENT, NOW)

    assert after.newest == RevisionFacts(
        2, "Claimed", NOW, CONTENT.changed, base=1, fallback=1, previous=CONTENT.previous
    )


def staged(
    reason: Reason, before: StateFacts | None, content: transitions.Content = CONTENT, **look: Any
) -> StateFacts:
    observed = make.observed(**{"annotations": ROTATE, "state": before, **look})
    number = before.newest.number + 1 if before else 1
    return transitions.stage(steps.Stage(number, reason), before, observed, content, NOW)


OVERLAPPING = make.revision(
    2, changed=CONTENT.changed, base=1, previous=CONTENT.previous, valid_until=NOW + minutes(30)
)


def test_a_revision_that_keeps_previous_values_does_not_prolong_their_overlap() -> None:
    third = staged(SPEC_CHANGE, make.state(OVERLAPPING, make.revision(1)), KEPT)
    fourth = staged(SPEC_CHANGE, third, KEPT)

    assert [(one.valid_until, one.overlap_from, one.began_overlap) for one in fourth.revisions] == [
        (OVERLAPPING.valid_until, 2, False),
        (OVERLAPPING.valid_until, 2, False),
        (OVERLAPPING.valid_until, None, True),
        (None, None, False),
    ]
    assert (fourth.overlap_start, third.overlap_start) == (OVERLAPPING, OVERLAPPING)


@cases(
    ("before", "content"),
    case("a value has another previous one", OVERLAPPING, CONTENT),
    case("the overlap is over", replace(OVERLAPPING, ended=True), KEPT),
)
def test_a_revision_with_another_previous_value_begins_an_overlap(
    before: RevisionFacts, content: transitions.Content
) -> None:
    after = staged(REASON, make.state(before, make.revision(1)), content).newest

    assert (after.valid_until, after.overlap_from) == (None, None)


def test_the_end_of_an_overlap_is_recorded_for_each_of_its_revisions() -> None:
    """A return to one of them must not bring the previous value back."""
    kept = replace(OVERLAPPING, number=3, base=2, overlap_from=2)
    later = make.revision(1, previous=CONTENT.previous)

    after = record(steps.Expire(3), make.state(kept, OVERLAPPING, later), make.observed(), NOW)

    assert [one.ended for one in after.revisions] == [True, True, False]


def test_a_rotation_records_a_revision_and_handles_the_request() -> None:
    after = staged(REASON, replace(state(2, 1), rollback_pause=HELD, used=9))

    assert after.newest == RevisionFacts(
        3,
        "Triggered",
        NOW,
        CONTENT.changed,
        base=2,
        fallback=1,
        previous=CONTENT.previous,
        rotated_before=MADE,
        fresh=CONTENT.fresh,
    )
    assert (after.current_number, after.restorable, after.rollback_pause, after.used) == (
        3,
        frozenset({3, 2, 1}),
        None,
        9,
    )
    assert (after.rotated, after.triggers.annotation, after.refreshed) == (NOW, "leaver", None)
    assert (after.keys, after.templates, after.lives) == (CONTENT.keys, CONTENT.templates, {})


def test_a_change_of_the_spec_leaves_the_request_open() -> None:
    after = staged(SPEC_CHANGE, state(1))

    assert (after.rotated, after.triggers.annotation) == (MADE, None)


def test_the_first_revision_handles_all_requests() -> None:
    after = staged(REASON, None, target=None, status={})

    assert after.revisions == (
        RevisionFacts(1, "Triggered", NOW, CONTENT.changed, previous=CONTENT.previous, fresh=CONTENT.fresh),
    )
    assert (after.rotated, after.triggers.annotation) == (NOW, "leaver")


@pytest.mark.parametrize("before", [None, state(1)], ids=["first", "later"])
def test_a_revision_with_values_of_stores_has_the_time_of_their_read(before: StateFacts | None) -> None:
    reason = replace(SPEC_CHANGE, fresh=frozenset({"api-key"}))
    asked = {"keyturn.dev/refresh": "now"}

    after = staged(reason, before, spec={"data": [make.API_KEY]}, annotations=asked)

    assert (after.refreshed, after.triggers.refresh) == (NOW, "now")


@cases(
    ("look", "fallback"),
    case("published, and no workload waits", {}, 2),
    case("not published", {"target": make.target(1)}, 1),
    case("a workload runs it", {"target": make.target(1), "consumers": ["db=2"]}, 2),
    case("a workload lacks it", {"consumers": ["db=1"]}, 1),
)
def test_a_failed_rollout_returns_to_the_last_revision_that_all_workloads_ran(
    look: dict[str, Any], fallback: int
) -> None:
    consumers = [make.consumer(marker=marker) for marker in look.pop("consumers", [])]
    observed = make.observed(None, *consumers, **{"state": state(2, 1), "target": make.target(2), **look})

    after = transitions.stage(steps.Stage(3, REASON), observed.state, observed, CONTENT, NOW)

    assert after.newest.fallback == fallback


def test_an_overlap_that_began_shows_that_the_revision_was_published() -> None:
    before = replace(state(2, 1), revisions=(make.revision(2, valid_until=NOW), make.revision(1)))

    assert staged(REASON, before, target=make.target(1)).newest.fallback == 2


def test_items_that_depend_on_a_new_value_are_new_as_well() -> None:
    needs = {"login": frozenset({"url"}), "url": frozenset({"password"}), "token": frozenset[str]()}

    assert transitions.with_dependents(frozenset({"password"}), needs) == {"password", "url", "login"}
    assert transitions.with_dependents(frozenset({"login"}), needs) == {"login"}


# Stores

PLACE = Destination(StoreKind.SECRET_STORE, "vault", "shop/db")
OTHER = Destination(StoreKind.SECRET_STORE, "vault", "shop/other")
LEASE = StoreLease(PLACE.id, "creds/1", "", timedelta(hours=1), NOW)


def pushing(*records: Pushed, leases: tuple[StoreLease, ...] = ()) -> StateFacts:
    return replace(state(1), pushed=records, leases=leases)


@cases(
    ("step", "before", "after"),
    case(
        "an intention",
        steps.Intend(make.pushed(PLACE, 2, done=False)),
        pushing(make.pushed(PLACE, 1), make.pushed(OTHER)),
        pushing(make.pushed(OTHER), make.pushed(PLACE, 2, done=False)),
    ),
    case(
        "a push",
        steps.Push(PLACE, 1),
        pushing(make.pushed(PLACE, done=False, kept=True)),
        pushing(make.pushed(PLACE, kept=True)),
    ),
    case("a push whose record is gone", steps.Push(PLACE, 1), pushing(), pushing()),
    case(
        "a deletion",
        steps.Withdraw(PLACE, deletes=True),
        pushing(make.pushed(PLACE), make.pushed(OTHER)),
        pushing(make.pushed(OTHER)),
    ),
    case("a lease", steps.Borrow((LEASE,)), pushing(), pushing(leases=(LEASE,))),
    case("a revocation", steps.GiveBack(LEASE), pushing(leases=(LEASE,)), pushing()),
)
def test_a_step_at_a_store_is_recorded(step: steps.Recorded, before: StateFacts, after: StateFacts) -> None:
    assert record(step, before, make.observed(), NOW) == after


def test_a_push_records_whether_the_store_kept_its_content() -> None:
    after = transitions.push(steps.Push(PLACE, 1), pushing(make.pushed(PLACE, done=False)), kept=True)

    assert after == pushing(make.pushed(PLACE, kept=True))


@cases(
    ("outcomes", "record"),
    case("written", [False], make.pushed(PLACE, ours=True)),
    case("foreign", [True], make.pushed(PLACE, kept=True, ours=False)),
    case("an earlier one of ours is kept", [False, True], make.pushed(PLACE, kept=True, ours=True)),
    case("the foreign one was deleted", [True, False], make.pushed(PLACE, ours=True)),
)
def test_a_key_that_was_ours_stays_ours(outcomes: list[bool], record: Pushed) -> None:
    state = pushing(make.pushed(PLACE, done=False))

    for kept in outcomes:
        state = transitions.push(steps.Push(PLACE, 1), state, kept=kept)

    assert state == pushing(record)


@pytest.mark.parametrize("before", [["foreign"], [FINALIZER, "foreign"]], ids=["without", "with"])
def test_foreign_finalizers_stay(before: list[str]) -> None:
    assert transitions.finalizers(steps.Finalize(present=True), before) == ["foreign", FINALIZER]
    assert transitions.finalizers(steps.Finalize(present=False), before) == ["foreign"]
