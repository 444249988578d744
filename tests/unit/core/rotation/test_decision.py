"""What is done next, for every situation."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from keyturn.core.errors import Stalled
from keyturn.core.labels import ROLLBACK, ROTATE
from keyturn.core.observation.emergency import Emergency
from keyturn.core.observation.observed import Managed, with_facts
from keyturn.core.policy.rules import Violation
from keyturn.core.rotation.decision import next_number, next_step
from keyturn.core.rotation.rollback import GoBack, failures
from keyturn.core.rotation.steps import (
    Claim,
    Expire,
    Overlap,
    Publish,
    Reason,
    Repair,
    Rest,
    RollOut,
    Settle,
    Stage,
    Step,
    rotation_id,
)
from keyturn.core.state.state import RollbackPause, StateFacts, Triggers
from tests.support.cases import case, cases
from tests.unit.core.builders import (
    MADE,
    NOW,
    PASSWORD,
    PUBLISHED,
    consumer,
    minutes,
    observed,
    revision,
    seconds,
    state,
    target,
    workload,
)

CREATED = Reason("Created", "the Secret is written for the first time", frozenset({"password"}), rotates=True)
LOST = Reason(
    "Lost",
    "the Secret and its state are gone; new values are generated",
    frozenset({"password"}),
    rotates=True,
)
TRIGGERED = Reason("Triggered", "a new trigger asks for it", frozenset({"password"}), rotates=True)
ADDED = Reason("SpecChanged", "data has new items: token", frozenset({"token"}), rotates=False)
ASKED = {ROTATE: "leaver"}
TWO = {"data": [PASSWORD, {"name": "token", "generate": {"bytes": {}}}]}
STAGED = state(revision(2, "Triggered", made=NOW), revision())
ROTATED: dict[str, Any] = {
    "state": STAGED,
    "target": target(2, published=NOW - seconds(6)),
    "status": {"revision": 2},
}
EVERY_KEY = frozenset({"password"})
OUTDATED = Violation("minLength", "too old", frozenset({"password"}))
WARNED = replace(OUTDATED, denied=False)


@cases(
    ("look", "step"),
    # From nothing to a Secret
    case("new", observed(state=None, target=None, status={}), Stage(1, CREATED)),
    case("staged and not published", observed(target=None, status={}), Publish(1)),
    case("published, nothing to do", observed(), Rest(None)),
    # A rotation
    case("a rotation is staged", observed(annotations=ASKED), Stage(2, TRIGGERED)),
    case("a staged rotation is published", observed(state=STAGED), Publish(2)),
    case(
        "a revision is published before the next is made",
        observed(state=STAGED, annotations=ASKED),
        Publish(2),
    ),
    case("a change of the spec is staged too", observed(TWO), Stage(2, ADDED)),
    case(
        "an empty annotation asks for nothing", observed(annotations={"keyturn.dev/rotate": ""}), Rest(None)
    ),
    # What others did to the two Secrets
    case("a key was edited", observed(target=target(differs=["password"])), Repair(1, EVERY_KEY)),
    case("a key was added by somebody", observed(target=target(differs=["x"])), Repair(1, frozenset({"x"}))),
    case("a label was removed", observed(target=target(has_metadata_of_spec=False)), Repair(1, frozenset())),
    case("the revision's annotation was removed", observed(target=target(None)), Publish(1)),
    case("the Secret was deleted", observed(target=None), Repair(1, EVERY_KEY)),
    case(
        "the target has a new name",
        observed(target=None, status={"revision": 1, "secretName": "old"}),
        Publish(1),
    ),
    case(
        "deleted while a newer revision waits: that is published",
        observed(target=None, state=STAGED),
        Publish(2),
    ),
    case(
        "edited and to be rotated: one write serves both",
        observed(target=target(differs=["password"]), annotations=ASKED),
        Stage(2, TRIGGERED),
    ),
    case("the state was deleted: the Secret's values are kept", observed(state=None), Claim(1)),
    case(
        "the Secret's revision counts",
        observed(state=None, target=target(7), status={"revision": 9}),
        Claim(7),
    ),
    case(
        "claimed without a revision: a new number",
        observed(state=None, target=target(None), status={"revision": 9}),
        Claim(10),
    ),
    case("both are gone: new values, on record", observed(state=None, target=None), Stage(2, LOST)),
    case(
        "made again: goes on, and a trigger at creation is recorded only",
        observed(state=state(revision(5), uid="first-life"), status={}, annotations=ASKED),
        Claim(5),
    ),
    # Not now
    case("suspended: new", observed({"suspend": True}, state=None, target=None, status={}), Rest(None)),
    case("suspended: triggered", observed({"suspend": True}, annotations=ASKED), Rest(None)),
    case(
        "suspended: not even a complaint", observed({"suspend": True}, target=target(owner=None)), Rest(None)
    ),
)
def test_the_step_that_a_situation_asks_for(look: Managed, step: Step) -> None:
    assert next_step(look) == step


def not_owned(
    secret: str, whose: str, remedy: str = "write another name, or delete that Secret"
) -> tuple[str, str]:
    return "SecretNotOwned", f"the Secret {secret!r} {whose} and is not touched; {remedy}"


@cases(
    ("look", "refusal"),
    case(
        "trouble",
        observed(spec_error=Stalled("NoSuchThing", "write another")),
        ("NoSuchThing", "write another"),
    ),
    case(
        "every broken rule is told",
        observed(violations=(Violation("minLength", "too short"), Violation("minEntropyBits", "too weak"))),
        ("PolicyViolation", "too short; too weak"),
    ),
    case("a value that breaks a rule", observed(violations=(OUTDATED,)), ("PolicyViolation", "too old")),
    case(
        "a change that leaves such a value",
        observed(TWO, violations=(OUTDATED,)),
        ("PolicyViolation", "too old"),
    ),
    case(
        "a rotation that cures one of two",
        observed(annotations=ASKED, violations=(OUTDATED, Violation("minLength", "too short"))),
        ("PolicyViolation", "too old; too short"),
    ),
    case(
        "a Secret without our label",
        observed(state=None, target=target(None, owner=None), status={}),
        not_owned("db", "is foreign", "write another name, adopt: IfUnowned, or delete that Secret"),
    ),
    case(
        "a Secret of another ManagedSecret",
        observed(target=target(owner="other")),
        not_owned(
            "db",
            "belongs to the ManagedSecret 'other'",
            "set another target.name in one of the two, or delete that Secret if 'other' no longer exists",
        ),
    ),
    case(
        "the state's name is taken",
        observed(state=None, target=None, state_is_foreign=True, status={}),
        not_owned("db-keyturn", "is foreign"),
    ),
    case(
        "the state's name is taken by another ManagedSecret",
        observed(state=None, target=None, state_is_foreign=True, state_owner="other"),
        not_owned(
            "db-keyturn",
            "belongs to the ManagedSecret 'other'",
            "write another name, or delete that Secret if 'other' no longer exists",
        ),
    ),
)
def test_what_a_person_must_fix_is_said_and_nothing_is_done(look: Managed, refusal: tuple[str, str]) -> None:
    with pytest.raises(Stalled) as caught:
        next_step(look)
    assert (caught.value.reason, caught.value.message) == refusal


@cases(
    ("look", "step"),
    case(
        "the rotation that cures it", observed(annotations=ASKED, violations=(OUTDATED,)), Stage(2, TRIGGERED)
    ),
    case("what records and replaces nothing", observed(uid="made-again", violations=(OUTDATED,)), Claim(1)),
    case(
        "anything where the class only warns",
        observed(target=None, violations=(WARNED, Violation("maxInterval", "never", denied=False))),
        Repair(1, EVERY_KEY),
    ),
)
def test_a_broken_rule_lets_through(look: Managed, step: Step) -> None:
    assert next_step(look) == step


def test_facts_that_contradict_each_other_stall_and_do_not_crash() -> None:
    with pytest.raises(Stalled, match="the spec cannot be read"):
        next_step(with_facts(observed(), desired=None))


# Workloads


def test_a_published_revision_is_rolled_out_when_the_debounce_is_over() -> None:
    api = consumer("api")
    assert next_step(observed(None, api, **ROTATED)) == RollOut(api, "db=2")


def test_before_that_it_rests_until_the_debounce_is_over() -> None:
    early = observed(None, consumer("api"), **ROTATED | {"target": target(2, published=NOW - seconds(4))})
    assert next_step(early) == Rest(NOW + seconds(1))


def test_no_workload_is_restarted_before_the_secret_is_put_right() -> None:
    edited = target(2, published=PUBLISHED, differs=["password"])
    assert next_step(observed(None, consumer("api"), **ROTATED | {"target": edited})) == Repair(2, EVERY_KEY)


def test_one_that_waits_for_its_turn_is_looked_at_again_in_a_minute() -> None:
    rolling = consumer("api", marker="db=2", settled=False)
    assert next_step(observed(None, rolling, consumer("web"), **ROTATED)) == Rest(NOW + minutes(1))


def test_it_rests_until_the_next_rotation_is_due() -> None:
    hourly = {"rotation": {"every": "2h", "jitter": "0%"}}
    assert next_step(observed(hourly)) == Rest(MADE + timedelta(hours=2))


# A rollout that fails

FAILED = consumer("api", marker="db=2", settled=False, failed=True)
HOLD = {"rollout": {"onFailure": "Hold"}}


def state_of_three(**others: Any) -> StateFacts:
    return state(revision(3, "Triggered", **others), revision(2, "Triggered"), revision())


def test_the_secret_goes_back_to_what_every_workload_ran_on() -> None:
    assert next_step(observed(None, FAILED, **ROTATED)) == GoBack(1, 2, failed=True)


def test_it_goes_back_past_a_revision_that_was_not_verified() -> None:
    failed = consumer("api", marker="db=3", settled=False, failed=True)
    look = observed(None, failed, state=state_of_three(fallback=1), target=target(3), status={"revision": 3})
    assert next_step(look) == GoBack(1, 3, failed=True)


@cases(
    ("spec", "changed"),
    case("the spec says Hold", HOLD, {}),
    case("its values are gone", None, {"state": state(revision(2, "Triggered"), revision(), restorable=[2])}),
    case("none was ever run", None, {"state": state(revision(2, "Triggered", fallback=None), revision())}),
)
def test_where_it_cannot_go_back_it_stops_and_says_so(
    spec: dict[str, Any] | None, changed: dict[str, Any]
) -> None:
    with pytest.raises(Stalled, match="Deployment/api did not become ready with revision 2") as caught:
        next_step(observed(spec, FAILED, **ROTATED | changed))
    assert caught.value.reason == "RolloutFailed"


def test_a_return_that_fails_as_well_ends_there() -> None:
    again = consumer("api", marker="db=1", settled=False, failed=True)
    with pytest.raises(Stalled) as caught:
        next_step(observed(None, again, state=GIVEN_UP, target=target(1)))
    assert caught.value.reason == "RolloutFailed"


GIVEN_UP = state(
    revision(2, "Triggered"),
    revision(),
    current=1,
    rollback_pause=RollbackPause(2, 1, NOW - seconds(9), failed=True),
)
BACK: dict[str, Any] = {"state": GIVEN_UP, "target": target(1, published=NOW - seconds(8))}


def test_after_a_return_the_earlier_revision_is_published() -> None:
    assert next_step(observed(state=GIVEN_UP, target=target(2))) == Publish(1)


def test_then_the_workloads_go_back_to_it() -> None:
    hanging = consumer("api", marker="db=2", settled=False)
    assert next_step(observed(None, hanging, **BACK)) == RollOut(hanging, "db=1")


def test_then_it_waits_for_a_person() -> None:
    with pytest.raises(Stalled, match="rolled back to revision 1") as caught:
        next_step(observed(DAILY, consumer("api", marker="db=1"), **BACK))
    assert caught.value.reason == "RolledBack"


def test_the_cause_of_a_rollback_is_in_its_message() -> None:
    held = RollbackPause(2, 1, NOW, failed=True, cause="Deployment/api: " + 2000 * "x")
    with pytest.raises(Stalled) as caught:
        next_step(observed(None, **BACK | {"state": replace(GIVEN_UP, rollback_pause=held)}))
    assert "(Deployment/api: xxx" in caught.value.message
    assert len(caught.value.message) < 1300


def test_only_the_first_failed_workloads_are_named() -> None:
    failed = [consumer(f"api-{number}", marker="db=2", settled=False, failed=True) for number in range(5)]
    named = failures(observed(None, *failed, **ROTATED))
    assert [name in named for name in ("api-0: ", "api-1: ", "api-2: ", "api-3: ")] == [
        True,
        True,
        True,
        False,
    ]
    assert named.endswith("; 2 more")


def test_without_a_spec_no_workload_has_failed() -> None:
    assert failures(with_facts(observed(None, FAILED, **ROTATED), desired=None)) == ""


DAILY = {"rotation": {"every": "30m", "jitter": "0%"}}


@cases(
    ("spec", "look", "number"),
    case("a new trigger", DAILY, BACK | {"annotations": ASKED}, 3),
    case(
        "a changed spec",
        TWO,
        BACK | {"state": replace(GIVEN_UP, rollback_pause=RollbackPause(2, 0, NOW, failed=True))},
        3,
    ),
)
def test_a_person_has_the_next_revision_made(spec: dict[str, Any], look: dict[str, Any], number: int) -> None:
    step = next_step(observed(spec, **look))
    assert isinstance(step, Stage)
    assert step.number == number


@pytest.mark.parametrize("spec", [DAILY, TWO], ids=["due", "the spec that failed"])
def test_nothing_else_does(spec: dict[str, Any]) -> None:
    with pytest.raises(Stalled) as caught:
        next_step(observed(spec, **BACK))
    assert caught.value.reason == "RolledBack"


def test_while_a_workload_fails_no_schedule_makes_the_next_revision() -> None:
    with pytest.raises(Stalled) as caught:
        next_step(observed(HOLD | DAILY, FAILED, **ROTATED))
    assert caught.value.reason == "RolloutFailed"
    step = next_step(observed(HOLD | DAILY, FAILED, **ROTATED | {"annotations": ASKED}))
    assert isinstance(step, Stage)


def test_it_looks_again_when_a_deadline_is_over() -> None:
    rolling = consumer("api", marker="db=2", settled=False, restarted=NOW)
    assert next_step(observed(None, rolling, **ROTATED)) == Rest(NOW + minutes(10))


# A return that was asked for


def asked(text: str) -> dict[str, Any]:
    return {"annotations": {ROLLBACK: text}, "state": state_of_three(), "target": target(3)}


@pytest.mark.parametrize("text", ["1", "1/again", "1 because of the incident"])
def test_a_person_returns_to_a_revision(text: str) -> None:
    assert next_step(observed(**asked(text))) == GoBack(1, 3, failed=False, lasts=False)


@pytest.mark.parametrize("text", ["1/hold", "1/cli-ab/hold", "1/hold/even-exposed"])
def test_a_rollback_pauses_rotation_until_a_request_if_it_says_so(text: str) -> None:
    assert next_step(observed(**asked(text))) == GoBack(1, 3, failed=False, lasts=True)


def test_to_return_to_the_current_one_is_recorded_as_handled() -> None:
    assert next_step(observed(**asked("3"))) == GoBack(3, 3, failed=False, lasts=False)


EXPOSING = Emergency("leak", "uid-of-leak", NOW, is_open=False)
FIXED = (revision(3, "Emergency"), revision(2), revision())
EXPOSURES = {
    "an emergency was declared since": {"emergencies": (EXPOSING,)},
    "an emergency has made a later revision": {"state": state(*FIXED)},
}


def exposed(text: str, exposure: dict[str, Any]) -> Managed:
    return replace(observed(**asked(text)), **exposure)


@pytest.mark.parametrize("exposure", EXPOSURES.values(), ids=EXPOSURES.keys())
def test_a_rollback_to_exposed_values_is_refused_unless_it_accepts_them(exposure: dict[str, Any]) -> None:
    with pytest.raises(Stalled) as caught:
        next_step(exposed("2", exposure))
    assert caught.value.reason == "RevisionExposed"
    assert next_step(exposed("2/even-exposed", exposure)) == GoBack(2, 3, failed=False, lasts=False)
    assert next_step(exposed("3", exposure)) == GoBack(3, 3, failed=False, lasts=False)


def test_a_revision_since_the_last_emergency_is_restored() -> None:
    after = {"state": state(revision(3), revision(2, "Emergency"), revision())}
    assert next_step(exposed("2", after)) == GoBack(2, 3, failed=False, lasts=False)


def test_the_same_text_is_handled_once() -> None:
    handled = replace(state_of_three(), triggers=Triggers(rollback="1"))
    assert next_step(observed(**asked("1") | {"state": handled})) == Rest(None)


def test_a_return_that_was_asked_for_leaves_nothing_to_fix() -> None:
    held = replace(GIVEN_UP, rollback_pause=RollbackPause(2, 1, NOW, failed=False))
    assert next_step(observed(DAILY, **BACK | {"state": held})) == Rest(None)


@cases(
    ("text", "restorable", "kept"),
    case("there is none", "9", None, "write one of 1, 2"),
    case("no number", "latest", None, "write one of 1, 2"),
    case("its values are gone", "1", [3], "no earlier revision is kept, so remove the annotation"),
)
def test_what_is_not_kept_cannot_come_back(text: str, restorable: list[int] | None, kept: str) -> None:
    look = asked(text) | {"state": replace(state_of_three(), restorable=frozenset(restorable or [1, 2, 3]))}
    with pytest.raises(Stalled) as caught:
        next_step(observed(**look))
    assert caught.value.reason == "NoSuchRevision"
    assert caught.value.message.endswith(f"; {kept}")
    assert next_step(observed(**look | {"target": target(3, differs=["x"])})) == Repair(3, frozenset({"x"}))


def test_a_ring_that_lacks_keys_in_use_cannot_come_back() -> None:
    ring: dict[str, Any] = {"data": [{"name": "password", "generate": {"keyRing": {}}}]}
    with pytest.raises(Stalled) as caught:
        next_step(observed(ring, **asked("1")))
    assert (caught.value.reason, caught.value.message) == (
        "NoSuchRevision",
        "keyturn.dev/rollback: the key ring password of revision 1 lacks keys in use; write one of 2",
    )


# The overlap


def overlap(valid_until: datetime | None = None, *, ended: bool = False) -> dict[str, Any]:
    newest = revision(
        2, "Triggered", previous=frozenset({"password.previous"}), valid_until=valid_until, ended=ended
    )
    return {
        "state": state(newest, revision()),
        "target": target(2, overlapping=True),
        "status": {"revision": 2},
    }


KEPT_FOR_A_DAY = {"rotation": {"overlap": "24h"}}


def test_the_overlap_starts_when_every_workload_runs_the_new_value() -> None:
    look = observed(KEPT_FOR_A_DAY, consumer(marker="db=2"), **overlap())
    assert next_step(look) == Overlap(2, NOW + timedelta(days=1))


def test_it_does_not_start_before() -> None:
    rolling = consumer("api", marker="db=2", settled=False)
    assert next_step(observed(KEPT_FOR_A_DAY, rolling, **overlap())) == Rest(None)


def test_while_it_lasts_nothing_is_done() -> None:
    assert next_step(observed(**overlap(NOW + seconds(1)))) == Rest(NOW + seconds(1))


def test_an_end_that_waits_for_a_workload_is_checked_again_in_a_minute() -> None:
    paused = consumer("api", marker="db=1", paused=True)
    assert next_step(observed(None, paused, **overlap(NOW - seconds(5)))) == Rest(NOW + minutes(1))


def test_its_end_is_recorded_and_then_the_value_before_is_taken_out() -> None:
    assert next_step(observed(**overlap(NOW))) == Expire(2)
    assert next_step(observed(**overlap(NOW, ended=True))) == Settle(2)


def test_a_clock_that_is_set_back_brings_nothing_up_again() -> None:
    look = overlap(NOW + timedelta(hours=1), ended=True) | {"target": target(2)}
    assert next_step(observed(**look)) == Rest(None)


def test_a_user_who_takes_the_value_before_out_finds_it_put_back() -> None:
    look = overlap(NOW + seconds(1)) | {"target": target(2)}
    assert next_step(observed(**look)) == Repair(2, frozenset())


# Numbers

ENTRY = {"reason": "Triggered", "startedAt": NOW, "finishedAt": NOW, "result": "RolledBack"}
GONE: dict[str, Any] = {"state": None, "target": None}


@cases(
    ("look", "number"),
    case("the first", observed(**GONE, status={}), 1),
    case("the next", observed(), 2),
    case("an older state was restored: a marker hints", observed(None, consumer(marker="db=8")), 9),
    case(
        "an older state was restored: the status hints",
        observed(status={"revision": 3, "history": [{**ENTRY, "revision": 4}]}),
        5,
    ),
    case("more were used before the record was lost", observed(state=state(used=5)), 6),
    case("fewer were used before the record was lost", observed(state=state(revision(7), used=5)), 8),
    case("the state is lost: the status hints", observed(**GONE, status={"revision": 7}), 8),
    case(
        "the state is lost: the history hints",
        observed(**GONE, status={"revision": 1, "history": [{**ENTRY, "revision": 3}]}),
        4,
    ),
    case("the state is lost: a marker hints", observed(None, consumer(marker="db=7,x=9"), **GONE), 8),
    case("the highest hint", observed(**GONE, status={"revision": 10**9}), 10**9 + 1),
    case("a status that nobody can have written", observed(**GONE, status={"revision": 10**9 + 1}), 1),
    case(
        "a marker that nobody can have written", observed(None, consumer(marker="db=9999999999"), **GONE), 2
    ),
    case(
        "the spec cannot be read, so nobody knows which Secret a marker means",
        observed(None, consumer(marker="db=7"), **GONE, spec_error=Stalled("Any", "trouble")),
        2,
    ),
)
def test_a_new_number_is_one_more_than_what_is_known(look: Managed, number: int) -> None:
    assert next_number(look) == number


def test_a_rotation_is_named_by_what_identifies_it() -> None:
    assert rotation_id("uid", 7) == "uid/7"


def test_a_workload_that_uses_nothing_of_ours_has_no_say() -> None:
    assert workload(uses=()).use_of("db") is None
