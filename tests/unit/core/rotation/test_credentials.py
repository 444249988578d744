"""The next step of a database account, and what its server must accept."""

from dataclasses import replace
from typing import Any

import pytest

from keyturn.api.emergency import Revoke as Manner
from keyturn.core.emergency.progress import affected
from keyturn.core.errors import Stalled, Wait
from keyturn.core.observation.emergency import Emergency
from keyturn.core.observation.external import AccountFacts, ProbeVerdict
from keyturn.core.observation.observed import Consumer, with_facts
from keyturn.core.policy.rules import Violation
from keyturn.core.rotation import credentials
from keyturn.core.rotation.completion import is_known_complete
from keyturn.core.rotation.credentials import next_repair
from keyturn.core.rotation.rollback import GoBack
from keyturn.core.rotation.steps import (
    Account,
    Adopt,
    Close,
    Expire,
    Finalize,
    Overlap,
    Publish,
    Rest,
    Stage,
    rotation_id,
)
from keyturn.core.spec.references import Capacity
from keyturn.core.state.records import Phase
from keyturn.core.state.state import Publication, RollbackPause
from tests.support.cases import case, cases
from tests.unit.core import builders as make
from tests.unit.core.accounts import (
    ALONE,
    SINGLE,
    TWICE,
    At,
    credential,
    decide,
    live_after,
    look,
    moved,
    numbers,
    state,
    superseding,
)

STAGED, APPLIED, PROVEN, CLOSING, CLOSED = Phase
UNREACHABLE = Wait("DatabaseUnreachable", "no answer", make.minutes(1))
REFUSED_TWICE = AccountFacts(refused=2)
LATER = AccountFacts(problem=UNREACHABLE, again=make.NOW + make.minutes(1))
INCIDENT = Emergency("inc-1", "uid-1", make.NOW - make.minutes(1))
GENTLE = replace(INCIDENT, revoke=Manner.AFTER_ROLLOUT)
ASKED: dict[str, Any] = {"annotations": {"keyturn.dev/rotate": "leaver"}}


def pending(phase: Phase, **facts: Any) -> Any:
    """Observe a candidate next to the published credential."""
    return look(state(credential(2, phase), credential(1), current=1), **facts)


def first(phase: Phase, **facts: Any) -> Any:
    """Observe a first credential, which no Secret has yet."""
    return look(state(credential(1, phase)), **{"target": None, "status": {}, **facts})


def overlapping(**facts: Any) -> Any:
    """Observe the overlap of a new credential with the previous one."""
    return look(
        moved(state(credential(2), credential(1)), 2, valid_until=make.NOW + make.minutes(5)), **facts
    )


NEW_ACCOUNT = state(
    credential(2, STAGED), current=1, revisions=(superseding(2, supersedes=None), make.revision(1))
)
"""A candidate for a Secret that had no account before."""


def problem_of(seen: Any) -> str | None:
    step = decide(seen)
    assert isinstance(step, Rest)
    return step.problem.reason if step.problem else None


LOCKED = AccountFacts(ProbeVerdict.LOCKED)
DUE = superseding(2, reason="RotationDue")


def valid(reason: str) -> dict[str, Any]:
    """Make the condition of the last answer that is in the status."""
    known = {"type": "CredentialValid", "status": "False", "reason": reason, "message": ""}
    return {**known, "lastTransitionTime": make.NOW}


def closing(**facts: Any) -> Any:
    """Observe the end of an overlap."""
    return look(moved(state(credential(2), credential(1, CLOSING)), 2, ended=True), **facts)


def test_a_broken_rule_does_not_stop_the_rotation_that_fixes_it() -> None:
    found = state(credential(2, STAGED), credential(1), current=1)
    broken = (Violation("minLength", "too short", frozenset({"password"})),)
    assert decide(replace(look(found), violations=broken)) == At.apply(2)
    assert isinstance(decide(replace(look(found, account=LATER), violations=broken)), Rest)


# Sessions of a login that is closed


@cases(
    ("capacity", "emergencies", "ends"),
    case("of one of two logins", None, (), True),
    case("of the published login", ALONE, (), False),
    case("of a login with two passwords", TWICE, (), False),
    case("of a candidate that an emergency has exposed", ALONE, (INCIDENT,), True),
)
def test_a_candidate_that_is_given_up_ends_no_session_of_the_published_login(
    capacity: Capacity | None, emergencies: tuple[Emergency, ...], ends: object
) -> None:
    login = "app" if capacity else ""
    known = credential(2, CLOSING, login=login), credential(1, login=login)
    found = moved(state(*known, current=1), 2, abandoned=True)
    seen = look(found, database={"sessions": "Terminate"}, emergencies=emergencies, capacity=capacity)
    assert decide(seen) == At.revoke(2, ends_sessions=ends is True)


def test_a_refused_candidate_of_an_emergency_ends_no_session_of_the_published_login() -> None:
    """The sessions with exposed passwords end when that of the emergency is published."""
    of_it = superseding(2, reason="Emergency", made=make.NOW - make.seconds(30), abandoned=True)
    known = credential(2, CLOSING, login="app"), credential(1, login="app")
    found = state(*known, current=1, revisions=(of_it, superseding(1)))
    assert decide(look(found, database=SINGLE, emergencies=(INCIDENT,))) == At.revoke(2)


