"""What stores have lent: when it is recorded, and when it is given back."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from keyturn.api.source import StoreKind
from keyturn.core.errors import Stalled
from keyturn.core.labels import LEASES_REVOKED, ROLLBACK
from keyturn.core.observation.emergency import Emergency
from keyturn.core.observation.external import Pulled, RevocationProblem
from keyturn.core.observation.observed import Consumer, Managed
from keyturn.core.observation.workload import PodsSeen
from keyturn.core.rotation.decision import next_step
from keyturn.core.rotation.rollback import GoBack
from keyturn.core.rotation.steps import Borrow, Claim, Finalize, GiveBack, Publish, Rest, Step
from keyturn.core.rotation.store_steps import next_lease_revocation, next_lease_revocation_time, unrevoked
from keyturn.core.spec.references import Destination, Source
from keyturn.core.state.records import StoreLease
from tests.support.cases import case, cases
from tests.unit.core import builders as make
from tests.unit.core.builders import (
    NOW,
    UID,
    VAULT,
    consumer,
    minutes,
    observed,
    revision,
    seconds,
    secret_class,
    state,
    target,
    use,
)

PLACE = Destination(StoreKind.SECRET_STORE, "vault", "creds/orders")
LENT: dict[str, Any] = {
    "name": "password",
    "from": {"storeRef": VAULT, "remoteRef": {"key": PLACE.key, "property": "password"}},
}
SPEC: dict[str, Any] = {"data": [LENT], "rotation": {"overlap": "10m"}}
BOUND: dict[str, Any] = {**SPEC, "target": {"deletionPolicy": "Delete"}}


def loan(id_: str = "new", ends: datetime = NOW + timedelta(hours=1)) -> StoreLease:
    return StoreLease(PLACE.id, id_, "login", timedelta(hours=1), ends)


OLD, NEW = replace(loan("old", NOW + minutes(30)), is_carried=True), loan()


def at_rest(*loans: StoreLease, spec: dict[str, Any] = SPEC, held: str = "new", **others: Any) -> Managed:
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


LATER = NOW + minutes(3)
PRESSING = Emergency("leak", UID, NOW - minutes(1))
LAST = GiveBack(NEW, drops_refused=True)


def failed(lease: str, again: datetime, refusal: str = "") -> dict[str, RevocationProblem]:
    return {lease: RevocationProblem(again, refusal)}


ROLLING = consumer("api", marker="db=2", settled=False, uses=(use(),))


@cases(
    ("look", "step"),
    # The record
    case("taken: it is recorded first", at_rest(pulled=pulled(NEW)), Borrow((NEW,))),
    case("recorded", at_rest(NEW, pulled=pulled(NEW)), Rest(None)),
    case(
        "renewed: its end is recorded",
        at_rest(NEW, pulled=pulled(loan(ends=NOW + timedelta(hours=2)))),
        Borrow((loan(ends=NOW + timedelta(hours=2)),)),
    ),
    # What nobody could read
    case("in no revision: back at once", at_rest(NEW, loan("lost")), GiveBack(loan("lost"))),
    case("about to be in one", at_rest(NEW, loan("kept"), pulled=pulled(NEW, in_hand="kept")), Rest(None)),
    # What was read before
    case("the overlap lasts", at_rest(OLD, NEW), Rest(NOW + minutes(5))),
    case("the overlap is over", at_rest(OLD, NEW, now=NOW + minutes(5)), GiveBack(OLD)),
    case("it ends before", at_rest(replace(OLD, ends=NOW + minutes(2)), NEW), Rest(NOW + minutes(2))),
    case("it has ended: it is forgotten", at_rest(loan("old", NOW), NEW), GiveBack(loan("old", NOW))),
    case("not before the new one is published", at_rest(OLD, NEW, target=target(1)), Publish(2)),
    case("nobody knows since when", at_rest(OLD, NEW, target=target(2, published=None)), Rest(OLD.ends)),
    case("at once in an emergency", at_rest(OLD, NEW, emergencies=(PRESSING,)), GiveBack(OLD)),
    case("of a revision that was given up", at_rest(OLD, NEW, held="old"), GiveBack(NEW)),
    # What failed
    case(
        "it failed and waits",
        at_rest(OLD, NEW, now=NOW + minutes(5), revocation_problems=failed("old", NOW + minutes(8))),
        Rest(NOW + minutes(8)),
    ),
    case(
        "it is tried again",
        at_rest(OLD, NEW, now=NOW + minutes(9), revocation_problems=failed("old", NOW + minutes(8))),
        GiveBack(OLD),
    ),
    case(
        "it failed until its end",
        at_rest(OLD, NEW, now=OLD.ends, revocation_problems=failed("old", OLD.ends + minutes(8))),
        GiveBack(OLD),
    ),
    case(
        "it is refused and stays recorded",
        at_rest(
            OLD,
            NEW,
            now=NOW + minutes(5),
            revocation_problems=failed("old", NOW + minutes(8), "Status403"),
        ),
        Rest(NOW + minutes(8)),
    ),
    case(
        "it is refused in an emergency: soon again",
        at_rest(
            OLD,
            NEW,
            now=NOW + minutes(4),
            emergencies=(PRESSING,),
            revocation_problems={"old": RevocationProblem(NOW + minutes(20), "Status403", refused=NOW)},
        ),
        Rest(NOW + minutes(5)),
    ),
    case(
        "the Secret is foreign by now: the lease is recorded nevertheless",
        at_rest(pulled=pulled(NEW), target=replace(target(2), owner="other")),
        Borrow((NEW,)),
    ),
    # The ManagedSecret goes
    case("its Secret goes with it: it is kept", at_rest(NEW, spec=BOUND), Finalize(present=True)),
    case("kept", at_rest(NEW, spec=BOUND, finalized=True), Rest(None)),
    case("its Secret stays", at_rest(NEW, finalized=True), Finalize(present=False)),
    case("deleted: back first", at_rest(NEW, spec=BOUND, finalized=True, deleted=True), LAST),
    case(
        "deleted, and the store is away",
        at_rest(NEW, spec=BOUND, finalized=True, deleted=True, revocation_problems=failed("new", LATER)),
        Rest(LATER),
    ),
    case(
        "deleted, and the store refuses: it is dropped",
        at_rest(
            NEW,
            spec=BOUND,
            finalized=True,
            deleted=True,
            revocation_problems=failed("new", LATER, "Status403"),
        ),
        LAST,
    ),
    case("deleted and back", at_rest(spec=BOUND, finalized=True, deleted=True), Finalize(present=False)),
    case("deleted without its Secret", at_rest(NEW, finalized=True, deleted=True), Finalize(present=False)),
    case(
        "deleted without a record",
        at_rest(spec=BOUND, finalized=True, deleted=True, state=None),
        Finalize(present=False),
    ),
)
def test_what_is_lent_is_recorded_first_and_given_back_last(look: Managed, step: Step) -> None:
    assert next_step(look) == step


def test_a_recreated_object_claims_the_record_before_it_records_leases() -> None:
    look = at_rest(pulled=pulled(NEW), uid="uid-of-another")
    assert next_step(look) == Claim(2)


FAILED = {"old": RevocationProblem(NOW + minutes(20), since=NOW)}


@cases(
    ("text", "problem", "is_removed"),
    case("when it had failed", "2026-11-24T12:00:00Z", FAILED, True),
    case("by a clock that is ahead", "2026-11-24T13:04:00+01:00", FAILED, True),
    case("before it failed", "2026-11-24T11:59:59Z", FAILED, False),
    case("in the future", "2026-11-24T12:05:01Z", FAILED, False),
    case("without a time zone", "2026-11-24T12:00:00", FAILED, False),
    case("it is being revoked", "2026-11-24T12:00:00Z", failed("old", LATER), False),
    case("it was not tried yet", "2026-11-24T12:00:00Z", {}, False),
)
def test_what_a_person_states_to_have_revoked_is_no_longer_recorded(
    text: str, problem: dict[str, RevocationProblem], is_removed: bool
) -> None:
    look = at_rest(OLD, NEW, revocation_problems=problem, annotations={LEASES_REVOKED: text})

    assert (next_step(look) == GiveBack(OLD, is_stated=True)) is is_removed


REPORT: dict[str, Any] = {"count": 1, "validUntil": OLD.ends, "since": NOW, "message": "Status403"}


@cases(
    ("text", "flaw"),
    case("no time", "yesterday", " (its present value is no time with a time zone)"),
    case("no zone", "2026-11-24T12:00:00", " (its present value is no time with a time zone)"),
    case("future", "2026-11-24T12:05:01Z", " (its present value is in the future)"),
    case("before", "2026-11-24T11:59:59Z", " (its present value is before that)"),
)
def test_a_statement_that_does_not_count_is_reported_with_its_flaw(text: str, flaw: str) -> None:
    problem = {OLD.id: RevocationProblem(NOW + minutes(5), "Status403: no right", NOW)}
    report = unrevoked(at_rest(OLD, NEW, revocation_problems=problem, annotations={LEASES_REVOKED: text}))

    assert report is not None
    assert f"and the time, not before 2026-11-24T12:00:00Z{flaw}: Status403" in report.message


AT_20: dict[str, Any] = {"annotations": {LEASES_REVOKED: "2026-11-24T12:20:00Z"}, "now": NOW + minutes(21)}


def after_restart(*loans: StoreLease, report: dict[str, Any] = REPORT, **others: Any) -> Managed:
    """Look at leases that an earlier process has reported as not revoked."""
    status = {"revision": 2, "secretName": "db", "unrevokedLeases": report}
    return at_rest(*loans, NEW, status=status, **AT_20 | others)


@cases(
    ("look", "is_removed"),
    case("it was not tried yet", after_restart(OLD), True),
    case(
        "it is refused again",
        after_restart(
            OLD, revocation_problems={"old": RevocationProblem(LATER, "Status403", NOW + minutes(21))}
        ),
        True,
    ),
    case(
        "its store is unreachable",
        after_restart(OLD, revocation_problems={"old": RevocationProblem(LATER, since=NOW + minutes(21))}),
        True,
    ),
    case("it is being revoked", after_restart(OLD, revocation_problems=failed("old", LATER)), False),
    case("it failed later", after_restart(OLD, report=REPORT | {"since": NOW + minutes(21)}), False),
    case(
        "another lease was reported",
        after_restart(OLD, report=REPORT | {"validUntil": OLD.ends + minutes(1)}),
        False,
    ),
    case("it is not due", after_restart(OLD, spec=SPEC | {"rotation": {"overlap": "1h"}}), False),
)
def test_a_statement_that_is_made_during_a_restart_counts(look: Managed, is_removed: bool) -> None:
    assert (next_step(look) == GiveBack(OLD, is_stated=True)) is is_removed


def test_a_statement_that_is_made_during_a_restart_counts_for_each_lease() -> None:
    older, report = replace(OLD, id="older", ends=OLD.ends - minutes(1)), REPORT | {"count": 2}

    assert next_step(after_restart(OLD, older, report=report)) == GiveBack(older, is_stated=True)
    assert next_step(after_restart(OLD, report=report)) == GiveBack(OLD, is_stated=True)


ALL_THROUGH = (consumer("api", marker="db=2", uses=(use(),)),)
PLAIN: dict[str, Any] = {"data": [LENT]}


@cases(
    ("spec", "consumers", "now", "is_back"),
    case("one moves over", SPEC, (ROLLING,), minutes(6), False),
    case("one moves over, no overlap is written", PLAIN, (ROLLING,), minutes(6), False),
    case("all have moved over", PLAIN, ALL_THROUGH, minutes(0), True),
    case("all have moved over, and the overlap lasts", SPEC, ALL_THROUGH, minutes(0), False),
    case("all have moved over, and the overlap is over", SPEC, ALL_THROUGH, minutes(6), True),
    case("nobody knows who reads it, for an hour", PLAIN, (), minutes(29), False),
    case(
        "one is restarted by somebody else",
        PLAIN | {"rollout": {"restart": "None"}},
        (consumer("api", marker="db=1", uses=(use(),)),),
        minutes(0),
        False,
    ),
)
def test_it_is_given_back_when_those_who_read_it_have_moved_over(
    spec: dict[str, Any], consumers: tuple[Consumer, ...], now: timedelta, is_back: bool
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
    source = Source(PLACE.kind, PLACE.store, PLACE.key, "password", prefix="")
    assert source.place == replace(source, part=None, prefix=None).place == PLACE.id


def test_without_a_record_nothing_is_given_back() -> None:
    look = observed(SPEC, state=None)
    assert (next_lease_revocation(look), next_lease_revocation_time(look)) == (None, None)


def test_half_of_its_time_it_is_left_alone() -> None:
    assert NEW.due == NOW + minutes(30)
    assert NEW.where == PLACE
    assert seconds(1) < NEW.lasts


@cases(
    ("rotation", "ends"),
    case("until the lease expires", {"overlap": "10m"}, OLD.ends),
    case("until the limit", {"overlap": "10m", "maxOverlap": "20m"}, NOW + minutes(15)),
    case("a limit after its expiry", {"overlap": "10m", "maxOverlap": "2h"}, OLD.ends),
)
def test_a_lease_is_kept_while_a_pod_may_hold_it(rotation: dict[str, Any], ends: datetime) -> None:
    spec = {**SPEC, "rotation": rotation}
    for holders in (PodsSeen((make.holding(),)), PodsSeen(forbidden=True)):
        found = at_rest(NEW, OLD, spec=spec, holders=holders)

        assert next_lease_revocation(found) is None
        assert next_lease_revocation_time(found) == ends


def test_the_limit_of_the_overlap_revokes_no_lease_of_a_workload_that_is_restarted() -> None:
    spec = {**SPEC, "rotation": {"overlap": "1m", "maxOverlap": "2m"}}
    found = replace(at_rest(NEW, OLD, spec=spec), consumers=(ROLLING,))

    assert next_lease_revocation(found) is None


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
