"""What is written into stores, in which order, and what is left there."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from keyturn.api.source import StoreKind
from keyturn.core.errors import Stalled, Wait
from keyturn.core.labels import LEASES_REVOKED, REFRESH, ROLLBACK
from keyturn.core.observation.emergency import Emergency
from keyturn.core.observation.external import Pulled, RevocationProblem
from keyturn.core.observation.workload import PodsSeen
from keyturn.core.rotation.decision import next_step
from keyturn.core.rotation.rollback import GoBack
from keyturn.core.rotation.steps import (
    Bind,
    Borrow,
    Claim,
    Finalize,
    GiveBack,
    Intend,
    Publish,
    Push,
    Refresh,
    Rest,
    RollOut,
    Withdraw,
)
from keyturn.core.rotation.store_steps import (
    binder_of,
    next_lease_revocation,
    next_lease_revocation_time,
    next_push,
    unrevoked,
)
from keyturn.core.spec.references import Destination, Source
from keyturn.core.state.records import StoreLease
from keyturn.core.state.state import Triggers
from tests.unit.core import builders as make
from tests.unit.core.builders import (
    NOW,
    PUSH,
    UID,
    VAULT,
    consumer,
    minutes,
    observed,
    push_problems,
    pushed,
    revision,
    seconds,
    secret_class,
    state,
    target,
    use,
)

if TYPE_CHECKING:
    from datetime import datetime

    from keyturn.core.observation.observed import Consumer, Observed
    from keyturn.core.rotation.steps import Step
    from keyturn.core.state.state import StateFacts


PLACE = Destination(StoreKind.SECRET_STORE, "vault", "shop/db")
OTHER = Destination(StoreKind.SECRET_STORE, "vault", "shop/other")
KEPT_FOR = replace(PLACE, deletes=True)
PUSHES = {"pushTo": [PUSH]}
TWICE = {"pushTo": [PUSH, {"storeRef": VAULT, "remoteRef": {"key": "shop/other"}}]}
DELETES = {"pushTo": [{**PUSH, "deletionPolicy": "Delete"}]}
REFUSED = Stalled("ProviderError", "the store refused")
AWAY = Wait("ProviderError", "the store does not answer", seconds(5))
LATER = NOW + timedelta(minutes=3)


def second(*records: Any) -> dict[str, Any]:
    """Make a second revision that is published, and what is recorded of pushes before."""
    made = state(revision(2, "Triggered", made=NOW), revision(), pushed=records)
    return {"state": made, "target": target(2, published=NOW - seconds(60))}


def failed(*places: Destination, error: Wait | Stalled = REFUSED, again: Any = LATER) -> dict[str, Any]:
    return {"push_problems": push_problems(*places, error=error, again=again)}


@pytest.mark.parametrize(
    ("look", "step"),
    [
        # Once for each revision
        pytest.param(observed(PUSHES), Intend(pushed(PLACE, done=False)), id="new: it is recorded first"),
        pytest.param(
            observed(PUSHES, state=state(pushed=(pushed(PLACE, done=False),))), Push(PLACE, 1), id="recorded"
        ),
        pytest.param(observed(PUSHES, state=state(pushed=(pushed(PLACE),))), Rest(None), id="done"),
        pytest.param(
            observed(PUSHES, state=state(pushed=(pushed(PLACE, kept=True),))), Rest(None), id="left as it was"
        ),
        pytest.param(
            observed(PUSHES, **second(pushed(PLACE, 1))),
            Intend(pushed(PLACE, 2, done=False, ours=True)),
            id="a new revision of what is ours",
        ),
        pytest.param(
            observed(PUSHES, **second(pushed(PLACE, 1, done=False))),
            Intend(pushed(PLACE, 2, done=False)),
            id="a new revision before the last was pushed",
        ),
        pytest.param(
            observed(PUSHES, state=second()["state"]), Publish(2), id="a new revision is published before"
        ),
        # The spec changed
        pytest.param(
            observed({"pushTo": [{**PUSH, "secretKey": "password"}]}, state=state(pushed=(pushed(PLACE),))),
            Intend(pushed(replace(PLACE, secret_key="password"), done=False, ours=True)),  # noqa: S106
            id="another value is pushed to what is ours",
        ),
        pytest.param(
            observed(
                {"pushTo": [{**PUSH, "updatePolicy": "IfNotExists"}]},
                state=state(pushed=(pushed(PLACE, kept=True),)),
            ),
            Intend(pushed(replace(PLACE, replaces=False), done=False)),
            id="another policy",
        ),
        pytest.param(
            observed({}, state=state(pushed=(pushed(PLACE),))), Withdraw(PLACE, deletes=False), id="no longer"
        ),
        pytest.param(
            observed({}, state=state(pushed=(pushed(PLACE, deletes=True),)), finalized=True),
            Intend(pushed(PLACE, done=False, deletes=True, ours=True)),
            id="no longer, and it goes there: that is recorded first",
        ),
        pytest.param(
            observed(
                {},
                state=state(pushed=(pushed(PLACE, done=False, deletes=True, kept=True, ours=True),)),
                finalized=True,
            ),
            Withdraw(PLACE, deletes=True),
            id="no longer, and the store has kept an earlier revision of ours",
        ),
        pytest.param(
            observed({}, state=state(pushed=(pushed(PLACE, done=False, deletes=True),)), finalized=True),
            Withdraw(PLACE, deletes=True),
            id="no longer, and nobody knows whether it is there",
        ),
        pytest.param(
            observed({}, state=state(pushed=(pushed(PLACE, deletes=True, kept=True),)), finalized=True),
            Withdraw(PLACE, deletes=False),
            id="no longer, and what the store had before us stays",
        ),
        pytest.param(
            observed({"pushTo": TWICE["pushTo"][1:]}, state=state(pushed=(pushed(PLACE),))),
            Withdraw(PLACE, deletes=False),
            id="elsewhere: the old place goes first",
        ),
        # One that goes with its ManagedSecret
        pytest.param(observed(DELETES), Finalize(present=True), id="it is kept before anything is written"),
        pytest.param(
            observed(DELETES, finalized=True),
            Intend(pushed(KEPT_FOR, done=False, deletes=True)),
            id="it is kept: recorded next",
        ),
        pytest.param(
            observed(DELETES, state=state(pushed=(pushed(PLACE),)), finalized=True),
            Intend(pushed(KEPT_FOR, deletes=True)),
            id="it goes from now on: nothing is pushed for that",
        ),
        pytest.param(
            observed(DELETES, state=state(pushed=(pushed(PLACE, kept=True),)), finalized=True),
            Intend(pushed(KEPT_FOR, deletes=True, kept=True)),
            id="it goes from now on, and was not ours",
        ),
        pytest.param(
            observed(PUSHES, state=state(pushed=(pushed(PLACE, deletes=True),)), finalized=True),
            Intend(pushed(PLACE)),
            id="it stays from now on",
        ),
        pytest.param(
            observed(PUSHES, state=state(pushed=(pushed(PLACE),)), finalized=True),
            Finalize(present=False),
            id="nothing is left that would go",
        ),
        pytest.param(
            observed(DELETES, state=state(pushed=(pushed(KEPT_FOR, deletes=True),))),
            Finalize(present=True),
            id="made again: it is kept again",
        ),
        pytest.param(
            observed(DELETES, state=state(pushed=(pushed(KEPT_FOR, deletes=True),)), finalized=True),
            Rest(None),
            id="kept and done",
        ),
        pytest.param(
            observed(finalized=True), Finalize(present=False), id="nothing is pushed any more: it is let go"
        ),
        # One that fails
        pytest.param(
            observed(TWICE, state=state(pushed=(pushed(PLACE, done=False),)), **failed(PLACE)),
            Intend(pushed(OTHER, done=False)),
            id="one that failed lets another go first",
        ),
        pytest.param(
            observed(PUSHES, state=state(pushed=(pushed(PLACE, done=False),)), **failed(PLACE)),
            Rest(LATER, REFUSED),
            id="one that failed waits for its time",
        ),
        pytest.param(
            observed(PUSHES, state=state(pushed=(pushed(PLACE, done=False),)), **failed(PLACE, again=NOW)),
            Push(PLACE, 1),
            id="its time has come",
        ),
        pytest.param(
            observed(PUSHES, **second(pushed(PLACE, done=False)), **failed(PLACE)),
            Intend(pushed(PLACE, 2, done=False)),
            id="a newer revision is recorded all the same",
        ),
        pytest.param(
            observed(
                {},
                state=state(pushed=(pushed(PLACE, done=False, deletes=True),)),
                finalized=True,
                **failed(PLACE),
            ),
            Rest(LATER, REFUSED),
            id="one that could not be deleted waits as well",
        ),
        pytest.param(
            observed({}, state=state(pushed=(pushed(PLACE),)), **failed(PLACE)),
            Withdraw(PLACE, deletes=False),
            id="to forget one asks no store",
        ),
        pytest.param(
            observed(PUSHES, state=state(pushed=(pushed(PLACE),)), **failed(OTHER)),
            Rest(None),
            id="one that nobody speaks of any more is no problem",
        ),
    ],
)
def test_what_is_written_next(look: Observed, step: Step) -> None:
    assert next_step(look) == step


def test_nothing_is_pushed_of_what_is_not_recorded() -> None:
    look = observed(PUSHES, state=None)
    assert look.desired
    assert next_push(look, look.desired) is None


def test_a_failed_push_lets_workloads_roll() -> None:
    behind = consumer("api")
    look = observed(PUSHES, behind, **second(pushed(PLACE, 2, done=False)), **failed(PLACE, error=AWAY))
    assert next_step(look) == RollOut(behind, "db=2")


def test_a_failed_push_does_not_put_off_what_is_due_sooner() -> None:
    published = NOW - seconds(2)  # within the debounce
    look = observed(
        PUSHES,
        consumer("api"),
        state=second(pushed(PLACE, 2, done=False))["state"],
        target=target(2, published=published),
        **failed(PLACE, error=AWAY),
    )
    assert next_step(look) == Rest(published + seconds(5), AWAY)


def test_a_failed_push_does_not_keep_the_record_from_being_bound() -> None:
    look = observed(PUSHES, state=state(pushed=(pushed(PLACE, done=False),)), **failed(PLACE))
    assert next_step(replace(look, has_wrong_binder=True)) == Bind()


def test_of_two_that_failed_the_first_is_reported_and_the_sooner_awaited() -> None:
    soon = NOW + seconds(5)
    problems = {
        **push_problems(PLACE, error=REFUSED, again=LATER),
        **push_problems(OTHER, error=AWAY, again=soon),
    }
    records = (pushed(PLACE, done=False), pushed(OTHER, done=False))
    look = observed(TWICE, state=state(pushed=records), push_problems=problems)
    assert next_step(look) == Rest(soon, REFUSED)


# A ManagedSecret that is deleted

UNREAD = replace(
    observed(DELETES, state=None, deleted=True, finalized=True),
    state_problem=Stalled("StateUnreadable", "it was edited"),
)
FOREIGN = observed(DELETES, state=None, state_is_foreign=True, deleted=True, finalized=True)


@pytest.mark.parametrize(
    ("look", "reason"),
    [
        pytest.param(UNREAD, "StateUnreadable", id="it was edited"),
        pytest.param(FOREIGN, "SecretNotOwned", id="it is foreign"),
    ],
)
def test_a_record_that_was_not_read_holds_only_what_may_have_something_outside(
    look: Observed, reason: str
) -> None:
    with pytest.raises(Stalled, match="delete it to let the ManagedSecret go") as caught:
        next_step(look)
    assert caught.value.reason == reason
    free = observed(PUSHES, deleted=True).managed
    assert next_step(replace(look, managed=free)) == Rest(None)


@pytest.mark.parametrize(
    ("look", "step"),
    [
        pytest.param(observed(PUSHES, deleted=True), Rest(None), id="nothing of ours keeps it"),
        pytest.param(
            observed(DELETES, deleted=True, finalized=True), Finalize(present=False), id="nothing was pushed"
        ),
        pytest.param(
            observed(DELETES, state=None, target=None, deleted=True, finalized=True),
            Finalize(present=False),
            id="nobody knows what was pushed",
        ),
        pytest.param(
            observed(
                {},
                state=state(pushed=(pushed(PLACE), pushed(OTHER, deletes=True))),
                deleted=True,
                finalized=True,
            ),
            Withdraw(OTHER, deletes=True),
            id="what goes with it goes",
        ),
        pytest.param(
            observed(
                PUSHES,
                state=state(pushed=(pushed(PLACE, deletes=True),)),
                deleted=True,
                finalized=True,
            ),
            Intend(pushed(PLACE)),
            id="what stays by the last word of the spec stays",
        ),
        pytest.param(
            observed(
                DELETES,
                state=state(pushed=(pushed(KEPT_FOR, deletes=True, kept=True),)),
                deleted=True,
                finalized=True,
            ),
            Intend(pushed(KEPT_FOR, kept=True)),
            id="what the store had before us stays",
        ),
        pytest.param(
            observed(
                DELETES,
                state=state(pushed=(pushed(KEPT_FOR, deletes=True, kept=True, ours=True),)),
                deleted=True,
                finalized=True,
            ),
            Withdraw(PLACE, deletes=True),
            id="an earlier revision of ours goes",
        ),
        pytest.param(
            observed(PUSHES, state=state(pushed=(pushed(PLACE),)), deleted=True, finalized=True),
            Finalize(present=False),
            id="what stays stays",
        ),
        pytest.param(
            observed(
                DELETES,
                state=state(pushed=(pushed(KEPT_FOR, deletes=True),)),
                deleted=True,
                finalized=True,
                **failed(PLACE),
            ),
            Rest(LATER, REFUSED),
            id="what could not be deleted is waited for",
        ),
        pytest.param(
            observed(
                PUSHES,
                state=state(pushed=(pushed(PLACE, done=False),)),
                deleted=True,
                **failed(PLACE, again=NOW),
            ),
            Rest(None),
            id="what could not be pushed is nobody's problem any more",
        ),
        pytest.param(
            observed(
                None,
                spec_error=Stalled("InvalidSpec", "write another"),
                state=state(pushed=(pushed(KEPT_FOR, deletes=True),)),
                deleted=True,
                finalized=True,
            ),
            Withdraw(PLACE, deletes=True),
            id="of a spec that cannot be read",
        ),
        pytest.param(
            observed(
                {**DELETES, "suspend": True},
                state=state(pushed=(pushed(KEPT_FOR, deletes=True),)),
                deleted=True,
                finalized=True,
            ),
            Withdraw(PLACE, deletes=True),
            id="of a suspended one",
        ),
    ],
)
def test_a_deleted_one_takes_with_it_what_its_policy_says(look: Observed, step: Step) -> None:
    assert next_step(look) == step


def test_a_suspended_one_pushes_nothing() -> None:
    assert next_step(observed({**PUSHES, "suspend": True})) == Rest(None)


def test_that_stores_were_read_is_recorded_before_anything_is_pushed() -> None:
    asked = {REFRESH: "now"}
    look = observed(PUSHES, annotations=asked)
    assert next_step(replace(look, pulled=replace(look.pulled, read=True))) == Refresh()
    handled = replace(look, state=state(triggers=Triggers(refresh="now")))
    assert next_step(replace(handled, pulled=replace(look.pulled, read=True))) == Intend(
        pushed(PLACE, done=False)
    )


# What stores have lent: when it is recorded, and when it is given back


LEASED = Destination(StoreKind.SECRET_STORE, "vault", "creds/orders")
LENT: dict[str, Any] = {
    "name": "password",
    "from": {"storeRef": VAULT, "remoteRef": {"key": LEASED.key, "property": "password"}},
}
SPEC: dict[str, Any] = {"data": [LENT], "rotation": {"overlap": "10m"}}
BOUND: dict[str, Any] = {**SPEC, "target": {"deletionPolicy": "Delete"}}


def loan(id_: str = "new", ends: datetime = NOW + timedelta(hours=1)) -> StoreLease:
    return StoreLease(LEASED.id, id_, "login", timedelta(hours=1), ends)


OLD, NEW = replace(loan("old", NOW + minutes(30)), is_carried=True), loan()


def at_rest(*loans: StoreLease, spec: dict[str, Any] = SPEC, held: str = "new", **others: Any) -> Observed:
    """Look at a revision that holds one of them, and came after one that had the old one."""
    made = state(
        revision(2, "Refreshed", made=NOW - minutes(5)),
        revision(),
        leases=loans,
        leases_by_item={"password": held},
        leases_by_revision={1: frozenset({"old"}), 2: frozenset({held})},
    )
    status = {"revision": 2, "secretName": "db"}
    published = target(2, published=NOW - minutes(5))
    return observed(spec, **{"state": made, "target": published, "status": status, **others})


def pulled(*loans: StoreLease, in_hand: str = "") -> Pulled:
    return Pulled(read=True, was_read=True, leases=loans, in_hand=frozenset({in_hand} - {""}))


PRESSING = Emergency("leak", UID, NOW - minutes(1))
LAST = GiveBack(NEW, drops_refused=True)


def not_revoked(lease: str, again: datetime, refusal: str = "") -> dict[str, RevocationProblem]:
    return {lease: RevocationProblem(again, refusal)}


ROLLING = consumer("api", marker="db=2", settled=False, uses=(use(),))


@pytest.mark.parametrize(
    ("look", "step"),
    [
        # The record
        pytest.param(at_rest(pulled=pulled(NEW)), Borrow((NEW,)), id="taken: it is recorded first"),
        pytest.param(at_rest(NEW, pulled=pulled(NEW)), Rest(None), id="recorded"),
        pytest.param(
            at_rest(NEW, pulled=pulled(loan(ends=NOW + timedelta(hours=2)))),
            Borrow((loan(ends=NOW + timedelta(hours=2)),)),
            id="renewed: its end is recorded",
        ),
        # What nobody could read
        pytest.param(at_rest(NEW, loan("lost")), GiveBack(loan("lost")), id="in no revision: back at once"),
        pytest.param(
            at_rest(NEW, loan("kept"), pulled=pulled(NEW, in_hand="kept")),
            Rest(None),
            id="about to be in one",
        ),
        # What was read before
        pytest.param(at_rest(OLD, NEW), Rest(NOW + minutes(5)), id="the overlap lasts"),
        pytest.param(at_rest(OLD, NEW, now=NOW + minutes(5)), GiveBack(OLD), id="the overlap is over"),
        pytest.param(
            at_rest(replace(OLD, ends=NOW + minutes(2)), NEW), Rest(NOW + minutes(2)), id="it ends before"
        ),
        pytest.param(
            at_rest(loan("old", NOW), NEW), GiveBack(loan("old", NOW)), id="it has ended: it is forgotten"
        ),
        pytest.param(
            at_rest(OLD, NEW, target=target(1)), Publish(2), id="not before the new one is published"
        ),
        pytest.param(
            at_rest(OLD, NEW, target=target(2, published=None)), Rest(OLD.ends), id="nobody knows since when"
        ),
        pytest.param(at_rest(OLD, NEW, emergencies=(PRESSING,)), GiveBack(OLD), id="at once in an emergency"),
        pytest.param(at_rest(OLD, NEW, held="old"), GiveBack(NEW), id="of a revision that was given up"),
        # What failed
        pytest.param(
            at_rest(OLD, NEW, now=NOW + minutes(5), revocation_problems=not_revoked("old", NOW + minutes(8))),
            Rest(NOW + minutes(8)),
            id="it failed and waits",
        ),
        pytest.param(
            at_rest(OLD, NEW, now=NOW + minutes(9), revocation_problems=not_revoked("old", NOW + minutes(8))),
            GiveBack(OLD),
            id="it is tried again",
        ),
        pytest.param(
            at_rest(OLD, NEW, now=OLD.ends, revocation_problems=not_revoked("old", OLD.ends + minutes(8))),
            GiveBack(OLD),
            id="it failed until its end",
        ),
        pytest.param(
            at_rest(
                OLD,
                NEW,
                now=NOW + minutes(5),
                revocation_problems=not_revoked("old", NOW + minutes(8), "Status403"),
            ),
            Rest(NOW + minutes(8)),
            id="it is refused and stays recorded",
        ),
        pytest.param(
            at_rest(
                OLD,
                NEW,
                now=NOW + minutes(4),
                emergencies=(PRESSING,),
                revocation_problems={"old": RevocationProblem(NOW + minutes(20), "Status403", refused=NOW)},
            ),
            Rest(NOW + minutes(5)),
            id="it is refused in an emergency: soon again",
        ),
        pytest.param(
            at_rest(pulled=pulled(NEW), target=replace(target(2), owner="other")),
            Borrow((NEW,)),
            id="the Secret is foreign by now: the lease is recorded nevertheless",
        ),
        # The ManagedSecret goes
        pytest.param(
            at_rest(NEW, spec=BOUND), Finalize(present=True), id="its Secret goes with it: it is kept"
        ),
        pytest.param(at_rest(NEW, spec=BOUND, finalized=True), Rest(None), id="kept"),
        pytest.param(at_rest(NEW, finalized=True), Finalize(present=False), id="its Secret stays"),
        pytest.param(at_rest(NEW, spec=BOUND, finalized=True, deleted=True), LAST, id="deleted: back first"),
        pytest.param(
            at_rest(
                NEW, spec=BOUND, finalized=True, deleted=True, revocation_problems=not_revoked("new", LATER)
            ),
            Rest(LATER),
            id="deleted, and the store is away",
        ),
        pytest.param(
            at_rest(
                NEW,
                spec=BOUND,
                finalized=True,
                deleted=True,
                revocation_problems=not_revoked("new", LATER, "Status403"),
            ),
            LAST,
            id="deleted, and the store refuses: it is dropped",
        ),
        pytest.param(
            at_rest(spec=BOUND, finalized=True, deleted=True), Finalize(present=False), id="deleted and back"
        ),
        pytest.param(
            at_rest(NEW, finalized=True, deleted=True),
            Finalize(present=False),
            id="deleted without its Secret",
        ),
        pytest.param(
            at_rest(spec=BOUND, finalized=True, deleted=True, state=None),
            Finalize(present=False),
            id="deleted without a record",
        ),
    ],
)
def test_what_is_lent_is_recorded_first_and_given_back_last(look: Observed, step: Step) -> None:
    assert next_step(look) == step


def test_a_recreated_object_claims_the_record_before_it_records_leases() -> None:
    look = at_rest(pulled=pulled(NEW), uid="uid-of-another")
    assert next_step(look) == Claim(2)


FAILED = {"old": RevocationProblem(NOW + minutes(20), since=NOW)}


@pytest.mark.parametrize(
    ("text", "problem", "is_removed"),
    [
        pytest.param("2026-11-24T12:00:00Z", FAILED, True, id="when it had failed"),
        pytest.param("2026-11-24T13:04:00+01:00", FAILED, True, id="by a clock that is ahead"),
        pytest.param("2026-11-24T11:59:59Z", FAILED, False, id="before it failed"),
        pytest.param("2026-11-24T12:05:01Z", FAILED, False, id="in the future"),
        pytest.param("2026-11-24T12:00:00", FAILED, False, id="without a time zone"),
        pytest.param("2026-11-24T12:00:00Z", not_revoked("old", LATER), False, id="it is being revoked"),
        pytest.param("2026-11-24T12:00:00Z", {}, False, id="it was not tried yet"),
    ],
)
def test_what_a_person_states_to_have_revoked_is_no_longer_recorded(
    text: str,
    problem: dict[str, RevocationProblem],
    is_removed: bool,  # noqa: FBT001
) -> None:
    look = at_rest(OLD, NEW, revocation_problems=problem, annotations={LEASES_REVOKED: text})

    assert (next_step(look) == GiveBack(OLD, is_stated=True)) is is_removed


REPORT: dict[str, Any] = {"count": 1, "validUntil": OLD.ends, "since": NOW, "message": "Status403"}


@pytest.mark.parametrize(
    ("text", "flaw"),
    [
        pytest.param("yesterday", " (its present value is no time with a time zone)", id="no time"),
        pytest.param("2026-11-24T12:00:00", " (its present value is no time with a time zone)", id="no zone"),
        pytest.param("2026-11-24T12:05:01Z", " (its present value is in the future)", id="future"),
        pytest.param("2026-11-24T11:59:59Z", " (its present value is before that)", id="before"),
    ],
)
def test_a_statement_that_does_not_count_is_reported_with_its_flaw(text: str, flaw: str) -> None:
    problem = {OLD.id: RevocationProblem(NOW + minutes(5), "Status403: no right", NOW)}
    report = unrevoked(at_rest(OLD, NEW, revocation_problems=problem, annotations={LEASES_REVOKED: text}))

    assert report is not None
    assert f"and the time, not before 2026-11-24T12:00:00Z{flaw}: Status403" in report.message


AT_20: dict[str, Any] = {"annotations": {LEASES_REVOKED: "2026-11-24T12:20:00Z"}, "now": NOW + minutes(21)}


def after_restart(*loans: StoreLease, report: dict[str, Any] = REPORT, **others: Any) -> Observed:
    """Look at leases that an earlier process has reported as not revoked."""
    status = {"revision": 2, "secretName": "db", "unrevokedLeases": report}
    return at_rest(*loans, NEW, status=status, **AT_20 | others)


@pytest.mark.parametrize(
    ("look", "is_removed"),
    [
        pytest.param(after_restart(OLD), True, id="it was not tried yet"),
        pytest.param(
            after_restart(
                OLD, revocation_problems={"old": RevocationProblem(LATER, "Status403", NOW + minutes(21))}
            ),
            True,
            id="it is refused again",
        ),
        pytest.param(
            after_restart(
                OLD, revocation_problems={"old": RevocationProblem(LATER, since=NOW + minutes(21))}
            ),
            True,
            id="its store is unreachable",
        ),
        pytest.param(
            after_restart(OLD, revocation_problems=not_revoked("old", LATER)), False, id="it is being revoked"
        ),
        pytest.param(
            after_restart(OLD, report=REPORT | {"since": NOW + minutes(21)}), False, id="it failed later"
        ),
        pytest.param(
            after_restart(OLD, report=REPORT | {"validUntil": OLD.ends + minutes(1)}),
            False,
            id="another lease was reported",
        ),
        pytest.param(
            after_restart(OLD, spec=SPEC | {"rotation": {"overlap": "1h"}}), False, id="it is not due"
        ),
    ],
)
def test_a_statement_that_is_made_during_a_restart_counts(
    look: Observed,
    is_removed: bool,  # noqa: FBT001
) -> None:
    assert (next_step(look) == GiveBack(OLD, is_stated=True)) is is_removed


def test_a_statement_that_is_made_during_a_restart_counts_for_each_lease() -> None:
    older, report = replace(OLD, id="older", ends=OLD.ends - minutes(1)), REPORT | {"count": 2}

    assert next_step(after_restart(OLD, older, report=report)) == GiveBack(older, is_stated=True)
    assert next_step(after_restart(OLD, report=report)) == GiveBack(OLD, is_stated=True)


ALL_THROUGH = (consumer("api", marker="db=2", uses=(use(),)),)
PLAIN: dict[str, Any] = {"data": [LENT]}


@pytest.mark.parametrize(
    ("spec", "consumers", "now", "is_back"),
    [
        pytest.param(SPEC, (ROLLING,), minutes(6), False, id="one moves over"),
        pytest.param(PLAIN, (ROLLING,), minutes(6), False, id="one moves over, no overlap is written"),
        pytest.param(PLAIN, ALL_THROUGH, minutes(0), True, id="all have moved over"),
        pytest.param(SPEC, ALL_THROUGH, minutes(0), False, id="all have moved over, and the overlap lasts"),
        pytest.param(SPEC, ALL_THROUGH, minutes(6), True, id="all have moved over, and the overlap is over"),
        pytest.param(PLAIN, (), minutes(29), False, id="nobody knows who reads it, for an hour"),
        pytest.param(
            PLAIN | {"rollout": {"restart": "None"}},
            (consumer("api", marker="db=1", uses=(use(),)),),
            minutes(0),
            False,
            id="one is restarted by somebody else",
        ),
    ],
)
def test_it_is_given_back_when_those_who_read_it_have_moved_over(
    spec: dict[str, Any],
    consumers: tuple[Consumer, ...],
    now: timedelta,
    is_back: bool,  # noqa: FBT001
) -> None:
    look = replace(at_rest(OLD, NEW, spec=spec, now=NOW + now), consumers=consumers)
    assert isinstance(next_step(look), GiveBack) is is_back


def test_a_class_may_say_how_long_it_works() -> None:
    given = secret_class(rotation={"overlap": "10m"})
    look = replace(at_rest(OLD, NEW, spec=PLAIN, given=given), consumers=ALL_THROUGH)
    assert not isinstance(next_step(look), GiveBack)


def test_the_overlap_of_a_class_counts_for_no_immutable_secret() -> None:
    given = secret_class(rotation={"overlap": "10m"})
    spec = PLAIN | {"target": {"immutable": True}}
    look = replace(at_rest(OLD, NEW, spec=spec, given=given), consumers=ALL_THROUGH)
    assert isinstance(next_step(look), GiveBack)


def test_the_first_revision_brings_what_it_holds_along() -> None:
    new = observed(SPEC, state=None, target=None, status={}, pulled=pulled(NEW))
    assert type(next_step(new)).__name__ == "Stage"


def test_a_loan_is_recorded_once_and_forgotten() -> None:
    longer = replace(NEW, ends=NOW + timedelta(hours=2))
    before = state()
    assert before.with_leases((OLD, NEW)).with_leases((longer,)).leases == (OLD, longer)
    assert before.with_leases((OLD, NEW)).without_lease("old").leases == (NEW,)


def test_all_that_is_taken_of_a_key_is_lent_at_one_place() -> None:
    source = Source(LEASED.kind, LEASED.store, LEASED.key, "password", prefix="")
    assert source.place == replace(source, part=None, prefix=None).place == LEASED.id


def test_without_a_record_nothing_is_given_back() -> None:
    look = observed(SPEC, state=None)
    assert look.desired
    assert (next_lease_revocation(look, look.desired), next_lease_revocation_time(look, look.desired)) == (
        None,
        None,
    )


def test_half_of_its_time_it_is_left_alone() -> None:
    assert NEW.due == NOW + minutes(30)
    assert NEW.where == LEASED
    assert seconds(1) < NEW.lasts


@pytest.mark.parametrize(
    ("rotation", "ends"),
    [
        pytest.param({"overlap": "10m"}, OLD.ends, id="until the lease expires"),
        pytest.param({"overlap": "10m", "maxOverlap": "20m"}, NOW + minutes(15), id="until the limit"),
        pytest.param({"overlap": "10m", "maxOverlap": "2h"}, OLD.ends, id="a limit after its expiry"),
    ],
)
def test_a_lease_is_kept_while_a_pod_may_hold_it(rotation: dict[str, Any], ends: datetime) -> None:
    spec = {**SPEC, "rotation": rotation}
    for holders in (PodsSeen((make.holding(),)), PodsSeen(forbidden=True)):
        found = at_rest(NEW, OLD, spec=spec, holders=holders)

        assert next_lease_revocation(found, make.wanted(found)) is None
        assert next_lease_revocation_time(found, make.wanted(found)) == ends


def test_the_limit_of_the_overlap_revokes_no_lease_of_a_workload_that_is_restarted() -> None:
    spec = {**SPEC, "rotation": {"overlap": "1m", "maxOverlap": "2m"}}
    found = replace(at_rest(NEW, OLD, spec=spec), consumers=(ROLLING,))

    assert next_lease_revocation(found, make.wanted(found)) is None


# Rollbacks

RETURNS: dict[str, Any] = {"annotations": {ROLLBACK: "1"}}


def test_a_rollback_publishes_credentials_that_are_still_leased() -> None:
    assert next_step(at_rest(OLD, NEW, **RETURNS)) == GoBack(1, 2, failed=False, lasts=False)


def test_a_rollback_to_revoked_credentials_is_refused() -> None:
    with pytest.raises(Stalled) as refused:
        next_step(at_rest(NEW, **RETURNS))

    assert refused.value.reason == "CredentialRevoked"
    assert refused.value.message == (
        "keyturn.dev/rollback: the dynamic credentials of revision 1 are revoked at their store;"
        " no earlier revision is kept, so remove the annotation"
    )


# Whom the state Secret is deleted with by Kubernetes: nobody, while it says what is to be undone outside


GOES: dict[str, Any] = {"target": {"deletionPolicy": "Delete"}}
PUSHED = state(pushed=(pushed(KEPT_FOR, deletes=True),))
LEASING = state(leases=(NEW,))


@pytest.mark.parametrize(
    ("spec", "record", "finalized", "binder"),
    [
        pytest.param({}, state(), False, "", id="its Secret stays"),
        pytest.param(GOES, state(), False, UID, id="its Secret goes with it"),
        pytest.param(GOES, PUSHED, True, "", id="something pushed is to be deleted"),
        pytest.param(GOES, LEASING, True, "", id="something lent is to be given back"),
        pytest.param(GOES, PUSHED, False, UID, id="nobody is kept for that yet"),
        pytest.param(GOES, state(pushed=(pushed(PLACE),)), True, UID, id="what was pushed stays"),
    ],
)
def test_a_record_of_what_is_to_be_undone_outlives_its_managed_secret(
    spec: dict[str, Any],
    record: StateFacts,
    finalized: bool,  # noqa: FBT001
    binder: str,
) -> None:
    look = observed(spec, state=record, finalized=finalized)
    assert look.desired
    assert binder_of(look, look.desired, record) == binder