# A login that was locked at the server


@pytest.mark.parametrize(
    "account",
    [LOCKED, AccountFacts(ProbeVerdict.UNREACHABLE, locked=True)],
    ids=["at the last probe", "and no answer since"],
)
def test_a_locked_login_is_not_opened_by_the_revocation_of_another_one(account: AccountFacts) -> None:
    assert isinstance(decide(closing(account=account)), Rest)
    assert decide(closing()) == At.revoke(1)


@pytest.mark.parametrize(
    ("reason", "step"), [("Locked", Rest), ("Accepted", Account)], ids=["locked", "accepted"]
)
@pytest.mark.parametrize(
    "verdict", [ProbeVerdict.NOT_PROBED, ProbeVerdict.UNREACHABLE, ProbeVerdict.NOT_ADMITTED]
)
def test_a_new_process_without_an_answer_knows_a_locked_login_from_the_status(
    verdict: ProbeVerdict, reason: str, step: type
) -> None:
    status = {"revision": 2, "conditions": [valid(reason)]}
    assert isinstance(decide(closing(status=status, account=AccountFacts(verdict))), step)


def test_an_answer_counts_and_not_the_status() -> None:
    status = {"revision": 2, "conditions": [valid("Locked")]}
    assert decide(closing(status=status, account=AccountFacts(ProbeVerdict.ACCEPTED))) == At.revoke(1)


def test_a_locked_login_is_opened_on_request_if_no_rotation_can_begin() -> None:
    assert decide(closing(account=LOCKED, **ASKED)) == At.repair(opens=True)
    assert decide(overlapping(account=LOCKED, **ASKED)) == At.repair(opens=True)
    assert isinstance(decide(look(account=LOCKED, **ASKED)), Stage)


def test_an_emergency_opens_a_locked_login() -> None:
    assert decide(closing(account=LOCKED, emergencies=(INCIDENT,))) == At.repair(opens=True)


@pytest.mark.parametrize(
    ("revision", "step"), [(DUE, None), (superseding(2), At.apply(2))], ids=["of a schedule", "of a request"]
)
def test_a_candidate_opens_a_locked_login_only_if_it_was_requested(revision: Any, step: object) -> None:
    known = state(credential(2, STAGED), credential(1), current=1, revisions=(revision, superseding(1)))
    found = decide(look(known, account=LOCKED))
    assert isinstance(found, Rest) if step is None else found == step
    assert decide(look(known, account=LOCKED, **ASKED)) == At.apply(2)


def test_the_remedy_of_a_login_that_has_expired_is_named() -> None:
    step = decide(look(account=LOCKED))
    assert isinstance(step, Rest)
    assert "with a later date if it has expired" in str(step.problem)


@pytest.mark.parametrize(("hour", "waits"), [("12", False), ("3", True)], ids=["open", "closed"])
def test_a_request_that_waits_for_a_window_opens_no_locked_login(hour: str, waits: object) -> None:
    windows = {"rotation": {"every": "90d", "windows": [{"cron": f"0 {hour} * * *", "duration": "1h"}]}}
    seen = overlapping(account=LOCKED, others=windows, **ASKED)
    if not waits:
        assert decide(seen) == At.repair(opens=True)
        return
    step = decide(seen)
    assert isinstance(step, Rest)
    assert "run `keyturn rotate`, which waits for a window" in str(step.problem)


def test_a_requested_rotation_that_opens_a_locked_login_is_named_so() -> None:
    """Its candidate continues for this reason, whatever else changed."""
    item = {"data": [make.PASSWORD, {"name": "token", "generate": {"bytes": {}}}]}
    step = decide(look(account=LOCKED, others=item, **ASKED))
    assert isinstance(step, Stage)
    assert step.reason.name == "Triggered"
    assert step.reason.fresh == {"password", "token"}


def test_a_candidate_that_is_given_up_opens_no_locked_login() -> None:
    revisions = (replace(DUE, abandoned=True), superseding(1))
    known = state(credential(2, CLOSING), credential(1), current=1, revisions=revisions)
    assert isinstance(decide(look(known, account=LOCKED)), Rest)
    assert decide(look(known)) == At.revoke(2)


def test_a_change_of_the_spec_with_a_new_password_waits_for_a_locked_login() -> None:
    mismatched_items: dict[str, Any] = {"mismatched_items": frozenset({"password"})}
    assert isinstance(decide(look(account=LOCKED, **mismatched_items)), Rest)
    assert isinstance(decide(look(**mismatched_items)), Stage)


@pytest.mark.parametrize(
    ("reason", "others"),
    [("Lost", ()), ("SpecChanged", (make.revision(1),))],
    ids=["of a Secret that was lost", "of an account that is managed again"],
)
def test_a_lock_delays_no_account_without_a_published_login(reason: str, others: tuple[Any, ...]) -> None:
    revisions = (superseding(2, reason=reason, supersedes=None), *others)
    found = state(credential(2, STAGED), current=1 if others else 2, revisions=revisions)
    assert decide(look(found, target=None, account=LOCKED)) == At.apply(2)


