"""What each step records about the credentials of a database account."""

from dataclasses import replace
from typing import Any

import pytest

from keyturn.core.rotation import steps, transitions
from keyturn.core.rotation.rollback import GoBack
from keyturn.core.rotation.steps import Reason
from keyturn.core.state.records import Phase
from keyturn.core.state.state import StateFacts
from tests.support.cases import case, cases
from tests.unit.core import builders as make
from tests.unit.core.accounts import (
    SINGLE,
    TWICE,
    At,
    credential,
    look,
    moved,
    placed,
    spec,
    state,
    superseding,
)

STAGED, APPLIED, PROVEN, CLOSING, CLOSED = Phase
NEW = frozenset({"password"})
CONTENT = transitions.Content(
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


def staged(found: StateFacts | None, fresh: frozenset[str] = NEW, **facts: Any) -> StateFacts:
    reason = Reason("Triggered", "", fresh, rotates=True)
    seen = look(found, **facts) if found else make.observed(spec(), state=None, target=None)
    number = found.newest.number + 1 if found else 1
    return transitions.stage(steps.Stage(number, reason), found, seen, CONTENT, make.NOW)


@pytest.mark.parametrize("step", [At.repair(), steps.Bind()], ids=["Assert", "Bind"])
def test_what_is_recorded_already_stays(step: steps.Recorded) -> None:
    assert recorded(step, state()) == state()


# Stage


def test_a_candidate_that_replaces_another_one_has_the_last_rotation_that_was_published() -> None:
    first = staged(state())
    given_up = transitions.record(steps.Close((2,)), first, look(first), make.NOW)

    after = staged(given_up)

    assert [one.rotated_before for one in after.revisions] == [make.MADE, make.MADE, None]


def test_a_first_revision_is_current_at_once() -> None:
    after = staged(None)
    assert (after.current_number, phases(after), after.credentials[0].login) == (1, {1: STAGED}, "app_a")
    assert (after.current.credential, after.current.supersedes) == (1, None)


def test_a_credential_is_recorded_with_its_item_and_its_target() -> None:
    (first,) = staged(None).credentials
    assert (first.item, first.target) == ("password", "DatabaseTarget/orders")


def test_a_new_password_becomes_a_candidate_next_to_the_published_one() -> None:
    after = staged(state())
    assert (after.current_number, phases(after)) == (1, {2: STAGED, 1: PROVEN})
    assert after.candidate is not None
    assert (after.candidate.credential, after.candidate.supersedes) == (2, 1)
    assert after.candidate.overlap_from is None
    assert after.restorable == {1, 2}
    assert after.names == state().names


def test_other_values_keep_the_credential() -> None:
    after = staged(state(credential(2), credential(1)), frozenset({"token"}))
    assert (after.current_number, phases(after)) == (3, {2: PROVEN, 1: PROVEN})
    assert (after.current.credential, after.current.supersedes, after.current.overlap_from) == (2, 1, 2)
    ended = staged(moved(state(credential(2), credential(1, CLOSED)), 2, ended=True), frozenset({"token"}))
    assert (ended.current.supersedes, ended.current.overlap_from) == (None, None)


def test_a_revision_before_the_account_has_no_credential() -> None:
    after = staged(make.state(names=("password", "username")), frozenset({"token"}))
    assert (after.current.credential, after.credentials) == (None, ())


def test_a_credential_from_before_the_account_was_absent_is_superseded() -> None:
    known = state(
        credential(2), revisions=(superseding(3, credential=None, supersedes=None), superseding(2)), current=3
    )
    after = staged(known)
    assert (after.newest.supersedes, after.credentials[0].login) == (2, "app_a")


def test_a_first_candidate_that_was_given_up_is_replaced_as_the_current_one() -> None:
    after = staged(moved(state(credential(1, CLOSED)), 1, abandoned=True, reason="Triggered"))
    assert (after.current_number, after.current.supersedes) == (2, None)
    assert (after.credentials[0].login, after.credentials[0].tries) == ("app_a", 1)


def test_values_of_open_credentials_outlast_the_history() -> None:
    short: dict[str, Any] = {"others": {"rotation": {"revisionHistoryLimit": 0}}}
    after = staged(state(credential(2), credential(1)), frozenset({"token"}), **short)
    assert after.restorable == {1, 2, 3}
    assert staged(state(), **short).restorable == {1, 2}


# Apply, Prove, Close, Revoke, Retire


def test_an_applied_candidate_is_not_current_yet() -> None:
    after = recorded(At.apply(2), state(credential(2, STAGED), credential(1), current=1))
    assert (after.current_number, phases(after)) == (1, {2: APPLIED, 1: PROVEN})
    assert after.credentials[0].since == make.NOW


def test_a_proven_candidate_becomes_current_in_the_same_write() -> None:
    after = recorded(At.prove(2), state(credential(2, APPLIED), credential(1), current=1))
    assert (after.current_number, phases(after)) == (2, {2: PROVEN, 1: PROVEN})
    assert after.publications[0].number == 1


def test_a_proven_current_credential_changes_no_revision() -> None:
    after = recorded(At.prove(1), state(credential(1, APPLIED)))
    assert (after.current_number, phases(after), after.publications) == (1, {1: PROVEN}, ())


@cases(
    ("found", "number", "abandoned"),
    case("a candidate", state(credential(2, APPLIED), credential(1), current=1), 2, True),
    case("a first one", state(credential(1, STAGED)), 1, True),
    case("a published one", state(credential(1)), 1, False),
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
    ended = moved(state(credential(2), credential(1, CLOSING)), 2, ended=True)
    after = recorded(At.revoke(1), ended)
    assert (phases(after), after.restorable) == ({2: PROVEN, 1: CLOSED}, frozenset({2}))


def test_a_closed_current_credential_keeps_its_values() -> None:
    after = recorded(At.revoke(1), state(credential(1, CLOSING)))
    assert (phases(after), after.restorable) == ({1: CLOSED}, frozenset({1}))


def test_a_retired_account_has_no_open_credential() -> None:
    after = recorded(At.retire(), state(credential(2, CLOSING), credential(1, CLOSING)))
    assert after.open_credentials == ()


# Expire and GoBack


def test_the_end_of_an_overlap_closes_the_previous_credential_in_the_same_write() -> None:
    after = recorded(steps.Expire(2), state(credential(2), credential(1)))
    assert (after.current.ended, phases(after)) == (True, {2: PROVEN, 1: CLOSING})


def test_without_a_credential_an_overlap_only_ends() -> None:
    after = recorded(steps.Expire(1), make.state(), make.observed({}))
    assert (after.current.ended, after.credentials) == (True, ())


def gone_back(found: StateFacts, to: int, **facts: Any) -> StateFacts:
    step = GoBack(to, found.current_number, failed=False)
    return recorded(step, found, look(found, **facts))


def test_a_rollback_closes_what_it_gives_up() -> None:
    after = gone_back(state(credential(2), credential(1)), 1)
    assert (after.current_number, phases(after)) == (1, {2: CLOSING, 1: PROVEN})
    assert not after.newest.abandoned
    assert after.gives_up_credential


def test_a_rollback_before_the_publication_gives_the_revision_up() -> None:
    after = gone_back(state(credential(2), credential(1)), 1, published=1)
    assert after.newest.abandoned
    assert not after.gives_up_credential


def test_a_rollback_gives_a_candidate_up() -> None:
    same = replace(superseding(2, reason="SpecChanged"), credential=1, supersedes=None)
    found = state(
        credential(3, STAGED),
        credential(1),
        current=2,
        revisions=(superseding(3, supersedes=1), same, superseding(1)),
    )
    after = gone_back(found, 1)
    assert (after.current_number, phases(after)) == (1, {3: CLOSING, 1: PROVEN})
    assert after.newest.abandoned


def test_a_single_user_gets_its_earlier_password_back_first() -> None:
    both = state(credential(2, login="app"), credential(1, login="app"))
    assert phases(gone_back(both, 1, database=SINGLE)) == {2: CLOSING, 1: STAGED}


def test_two_passwords_of_one_name_are_as_they_were_after_a_rollback() -> None:
    both = state(credential(2, login="app"), credential(1, login="app"))
    assert phases(gone_back(both, 1, capacity=TWICE)) == {2: CLOSING, 1: PROVEN}


def test_a_single_user_keeps_its_password_if_only_other_values_are_given_back() -> None:
    known = state(
        credential(1, login="app"),
        revisions=(superseding(2, credential=1, supersedes=None), superseding(1)),
        current=2,
    )
    seen = look(known, database=SINGLE)
    assert phases(recorded(GoBack(1, 2, failed=False), known, seen)) == {1: PROVEN}


def test_an_overlap_whose_previous_credential_is_closed_does_not_begin_again() -> None:
    two = superseding(2, ended=False)
    same = replace(superseding(3, reason="SpecChanged"), credential=2, supersedes=None)
    found = state(credential(2), credential(1, CLOSED), revisions=(same, two, superseding(1)))
    assert gone_back(found, 2).current.ended
    still = state(credential(2), credential(1), revisions=(same, two, superseding(1)))
    assert not gone_back(still, 2).current.ended


def test_a_rollback_without_an_account_changes_no_credential() -> None:
    found = make.state(make.revision(2), make.revision(1))
    after = recorded(GoBack(1, 2, failed=False), found, make.observed({}, state=found))
    assert after.credentials == ()


# Claim and Adopt


def test_a_claimed_secret_has_a_credential_to_be_proven_and_perhaps_a_lost_one() -> None:
    seen = make.observed(spec(), state=None)
    content = replace(CONTENT, login="app_b")
    after = transitions.claim(steps.Claim(3), seen, content, make.MADE, make.NOW)
    assert [(one.revision, one.login, one.phase) for one in after.credentials] == [
        (3, "app_b", APPLIED),
        (0, "app_a", APPLIED),
    ]
    assert (after.current.credential, after.current.supersedes) == (3, 0)


def test_a_single_user_has_no_lost_credential() -> None:
    seen = make.observed(spec(SINGLE), state=None)
    after = transitions.claim(steps.Claim(3), seen, CONTENT, make.MADE, make.NOW)
    assert [(one.revision, one.login) for one in after.credentials] == [(3, "app")]
    assert after.current.supersedes is None


def test_a_lost_password_may_be_another_one_of_the_same_name() -> None:
    seen = make.observed(spec(), state=None, capacity=TWICE)
    after = transitions.claim(steps.Claim(3), seen, CONTENT, make.MADE, make.NOW)
    assert [(one.revision, one.login) for one in after.credentials] == [(3, "app"), (0, "app")]
    assert after.current.supersedes == 0


def test_a_claim_without_an_account_records_no_credential() -> None:
    after = transitions.claim(steps.Claim(3), make.observed({}, state=None), CONTENT, make.MADE, make.NOW)
    assert (after.credentials, after.current.credential) == ((), None)


@pytest.mark.parametrize("found", [None, make.state()], ids=["without a state", "on top of one"])
def test_an_adopted_secret_has_a_credential_to_be_proven(found: StateFacts | None) -> None:
    seen = make.observed(spec(target={"adopt": "IfUnowned"}), state=found)
    content = replace(CONTENT, login="app")
    after = transitions.adopt(steps.Adopt(4), found, seen, content, make.NOW)
    assert [(one.revision, one.login, one.phase) for one in after.credentials] == [(4, "app", APPLIED)]
    assert (after.current_number, after.current.credential) == (4, 4)


def test_a_password_that_was_corrected_replaces_the_one_that_was_found_first() -> None:
    first = moved(state(credential(1, APPLIED, login="app")), 1, reason="Claimed")
    seen = make.observed(spec(target={"adopt": "IfUnowned"}), state=first)
    content = replace(CONTENT, login="app")
    after = transitions.adopt(steps.Adopt(2), first, seen, content, make.NOW)
    assert [(one.revision, one.phase) for one in after.credentials] == [(2, APPLIED)]


# The record itself


def test_evidence_of_closed_credentials_is_limited() -> None:
    many = state(credential(1))
    for number in range(2, 9):
        many = many.with_credential(credential(number, CLOSED))
    assert [one.revision for one in many.credentials] == [8, 7, 6, 5, 1]


def test_values_of_open_credentials_are_never_dropped_to_fit() -> None:
    both = state(credential(2), credential(1), revisions=(superseding(2, fallback=None), superseding(1)))
    assert both.without_oldest() is None
    closed = both.with_phase(CLOSED, make.NOW, {1})
    shorter = closed.without_oldest()
    assert shorter is not None
    assert shorter.restorable == {2}


def test_a_phase_keeps_its_time() -> None:
    assert credential(1).at(PROVEN, make.NOW) == credential(1)
