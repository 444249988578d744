"""What each step records in the state, without its values."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from keyturn.api.source import StoreKind
from keyturn.api.status import HistoryEntry
from keyturn.core.labels import FINALIZER
from keyturn.core.observation.workload import Trouble
from keyturn.core.rotation import steps, transitions
from keyturn.core.rotation.rollback import GoBack
from keyturn.core.rotation.steps import Reason
from keyturn.core.rotation.transitions import record
from keyturn.core.spec.references import Destination
from keyturn.core.state.records import Phase, RevisionFacts, StoreLease
from keyturn.core.state.state import Publication, Pushed, RollbackPause, StateFacts, Triggers
from tests.unit.core import builders as make
from tests.unit.core.accounts import SINGLE, TWICE, At, credential, look, moved, placed, spec, superseding
from tests.unit.core.accounts import state as of_two
from tests.unit.core.builders import MADE, NOW, PUBLISHED, UID, minutes

if TYPE_CHECKING:
    from datetime import datetime

    from keyturn.core.observation.observed import TargetFacts


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


@pytest.mark.parametrize(
    ("failed", "times", "rotated"),
    [
        pytest.param(True, {3: LATELY, 2: LONG_AGO}, LONG_AGO, id="before both rotations"),
        pytest.param(True, {3: LATELY}, LATELY, id="before one of them, with a spec change"),
        pytest.param(True, {}, MADE, id="spec changes only"),
        pytest.param(False, {3: LATELY, 2: LONG_AGO}, MADE, id="on request"),
    ],
)
def test_a_rotation_whose_rollout_failed_is_still_due(
    failed: bool,  # noqa: FBT001
    times: dict[int, datetime],
    rotated: datetime,
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
def test_a_request_for_the_current_revision_changes_how_long_the_pause_lasts(lasts: bool) -> None:  # noqa: FBT001
    held = RollbackPause(2, 1, NOW, failed=False, lasts=not lasts)
    step = GoBack(1, rolled_back=1, failed=False, lasts=lasts)
    after = record(step, replace(state(2, 1), rollback_pause=held), make.observed(annotations=ROLLBACK), NOW)
    failed = record(step, replace(state(2, 1), rollback_pause=HELD), make.observed(annotations=ROLLBACK), NOW)

    assert (after.rollback_pause, failed.rollback_pause) == (replace(held, lasts=lasts), HELD)


@pytest.mark.parametrize(
    ("step", "pause", "handled"),
    [
        pytest.param(GoBack(1, 2, failed=False), None, "leaver", id="on request"),
        pytest.param(GoBack(1, 2, failed=True), None, "before", id="after a failure"),
        pytest.param(GoBack(2, 2, failed=False), None, "before", id="to the current revision, no pause"),
        pytest.param(GoBack(2, 2, failed=False), 1, "leaver", id="to the current revision, paused"),
        pytest.param(GoBack(2, 2, failed=False), 0, "before", id="to the current revision, pause over"),
    ],
)
def test_a_rollback_on_request_supersedes_a_rotation_that_has_waited(
    step: GoBack, pause: int | None, handled: str
) -> None:
    paused = None if pause is None else RollbackPause(3, pause, NOW, failed=False)
    before = replace(asked_before(), rollback_pause=paused)
    observed = make.observed(annotations=ROTATE | ROLLBACK, state=before, status={"conditions": [WAITS]})

    assert record(step, before, observed, NOW).triggers == asked_before(handled, rollback="2026-11").triggers


@pytest.mark.parametrize(
    ("status", "windows", "handled"),
    [
        pytest.param({}, [], "before", id="it was not seen before"),
        pytest.param({}, [SHUT], "before", id="it was not seen before, and the window is shut"),
        pytest.param({"rotation": RUNNING}, [SHUT], "leaver", id="it waits behind a rotation for a window"),
        pytest.param({"rotation": RUNNING}, [], "before", id="it supersedes the rotation in progress"),
    ],
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


@pytest.mark.parametrize(
    ("target", "fallback"),
    [
        pytest.param(make.target(2), None, id="was published"),
        pytest.param(make.target(None), None, id="of a Secret without its revision"),
        pytest.param(None, None, id="without a Secret"),
        pytest.param(make.target(1), 1, id="is yet to be published"),
    ],
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


@pytest.mark.parametrize(
    ("status", "rotated"),
    [
        pytest.param({}, MADE, id="unknown to the status"),
        pytest.param({"lastRotationTime": PUBLISHED}, PUBLISHED, id="known"),
        pytest.param({"lastRotationTime": NOW + minutes(5)}, NOW, id="in the future"),
    ],
)
def test_the_last_rotation_of_a_claimed_secret(status: dict[str, object], rotated: datetime) -> None:
    observed = make.observed(state=None, status=status)

    assert transitions.claim(steps.Claim(1), observed, CONTENT, MADE, NOW).rotated == rotated


def test_the_age_of_adopted_values_counts_from_their_adoption() -> None:
    observed = make.observed(state=None, target=make.target(None, owner=None), annotations=ROTATE)

    after = transitions.adopt(steps.Adopt(1), None, observed, make.desired(), UNCHANGED, NOW)

    assert after.revisions == (
        RevisionFacts(1, "Claimed", NOW, frozenset(), fallback=1, previous=CONTENT.previous),
    )
    assert (after.rotated, after.triggers.annotation, after.publications) == (NOW, "leaver", ())


def test_a_secret_is_adopted_over_a_recorded_revision() -> None:
    observed = make.observed()

    after = transitions.adopt(steps.Adopt(2), state(1), observed, make.desired(), UNCHANGED, NOW)

    assert after.newest == RevisionFacts(
        2, "Claimed", NOW, frozenset(), base=1, fallback=2, previous=CONTENT.previous
    )
    assert (after.rotated, after.publications) == (MADE, (Publication(1, PUBLISHED),))
    assert (after.current_number, after.restorable, after.keys) == (2, frozenset({1, 2}), CONTENT.keys)


def test_adopted_values_that_differ_from_the_recorded_ones_are_rolled_out() -> None:
    after = transitions.adopt(steps.Adopt(2), state(1), make.observed(), make.desired(), CONTENT, NOW)

    assert after.newest == RevisionFacts(
        2, "Claimed", NOW, CONTENT.changed, base=1, fallback=1, previous=CONTENT.previous
    )


def staged(
    reason: Reason, before: StateFacts | None, content: transitions.Content = CONTENT, **look: Any
) -> StateFacts:
    observed = make.observed(**{"annotations": ROTATE, "state": before, **look})
    assert observed.desired
    number = before.newest.number + 1 if before else 1
    return transitions.stage(steps.Stage(number, reason), before, observed, observed.desired, content, NOW)


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


@pytest.mark.parametrize(
    ("before", "content"),
    [
        pytest.param(OVERLAPPING, CONTENT, id="a value has another previous one"),
        pytest.param(replace(OVERLAPPING, ended=True), KEPT, id="the overlap is over"),
    ],
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


@pytest.mark.parametrize(
    ("look", "fallback"),
    [
        pytest.param({}, 2, id="published, and no workload waits"),
        pytest.param({"target": make.target(1)}, 1, id="not published"),
        pytest.param({"target": make.target(1), "consumers": ["db=2"]}, 2, id="a workload runs it"),
        pytest.param({"consumers": ["db=1"]}, 1, id="a workload lacks it"),
    ],
)
def test_a_failed_rollout_returns_to_the_last_revision_that_all_workloads_ran(
    look: dict[str, Any], fallback: int
) -> None:
    consumers = [make.consumer(marker=marker) for marker in look.pop("consumers", [])]
    observed = make.observed(None, *consumers, **{"state": state(2, 1), "target": make.target(2), **look})
    assert observed.desired

    after = transitions.stage(
        steps.Stage(3, REASON), observed.state, observed, observed.desired, CONTENT, NOW
    )

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


@pytest.mark.parametrize(
    ("step", "before", "after"),
    [
        pytest.param(
            steps.Intend(make.pushed(PLACE, 2, done=False)),
            pushing(make.pushed(PLACE, 1), make.pushed(OTHER)),
            pushing(make.pushed(OTHER), make.pushed(PLACE, 2, done=False)),
            id="an intention",
        ),
        pytest.param(
            steps.Push(PLACE, 1),
            pushing(make.pushed(PLACE, done=False, kept=True)),
            pushing(make.pushed(PLACE, kept=True)),
            id="a push",
        ),
        pytest.param(steps.Push(PLACE, 1), pushing(), pushing(), id="a push whose record is gone"),
        pytest.param(
            steps.Withdraw(PLACE, deletes=True),
            pushing(make.pushed(PLACE), make.pushed(OTHER)),
            pushing(make.pushed(OTHER)),
            id="a deletion",
        ),
        pytest.param(steps.Borrow((LEASE,)), pushing(), pushing(leases=(LEASE,)), id="a lease"),
        pytest.param(steps.GiveBack(LEASE), pushing(leases=(LEASE,)), pushing(), id="a revocation"),
    ],
)
def test_a_step_at_a_store_is_recorded(step: steps.Recorded, before: StateFacts, after: StateFacts) -> None:
    assert record(step, before, make.observed(), NOW) == after


def test_a_push_records_whether_the_store_kept_its_content() -> None:
    after = transitions.push(steps.Push(PLACE, 1), pushing(make.pushed(PLACE, done=False)), kept=True)

    assert after == pushing(make.pushed(PLACE, kept=True))


@pytest.mark.parametrize(
    ("outcomes", "record"),
    [
        pytest.param([False], make.pushed(PLACE, ours=True), id="written"),
        pytest.param([True], make.pushed(PLACE, kept=True, ours=False), id="foreign"),
        pytest.param(
            [False, True], make.pushed(PLACE, kept=True, ours=True), id="an earlier one of ours is kept"
        ),
        pytest.param([True, False], make.pushed(PLACE, ours=True), id="the foreign one was deleted"),
    ],
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


# What each step records about the credentials of a database account


STAGED, APPLIED, PROVEN, CLOSING, CLOSED = Phase
NEW = frozenset({"password"})
OF_ACCOUNT = transitions.Content(
    {"password": {"value": "password"}, "username": {"value": "username"}},
    {},
    frozenset({"password", "username"}),
    frozenset(),
)


def phases(found: StateFacts) -> dict[int, Phase]:
    return {one.revision: one.phase for one in found.credentials}


def recorded(step: steps.Recorded, found: StateFacts, seen: Any = None) -> StateFacts:
    step = placed(step, found) if isinstance(step, steps.Account) else step
    return transitions.record(step, found, seen or look(found), make.NOW)


def staged_with(found: StateFacts | None, fresh: frozenset[str] = NEW, **facts: Any) -> StateFacts:
    reason = Reason("Triggered", "", fresh, rotates=True)
    seen = look(found, **facts) if found else make.observed(spec(), state=None, target=None)
    number = found.newest.number + 1 if found else 1
    return transitions.stage(
        steps.Stage(number, reason), found, seen, make.wanted(seen), OF_ACCOUNT, make.NOW
    )


@pytest.mark.parametrize("step", [At.repair(), steps.Bind()], ids=["Assert", "Bind"])
def test_what_is_recorded_already_stays(step: steps.Recorded) -> None:
    assert recorded(step, of_two()) == of_two()


# Stage


def test_a_candidate_that_replaces_another_one_has_the_last_rotation_that_was_published() -> None:
    first = staged_with(of_two())
    given_up = transitions.record(steps.Close((2,)), first, look(first), make.NOW)

    after = staged_with(given_up)

    assert [one.rotated_before for one in after.revisions] == [make.MADE, make.MADE, None]


def test_a_first_revision_is_current_at_once() -> None:
    after = staged_with(None)
    assert (after.current_number, phases(after), after.credentials[0].login) == (1, {1: STAGED}, "app_a")
    assert (after.current.credential, after.current.supersedes) == (1, None)


def test_a_credential_is_recorded_with_its_item_and_its_target() -> None:
    (first,) = staged_with(None).credentials
    assert (first.item, first.target) == ("password", "DatabaseTarget/orders")


def test_a_new_password_becomes_a_candidate_next_to_the_published_one() -> None:
    after = staged_with(of_two())
    assert (after.current_number, phases(after)) == (1, {2: STAGED, 1: PROVEN})
    assert after.candidate is not None
    assert (after.candidate.credential, after.candidate.supersedes) == (2, 1)
    assert after.candidate.overlap_from is None
    assert after.restorable == {1, 2}
    assert after.names == of_two().names


def test_other_values_keep_the_credential() -> None:
    after = staged_with(of_two(credential(2), credential(1)), frozenset({"token"}))
    assert (after.current_number, phases(after)) == (3, {2: PROVEN, 1: PROVEN})
    assert (after.current.credential, after.current.supersedes, after.current.overlap_from) == (2, 1, 2)
    ended = staged_with(
        moved(of_two(credential(2), credential(1, CLOSED)), 2, ended=True), frozenset({"token"})
    )
    assert (ended.current.supersedes, ended.current.overlap_from) == (None, None)


def test_a_revision_before_the_account_has_no_credential() -> None:
    after = staged_with(make.state(names=("password", "username")), frozenset({"token"}))
    assert (after.current.credential, after.credentials) == (None, ())


def test_a_credential_from_before_the_account_was_absent_is_superseded() -> None:
    known = of_two(
        credential(2), revisions=(superseding(3, credential=None, supersedes=None), superseding(2)), current=3
    )
    after = staged_with(known)
    assert (after.newest.supersedes, after.credentials[0].login) == (2, "app_a")


def test_a_first_candidate_that_was_given_up_is_replaced_as_the_current_one() -> None:
    after = staged_with(moved(of_two(credential(1, CLOSED)), 1, abandoned=True, reason="Triggered"))
    assert (after.current_number, after.current.supersedes) == (2, None)
    assert (after.credentials[0].login, after.credentials[0].tries) == ("app_a", 1)


def test_values_of_open_credentials_outlast_the_history() -> None:
    short: dict[str, Any] = {"others": {"rotation": {"revisionHistoryLimit": 0}}}
    after = staged_with(of_two(credential(2), credential(1)), frozenset({"token"}), **short)
    assert after.restorable == {1, 2, 3}
    assert staged_with(of_two(), **short).restorable == {1, 2}


# Apply, Prove, Close, Revoke, Retire


def test_an_applied_candidate_is_not_current_yet() -> None:
    after = recorded(At.apply(2), of_two(credential(2, STAGED), credential(1), current=1))
    assert (after.current_number, phases(after)) == (1, {2: APPLIED, 1: PROVEN})
    assert after.credentials[0].since == make.NOW


def test_a_proven_candidate_becomes_current_in_the_same_write() -> None:
    after = recorded(At.prove(2), of_two(credential(2, APPLIED), credential(1), current=1))
    assert (after.current_number, phases(after)) == (2, {2: PROVEN, 1: PROVEN})
    assert after.publications[0].number == 1


def test_a_proven_current_credential_changes_no_revision() -> None:
    after = recorded(At.prove(1), of_two(credential(1, APPLIED)))
    assert (after.current_number, phases(after), after.publications) == (1, {1: PROVEN}, ())


@pytest.mark.parametrize(
    ("found", "number", "abandoned"),
    [
        pytest.param(of_two(credential(2, APPLIED), credential(1), current=1), 2, True, id="a candidate"),
        pytest.param(of_two(credential(1, STAGED)), 1, True, id="a first one"),
        pytest.param(of_two(credential(1)), 1, False, id="a published one"),
    ],
)
def test_an_unpublished_revision_is_given_up_with_its_credential(
    found: StateFacts, number: int, *, abandoned: bool
) -> None:
    after = recorded(steps.Close((number,)), found)
    assert phases(after)[number] is CLOSING
    given_up = after.revision(number)
    assert given_up is not None
    assert given_up.abandoned is abandoned


def test_a_closed_credential_has_no_values_any_more() -> None:
    ended = moved(of_two(credential(2), credential(1, CLOSING)), 2, ended=True)
    after = recorded(At.revoke(1), ended)
    assert (phases(after), after.restorable) == ({2: PROVEN, 1: CLOSED}, frozenset({2}))


def test_a_closed_current_credential_keeps_its_values() -> None:
    after = recorded(At.revoke(1), of_two(credential(1, CLOSING)))
    assert (phases(after), after.restorable) == ({1: CLOSED}, frozenset({1}))


def test_a_retired_account_has_no_open_credential() -> None:
    after = recorded(At.retire(), of_two(credential(2, CLOSING), credential(1, CLOSING)))
    assert after.open_credentials == ()


# Expire and GoBack


def test_the_end_of_an_overlap_closes_the_previous_credential_in_the_same_write() -> None:
    after = recorded(steps.Expire(2), of_two(credential(2), credential(1)))
    assert (after.current.ended, phases(after)) == (True, {2: PROVEN, 1: CLOSING})


def test_without_a_credential_an_overlap_only_ends() -> None:
    after = recorded(steps.Expire(1), make.state(), make.observed({}))
    assert (after.current.ended, after.credentials) == (True, ())


def gone_back(found: StateFacts, to: int, **facts: Any) -> StateFacts:
    step = GoBack(to, found.current_number, failed=False)
    return recorded(step, found, look(found, **facts))


def test_a_rollback_closes_what_it_gives_up() -> None:
    after = gone_back(of_two(credential(2), credential(1)), 1)
    assert (after.current_number, phases(after)) == (1, {2: CLOSING, 1: PROVEN})
    assert not after.newest.abandoned
    assert after.gives_up_credential


def test_a_rollback_before_the_publication_gives_the_revision_up() -> None:
    after = gone_back(of_two(credential(2), credential(1)), 1, published=1)
    assert after.newest.abandoned
    assert not after.gives_up_credential


def test_a_rollback_gives_a_candidate_up() -> None:
    same = replace(superseding(2, reason="SpecChanged"), credential=1, supersedes=None)
    found = of_two(
        credential(3, STAGED),
        credential(1),
        current=2,
        revisions=(superseding(3, supersedes=1), same, superseding(1)),
    )
    after = gone_back(found, 1)
    assert (after.current_number, phases(after)) == (1, {3: CLOSING, 1: PROVEN})
    assert after.newest.abandoned


def test_a_single_user_gets_its_earlier_password_back_first() -> None:
    both = of_two(credential(2, login="app"), credential(1, login="app"))
    assert phases(gone_back(both, 1, database=SINGLE)) == {2: CLOSING, 1: STAGED}


def test_two_passwords_of_one_name_are_as_they_were_after_a_rollback() -> None:
    both = of_two(credential(2, login="app"), credential(1, login="app"))
    assert phases(gone_back(both, 1, capacity=TWICE)) == {2: CLOSING, 1: PROVEN}


def test_a_single_user_keeps_its_password_if_only_other_values_are_given_back() -> None:
    known = of_two(
        credential(1, login="app"),
        revisions=(superseding(2, credential=1, supersedes=None), superseding(1)),
        current=2,
    )
    seen = look(known, database=SINGLE)
    assert phases(recorded(GoBack(1, 2, failed=False), known, seen)) == {1: PROVEN}


def test_an_overlap_whose_previous_credential_is_closed_does_not_begin_again() -> None:
    two = superseding(2, ended=False)
    same = replace(superseding(3, reason="SpecChanged"), credential=2, supersedes=None)
    found = of_two(credential(2), credential(1, CLOSED), revisions=(same, two, superseding(1)))
    assert gone_back(found, 2).current.ended
    still = of_two(credential(2), credential(1), revisions=(same, two, superseding(1)))
    assert not gone_back(still, 2).current.ended


def test_a_rollback_without_an_account_changes_no_credential() -> None:
    found = make.state(make.revision(2), make.revision(1))
    after = recorded(GoBack(1, 2, failed=False), found, make.observed({}, state=found))
    assert after.credentials == ()


# Claim and Adopt


def test_a_claimed_secret_has_a_credential_to_be_proven_and_perhaps_a_lost_one() -> None:
    seen = make.observed(spec(), state=None)
    content = replace(OF_ACCOUNT, login="app_b")
    after = transitions.claim(steps.Claim(3), seen, content, make.MADE, make.NOW)
    assert [(one.revision, one.login, one.phase) for one in after.credentials] == [
        (3, "app_b", APPLIED),
        (0, "app_a", APPLIED),
    ]
    assert (after.current.credential, after.current.supersedes) == (3, 0)


def test_a_single_user_has_no_lost_credential() -> None:
    seen = make.observed(spec(SINGLE), state=None)
    after = transitions.claim(steps.Claim(3), seen, OF_ACCOUNT, make.MADE, make.NOW)
    assert [(one.revision, one.login) for one in after.credentials] == [(3, "app")]
    assert after.current.supersedes is None


def test_a_lost_password_may_be_another_one_of_the_same_name() -> None:
    seen = make.observed(spec(), state=None, capacity=TWICE)
    after = transitions.claim(steps.Claim(3), seen, OF_ACCOUNT, make.MADE, make.NOW)
    assert [(one.revision, one.login) for one in after.credentials] == [(3, "app"), (0, "app")]
    assert after.current.supersedes == 0


def test_a_claim_without_an_account_records_no_credential() -> None:
    for seen in (make.observed({}, state=None), replace(make.observed({}, state=None), desired=None)):
        after = transitions.claim(steps.Claim(3), seen, OF_ACCOUNT, make.MADE, make.NOW)
        assert (after.credentials, after.current.credential) == ((), None)


@pytest.mark.parametrize("found", [None, make.state()], ids=["without a state", "on top of one"])
def test_an_adopted_secret_has_a_credential_to_be_proven(found: StateFacts | None) -> None:
    seen = make.observed(spec(target={"adopt": "IfUnowned"}), state=found)
    content = replace(OF_ACCOUNT, login="app")
    after = transitions.adopt(steps.Adopt(4), found, seen, make.wanted(seen), content, make.NOW)
    assert [(one.revision, one.login, one.phase) for one in after.credentials] == [(4, "app", APPLIED)]
    assert (after.current_number, after.current.credential) == (4, 4)


def test_a_password_that_was_corrected_replaces_the_one_that_was_found_first() -> None:
    first = moved(of_two(credential(1, APPLIED, login="app")), 1, reason="Claimed")
    seen = make.observed(spec(target={"adopt": "IfUnowned"}), state=first)
    content = replace(OF_ACCOUNT, login="app")
    after = transitions.adopt(steps.Adopt(2), first, seen, make.wanted(seen), content, make.NOW)
    assert [(one.revision, one.phase) for one in after.credentials] == [(2, APPLIED)]


# The record itself


def test_evidence_of_closed_credentials_is_limited() -> None:
    many = of_two(credential(1))
    for number in range(2, 9):
        many = many.with_credential(credential(number, CLOSED))
    assert [one.revision for one in many.credentials] == [8, 7, 6, 5, 1]


def test_values_of_open_credentials_are_never_dropped_to_fit() -> None:
    both = of_two(credential(2), credential(1), revisions=(superseding(2, fallback=None), superseding(1)))
    assert both.without_oldest() is None
    closed = both.with_phase(CLOSED, make.NOW, {1})
    shorter = closed.without_oldest()
    assert shorter is not None
    assert shorter.restorable == {2}


def test_a_phase_keeps_its_time() -> None:
    assert credential(1).at(PROVEN, make.NOW) == credential(1)