def test_a_lock_does_not_delay_values_of_a_secret_that_was_lost() -> None:
    lost = with_facts(look(target=None, account=LOCKED), state=None)
    assert isinstance(decide(lost), Stage)


def test_a_rotation_that_is_due_and_waits_for_another_login_is_no_reason_to_wake_up() -> None:
    late = make.NOW + make.minutes(60 * 24 * 200)
    every = {"rotation": {"every": "90d", "overlap": "400d"}}
    found = moved(state(credential(2), credential(1)), 2, valid_until=late + make.minutes(5))
    step = decide(look(found, now=late, others=every))
    assert isinstance(step, Rest)
    assert step.until
    assert step.until > late


# A rollout that fails with the new login


@cases(
    ("emergencies", "help_"),
    case("of a rotation", (), "fix the workload, or run `keyturn rollback db`"),
    case("of an emergency", (GENTLE,), "fix the workload"),
)
def test_a_failed_rollout_names_no_rotation_that_would_wait(
    emergencies: tuple[Emergency, ...], help_: str
) -> None:
    made = make.NOW if emergencies else make.MADE
    revisions = superseding(2, reason="Emergency", made=made), superseding(1)
    failed = make.consumer(marker="db=2", settled=False, failed=True)
    found = state(credential(2), credential(1), revisions=revisions)
    hold = {"rollout": {"onFailure": "Hold"}}
    published = make.target(2, published=make.NOW)
    held = look(found, failed, others=hold, emergencies=emergencies, target=published, **ASKED)
    with pytest.raises(Stalled, match="RolloutFailed") as stalled:
        decide(held)
    waits = (
        "the next rotation waits until the previous login app_a of revision 1 is closed; two are open at most"
    )
    assert stalled.value.message.endswith(f"; {help_}; {waits}")


def test_a_failed_rollout_without_another_open_login_names_the_rotation() -> None:
    failed = make.consumer(marker="db=2", settled=False, failed=True)
    found = moved(state(credential(2), credential(1, CLOSED)), 2, ended=True)
    with pytest.raises(Stalled, match="or run `keyturn rotate db`"):
        decide(look(found, failed, others={"rollout": {"onFailure": "Hold"}}))


# A candidate


@cases(
    ("phase", "account", "step"),
    case("recorded", STAGED, None, At.apply(2)),
    case("at the server", APPLIED, None, At.prove(2)),
    case("refused once", APPLIED, AccountFacts(refused=1), At.prove(2)),
    case("refused twice", APPLIED, REFUSED_TWICE, Close((2,))),
)
def test_a_candidate_is_proven_before_it_becomes_current(
    phase: Phase, account: AccountFacts | None, step: object
) -> None:
    assert decide(pending(phase, account=account)) == step


@pytest.mark.parametrize("account", [LATER, AccountFacts(busy=True)], ids=["postponed", "in progress"])
def test_nothing_begins_at_a_server_while_an_operation_waits(account: AccountFacts) -> None:
    step = decide(pending(STAGED, account=account))
    assert isinstance(step, Rest)
    assert step.problem is account.problem


def test_a_postponed_operation_is_due_at_its_time() -> None:
    step = decide(pending(STAGED, account=LATER))
    assert isinstance(step, Rest)
    assert step.until == LATER.again


def test_a_candidate_that_was_given_up_is_refused_before_another_one() -> None:
    gone = moved(state(credential(2, CLOSING), credential(1), current=1), 2, abandoned=True)
    assert decide(look(gone)) == At.revoke(2)
    assert isinstance(decide(look(gone, account=LATER)), Rest)


def test_a_rotation_continues_with_another_candidate() -> None:
    gone = moved(state(credential(2, CLOSED), credential(1), current=1), 2, abandoned=True)
    step = decide(look(gone))
    assert isinstance(step, Stage)
    assert (step.number, step.reason.name) == (3, "Triggered")
    assert step.reason.fresh == {"password"}


def test_a_rotation_continues_with_the_items_that_it_generated() -> None:
    """Their keys can be others since then, and another key is no new value."""
    fresh = frozenset({"password", "token"})
    known = state(credential(2, CLOSED), credential(1), current=1)
    known = replace(known, keys={**known.keys, "token": {"value": "token"}})
    gone = moved(known, 2, abandoned=True, changed=fresh, fresh=fresh)
    token = {"name": "token", "generate": {"bytes": {}}, "keys": {"value": "TOKEN"}}

    step = decide(look(gone, others={"data": [make.PASSWORD, token]}))

    assert isinstance(step, Stage)
    assert step.reason.fresh == fresh


def test_three_refused_candidates_require_manual_action() -> None:
    gone = moved(state(credential(2, CLOSED, tries=2), credential(1), current=1), 2, abandoned=True)
    with pytest.raises(Stalled, match="refused 3 new passwords") as caught:
        decide(look(gone))
    assert caught.value.reason == "PasswordRefused"


def test_three_candidates_of_a_single_login_may_have_met_silence() -> None:
    known = credential(2, CLOSED, login="app", tries=2), credential(1, login="app")
    gone = moved(state(*known, current=1), 2, abandoned=True)
    with pytest.raises(Stalled, match="3 new passwords of 'app' in a row were not accepted at every address"):
        decide(look(gone, database=SINGLE))


