"""What the status shows of a database account."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from keyturn.core.errors import Stalled, Wait
from keyturn.core.observation.external import AccountFacts, ProbeVerdict
from keyturn.core.rotation.decision import next_step
from keyturn.core.rotation.steps import Rest
from keyturn.core.state.records import Phase
from keyturn.core.state.state import RollbackPause
from keyturn.core.status.credentials import credential_status, credential_valid
from keyturn.core.status.status import Outcome, status_of
from tests.support.cases import case, cases
from tests.unit.core import builders as make
from tests.unit.core.accounts import credential, look, moved, state, superseding

STAGED, APPLIED, PROVEN, CLOSING, CLOSED = Phase
KNOWN = {
    "type": "CredentialValid",
    "status": "True",
    "reason": "Accepted",
    "message": "as before",
    "lastTransitionTime": make.MADE.isoformat(),
}

FIRST = {
    "revision": 1,
    "reason": "Created",
    "result": "Succeeded",
    "startedAt": make.MADE.isoformat(),
    "finishedAt": make.MADE.isoformat(),
}


def rotation(seen: Any) -> Any:
    return status_of(seen, Outcome(Rest(None))).rotation


def test_each_credential_has_its_phase() -> None:
    two = state(credential(2, CLOSING), credential(1, PROVEN), credential(0, APPLIED, login="app_b"))
    rows = credential_status(look(two))
    assert rows is not None
    assert [(row.login, row.revision, row.phase, row.since) for row in rows] == [
        ("app_b", 2, "Closing", make.MADE),
        ("app_a", 1, "Proven", make.MADE),
    ]


def test_a_rotation_names_the_workload_that_is_never_restarted_and_may_use_the_previous_login() -> None:
    two = state(credential(2), credential(1))
    shown = rotation(look(two, make.consumer(marker="db=1", restart="never")))

    assert (shown.step, shown.message) == (
        "WaitForPods",
        "Deployment/api is pending: refuses restarts by keyturn.dev/restart: never; restart it yourself",
    )


def test_a_credential_keeps_when_it_was_proven() -> None:
    later = make.MADE + timedelta(hours=1)
    closing = credential(1).at(CLOSING, later)
    rows = credential_status(look(state(credential(3, STAGED), credential(2), closing.at(CLOSED, make.NOW))))
    assert rows is not None
    assert [(row.phase, row.since, row.proven_at) for row in rows] == [
        ("Staged", make.MADE, None),
        ("Proven", make.MADE, make.MADE),
        ("Closed", make.NOW, make.MADE),
    ]


def test_a_credential_that_was_closed_before_it_was_proven_has_no_such_time() -> None:
    rows = credential_status(look(state(credential(1, CLOSED))))
    assert rows is not None
    assert [row.proven_at for row in rows] == [None]


def test_a_login_that_is_proven_again_has_the_last_time() -> None:
    again = credential(1).at(STAGED, make.MADE).at(APPLIED, make.MADE).at(PROVEN, make.NOW)
    assert again.at(CLOSING, make.NOW + timedelta(hours=1)).proven_at == make.NOW


def test_without_an_account_there_are_none() -> None:
    assert credential_status(make.observed({})) is None


def test_without_a_state_they_stay() -> None:
    row = {"login": "app_a", "revision": 1, "phase": "Proven", "since": make.MADE.isoformat()}
    seen = make.observed({}, state=None, status={"credentials": [row]})
    assert credential_status(seen) == seen.managed.status.credentials


@pytest.mark.parametrize(
    ("verdict", "status"),
    [
        (ProbeVerdict.ACCEPTED, "True"),
        (ProbeVerdict.REFUSED, "False"),
        (ProbeVerdict.WRONG_ROLE, "False"),
        (ProbeVerdict.LOCKED, "False"),
        (ProbeVerdict.CONTESTED, "False"),
        (ProbeVerdict.UNREACHABLE, "Unknown"),
        (ProbeVerdict.NOT_ADMITTED, "Unknown"),
        (ProbeVerdict.NOT_PROBED, "Unknown"),
    ],
)
def test_the_published_credential_is_valid_as_the_last_probe_says(verdict: ProbeVerdict, status: str) -> None:
    found = credential_valid(look(account=AccountFacts(verdict)))
    assert found is not None
    assert (found.status, found.reason) == (status, verdict.value)


def test_a_login_that_is_not_admitted_has_its_cause() -> None:
    found = credential_valid(look(account=AccountFacts(ProbeVerdict.NOT_ADMITTED, "there is no database")))
    assert found is not None
    assert found.message == (
        "the database server answers, and admits no login of the account: there is no database"
    )


def test_a_new_process_repeats_the_condition_until_it_has_probed() -> None:
    seen = look(status={"revision": 1, "conditions": [KNOWN]})
    assert credential_valid(seen) == ("True", "Accepted", "as before")
    other = look(status={"revision": 1, "conditions": [KNOWN | {"type": "Ready"}]})
    assert credential_valid(other) == ("Unknown", "NotProbed", "no login was tried yet")


@cases(
    ("account", "conditions"),
    case("same process", AccountFacts(ProbeVerdict.UNREACHABLE, locked=True), []),
    case("new process", AccountFacts(ProbeVerdict.UNREACHABLE), [KNOWN | {"reason": "Locked"}]),
)
def test_a_lock_is_kept_until_the_server_answers_again(account: AccountFacts, conditions: Any) -> None:
    seen = look(account=account, status={"revision": 1, "conditions": conditions})
    assert credential_valid(seen) == (
        "False",
        "Locked",
        (
            "the published login is closed at the database server; since then, the"
            " database server does not answer"
        ),
    )


def test_nothing_is_valid_before_it_is_published() -> None:
    assert credential_valid(look(target=None)) is None
    assert credential_valid(make.observed({})) is None
    assert credential_valid(make.observed({}, spec_error=Stalled("InvalidSpec", "unreadable"))) is None


@cases(
    ("seen", "step"),
    case("recorded", look(state(credential(2, STAGED), credential(1), current=1)), "Apply"),
    case("applied", look(state(credential(2, APPLIED), credential(1), current=1)), "Prove"),
    case("proven", look(state(credential(2), credential(1)), published=1), "Publish"),
    case("overlap", look(moved(state(credential(2), credential(1)), 2, valid_until=make.NOW)), "Overlap"),
    case("closing", look(moved(state(credential(2), credential(1, CLOSING)), 2, ended=True)), "Revoke"),
)
def test_a_rotation_shows_the_step_at_the_server(seen: Any, step: str) -> None:
    found = rotation(seen)
    assert (found.step, found.id) == (step, f"{make.UID}/2")


def test_a_rotation_is_over_when_the_previous_login_is_refused() -> None:
    assert rotation(look(moved(state(credential(2), credential(1, CLOSED)), 2, ended=True))) is None


def test_a_rotation_says_what_it_waits_for_at_the_server() -> None:
    waits = AccountFacts(problem=Wait("DatabaseUnreachable", "no answer", make.minutes(1)))
    seen = look(state(credential(2, STAGED), credential(1), current=1), account=waits)
    assert rotation(seen).message == "no answer"
    free = replace(seen, account=AccountFacts())
    assert rotation(free).message == "the database server is to accept the new password of app_b"


def test_a_rotation_says_why_the_previous_login_is_still_open() -> None:
    ended = moved(state(credential(2), credential(1, CLOSING)), 2, ended=True)
    accepted = AccountFacts(problem=Wait("StillAccepted", "pool:6432 still accepts app_a", make.minutes(1)))
    assert rotation(look(ended, account=accepted)).message == "pool:6432 still accepts app_a"
    assert rotation(look(ended)).message == (
        "the database server may accept the previous login app_a of revision 1 until it is closed"
    )


def test_a_repair_that_does_not_succeed_is_part_of_the_condition() -> None:
    problem = Wait("CredentialRefused", "pg_hba.conf refuses it", make.minutes(1))
    found = credential_valid(look(account=AccountFacts(ProbeVerdict.REFUSED, problem=problem)))
    assert found is not None
    assert found.message == "the database server refuses the published login; pg_hba.conf refuses it"


def test_a_password_that_was_found_and_cannot_be_proven_has_the_cause() -> None:
    waits = AccountFacts(problem=Wait("DatabaseUnreachable", "no answer", make.minutes(1)))
    found = credential_valid(look(state(credential(1, APPLIED)), account=waits))
    assert found is not None
    assert found.message == "no login was tried yet; no answer"


def test_an_operation_in_progress_does_not_change_the_condition() -> None:
    busy = AccountFacts(problem=Wait("ChangingCredential", "the server is being changed", make.minutes(1)))
    found = credential_valid(look(state(credential(1, APPLIED)), account=busy))
    assert found is not None
    assert found.message == "no login was tried yet"


def test_the_previous_revision_stays_until_its_login_is_refused() -> None:
    ended = moved(state(credential(2), credential(1, CLOSING)), 2, ended=True, valid_until=make.PUBLISHED)
    status = status_of(look(ended), Outcome(Rest(None)))
    assert status.previous is not None
    assert status.previous.revision == 1


def test_a_candidate_is_neither_the_last_rotation_nor_history() -> None:
    before = {"revision": 1, "lastRotationTime": make.BEFORE.isoformat()}
    seen = look(state(credential(2, STAGED), credential(1), current=1, rotated=make.NOW), status=before)
    status = status_of(seen, Outcome(next_step(seen)))
    assert status.last_rotation_time == make.BEFORE
    assert [entry.revision for entry in status.history] == [1]


def test_a_candidate_that_was_given_up_is_history_when_a_later_revision_is_published() -> None:
    gone = superseding(2, abandoned=True)
    before = state(
        credential(2, CLOSING), credential(1), current=1, revisions=(gone, superseding(1, supersedes=None))
    )
    status = status_of(look(before, status={"revision": 1, "history": [FIRST]}), Outcome(Rest(None)))
    assert [(row.revision, row.result) for row in status.history] == [(1, "Succeeded")]


def test_a_candidate_that_was_given_up_at_first_leaves_the_history_to_the_published_revision() -> None:
    gone = superseding(2, abandoned=True)
    before = state(
        credential(2, CLOSING), credential(1), current=1, revisions=(gone, superseding(1, supersedes=None))
    )
    status = status_of(look(before), Outcome(Rest(None)))
    assert [(row.revision, row.result) for row in status.history] == [(1, "Succeeded")]


def test_a_candidate_that_a_rollback_gave_up_is_not_history_either() -> None:
    gone = superseding(3, abandoned=True)
    held = RollbackPause(2, 1, make.NOW, failed=False)
    known = state(
        credential(3, CLOSING),
        credential(2, CLOSED),
        credential(1),
        current=1,
        revisions=(gone, superseding(2), superseding(1, supersedes=None)),
        rollback_pause=held,
    )
    status = status_of(look(known, status={"revision": 1, "history": [FIRST]}), Outcome(Rest(None)))
    assert [(row.revision, row.result) for row in status.history] == [
        (1, "Succeeded"),
        (2, "RolledBack"),
        (1, "Succeeded"),
    ]


def test_a_revision_that_was_given_up_ends_as_superseded() -> None:
    late = superseding(2, abandoned=True)
    known = state(
        credential(3),
        credential(2, CLOSED),
        credential(1, CLOSED),
        revisions=(superseding(3, ended=True), late),
    )
    status = status_of(look(known, status={"revision": 3, "history": [FIRST]}), Outcome(Rest(None)))
    assert [(row.revision, row.result) for row in status.history] == [
        (3, "Succeeded"),
        (2, "Superseded"),
        (1, "Succeeded"),
    ]
