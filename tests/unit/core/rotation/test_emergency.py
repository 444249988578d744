"""What an emergency asks of a managed secret, what it lifts, and how far the secret is with it."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from keyturn.api.emergency import AffectedState, EmergencyRotation, Revoke
from keyturn.api.rotation import OnFailure
from keyturn.api.source import StoreKind
from keyturn.core.emergency.progress import Affected, affected
from keyturn.core.errors import Stalled, Wait
from keyturn.core.labels import LEASES_REVOKED, ROLLBACK
from keyturn.core.observation.emergency import Emergency, concerns
from keyturn.core.observation.external import Pulled, RevocationProblem
from keyturn.core.observation.observed import Consumer, Managed
from keyturn.core.observation.workload import PodsSeen
from keyturn.core.reasons import RevisionReason
from keyturn.core.rotation.decision import next_step
from keyturn.core.rotation.emergency import COOL_DOWN, MAX_ANSWERS, answered, is_exposed, without_delays
from keyturn.core.rotation.rollback import GoBack
from keyturn.core.rotation.steps import Reason, Refresh, Rest, Settle, Stage
from keyturn.core.rotation.store_steps import Unpushed
from keyturn.core.rotation.triggers import reason_for_revision, start_time
from keyturn.core.spec.references import Destination
from keyturn.core.state.records import StoreLease, found_under
from keyturn.core.state.state import Publication, RollbackPause
from tests.support.cases import case, cases
from tests.unit.core import builders as make
from tests.unit.core.builders import (
    API_KEY,
    MADE,
    NOW,
    PASSWORD,
    PUBLISHED,
    PUSH,
    USERNAME,
    consumer,
    minutes,
    observed,
    push_problems,
    pushed,
    revision,
    seconds,
    state,
    target,
)

TOKEN = {"name": "token", "generate": {"bytes": {}}}
STARTED = NOW - minutes(1)
INCIDENT = Emergency("inc-1", "uid-1", STARTED)
KNOWN = frozenset({"uid-1"})
GENTLE = replace(INCIDENT, revoke=Revoke.AFTER_ROLLOUT)
THROUGH = replace(INCIDENT, is_complete=True)
OVER = replace(INCIDENT, is_open=False)
LATER = Emergency("inc-2", "uid-2", NOW - seconds(10))
CLOSED = {"rotation": {"windows": [{"cron": "0 0 1 1 *", "duration": "1m"}]}}
RENAMED = {"data": [{**PASSWORD, "keys": {"value": "PASSWORD"}}]}
"""A spec that was changed to another key of the same value."""


def look(
    spec: dict[str, Any] | None = None, *of: Any, emergencies: Any = (INCIDENT,), **given: Any
) -> Managed:
    """Look at a managed secret while emergencies concern it."""
    found = observed(spec, *of, **given)
    desired = without_delays(found.desired, emergencies) if found.desired else None
    return replace(found, desired=desired, emergencies=emergencies)


def reason_of(found: Managed) -> Reason | None:
    return reason_for_revision(found)


def asked(*fresh: str, name: str = "inc-1") -> Reason:
    return Reason(
        RevisionReason.EMERGENCY, f"the emergency {name} asks for it", frozenset(fresh), rotates=True
    )


def rotated(made: datetime = NOW, **others: Any) -> Any:
    """Make the state after a rotation for an emergency."""
    return state(revision(2, RevisionReason.EMERGENCY, made=made), revision(1), **others)


def under_another_key(reason: str = "SpecChanged", **others: Any) -> Any:
    """Make the state in which the value of before is under another key since the declaration."""
    newest = revision(2, reason, made=NOW, changed=("password", "PASSWORD"), **others)
    return state(newest, revision(1), keys={"password": {"value": "PASSWORD"}})


# Whether it asks


@cases(
    "found",
    case("values from before", look()),
    case("windows that are closed", look(CLOSED)),
    case(
        "a hold after a rollout that failed",
        look(state=state(rollback_pause=RollbackPause(2, 1, NOW, failed=True))),
    ),
    case("claimed now", look(state=state(revision(1, "Claimed", made=NOW)), target=target(published=NOW))),
    case(
        "only what is pulled is new",
        look(state=state(revision(2, "Refreshed", made=NOW, changed=["api-key"]), revision(1))),
    ),
    case(
        "a rotation that has published nothing yet, and was staged before it was known",
        look(state=state(revision(2, "Triggered", made=NOW), revision(1))),
    ),
    case(
        "values from before under another key",
        look(RENAMED, state=under_another_key(fresh=frozenset()), target=target(2, published=NOW)),
    ),
    case(
        "values from before under another key, which nothing has published yet",
        look(RENAMED, state=under_another_key(fresh=frozenset())),
    ),
    case("a Secret that somebody has deleted", look(target=None)),
    case(
        "an earlier revision that comes back",
        look(
            state=state(revision(2), revision(1), current=1, publications=(Publication(1, PUBLISHED),)),
            target=target(2, published=PUBLISHED),
            status={"revision": 2},
        ),
    ),
)
def test_it_asks_for_every_generated_value(found: Managed) -> None:
    reason = reason_of(found)
    assert reason is not None
    assert replace(reason, others=frozenset()) == asked("password")


def test_it_asks_for_all_that_is_generated_whatever_is_rotated_by_schedule() -> None:
    found = look(
        {"data": [PASSWORD, TOKEN], "rotation": {"only": ["token"]}}, state=state(names=("password", "token"))
    )

    assert reason_of(found) == asked("password", "token")


def test_a_rotation_of_a_part_since_then_is_not_enough() -> None:
    newest = revision(2, "RotationDue", made=NOW, changed=["token"], answers=KNOWN)
    found = look({"data": [PASSWORD, TOKEN]}, state=state(newest, revision(1), names=("password", "token")))

    assert reason_of(found) == asked("password", "token")


def test_several_rotations_since_then_are_enough_together() -> None:
    revisions = (
        revision(3, "Triggered", made=NOW, changed=["password"]),
        revision(2, "RotationDue", made=NOW, changed=["token"], answers=KNOWN),
        revision(1),
    )
    found = look(
        {"data": [PASSWORD, TOKEN]}, state=state(*revisions, names=("password", "token")), target=target(3)
    )

    assert reason_of(found) is None


@cases(
    "found",
    case("an emergency in which every service is updated", look(emergencies=(OVER,))),
    case("one that was served", look(state=rotated(), target=target(2, published=NOW))),
    case(
        "values that cannot be others",
        look(
            state=state(
                revision(2, RevisionReason.EMERGENCY, made=NOW, changed=(), fresh=frozenset({"password"})),
                revision(1),
            ),
            target=target(2),
        ),
    ),
    case("nothing that is generated", look({"data": [USERNAME]}, state=state(names=("username",)))),
    case(
        "an immutable Secret", look({"target": {"immutable": True}}, target=replace(target(), immutable=True))
    ),
    case(
        "a Secret that was made since, and is not published yet",
        look(state=state(revision(1, answers=KNOWN))),
    ),
    case(
        "a new value under another key",
        look(
            RENAMED,
            state=under_another_key(fresh=frozenset({"password"}), answers=KNOWN),
            target=target(2, published=NOW),
        ),
    ),
)
def test_it_asks_for_nothing(found: Managed) -> None:
    assert reason_of(found) is None


def test_what_was_never_there_is_made_for_no_emergency() -> None:
    made = next_step(look(state=None, target=None, status={}))

    assert isinstance(made, Stage)
    assert made.reason.name == "Created"


@pytest.mark.parametrize(("ago", "asks"), [(COOL_DOWN - seconds(1), False), (COOL_DOWN, True)])
def test_the_next_one_waits_until_the_last_rotation_is_some_minutes_ago(ago: timedelta, asks: bool) -> None:
    found = look(state=rotated(made=NOW - ago), target=target(2, published=NOW - ago), emergencies=(LATER,))

    assert reason_of(found) == (asked("password", name="inc-2") if asks else None)
    assert start_time(found) == NOW - ago + COOL_DOWN


def test_the_first_of_several_is_named() -> None:
    assert reason_of(look(emergencies=(LATER, INCIDENT))) == asked("password")


def test_it_starts_at_once_where_a_hold_keeps_all_else() -> None:
    held = state(rollback_pause=RollbackPause(2, 1, NOW, failed=True))

    assert start_time(look(state=held)) == STARTED
    assert start_time(look(state=held, emergencies=())) is None


@pytest.mark.parametrize("emergency", [INCIDENT, replace(INCIDENT, own_only=True)])
def test_an_item_that_is_generated_since_its_rotation_rotates_no_other_again(emergency: Emergency) -> None:
    rotation = revision(2, RevisionReason.EMERGENCY, made=STARTED, fresh=frozenset({"password"}))
    known = state(rotation, revision(1), names=("password", "token"))
    spec, published = {"data": [PASSWORD, TOKEN]}, target(2, published=NOW)
    found = look(spec, state=known, target=published, emergencies=(emergency,))

    assert reason_of(replace(found, now=NOW + COOL_DOWN)) == asked("token")

    added = revision(3, RevisionReason.EMERGENCY, made=NOW, base=2, fresh=frozenset({"token"}))
    known = state(added, rotation, revision(1), names=("password", "token"))
    done = look(spec, state=known, target=target(3, published=NOW), emergencies=(emergency,))
    assert reason_of(replace(done, now=NOW + COOL_DOWN)) is None
    assert far(done, emergency=emergency).state is AffectedState.ROLLED_OUT


# Certificates, and the CA that signs them

WITH_CA = frozenset({"uid-1", "uid-1/CA"})
AWAITING = replace(INCIDENT, signer="ca", signed=frozenset({"password"}))
STUCK = replace(AWAITING, goes_first=True)
SIGNED = replace(INCIDENT, signed=frozenset({"password"}))
SIGNED_TOKEN = replace(SIGNED, signed=frozenset({"token"}))


def test_nothing_is_rotated_before_the_ca_that_signs_it() -> None:
    found = look(emergencies=(AWAITING,))

    assert reason_of(found) is None
    assert start_time(found) is None
    assert next_step(found) == Rest(NOW + minutes(1)), "it is checked whether the CA is rotated"
    assert far(found, emergency=AWAITING) == Affected(
        AffectedState.PENDING,
        message="the ManagedSecret 'ca', whose CA signs its certificate, is rotated first",
    )


def test_values_are_rotated_when_the_ca_that_signs_them_is() -> None:
    assert reason_of(look(emergencies=(SIGNED,))) == asked("password")


@pytest.mark.parametrize("reason", ["Triggered", RevisionReason.EMERGENCY])
@pytest.mark.parametrize(
    ("answers", "asks"), [(frozenset(), True), (KNOWN, True), (WITH_CA, False)], ids=["none", "it", "the CA"]
)
def test_a_revision_from_before_the_ca_was_rotated_does_not_count(
    answers: frozenset[str], asks: bool, reason: str
) -> None:
    known = state(revision(2, reason, answers=answers), revision(1))
    found = replace(look(state=known, emergencies=(SIGNED,)), now=NOW + COOL_DOWN)

    assert reason_of(found) == (asked("password") if asks else None)


def test_a_certificate_that_the_exposed_ca_has_signed_again_is_replaced_once_more() -> None:
    again = revision(3, "RotationDue", made=NOW, answers=KNOWN)
    known = state(again, revision(2, RevisionReason.EMERGENCY, answers=WITH_CA), revision(1))

    assert reason_of(look(state=known, target=target(3), emergencies=(SIGNED,))) == asked("password")


@cases(
    ("emergency", "reason", "answers"),
    case("a rotation", INCIDENT, "RotationDue", {"uid-1"}),
    case("one in which every service is updated", OVER, "RotationDue", {"uid-1"}),
    case("with a CA that is rotated", SIGNED, "Emergency", WITH_CA),
    case("before its CA", STUCK, "Emergency", {"uid-1"}),
    case("the rotation of a CA for it", replace(INCIDENT, own_only=True), "Emergency", {"uid-1"}),
    case("another rotation of a CA", replace(INCIDENT, own_only=True), "RotationDue", set()),
)
def test_a_revision_answers_what_is_declared(emergency: Emergency, reason: str, answers: Any) -> None:
    assert answered(look(emergencies=(emergency,)), reason) == answers


def test_a_revision_answers_so_many_open_emergencies_and_the_latest_others() -> None:
    others = [Emergency(f"inc-{one}", f"other-{one}", NOW, is_open=False) for one in range(30)]
    found = answered(look(emergencies=(INCIDENT, *others)), "RotationDue")

    assert "uid-1" in found
    assert len(found) == MAX_ANSWERS


def test_values_are_rotated_before_a_ca_that_is_stuck_which_is_not_enough() -> None:
    assert reason_of(look(emergencies=(STUCK,))) == asked("password")
    assert far(look(emergencies=(STUCK,)), emergency=STUCK).message is None

    found = look(state=rotated(), target=target(2, published=NOW), emergencies=(STUCK,))
    found = replace(found, now=NOW + COOL_DOWN)

    assert reason_of(found) is None
    assert start_time(found) is None
    assert next_step(found) == Rest(found.now + minutes(1))
    told = far(found, emergency=STUCK)
    assert (told.state, told.message) == (
        AffectedState.PENDING,
        "its certificate may still be signed by the exposed CA of the ManagedSecret 'ca', which is not rotated yet",
    )


def test_only_certificates_are_rotated_again_when_the_ca_is() -> None:
    emergency = SIGNED_TOKEN
    spec = {"data": [PASSWORD, TOKEN]}
    items = ("password", "token")
    before = revision(2, RevisionReason.EMERGENCY, made=NOW - seconds(41), fresh=frozenset(items))
    found = look(
        spec, state=state(before, revision(1), names=items), target=target(2), emergencies=(emergency,)
    )

    assert reason_of(found) is None
    assert far(found, emergency=emergency).message == (
        "its certificate may still be signed by an exposed CA; it is rotated again at 12:04:19 UTC"
    )
    assert reason_of(replace(found, now=NOW + COOL_DOWN)) == asked("token")

    again = revision(3, "Emergency", made=NOW, base=2, fresh=frozenset({"token"}), answers=WITH_CA)
    known = state(again, before, revision(1), names=items)
    done = look(spec, state=known, target=target(3, published=NOW), emergencies=(emergency,))
    assert reason_of(replace(done, now=NOW + COOL_DOWN)) is None
    assert far(done, emergency=emergency).state is AffectedState.ROLLED_OUT


@cases(
    "emergencies",
    case("from before the emergency", (SIGNED_TOKEN,)),
    case("from before a later one", (SIGNED_TOKEN, LATER)),
)
def test_all_values_are_rotated_with_the_certificates_after_a_rollback(
    emergencies: tuple[Emergency, ...],
) -> None:
    items = ("password", "token")
    rotations = [
        revision(number, "Emergency", made=time, fresh=frozenset(items), answers=KNOWN | answers)
        for number, time, answers in ((3, LATER.started, {"uid-2"}), (2, STARTED, set()))[
            2 - len(emergencies) :
        ]
    ]
    known = state(*rotations, revision(1), names=items, current=len(emergencies))
    found = look(
        {"data": [PASSWORD, TOKEN]},
        state=known,
        target=target(len(emergencies), published=STARTED if emergencies[1:] else MADE),
        emergencies=emergencies,
    )

    assert reason_of(replace(found, now=NOW + COOL_DOWN)) == asked(*items)


def test_an_emergency_that_waits_for_a_ca_does_not_delay_a_later_one() -> None:
    found = look(state=rotated(STARTED), target=target(2, published=STARTED), emergencies=(STUCK, LATER))

    assert start_time(found) == STARTED + COOL_DOWN
    assert far(found, emergency=LATER).message == (
        "another emergency rotated it a moment ago; it is rotated again at 12:04:00 UTC"
    )
    assert reason_of(replace(found, now=STARTED + COOL_DOWN)) == asked("password", name="inc-2")


# The CA of a Secret, which others wait for

AUTHORITY = {"data": [{"name": "ca", "generate": {"bytes": {}}, "keys": {"value": "tls.crt"}}, PASSWORD]}
BESIDE = replace(AWAITING, own_only=True)


def with_ca(*revisions: Any, number: int, **others: Any) -> Managed:
    names = {"ca": {"value": "tls.crt"}, "password": {"value": "password"}}
    known = state(*revisions, revision(1), keys=names, **others)
    return look(AUTHORITY, state=known, target=target(number, published=NOW), emergencies=(BESIDE,))


def new_ca(number: int = 2, *items: str) -> Any:
    return revision(
        number, RevisionReason.EMERGENCY, made=STARTED, fresh=frozenset(items or ("ca", "password"))
    )


@cases(
    ("found", "is_new"),
    case("before its rotation", with_ca(number=1), False),
    case("beside a certificate that waits", with_ca(new_ca(), number=2), True),
    case("not published yet", with_ca(new_ca(), number=1), False),
    case(
        "with a certificate that is signed since then",
        with_ca(new_ca(3, "password"), new_ca(), number=3, publications=(Publication(2, NOW - seconds(20)),)),
        True,
    ),
    case("rolled back", with_ca(new_ca(), number=1, current=1), False),
    case(
        "found in a Secret since then", with_ca(revision(3, "Claimed", made=NOW), new_ca(), number=3), False
    ),
    case("no state", look(state=None, target=None, status={}), False),
)
def test_the_ca_of_a_secret_counts_from_its_own_publication(found: Managed, is_new: bool) -> None:
    assert far(found, emergency=BESIDE).has_new_ca is is_new


def test_nothing_waits_for_a_ca_that_is_not_named() -> None:
    found = with_ca(number=1)

    assert far(found, emergency=replace(BESIDE, items=frozenset({"password"}))).has_new_ca
    assert not far(found, emergency=replace(BESIDE, items=frozenset({"ca"}))).has_new_ca


def test_a_ca_that_is_rendered_counts_with_all_values() -> None:
    templates = {"tls.crt": "{{ password }}"}
    spec = {"target": {"template": {"data": templates}}}
    known = rotated(templates=templates)

    assert far(look(spec, state=known, target=target(2, published=NOW))).has_new_ca
    assert not far(look(state=rotated(), target=target(2, published=NOW))).has_new_ca


def test_a_ca_that_another_rotation_has_renewed_is_rotated_because_that_keeps_the_trust() -> None:
    only = replace(INCIDENT, own_only=True)
    taken = state(revision(2, "Triggered", base=1), revision(1))
    first = state(revision(1, "Created", answers=KNOWN))

    assert reason_of(look(state=taken, emergencies=(only,))) == asked("password")
    assert reason_of(look(state=rotated(), target=target(2, published=NOW), emergencies=(only,))) is None
    assert reason_of(look(state=first, target=target(published=NOW), emergencies=(only,))) is None


# What it lifts


def test_debounce_pace_overlap_and_the_way_back_are_lifted_and_waves_and_windows_stay() -> None:
    spec = {
        "rotation": {"overlap": "24h", **CLOSED["rotation"]},
        "rollout": {
            "debounce": "1h",
            "maxConcurrent": 1,
            "targets": [{"kind": "Deployment", "name": "api", "wave": 2}],
        },
    }
    before = observed(spec).desired
    after = look(spec).desired

    assert before
    assert after == replace(
        before,
        overlap=timedelta(0),
        longest_overlaps={"password": timedelta(0)},
        debounce=timedelta(0),
        max_concurrent=1_000_000,
        on_failure=OnFailure.HOLD,
    )


@pytest.mark.parametrize(("overlap", "left"), [("24h", seconds(1)), ("0s", seconds(0))])
def test_after_the_rollout_an_overlap_ends_at_once(overlap: str, left: timedelta) -> None:
    found = look({"rotation": {"overlap": overlap}}, emergencies=(GENTLE,))

    assert found.desired.overlap == left


@cases("emergency", case("through", THROUGH), case("over", OVER))
def test_who_is_done_with_it_goes_by_its_spec(emergency: Emergency) -> None:
    assert look(emergencies=(emergency,)).desired == observed().desired


# What is done


def test_a_rotation_begins_at_once() -> None:
    assert next_step(look(CLOSED)) == Stage(2, asked("password"))


@pytest.mark.parametrize("emergency", [INCIDENT, GENTLE])
def test_a_rotation_that_is_not_published_yet_is_superseded(emergency: Emergency) -> None:
    newest = revision(2, "SpecChanged", made=NOW, changed=["token"], previous=frozenset({"token.previous"}))
    known = state(newest, revision(1), names=("password", "token"))
    found = look({"data": [PASSWORD, TOKEN]}, state=known, emergencies=(emergency,))

    assert next_step(found) == Stage(3, asked("password", "token"))


def test_what_is_readable_of_an_overlap_that_ended_is_taken_out() -> None:
    ended = revision(
        2, RevisionReason.EMERGENCY, made=NOW, previous=frozenset({"password.previous"}), ended=True
    )
    found = look(state=state(ended, revision(1)), target=target(2, published=NOW, overlapping=True))

    assert next_step(found) == Settle(2)


def test_a_workload_that_fails_brings_nothing_exposed_back() -> None:
    broken = consumer(marker="db=2", settled=False, failed=True)
    found = look(None, broken, state=rotated(), target=target(2, published=NOW))

    with pytest.raises(Stalled) as stalled:
        next_step(found)
    assert stalled.value.reason == "RolloutFailed"


def test_the_message_about_a_failed_workload_tells_that_the_others_are_restarted() -> None:
    broken = consumer(marker="db=2", settled=False, failed=True)
    restarted = consumer("web", restarted=NOW - timedelta(seconds=4))
    found = look(None, broken, restarted, state=rotated(), target=target(2, published=NOW))

    with pytest.raises(Stalled) as stalled:
        next_step(found)
    assert stalled.value.message == (
        "Deployment/api did not become ready with revision 2; the others are restarted nevertheless, because of an"
        " emergency; fix the workload, or run `keyturn rotate db`"
    )
    assert stalled.value.again == NOW + timedelta(seconds=6), "the next restart of web is due"


def test_a_way_back_that_a_person_asks_for_is_taken() -> None:
    found = look(state=rotated(), target=target(2, published=NOW), annotations={ROLLBACK: "1/even-exposed"})

    assert next_step(found) == GoBack(1, 2, failed=False, lasts=False)


@cases(
    ("number", "exposed"),
    case("before it", 1, True),
    case("its rotation", 2, False),
    case("after it", 3, False),
    case("unknown", 9, False),
)
@pytest.mark.parametrize("emergencies", [(INCIDENT,), ()], ids=["open", "closed"])
def test_a_revision_is_exposed_if_it_was_staged_before_an_emergency_was_known(
    number: int, exposed: bool, emergencies: tuple[Emergency, ...]
) -> None:
    known = state(revision(3, "SpecChanged", fresh=frozenset()), revision(2, "Emergency"), revision())
    found = look(state=known, target=target(3), emergencies=emergencies)
    assert is_exposed(number, found) is exposed


def test_every_revision_is_exposed_by_an_emergency_that_none_answers() -> None:
    found = look(state=rotated(), target=target(2), emergencies=(LATER,))
    assert [is_exposed(number, found) for number in (1, 2)] == [True, True]


def test_nothing_is_done_while_it_is_suspended() -> None:
    assert next_step(look({"suspend": True})) == Rest(None)


# What stores hold is read anew

PULLING = {"data": [PASSWORD, API_KEY]}


def pulling(*read_for: str, **given: Any) -> Managed:
    records = rotated(names=("password", "api-key"), refreshed_for=frozenset(read_for))
    return look(PULLING, state=records, target=target(2, published=NOW), **given)


def test_stores_are_read_for_it_once() -> None:
    before = pulling("uid-of-an-earlier-one", pulled=Pulled(read=True))

    assert before.stale_for_emergencies == (INCIDENT,)
    assert before.asks_to_refresh
    assert next_step(before) == Refresh()
    assert before.refreshed_for == KNOWN
    assert not pulling("uid-1").asks_to_refresh
    assert pulling("uid-1", emergencies=(THROUGH, LATER)).refreshed_for == KNOWN | {"uid-2"}
    assert pulling("uid-1", emergencies=(OVER,)).refreshed_for == frozenset()
    assert look(PULLING, state=None, target=None, status={}).refreshed_for == KNOWN


@cases(
    "found",
    case("who is through", pulling(emergencies=(THROUGH,))),
    case("nothing is pulled", look()),
)
def test_no_store_is_read_for_nothing(found: Managed) -> None:
    assert found.stale_for_emergencies == ()
    assert not found.asks_to_refresh


def test_a_store_that_does_not_answer_holds_up_no_rotation() -> None:
    trouble = Pulled(problem=Wait("Unreachable", "no answer", minutes(1)))
    found = look(PULLING, state=state(names=("password", "api-key")), pulled=trouble)

    assert next_step(found) == Stage(2, asked("password"))


# Whom it concerns


def emergency(status: dict[str, Any] | None = None, **spec: Any) -> EmergencyRotation:
    body = {"metadata": {"name": "inc-1"}, "spec": {"reason": "stolen", **spec}, "status": status or {}}
    return EmergencyRotation.model_validate(body)


@cases(
    ("declared", "expected"),
    case("by name", emergency(names=["db"]), True),
    case("by another name", emergency(names=["mail"]), False),
    case("all", emergency(selector={}), True),
    case("by label", emergency(selector={"matchLabels": {"team": "auth"}}), True),
    case("by another label", emergency(selector={"matchLabels": {"team": "mail"}}), False),
    case(
        "by a label that it has lost since",
        emergency(
            {"secrets": [{"name": "db", "state": "Pending"}]}, selector={"matchLabels": {"team": "mail"}}
        ),
        True,
    ),
    case("all, when every service is updated", emergency({"servicesUpdatedAt": NOW}, selector={}), False),
    case(
        "who was taken in before that",
        emergency({"servicesUpdatedAt": NOW, "secrets": [{"name": "db", "state": "RolledOut"}]}, selector={}),
        True,
    ),
)
def test_it_concerns(declared: EmergencyRotation, expected: bool) -> None:
    assert concerns(declared, "db", {"team": "auth"}) is expected


# How far a secret is

SERVED = {"state": rotated(), "target": target(2, published=NOW), "status": {"revision": 2}}


def far(found: Managed, error: Wait | Stalled | None = None, emergency: Emergency = INCIDENT) -> Affected:
    return affected(emergency, found, error)


def test_a_secret_that_waits_for_its_turn_is_pending() -> None:
    assert far(look()) == Affected(AffectedState.PENDING)


def test_what_keeps_it_from_being_rotated_is_reported() -> None:
    wait = Wait("Forbidden", "the quota is used up", seconds(5))
    stalled = Stalled("PolicyViolation", "the class asks for more")

    assert far(look(), wait) == Affected(AffectedState.PENDING, message="the quota is used up")
    assert far(look(), stalled) == Affected(
        AffectedState.STALLED, message="PolicyViolation: the class asks for more"
    )
    assert far(look({"suspend": True})) == Affected(
        AffectedState.SUSPENDED, message="spec.suspend is true, so nothing is written"
    )


def test_a_spec_that_cannot_be_followed_is_reported() -> None:
    stalled = Stalled("InvalidSpec", "write another")

    assert far(look(spec_error=stalled), stalled) == Affected(
        AffectedState.STALLED, message="InvalidSpec: write another"
    )


def test_an_immutable_secret_is_reported() -> None:
    found = look({"target": {"immutable": True}}, target=replace(target(), immutable=True))

    assert (far(found).message or "").endswith(
        "create another ManagedSecret for new values, and let its workloads use the new Secret"
    )


def test_a_secret_that_waits_because_of_another_emergency_is_reported() -> None:
    found = look(**SERVED, emergencies=(LATER,))
    found = replace(
        found, state=rotated(made=NOW - seconds(30)), target=target(2, published=NOW - seconds(30))
    )

    assert far(found, emergency=LATER).message == (
        "another emergency rotated it a moment ago; it is rotated again at 12:04:30 UTC"
    )
    assert far(replace(found, now=NOW + COOL_DOWN), emergency=LATER).message is None


def test_of_two_that_wait_the_first_is_reported_when() -> None:
    third = Emergency("inc-3", "uid-3", NOW)
    found = look(**SERVED, emergencies=(LATER, third))
    found = replace(
        found, state=rotated(made=NOW - seconds(30)), target=target(2, published=NOW - seconds(30))
    )

    assert far(found, emergency=third) == Affected(AffectedState.PENDING)


def test_a_secret_whose_workloads_run_on_it_is_through() -> None:
    found = look(None, consumer(marker="db=2"), **SERVED)

    assert far(found) == Affected(AffectedState.ROLLED_OUT, 2, NOW, workloads=("Deployment/api",))


def test_a_secret_with_an_old_value_that_is_readable_is_not_through() -> None:
    overlapping = state(
        revision(2, RevisionReason.EMERGENCY, made=NOW, previous=frozenset({"password.previous"})),
        revision(1),
    )
    found = look(**{**SERVED, "state": overlapping}, emergencies=(GENTLE,))

    assert far(found, emergency=GENTLE) == Affected(
        AffectedState.ROTATED,
        2,
        NOW,
        message="the previous values are still readable",
        open_points=("the previous values are still readable",),
    )


def test_workloads_that_are_not_through_are_reported() -> None:
    found = look(None, consumer("api", marker="db=2", settled=False), consumer("web"), **SERVED)

    told = far(found)

    assert (told.state, told.revision) == (AffectedState.ROTATED, 2)
    assert told.message == "Deployment/api is rolling; Deployment/web is pending: queued for restart"
    assert told.open_points == ("Deployment/api is rolling", "Deployment/web is pending: queued for restart")


def test_everything_that_is_open_is_named_at_once() -> None:
    old = NOW - minutes(60)
    found = far(
        look(
            {"pushTo": [PUSH]},
            consumer("api", marker="db=2", settled=False),
            consumer("web", marker="db=2", settled=False, failed=True),
            **SERVED,
            holders=PodsSeen((make.holding("bare", began=old), make.holding("debug", began=old))),
        )
    )

    assert found.state is AffectedState.FAILED, "the worst"
    assert [point.split()[0] for point in found.open_points] == [
        "Deployment/web",
        "Deployment/api",
        "Pod/bare",
        "Pod/debug",
        "pushTo:",
    ]
    assert found.message == "; ".join(found.open_points)


def test_of_many_workloads_that_are_behind_those_that_have_room_leave_some_to_other_pods() -> None:
    many = [consumer(f"api-{number:03}", marker="db=2", settled=False) for number in range(200)]
    found = far(
        look(None, *many, **SERVED, holders=PodsSeen((make.holding("bare", began=NOW - minutes(60)),)))
    )

    assert found.message is not None
    assert len(found.message) <= 1024
    assert " more; Pod/bare runs since" in found.message
    assert len(found.open_points) == 201


def test_a_workload_that_refuses_restarts_is_not_through() -> None:
    told = far(look(None, consumer(restart="never"), **SERVED))

    assert told.state is AffectedState.ROTATED
    assert told.message == (
        "Deployment/api is pending: refuses restarts by keyturn.dev/restart: never; restart it yourself"
    )


def test_a_workload_that_failed_is_reported() -> None:
    told = far(look(None, consumer(marker="db=2", settled=False, failed=True), **SERVED))

    assert (told.state, told.revision) == (AffectedState.FAILED, 2)


def test_exposed_values_that_came_back_are_reported() -> None:
    returned = rotated(current=1, publications=(Publication(2, NOW), Publication(1, PUBLISHED)))
    found = look(state=returned, target=target(1, published=NOW), status={"revision": 1})

    assert far(found) == Affected(
        AffectedState.FAILED,
        message="rolled back to revision 1, which has the values from before the emergency; rotate it again",
    )


def test_a_rotation_is_not_forgotten_while_a_user_has_deleted_the_secret() -> None:
    found = look(state=rotated(), target=None, status={"revision": 2})

    assert far(found).revision == 2


def test_a_later_revision_does_not_make_it_later() -> None:
    revisions = (
        revision(3, "SpecChanged", made=NOW + minutes(1), changed=()),
        revision(2, RevisionReason.EMERGENCY, made=NOW),
        revision(1),
    )
    known = state(*revisions, publications=(Publication(2, NOW), Publication(1, PUBLISHED)))
    found = look(
        state=known,
        target=target(3, published=NOW + minutes(1)),
        status={"revision": 3},
        now=NOW + minutes(1),
    )

    assert far(found) == Affected(AffectedState.ROLLED_OUT, 3, NOW)


def test_new_values_that_a_later_revision_is_the_first_to_publish_count_from_then() -> None:
    """The write of the Secret was refused, until a change of the spec made another revision of them."""
    revisions = (
        revision(3, "SpecChanged", made=NOW - seconds(5), fresh=frozenset()),
        revision(2, RevisionReason.EMERGENCY, made=NOW - seconds(10)),
        revision(1),
    )
    known = state(*revisions, publications=(Publication(1, PUBLISHED),))

    before = look(state=known, target=target(1, published=PUBLISHED), status={"revision": 1})
    after = replace(before, target=target(3, published=NOW))

    assert far(before) == Affected(AffectedState.PENDING)
    assert far(after) == Affected(AffectedState.ROLLED_OUT, 3, NOW)


def test_what_is_not_made_here_is_named() -> None:
    told = far(look({"data": [USERNAME]}, state=state(names=("username",))))
    read = state(names=("username", "api-key"), refreshed_for=KNOWN)
    pulled = far(look({"data": [API_KEY, USERNAME]}, state=read))

    assert told == Affected(
        AffectedState.NOTHING_TO_ROTATE, message="written in the spec: username", literals=("username",)
    )
    assert pulled.message == "to be rotated at its store: api-key (vault)"
    assert far(pulling("uid-1")).pulled == ("api-key (vault)",)
    assert far(pulling("uid-1")).message == "to be rotated at its store: api-key (vault)"


@cases(
    ("error", "spec", "state_of_it"),
    case("stalled", Stalled("StateUnreadable", "it was edited"), {}, AffectedState.STALLED),
    case("waiting", Wait("Forbidden", "no answer", minutes(1)), {}, AffectedState.PENDING),
    case("suspended", None, {"suspend": True}, AffectedState.SUSPENDED),
)
def test_a_secret_without_generated_values_is_not_through_while_its_state_is_unknown(
    error: Wait | Stalled | None, spec: dict[str, Any], state_of_it: AffectedState
) -> None:
    told = far(look({"data": [API_KEY], **spec}, state=None), error)

    assert told.state is state_of_it
    assert told.message


def test_what_was_found_in_an_adopted_secret_is_named() -> None:
    kept = {"password": {"value": "password"}, found_under("smtp"): {"value": "smtp"}}
    generated = far(look(state=rotated(keys=kept), target=target(2, published=NOW), status={"revision": 2}))
    read = state(
        keys={"api-key": {"value": "api-key"}, found_under("smtp"): {"value": "smtp"}}, refreshed_for=KNOWN
    )
    pulled = far(look(PULLED, state=read))

    stays = "kept as found in the adopted Secret, to be replaced by hand: smtp"
    assert generated == Affected(AffectedState.ROLLED_OUT, 2, NOW, message=stays, found=("smtp",))
    assert pulled.message == f"to be rotated at its store: api-key (vault); {stays}"


def registry(password: str) -> dict[str, Any]:
    return {"name": "docker", "generate": {"dockerConfig": {"passwordFrom": {"name": password}}}}


@cases(
    ("source", "message"),
    case("pulled", API_KEY, "to be rotated at its store: api-key (vault)"),
    case("literal", {"name": "api-key", "literal": "x"}, "written in the spec: api-key"),
)
def test_a_value_in_another_form_is_not_rotated_if_its_source_is_not(
    source: dict[str, Any], message: str
) -> None:
    spec = {"data": [source, registry("api-key")]}
    found = look(spec, state=state(names=("api-key", "docker"), refreshed_for=KNOWN))

    told = far(found)
    assert (told.state, told.revision, told.message) == (AffectedState.NOTHING_TO_ROTATE, None, message)
    assert reason_of(found) is None


def test_a_value_in_another_form_is_rotated_with_its_source() -> None:
    spec = {"data": [PASSWORD, registry("password")]}
    names = ("password", "docker")
    assert reason_of(look(spec, state=state(names=names))) == asked(*names)

    renewed = revision(2, RevisionReason.EMERGENCY, made=NOW, changed=names, fresh=frozenset(names))
    served = {**SERVED, "state": state(renewed, revision(1), names=names)}
    assert far(look(spec, **served)).state is AffectedState.ROLLED_OUT


def leased(*answers: str, **others: Any) -> Any:
    """Make a state whose current revision has a dynamic credential that is issued for it."""
    return state(
        revision(2, "Refreshed", made=NOW, changed=["api-key"], answers=frozenset(answers)),
        revision(1),
        names=("api-key",),
        refreshed_for=KNOWN,
        leases_by_item={"api-key": "creds/2"},
        leases_by_revision={1: frozenset({"creds/1"}), 2: frozenset({"creds/2"})},
        **others,
    )


def test_dynamic_credentials_that_are_replaced_are_rotated() -> None:
    served = {"target": target(2, published=NOW), "status": {"revision": 2}}

    assert far(look(PULLED, state=leased(*KNOWN), **served)) == Affected(AffectedState.ROLLED_OUT, 2, NOW)
    kept = far(look(PULLED, state=leased(), **served))
    assert (kept.state, kept.message) == (
        AffectedState.NOTHING_TO_ROTATE,
        "to be rotated at its store: api-key (vault)",
    )


def test_dynamic_credentials_do_not_rotate_what_is_next_to_them() -> None:
    other = {**API_KEY, "name": "token"}
    served = {"target": target(2, published=NOW), "status": {"revision": 2}}
    known = leased(*KNOWN, keys={"api-key": {"value": "api-key"}, "token": {"value": "token"}})
    told = far(look({"data": [API_KEY, other]}, state=known, **served))

    assert (told.state, told.pulled) == (AffectedState.NOTHING_TO_ROTATE, ("token (vault)",))


PULLED = {"data": [API_KEY]}
NOT_ANSWERED = Wait("Unreachable", "the store does not answer", minutes(1))


@cases(
    ("error", "message"),
    case("soon", None, "its stores are read again"),
    case("when they answer", NOT_ANSWERED, "its stores are read again: the store does not answer"),
)
def test_a_secret_is_not_through_before_its_stores_were_read_again(error: Wait | None, message: str) -> None:
    pulled = far(look(PULLED, state=state(names=("api-key",))), error)
    generated = far(pulling(), error)

    assert (pulled.state, pulled.message) == (AffectedState.PENDING, message)
    assert (generated.state, generated.message) == (AffectedState.ROTATED, message)
    assert far(look(PULLED, state=state(names=("api-key",), refreshed_for=KNOWN))).state is (
        AffectedState.NOTHING_TO_ROTATE
    )
    assert far(look(PULLED, state=None, target=None, status={})).state is AffectedState.NOTHING_TO_ROTATE


REFUSED = Stalled("AuthenticationFailed", "the store refuses the token")
LEASED: dict[str, Any] = {
    "leases": (StoreLease("vault", "creds/1", "", minutes(60), NOW + minutes(60), is_carried=True),),
    "leases_by_revision": {0: frozenset({"creds/1"})},
}


@pytest.mark.parametrize("spec", [PULLED, PULLING], ids=["pulled alone", "generated as well"])
def test_a_secret_whose_stores_are_not_read_again_names_what_keeps_the_operator_from_it(
    spec: dict[str, Any],
) -> None:
    served = {**SERVED, "state": rotated(names=("password", "api-key"))}

    suspended = far(look({**spec, "suspend": True}, **served))
    stalled = far(look(spec, **served), REFUSED)

    assert (suspended.state, suspended.message) == (
        AffectedState.SUSPENDED,
        "spec.suspend is true, so nothing is written",
    )
    assert (stalled.state, stalled.message) == (
        AffectedState.STALLED,
        "AuthenticationFailed: the store refuses the token",
    )


def test_a_suspended_secret_with_leases_of_earlier_credentials_is_suspended() -> None:
    known = state(names=("api-key",), refreshed_for=KNOWN, **LEASED)

    assert far(look({**PULLED, "suspend": True}, state=known)).state is AffectedState.SUSPENDED


def test_a_secret_is_not_through_while_earlier_credentials_are_leased() -> None:
    others: dict[str, Any] = {"refreshed_for": KNOWN, **LEASED}
    message = "leases of earlier credentials are to be revoked: 1"

    pulled = far(look(PULLED, state=state(names=("api-key",), **others)))
    both = rotated(names=("password", "api-key"), **others)
    generated = far(look(PULLING, state=both, target=target(2, published=NOW)))

    assert (pulled.state, pulled.message) == (AffectedState.PENDING, message)
    assert (generated.state, generated.message) == (AffectedState.ROTATED, message)


UNREVOKED = tuple(
    StoreLease(
        Destination(StoreKind.SECRET_STORE, "vault", f"creds/{number}").id,
        f"lease-{number}",
        "",
        minutes(60),
        NOW + minutes(60) + seconds(number),
        is_carried=True,
    )
    for number in (1, 2)
)


def unrevoked_row(spec: dict[str, Any], *leases: StoreLease, **facts: Any) -> Affected:
    """Return the row of a secret whose store refuses to revoke leases."""
    names = ("password", "api-key") if PASSWORD in spec["data"] else ("api-key",)
    of = rotated(names=names, refreshed_for=KNOWN, leases=leases)
    problem = RevocationProblem(NOW + minutes(5), "Status403: extend a policy", NOW)
    refused = {lease.id: problem for lease in leases}
    return far(
        look(
            spec, **{"state": of, "target": target(2, published=NOW), "revocation_problems": refused, **facts}
        )
    )


@pytest.mark.parametrize("spec", [PULLED, PULLING], ids=["pulled alone", "generated as well"])
def test_a_lease_that_its_store_does_not_revoke_is_named_with_its_end(spec: dict[str, Any]) -> None:
    one, two, none = (unrevoked_row(spec, *UNREVOKED[:count]) for count in (1, 2, 0))
    assert one.state is AffectedState.STALLED
    assert one.message == (
        "the lease of key 'creds/1' of SecretStore 'vault' could not be revoked, so the earlier credentials are valid"
        f" until {UNREVOKED[0].ends:%Y-%m-%d %H:%M:%S} UTC unless you revoke it at the store; if you have, annotate"
        " the ManagedSecret with keyturn.dev/leases-revoked and the time, not before 2026-11-24T12:00:00Z:"
        " Status403: extend a policy"
    )
    assert (two.message or "").startswith(
        "the lease of key 'creds/2' of SecretStore 'vault' and 1 more could not"
    )
    assert none.state in {AffectedState.ROLLED_OUT, AffectedState.NOTHING_TO_ROTATE}
    suspended = unrevoked_row({**spec, "suspend": True}, UNREVOKED[0])
    assert suspended.state is AffectedState.SUSPENDED


@pytest.mark.parametrize("spec", [PULLED, PULLING], ids=["pulled alone", "generated as well"])
@pytest.mark.parametrize(
    "returns",
    [{}, {"lease-1": RevocationProblem(NOW + minutes(5), since=NOW)}],
    ids=["not tried", "unreachable"],
)
def test_a_lease_that_was_refused_before_a_restart_is_named_until_the_store_answers(
    spec: dict[str, Any], returns: dict[str, RevocationProblem]
) -> None:
    before = unrevoked_row(spec, UNREVOKED[0])
    told = {"count": 1, "validUntil": UNREVOKED[0].ends, "message": before.message}

    after = unrevoked_row(
        spec, UNREVOKED[0], revocation_problems=returns, status={"revision": 1, "unrevokedLeases": told}
    )

    assert (after.state, after.message) == (AffectedState.STALLED, before.message)


STATEMENT = (
    "a person states by keyturn.dev/leases-revoked that leases which Keyturn could not revoke were revoked at the"
    " store by 2026-11-24 11:59:30 UTC; Keyturn has not seen it"
)


@pytest.mark.parametrize("spec", [PULLED, PULLING], ids=["pulled alone", "generated as well"])
@pytest.mark.parametrize(
    ("stated", "is_told"),
    [("2026-11-24T12:59:30+01:00", True), ("2026-11-24T11:58:59Z", False), ("now", False)],
    ids=["during the emergency", "before it", "no time"],
)
def test_the_statement_of_a_person_that_leases_are_revoked_is_told_as_one(
    spec: dict[str, Any], stated: str, is_told: bool
) -> None:
    names = ("password", "api-key") if spec is PULLING else ("api-key",)
    of = rotated(names=names, refreshed_for=KNOWN)
    row = far(look(spec, state=of, target=target(2, published=NOW), annotations={LEASES_REVOKED: stated}))

    message = "to be rotated at its store: api-key (vault)"
    assert row.state in {AffectedState.ROLLED_OUT, AffectedState.NOTHING_TO_ROTATE}
    assert row.message == (f"{STATEMENT}; {message}" if is_told else message)


@cases(
    ("one", "state_", "message"),
    case("paused", consumer(paused=True), AffectedState.PENDING, "waits because the Deployment is paused"),
    case(
        "failed",
        consumer(marker="db=2", settled=False, failed=True),
        AffectedState.FAILED,
        "its pods did not become available in time",
    ),
)
def test_a_secret_without_generated_values_waits_for_pods_with_earlier_ones(
    one: Consumer, state_: AffectedState, message: str
) -> None:
    read = state(
        revision(2, "Refreshed", changed=["api-key"]), revision(1), names=("api-key",), refreshed_for=KNOWN
    )

    told = far(look(PULLED, one, state=read, target=target(2, published=NOW), status={"revision": 2}))

    assert (told.state, told.revision) == (state_, None)
    assert message in (told.message or "")


# Revisions that are derived from exposed ones

BOTH = {"data": [PASSWORD, USERNAME]}
UNPROVEN = (
    "the record does not show that every value of revision 3 was generated since the declaration, such as after a"
    " rollback or an adoption; rotate it again"
)


def derived(base: int, *fresh: str, reason: str = "SpecChanged") -> Managed:
    """Observe a third revision: the second is that of the emergency, and was rolled back if `base` is 1."""
    every = ("password", "username")
    known = state(
        revision(3, reason, made=NOW, changed=every, fresh=frozenset(fresh), base=base),
        revision(2, RevisionReason.EMERGENCY, made=NOW - seconds(10)),
        revision(1),
        names=("password", "username"),
    )
    return look(BOTH, state=known, target=target(3, published=NOW), status={"revision": 3})


@cases(
    ("found", "message"),
    case("from that of the emergency", derived(2, "username"), None),
    case("from an exposed one, with a new value", derived(1, "password"), None),
    case("from an exposed one", derived(1, "username"), UNPROVEN),
    case("adopted", derived(2, "password", reason="Claimed"), UNPROVEN),
    case("from one that is not recorded", derived(7, "username"), UNPROVEN),
)
def test_a_revision_is_as_exposed_as_the_one_that_it_is_derived_from(
    found: Managed, message: str | None
) -> None:
    told = far(found)

    assert (told.state is AffectedState.ROLLED_OUT) is (message is None)
    assert is_exposed(3, found) is (message is not None)
    if message:
        assert told == Affected(AffectedState.FAILED, message=message, literals=("username",))


def test_a_failed_rollout_does_not_return_to_exposed_values_when_the_emergency_was_deleted() -> None:
    broken = consumer(marker="db=2", settled=False, failed=True)
    found = look(None, broken, state=rotated(), target=target(2, published=NOW), emergencies=())

    with pytest.raises(Stalled) as stalled:
        next_step(found)
    assert stalled.value.reason == "RolloutFailed"


# What the Secret has


def test_a_secret_that_is_not_written_yet_is_not_through() -> None:
    known = state(
        revision(3, "SpecChanged", made=NOW, changed=()),
        revision(2, RevisionReason.EMERGENCY, made=NOW),
        revision(1),
    )
    found = look(state=known, target=target(2, published=NOW), status={"revision": 2})

    message = "the Secret is to be written with revision 3"
    assert far(found) == Affected(AffectedState.ROTATED, 3, NOW, message=message, open_points=(message,))


def ended(*of: Any, overlapping: bool = False) -> Managed:
    """Observe a secret whose overlap has ended according to the record."""
    before = frozenset({"password"})
    known = state(revision(2, RevisionReason.EMERGENCY, made=NOW, previous=before, ended=True), revision(1))
    return look(
        None,
        *of,
        state=known,
        target=target(2, published=NOW, overlapping=overlapping),
        emergencies=(GENTLE,),
    )


def test_a_secret_that_still_has_previous_values_is_not_through() -> None:
    told = far(ended(overlapping=True), emergency=GENTLE)

    assert (told.state, told.message) == (AffectedState.ROTATED, "the previous values are still readable")


def test_pods_that_have_read_the_previous_value_are_named() -> None:
    told = far(ended(consumer(marker="db=2")), emergency=GENTLE)

    assert (told.state, told.message) == (
        AffectedState.ROLLED_OUT,
        "its pods have read the previous value of password next to the new one; restart them if they still accept it",
    )
    assert far(ended(), emergency=GENTLE).message is None


def test_a_secret_that_is_not_there_yet_is_pending() -> None:
    assert far(look(state=None, target=None, status={})) == Affected(AffectedState.PENDING)


# What it is pushed to

PLACE = Destination(StoreKind.SECRET_STORE, "vault", "shop/db")
OTHER = Destination(StoreKind.SECRET_STORE, "vault", "shop/other")
NAME_ALONE = replace(PLACE, secret_key="username")  # noqa: S106  # a name
AT = "key 'shop/db' of SecretStore 'vault'"


def pushing(*records: Any, push: Any = (PUSH,), data: Any = (PASSWORD, USERNAME), **given: Any) -> Managed:
    served = {**SERVED, "state": rotated(pushed=records, names=("password", "username"))}
    return look({"data": list(data), "pushTo": list(push)}, **served, **given)


@cases(
    "found",
    case("what has the new values", pushing(pushed(PLACE, 2))),
    case("what is not pushed to any more and stays", pushing(pushed(OTHER, 1), pushed(PLACE, 2))),
    case(
        "what is no other after a rotation",
        pushing(pushed(NAME_ALONE, 2, kept=True), push=({**PUSH, "secretKey": "username"},)),
    ),
)
def test_a_secret_is_through_with_what_it_is_pushed_to(found: Managed) -> None:
    assert far(found) == Affected(AffectedState.ROLLED_OUT, 2, NOW, literals=("username",))


@cases(
    "found",
    case("not recorded", pushing()),
    case("of the revision before", pushing(pushed(PLACE, 1))),
    case("under way", pushing(pushed(PLACE, 2, done=False))),
)
def test_a_store_that_has_the_values_before_is_reported(found: Managed) -> None:
    told = far(found)

    assert (told.state, told.revision) == (AffectedState.ROTATED, 2)
    assert told.message == f"pushTo: {AT} has the previous values"
    assert told.unpushed == (Unpushed(AT, f"{AT} has the previous values"),)


@pytest.mark.parametrize(
    ("error", "state_of_it"),
    [
        (Wait("Unreachable", "no answer", minutes(1)), AffectedState.ROTATED),
        (Stalled("AuthenticationFailed", "no answer"), AffectedState.STALLED),
    ],
)
def test_a_push_that_fails_is_reported(error: Wait | Stalled, state_of_it: AffectedState) -> None:
    found = pushing(pushed(PLACE, 1), push_problems=push_problems(PLACE, error=error, again=NOW))

    assert far(found).state is state_of_it
    assert far(found).message == f"pushTo: {AT} has the previous values: no answer"


def test_a_store_that_keeps_what_it_had_needs_a_person_and_is_named_first() -> None:
    pushes = ({**PUSH, "remoteRef": {"key": "shop/other"}}, {**PUSH, "updatePolicy": "IfNotExists"})
    kept = pushed(replace(PLACE, replaces=False), 2, kept=True)

    told = far(pushing(pushed(OTHER, 1), kept, push=pushes))

    assert told.state is AffectedState.STALLED
    assert told.open_points == (
        (
            f"pushTo: {AT} keeps its previous value because of updatePolicy: IfNotExists; write Replace, or remove it"
            " from pushTo once it has no exposed value"
        ),
        "pushTo: key 'shop/other' of SecretStore 'vault' has the previous values",
    )


def test_what_is_still_to_be_deleted_in_a_store_is_reported() -> None:
    gone = replace(OTHER, deletes=True)

    told = far(pushing(pushed(PLACE, 2), pushed(gone, 1, deletes=True)))

    assert told.message == "pushTo: key 'shop/other' of SecretStore 'vault' is to be deleted there"


def test_workloads_and_readable_values_are_reported_before_stores() -> None:
    spec = {"pushTo": [PUSH]}

    told = far(look(spec, consumer("web"), **SERVED))

    assert told.open_points == (
        "Deployment/web is pending: queued for restart",
        f"pushTo: {AT} has the previous values",
    )
    assert len(told.unpushed) == 1


# Pods that Keyturn does not restart


def test_a_pod_that_holds_exposed_values_keeps_services_from_being_updated() -> None:
    found = far(look(**SERVED, holders=PodsSeen((make.holding("bare", began=NOW - minutes(60)),))))

    assert found.state is AffectedState.ROTATED
    assert found.message is not None
    assert "Pod/bare" in found.message
    assert found.others is not None
    assert [other.split()[0] for other in found.others] == ["Pod/bare"]


def test_pods_that_may_not_be_listed_are_unknown() -> None:
    found = far(look(**SERVED, holders=PodsSeen(forbidden=True)))

    assert (found.state, found.others) == (AffectedState.PODS_UNKNOWN, None)


def test_pods_whose_list_fails_are_waited_for() -> None:
    unread = Wait("Unreachable", "no answer", seconds(5))
    found = far(replace(look(**SERVED, holders=PodsSeen(forbidden=True)), unread=unread))

    assert (found.state, found.others) == (AffectedState.ROTATED, None)
    assert found.message == "whether pods with earlier values still run is unknown: no answer"


def test_pods_that_were_read_and_hold_nothing_are_known() -> None:
    found = far(look(**SERVED, holders=PodsSeen()))

    assert (found.state, found.others) == (AffectedState.ROLLED_OUT, ())