def test_an_emergency_replaces_a_candidate_from_before() -> None:
    assert decide(pending(APPLIED, emergencies=(INCIDENT,))) == Close((2,))


def test_an_emergency_whose_candidates_were_all_refused_waits_for_a_request() -> None:
    late = superseding(2, reason="Emergency", made=make.NOW, abandoned=True)
    gone = state(credential(2, CLOSED, tries=2), credential(1), current=1, revisions=(late, superseding(1)))
    with pytest.raises(Stalled):
        decide(look(gone, emergencies=(INCIDENT,), now=make.NOW + make.minutes(10)))


def test_a_violated_rule_does_not_stop_the_rotation_that_cures_it() -> None:
    rule = Violation("minLength", "too short", frozenset({"password"}))
    strict = make.secret_class(enforcement="Deny")
    assert decide(pending(STAGED, violations=(rule,), given=strict)) == At.apply(2)


# The first credential


@cases(
    ("phase", "account", "step"),
    case("recorded", STAGED, None, At.apply(1)),
    case("at the server", APPLIED, None, At.prove(1)),
    case("refused twice", APPLIED, REFUSED_TWICE, Close((1,))),
    case("proven", PROVEN, None, Publish(1)),
)
def test_a_first_revision_is_published_once_its_credential_is_proven(
    phase: Phase, account: AccountFacts | None, step: object
) -> None:
    assert decide(first(phase, account=account)) == step


def test_a_first_revision_waits_for_the_server() -> None:
    assert problem_of(first(STAGED, account=LATER)) == "DatabaseUnreachable"


def test_a_first_credential_that_an_emergency_exposes_is_replaced() -> None:
    old = moved(state(credential(1, APPLIED)), 1, made=make.BEFORE)
    seen = look(old, target=None, status={"revision": 1}, emergencies=(INCIDENT,))
    assert decide(seen) == Close((1,))


def test_a_first_candidate_is_replaced_without_a_fence() -> None:
    gone = moved(state(credential(1, CLOSED)), 1, abandoned=True)
    step = decide(look(gone, target=None, status={}))
    assert isinstance(step, Stage)
    assert (step.number, step.reason.name) == (2, "Created")


def test_a_first_revision_without_an_accepted_candidate_requires_manual_action() -> None:
    gone = moved(state(credential(1, CLOSED, tries=2)), 1, abandoned=True)
    with pytest.raises(Stalled) as caught:
        decide(look(gone, target=None, status={}))
    assert caught.value.reason == "PasswordRefused"


def test_the_finalizer_comes_before_the_first_operation() -> None:
    closes = {"deletionPolicy": "Delete"}
    assert decide(first(STAGED, database=closes)) == Finalize(present=True)
    assert decide(first(STAGED, database=closes, finalized=True)) == At.apply(1)


# A credential that was found in a Secret


def found(**facts: Any) -> Any:
    claimed = moved(state(credential(1, APPLIED)), 1, reason="Claimed")
    return look(claimed, **facts)


def test_a_found_credential_is_proven_as_it_is() -> None:
    assert decide(found()) == At.prove(1)


def test_a_found_credential_that_the_server_refuses_is_set_again() -> None:
    assert decide(found(account=REFUSED_TWICE)) == At.repair()


def test_a_found_credential_is_not_set_against_the_spec() -> None:
    seen = found(account=REFUSED_TWICE, database={"probe": {"drift": "Report"}})
    assert isinstance(decide(seen), Rest)


ADOPTING: dict[str, Any] = {
    "others": {"target": {"adopt": "IfUnowned"}},
    "target": make.target(None, owner=None, published=None),
}


def adopting(phase: Phase, **facts: Any) -> Any:
    """Observe a Secret without owner whose password was recorded once, and that has another one now."""
    claimed = moved(state(credential(1, phase, login="app")), 1, reason="Claimed")
    return look(claimed, **{**ADOPTING, "status": {}, **facts})


def test_a_password_that_was_corrected_before_its_adoption_is_read_again() -> None:
    assert decide(adopting(APPLIED)) == Adopt(2)


def test_a_password_that_the_server_has_accepted_is_not_read_again() -> None:
    assert decide(adopting(PROVEN)) == Publish(1)


def test_an_emergency_closes_no_password_that_was_found_before_it_is_proven() -> None:
    recorded = {**ADOPTING, "target": replace(ADOPTING["target"], recorded=True)}
    assert decide(adopting(APPLIED, **{**recorded, "emergencies": (INCIDENT,)})) == At.prove(1)


def given_back(phase: Phase, **facts: Any) -> Any:
    """Observe the rollback of a SingleUser, whose Secret still has the revision that was given up."""
    back = state(
        credential(2, CLOSING, login="app"),
        credential(1, phase, login="app"),
        current=1,
        publications=(Publication(1, make.PUBLISHED),),
    )
    return look(back, database=SINGLE, published=2, **facts)


def test_an_emergency_closes_no_password_that_a_rollback_brings_back() -> None:
    assert decide(given_back(STAGED, emergencies=(INCIDENT,))) == At.apply(1)


def test_a_password_that_a_rollback_brings_back_is_not_given_up() -> None:
    assert decide(given_back(APPLIED, account=REFUSED_TWICE)) == At.prove(1)


# The published credential


@cases(
    ("verdict", "database", "step"),
    case("refused", ProbeVerdict.REFUSED, {}, At.repair()),
    case("in another role", ProbeVerdict.WRONG_ROLE, {}, At.repair()),
    case("accepted", ProbeVerdict.ACCEPTED, {}, None),
    case("locked", ProbeVerdict.LOCKED, {}, None),
    case("only reported", ProbeVerdict.REFUSED, {"probe": {"drift": "Report"}}, None),
    case("contested", ProbeVerdict.CONTESTED, {}, None),
)
def test_a_refused_login_is_repaired_unless_it_is_only_reported(
    verdict: ProbeVerdict, database: dict[str, Any], step: object
) -> None:
    chosen = decide(look(account=AccountFacts(verdict), database=database))
    assert chosen == step if step else isinstance(chosen, Rest)


@cases(
    ("verdict", "reason"),
    case("contested", ProbeVerdict.CONTESTED, "CredentialContested"),
    case("only reported", ProbeVerdict.REFUSED, "CredentialRefused"),
    case("in another role, only reported", ProbeVerdict.WRONG_ROLE, "WrongRole"),
    case("locked", ProbeVerdict.LOCKED, "CredentialLocked"),
    case("unreachable", ProbeVerdict.UNREACHABLE, None),
)
def test_what_the_operator_does_not_repair_requires_manual_action(
    verdict: ProbeVerdict, reason: str | None
) -> None:
    seen = look(account=AccountFacts(verdict), database={"probe": {"drift": "Report"}})
    assert problem_of(seen) == reason


def test_a_locked_login_is_named_with_what_locks_it() -> None:
    seen = look(account=AccountFacts(ProbeVerdict.LOCKED, cause="login 'app_a' does not exist"))
    problem = credentials.account_problem(seen)
    assert problem
    assert "at the database server (login 'app_a' does not exist); open it there" in problem.message


def test_a_refused_login_is_repaired_before_a_candidate_is_proven() -> None:
    refused = AccountFacts(ProbeVerdict.REFUSED)
    assert decide(pending(APPLIED, account=refused)) == At.repair()
    assert decide(pending(STAGED, account=refused)) == At.apply(2)
    reported: dict[str, Any] = {"probe": {"drift": "Report"}}
    assert decide(pending(APPLIED, account=refused, database=reported)) == At.prove(2)


def test_a_credential_that_the_secret_does_not_have_is_not_repaired() -> None:
    refused = AccountFacts(ProbeVerdict.REFUSED)
    two = state(credential(2), credential(1))
    for published, repairs in ((1, False), (2, True)):
        seen = look(two, account=refused, published=published)
        assert (next_repair(seen) is not None) is repairs


def test_a_single_user_is_not_repaired_while_its_server_has_the_next_password() -> None:
    applied = state(credential(2, APPLIED, login="app"), credential(1, login="app"), current=1)
    seen = look(applied, database=SINGLE, account=AccountFacts(ProbeVerdict.REFUSED))
    assert decide(seen) == At.prove(2)


# The previous credential


def test_the_previous_credential_stays_open_in_the_overlap() -> None:
    step = decide(overlapping())
    assert isinstance(step, Rest)
    assert step.until == make.NOW + make.minutes(5)


def test_an_overlap_begins_once_every_workload_runs_the_new_password() -> None:
    two = state(credential(2), credential(1))
    assert decide(look(two)) == Overlap(2, make.NOW + make.minutes(60))
    assert isinstance(decide(look(two, make.consumer(marker="db=2", settled=False))), Rest)


TWO = state(credential(2), credential(1))
NEVER = make.consumer(marker="db=1", restart="never")
BY_HAND: dict[str, Any] = {"rollout": {"restart": "None"}}


@cases(
    ("one", "others"),
    case("by its annotation", NEVER, {}),
    case("by the spec", make.consumer(marker="db=1"), BY_HAND),
)
def test_a_login_stays_open_while_a_workload_that_is_never_restarted_may_use_it(
    one: Consumer, others: dict[str, Any]
) -> None:
    found = look(TWO, one, others=others)

    assert isinstance(decide(found), Rest)
    assert decide(replace(found, consumers=(replace(one, renewed=True),))) == Overlap(
        2, make.NOW + make.minutes(60)
    ), "it was restarted by hand"
    assert decide(replace(found, consumers=(replace(one, use=None),))) == Overlap(
        2, make.NOW + make.minutes(60)
    ), "it has no password"


def test_with_a_single_login_no_workload_is_waited_for() -> None:
    """The server has refused the previous password since the publication."""
    single = state(credential(2, login="app"), credential(1, login="app"))

    assert decide(look(single, NEVER, database=SINGLE)) == Overlap(2, make.NOW + make.minutes(60))


def test_a_login_that_was_given_up_stays_open_while_a_workload_that_is_never_restarted_may_use_it() -> None:
    given_up = state(credential(2, CLOSING), credential(1), current=1)
    with_it = make.consumer(marker="db=2", restart="never")
    limited = {"rotation": {"overlap": "1m", "maxOverlap": "10m"}}

    assert isinstance(decide(look(given_up, with_it)), Rest)
    assert decide(look(given_up, NEVER)) == At.revoke(2, ends_sessions=False), "it runs the current one"
    assert decide(look(given_up, replace(with_it, renewed=True))) == At.revoke(2), "it was restarted by hand"
    assert decide(
        look(given_up, with_it, others=limited, now=make.PUBLISHED + make.minutes(10))
    ) == At.revoke(2), "it is limited"


def test_an_overlap_that_has_begun_waits_for_no_workload() -> None:
    begun = moved(TWO, 2, valid_until=make.NOW + make.minutes(5))

    assert decide(look(begun, NEVER)) == Rest(make.NOW + make.minutes(5))


def test_a_login_ends_at_the_limit_of_its_overlap_whatever_workload_may_use_it() -> None:
    limited = {"rotation": {"overlap": "1m", "maxOverlap": "10m"}}
    late = look(TWO, NEVER, others=limited, now=make.PUBLISHED + make.minutes(10))

    assert decide(late) == Expire(2)


def test_an_overlap_ends_at_its_time() -> None:
    ended = moved(state(credential(2), credential(1)), 2, valid_until=make.NOW)
    assert decide(look(ended)) == Expire(2)


def test_a_superseded_credential_is_refused_after_the_overlap() -> None:
    ended = moved(state(credential(2), credential(1, CLOSING)), 2, ended=True)
    assert decide(look(ended)) == At.revoke(1)
    assert decide(look(ended, database={"sessions": "Terminate"})) == At.revoke(1, ends_sessions=True)
    assert decide(look(ended, emergencies=(INCIDENT,))) != At.revoke(1)
    assert isinstance(decide(look(ended, account=LATER)), Rest)


def test_nothing_is_refused_that_the_secret_still_has() -> None:
    ended = moved(state(credential(2), credential(1, CLOSING)), 2, ended=True)
    assert decide(look(ended, published=1)) == Publish(2)
    assert credentials.next_revocation(look(ended, published=1)) is None


def rolled_back(*, failed: bool = False, **facts: Any) -> Any:
    back = state(
        credential(2, CLOSING),
        credential(1),
        current=1,
        rollback_pause=RollbackPause(2, 1, make.NOW, failed=failed, lasts=True),
    )
    return look(back, *facts.pop("consumers", ()), **facts)


def test_a_rolled_back_credential_is_refused_once_no_pod_has_it() -> None:
    late = make.consumer(marker="db=2", settled=False)
    assert decide(rolled_back()) == At.revoke(2)
    assert decide(rolled_back(consumers=(late,))) != At.revoke(2)


def test_a_revocation_that_failed_is_retried_at_its_time_although_the_rollback_needs_action() -> None:
    with pytest.raises(Stalled) as caught:
        decide(rolled_back(failed=True, account=LATER))
    assert (caught.value.reason, caught.value.again) == ("RolledBack", LATER.again)


def test_a_rolled_back_credential_is_refused_at_the_limit_of_the_overlap() -> None:
    late = make.consumer(marker="db=2", settled=False, paused=True)
    limited = {"rotation": {"maxOverlap": "2h", "overlap": "1h"}}
    passed = make.target(1, published=make.NOW - make.minutes(121))
    assert decide(rolled_back(consumers=(late,), others=limited, target=passed)) == At.revoke(2)

    early = make.target(1, published=make.NOW - make.minutes(119))
    assert decide(rolled_back(consumers=(late,), others=limited, target=early)) == Rest(
        make.NOW + make.minutes(1)
    )


def test_an_emergency_refuses_what_was_rolled_back_at_once() -> None:
    late = make.consumer(marker="db=2", settled=False, paused=True)
    for incident in (INCIDENT, GENTLE):
        seen = rolled_back(consumers=(late,), emergencies=(incident,))
        step = credentials.next_revocation(seen)
        assert step
        assert (numbers(step.credentials), step.ends_sessions) == ([2], incident is INCIDENT)


# Two at most


def test_a_third_credential_waits_for_the_end_of_the_previous_one() -> None:
    seen = overlapping(**ASKED)
    assert problem_of(seen) == "PreviousStillOpen"


def test_a_date_that_has_passed_while_a_third_credential_waits_is_not_due_at_once() -> None:
    soon = {"rotation": {"every": "30m", "overlap": "1m", "jitter": "0%"}}
    step = decide(overlapping(others=soon))
    assert isinstance(step, Rest)
    assert step.problem is not None
    assert step.until == make.NOW + make.minutes(5), "the end of the overlap"


def test_other_values_do_not_wait_for_the_previous_credential() -> None:
    more = {"data": [make.PASSWORD, {"name": "token", "generate": {"bytes": {}}}]}
    step = decide(overlapping(others=more, **ASKED))
    assert isinstance(step, Stage)
    assert step.reason.fresh == {"token"}


@pytest.mark.parametrize("incident", [INCIDENT, GENTLE], ids=["at once", "after the rollout"])
def test_an_emergency_closes_the_previous_credential_to_have_room(incident: Emergency) -> None:
    early = moved(
        state(credential(2), credential(1)), 2, made=make.BEFORE, valid_until=make.NOW + make.minutes(5)
    )
    assert decide(look(early, emergencies=(incident,))) == Expire(2)


def test_an_emergency_with_room_needs_no_slot() -> None:
    assert credentials.needs_slot(look(emergencies=(GENTLE,))) is False


def test_a_current_credential_that_is_not_proven_is_waited_for() -> None:
    seen = found(account=LATER, **ASKED)
    assert problem_of(seen) == "DatabaseUnreachable"


def test_a_found_credential_that_is_refused_gives_way_to_a_rotation() -> None:
    only_reported: dict[str, Any] = {"probe": {"drift": "Report"}}
    step = decide(found(account=REFUSED_TWICE, database=only_reported, **ASKED))
    assert isinstance(step, Stage)


# An account that was absent from the spec

WITHOUT = (superseding(3, credential=None, supersedes=None), superseding(2), superseding(1))


def left_over(*credentials: Any, **facts: Any) -> Any:
    """Observe credentials from before `account` was absent, and a current revision without one."""
    return look(state(*credentials, revisions=WITHOUT, current=3), **facts)


def test_without_an_account_a_candidate_holds_nothing_up() -> None:
    found = state(credential(2, APPLIED), credential(1), current=1)
    step = decide(make.observed({}, state=found, target=make.target(1), status={"revision": 1}))
    assert isinstance(step, Stage)
    assert step.reason.name == "SpecChanged"


def test_only_the_last_credential_that_worked_stays_open_for_pods() -> None:
    assert decide(left_over(credential(2, APPLIED), credential(1))) == Close((2,))
    assert decide(left_over(credential(2), credential(1))) == Close((1,))
    assert decide(left_over(credential(2), credential(1, CLOSING))) == At.revoke(1)
    late = make.consumer(marker="db=1", settled=False)
    seen = look(state(credential(2), credential(1, CLOSING), revisions=WITHOUT, current=3), late)
    assert decide(seen) != At.revoke(1)


def test_an_account_that_comes_back_opens_its_credential_beside_the_last_one() -> None:
    step = decide(left_over(credential(2)))
    assert isinstance(step, Stage)
    assert step.reason.fresh == {"password"}


# Rollback


def test_a_rollback_needs_an_open_credential() -> None:
    request: dict[str, Any] = {"annotations": {"keyturn.dev/rollback": "1"}}
    assert decide(overlapping(**request)) == GoBack(1, 2, failed=False, lasts=False)
    ended = state(credential(2), credential(1, CLOSED))
    with pytest.raises(Stalled) as caught:
        decide(look(moved(ended, 2, ended=True), **request))
    assert caught.value.reason == "CredentialRevoked"


def test_a_rollback_to_an_unknown_revision_names_the_open_ones() -> None:
    with pytest.raises(Stalled, match="write one of 1") as caught:
        decide(overlapping(annotations={"keyturn.dev/rollback": "9"}))
    assert caught.value.reason == "NoSuchRevision"


# Deletion


def deleted(**facts: Any) -> Any:
    return look(**{"database": {"deletionPolicy": "Delete"}, "deleted": True, "finalized": True, **facts})


def test_a_deleted_object_closes_its_logins_if_the_spec_says_so() -> None:
    both = state(credential(2), credential(1, CLOSING))
    assert decide(deleted(found=both)) == Close((2,))
    closing = state(credential(2, CLOSING), credential(1, CLOSING))
    assert decide(deleted(found=closing)) == At.retire()
    assert decide(deleted(found=state(credential(1, CLOSED)))) == Finalize(present=False)


def test_a_deleted_object_closes_its_logins_without_its_class() -> None:
    gone = Stalled("SecretClassNotFound", "there is no SecretClass")
    seen = deleted(found=state(credential(1, CLOSING)))
    assert decide(with_facts(seen, desired=None, spec_error=gone)) == At.retire()


def test_a_deleted_object_waits_for_the_server() -> None:
    step = decide(deleted(found=state(credential(1, CLOSING)), account=LATER))
    assert step == Rest(LATER.again, UNREACHABLE)


def test_a_deleted_object_leaves_its_account_open_by_default() -> None:
    assert decide(deleted(database={})) == Finalize(present=False)


def test_a_deleted_object_closes_no_logins_at_another_server() -> None:
    moved_away = deleted(found=state(replace(credential(1, CLOSING), target="DatabaseTarget/elsewhere")))
    with pytest.raises(Stalled) as caught:
        decide(moved_away)
    assert caught.value.reason == "InvalidDatabase"


# What the server must accept


@cases(
    ("step", "seen", "live"),
    case("a candidate next to the published one", At.apply(2), pending(STAGED), [1, 2]),
    case("a repair before the candidate", At.repair(), pending(STAGED), [1]),
    case("a repair after it", At.repair(), pending(APPLIED), [1, 2]),
    case("both in the overlap", At.repair(), overlapping(), [2, 1]),
    case("the first one", At.apply(1), first(STAGED), [1]),
    case("the first one of a Secret that exists", At.apply(2), look(NEW_ACCOUNT), [2]),
    case("none without an account", At.repair(), make.observed({}), []),
)
def test_the_recorded_credentials_are_asserted_as_a_whole(step: Any, seen: Any, live: list[int]) -> None:
    assert numbers(live_after(step, seen)) == live


def test_what_was_given_up_is_left_out() -> None:
    gone = moved(state(credential(2, CLOSING), credential(1), current=1), 2, abandoned=True)
    assert numbers(live_after(At.revoke(2), look(gone))) == [1]
    assert numbers(live_after(At.repair(), look(gone))) == [1]


def test_what_pods_need_after_a_rollback_stays() -> None:
    late = make.consumer(marker="db=2", settled=False)
    assert numbers(live_after(At.repair(), rolled_back(consumers=(late,)))) == [1, 2]
    assert numbers(live_after(At.revoke(2), rolled_back())) == [1]


def test_a_closing_credential_stays_while_the_secret_has_it() -> None:
    ended = moved(state(credential(2), credential(1, CLOSING)), 2, ended=True)
    assert numbers(live_after(At.repair(), look(ended, published=1))) == [1, 2]


def test_a_credential_whose_password_is_lost_cannot_be_asserted() -> None:
    lost = state(
        credential(3), credential(0, APPLIED, login="app_b"), revisions=(superseding(3, supersedes=0),)
    )
    assert numbers(live_after(At.repair(), look(lost))) == [3]


def test_a_single_user_has_one_password() -> None:
    candidate = state(credential(2, STAGED, login="app"), credential(1, login="app"), current=1)
    assert numbers(live_after(At.apply(2), look(candidate, database=SINGLE))) == [2]
    assert numbers(live_after(At.repair(), look(candidate, database=SINGLE))) == [1]
    applied = state(credential(2, APPLIED, login="app"), credential(1, login="app"), current=1)
    assert numbers(live_after(At.repair(), look(applied, database=SINGLE))) == [2]


def test_two_passwords_of_one_name_are_live_at_once() -> None:
    candidate = state(credential(2, STAGED, login="app"), credential(1, login="app"), current=1)
    assert numbers(live_after(At.apply(2), look(candidate, capacity=TWICE))) == [1, 2]
    assert numbers(live_after(At.repair(), look(candidate, capacity=TWICE))) == [1]
    applied = state(credential(2, APPLIED, login="app"), credential(1, login="app"), current=1)
    assert numbers(live_after(At.repair(), look(applied, capacity=TWICE))) == [1, 2]
    current = state(credential(2, login="app"), credential(1, CLOSING, login="app"))
    assert numbers(live_after(At.revoke(1), look(current, capacity=TWICE))) == [2]


def test_a_single_user_keeps_the_published_password_after_a_rollback() -> None:
    back = state(credential(2, CLOSING, login="app"), credential(1, STAGED, login="app"), current=1)
    back = moved(back, 2, abandoned=True)
    assert numbers(live_after(At.revoke(2), look(back, database=SINGLE))) == [1]


def test_the_published_credential_is_in_every_set() -> None:
    with pytest.raises(Stalled):
        live_after(At.revoke(1), look())


def test_a_begun_rotation_stages_its_candidate() -> None:
    running: dict[str, Any] = {
        "revision": 1,
        "rotation": {"id": rotation_id(make.UID, 2), "reason": "Triggered", "step": "Stage"},
    }
    running["rotation"]["startedAt"] = make.NOW.isoformat()
    step = decide(look(status=running, **ASKED))
    assert isinstance(step, Stage)
    assert step.number == 2


def test_an_account_that_is_added_to_the_spec_brings_a_new_password() -> None:
    step = decide(look(make.state()))
    assert isinstance(step, Stage)
    assert step.reason.name == "SpecChanged"
    assert step.reason.fresh == {"password"}


def test_pods_are_read_until_a_rolled_back_credential_is_refused() -> None:
    assert not is_known_complete(rolled_back())
    entry = {"revision": 1, "reason": "RolledBack", "result": "Succeeded"}
    entry |= {"startedAt": make.NOW.isoformat(), "finishedAt": make.NOW.isoformat()}
    status = {"revision": 1, "history": [entry]}
    assert not is_known_complete(rolled_back(status=status))
    gone = rolled_back(status=status)
    assert gone.state is not None
    assert is_known_complete(replace(gone, state=gone.state.with_phase(CLOSED, make.NOW, {2})))


# An emergency


def services(seen: Any) -> tuple[str, str | None]:
    found = affected(INCIDENT, seen, None)
    return found.state, found.message


def renewed(phase: Phase, **facts: Any) -> Any:
    known = state(credential(2), credential(1, phase))
    known = moved(known, 2, reason="Emergency", answers=make.ANSWERED, ended=phase is not PROVEN)
    return look(known, emergencies=(INCIDENT,), target=make.target(2, published=make.NOW), **facts)


def test_services_are_updated_once_the_previous_login_is_refused() -> None:
    assert services(renewed(CLOSING)) == ("Rotated", "the previous login app_a of revision 1 is to be closed")
    assert services(renewed(CLOSED)) == ("RolledOut", None)


def test_an_emergency_says_why_the_previous_login_is_still_open() -> None:
    state_, message = services(renewed(CLOSING, account=LATER))
    assert (state_, message) == (
        "Rotated",
        "the previous login app_a of revision 1 is to be closed: no answer",
    )
