"""At every instant the published login works, each running pod's does, and what was closed never works again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keyturn.api.emergency import Revoke
from keyturn.core.observation.external import AccountFacts, ProbeVerdict
from keyturn.core.spec.references import Capacity
from keyturn.core.state.records import Phase
from tests.simulation.simulated_account import ACCOUNT, ALTERNATING, Account, Login
from tests.support.soak import TIMES

if TYPE_CHECKING:
    from keyturn.core.observation.observed import Consumer, Managed


Make: TypeAlias = Callable[..., Account]
ALONE = Capacity(("app",))
FAMILIES = {
    "two names": ALTERNATING,
    "two passwords of one name": Capacity(("app",), values_per_name=2),
}


@pytest.fixture(params=list(FAMILIES.values()), ids=list(FAMILIES))
def capacity(request: pytest.FixtureRequest) -> Capacity:
    return cast("Capacity", request.param)


@pytest.fixture
def account(capacity: Capacity) -> Make:
    return partial(at_rest, capacity)


def at_rest(capacity: Capacity, database: dict[str, Any] | None = None, **spec: Any) -> Account:
    """Make an account with a workload, at rest."""
    made = Account(
        {"rotation": {"every": "90d", "overlap": "10m"}, "rollout": {"debounce": "0s"}}
        | spec
        | {"account": {**ACCOUNT, **(database or {})}},
        capacity=capacity,
    )
    made.settle()
    made.add_workload()
    return made


def phases(one: Account) -> dict[int, Phase]:
    assert one.state is not None
    return {credential.revision: credential.phase for credential in one.state.credentials}


def test_a_first_password_is_proven_before_it_is_published(account: Make) -> None:
    made = account()
    assert made.taken == ["Stage", "Apply", "Prove", "Publish"]
    assert made.accepts == {1}


def test_a_rotation_ends_with_the_old_login_refused(account: Make, capacity: Capacity) -> None:
    made = account()
    made.rotate("leaver")
    made.settle()
    assert made.taken[4:] == [
        "Stage",
        "Apply",
        "Prove",
        "Publish",
        "RollOut",
        "Overlap",
        "Expire",
        "Revoke",
    ]
    assert made.server == {Login(capacity.names[-1], 2)}
    assert phases(made) == {2: Phase.PROVEN, 1: Phase.CLOSED}


@pytest.mark.parametrize("step", ["Apply", "Prove", "Revoke"])
def test_a_process_that_dies_before_its_record_repeats_the_step(account: Make, step: str) -> None:
    made = account()
    made.rotate("leaver")
    made.dies = step
    made.settle()
    assert made.taken.count(step) == made.taken[:4].count(step) + 2
    assert made.accepts == {2}


def test_a_failed_rollout_returns_to_the_login_that_is_still_open(account: Make) -> None:
    made = account()
    made.doomed = {2}
    made.rotate("leaver")
    made.settle()
    assert "GoBack" in made.taken
    assert (made.revision, made.accepts) == (1, {1})
    assert phases(made) == {2: Phase.CLOSED, 1: Phase.PROVEN}


def test_a_rotation_after_a_rollback_alternates(account: Make) -> None:
    made = account()
    made.doomed = {2}
    made.rotate("leaver")
    made.settle()
    made.rotate("again")
    made.settle()
    assert (made.revision, made.accepts) == (3, {3})


def test_a_rollback_supersedes_a_rotation_that_waits_for_the_end_of_the_overlap(account: Make) -> None:
    made = account()
    made.rotate("leaver")
    made.settle_until("Overlap")
    made.rotate("waits")
    made.roll_back(1)
    made.settle()
    assert (made.revision, made.accepts) == (1, {1})
    made.rotate("later")
    made.settle()
    assert made.revision == 3


def test_a_refused_candidate_is_replaced(account: Make) -> None:
    made = account()
    made.refuses = 1
    made.rotate("leaver")
    made.settle()
    assert (made.revision, made.accepts) == (3, {3})
    assert phases(made) == {3: Phase.PROVEN, 2: Phase.CLOSED, 1: Phase.CLOSED}


def test_a_third_refused_candidate_is_the_last(account: Make) -> None:
    made = account()
    made.refuses = 9
    made.rotate("leaver")
    made.settle()
    assert made.error is not None
    assert made.error.reason == "PasswordRefused"
    assert (made.revision, made.accepts) == (1, {1})
    assert made.taken.count("Stage") == 4
    made.refuses = 0
    made.rotate("fixed")
    made.settle()
    assert made.revision == 5


def test_a_first_candidate_is_replaced_though_other_values_were_added_meanwhile(capacity: Capacity) -> None:
    made = Account({"account": ACCOUNT}, capacity=capacity)
    made.refuses = 1
    made.settle_until("Apply")
    made.spec["data"] = [{"name": "password", "generate": {"password": {}}}, {"name": "n", "literal": "x"}]
    made.settle()
    assert (made.revision, made.accepts) == (3, {3})


def test_a_rotation_whose_candidate_is_refused_outlasts_another_revision(account: Make) -> None:
    made = account()
    made.refuses = 1
    made.rotate("leaver")
    made.settle_until("Close")
    made.down = True
    made.spec["data"] = [{"name": "password", "generate": {"password": {}}}, {"name": "n", "literal": "x"}]
    made.settle()
    made.down = False
    made.settle()
    assert (made.revision, made.accepts) == (4, {4})


def test_candidates_that_were_all_refused_stay_reported_after_another_revision(account: Make) -> None:
    made = account()
    made.refuses = 9
    made.rotate("leaver")
    made.settle()
    made.spec["data"] = [{"name": "password", "generate": {"password": {}}}, {"name": "n", "literal": "x"}]
    made.settle()
    assert made.error is not None
    assert made.error.reason == "PasswordRefused"


def test_a_first_candidate_that_is_refused_is_replaced_before_anything_is_published(
    capacity: Capacity,
) -> None:
    made = Account({"account": ACCOUNT}, capacity=capacity)
    made.refuses = 1
    made.settle()
    assert (made.revision, made.accepts) == (2, {2})


def test_an_emergency_closes_the_previous_login_that_is_in_its_way(account: Make) -> None:
    made = account()
    made.rotate("leaver")
    made.settle_until("Overlap")
    made.declare()
    made.settle()
    assert made.is_emergency_rotated
    assert (made.revision, made.accepts) == (3, {3})


def test_an_emergency_replaces_a_candidate_from_before(account: Make) -> None:
    made = account()
    made.rotate("leaver")
    made.settle_until("Stage")
    made.declare()
    made.settle()
    assert made.is_emergency_rotated
    assert (made.revision, made.accepts) == (3, {3})


def test_another_writers_password_is_replaced_by_the_recorded_one(account: Make) -> None:
    made = account()
    made.sabotage()
    made.settle()
    assert made.taken[4:] == ["Assert"]
    assert made.accepts == {1}


def test_a_server_that_lost_every_password_in_a_rotation_gets_them_again(account: Make) -> None:
    made = account()
    made.rotate("leaver")
    made.settle_until("Apply")
    made.server = {Login(login.name, -1) for login in made.server}
    made.sabotaged = True
    made.settle()
    assert (made.revision, made.accepts) == (2, {2})


def test_a_lost_state_continues_with_the_login_of_the_secret(account: Make) -> None:
    made = account()
    made.rotate("leaver")
    made.settle_until("Overlap")
    made.lose_state()
    made.settle()
    assert made.accepts == {2}
    made.rotate("again")
    made.settle()
    assert made.accepts == {3}


def test_a_found_password_is_set_again_though_another_revision_waits_for_it(account: Make) -> None:
    made = account()
    add_an_item(made)
    made.sabotage()
    made.lose_state()
    made.settle()
    assert made.taken.count("Assert") == 1
    assert (made.revision, made.accepts) == (2, {1})


def test_a_rollback_on_request_needs_an_open_login(account: Make) -> None:
    made = account()
    made.rotate("leaver")
    made.settle()
    made.roll_back(1)
    made.settle()
    assert made.error is not None
    assert made.error.reason == "CredentialRevoked"


def test_a_rollback_on_request_within_the_overlap_changes_nothing_at_the_server_first(account: Make) -> None:
    made = account()
    made.rotate("leaver")
    made.settle_until("Overlap")
    made.roll_back(1)
    made.settle()
    assert (made.revision, made.accepts) == (1, {1})


class RestartedByHand(Account):
    """Its workload refuses restarts, so that its pods are those that its owner has started."""

    def observed(self) -> Managed:
        found = super().observed()
        return replace(found, consumers=tuple(self._refusing(one, found) for one in found.consumers))

    def _refusing(self, one: Consumer, found: Managed) -> Consumer:
        renewed = all(pod.created > found.published for pod in self.pods)
        return replace(one, workload=replace(one.workload, restart="never", settled=True), renewed=renewed)

    def _start_pods(self) -> bool:
        return False

    def restart_by_hand(self) -> None:
        self.now += timedelta(minutes=5)
        self.pods[0].login, self.pods[0].created = self.read["current"], self.now


def test_a_login_that_is_given_up_stays_open_until_the_owner_of_a_workload_restarts_it(
    capacity: Capacity,
) -> None:
    made = RestartedByHand(
        {"rotation": {"every": "90d", "overlap": "10m"}, "account": dict(ACCOUNT)}, capacity=capacity
    )
    made.settle()
    made.add_workload()
    for text in ("first", "second"):
        made.rotate(text)
        made.settle()
        made.restart_by_hand()
        if text == "first":
            made.settle()
    assert made.accepts == {2, 3}

    made.roll_back(2)
    made.settle()
    assert (made.revision, made.accepts) == (2, {2, 3}), "its pod logs in with revision 3"

    made.restart_by_hand()
    made.settle()
    assert (made.revision, made.accepts) == (2, {2})


def test_a_deleted_object_leaves_its_account_open(account: Make) -> None:
    made = account()
    made.deleted = True
    made.settle()
    assert made.accepts == {1}


def test_a_deleted_object_closes_its_account_if_the_spec_says_so(account: Make) -> None:
    made = account({"deletionPolicy": "Delete"})
    assert made.finalized
    made.deleted = True
    made.settle()
    assert (made.accepts, made.finalized) == (set(), False)
    assert made.taken[-3:] == ["Close", "Retire", "Finalize"]


def test_a_single_user_has_one_password_at_a_time() -> None:
    made = at_rest(ALONE)
    made.rotate("leaver")
    made.settle()
    assert (made.revision, made.accepts) == (2, {2})


def test_a_single_user_gets_its_earlier_password_back_before_it_is_published() -> None:
    made = at_rest(ALONE)
    made.doomed = {2}
    made.rotate("leaver")
    made.settle()
    assert (made.revision, made.accepts) == (1, {1})


def test_an_emergency_during_the_rollback_of_a_single_user_rotates_it() -> None:
    made = at_rest(ALONE)
    made.doomed = {2}
    made.rotate("leaver")
    made.settle_until("GoBack")
    made.declare()
    made.settle()
    assert made.is_emergency_rotated
    assert (made.revision, made.accepts) == (3, {3})


def test_an_item_that_is_added_keeps_the_credential(account: Make) -> None:
    made = account()
    made.spec["data"] = [{"name": "password", "generate": {"password": {}}}, {"name": "n", "literal": "x"}]
    made.settle()
    assert (made.revision, made.accepts) == (2, {1})


def test_an_account_is_added_to_a_secret_that_exists(capacity: Capacity) -> None:
    made = Account(
        {"rotation": {"every": "90d", "overlap": "10m"}, "rollout": {"debounce": "0s"}}, capacity=capacity
    )
    made.settle()
    made.add_workload()
    made.spec["account"] = dict(ACCOUNT)
    made.settle()
    assert made.taken[2:] == ["Stage", "Apply", "Prove", "Publish", "RollOut"]
    assert (made.revision, made.accepts) == (2, {2})
    made.rotate("leaver")
    made.settle()
    assert (made.revision, made.accepts) == (3, {3})


@pytest.mark.parametrize("step", ["Stage", "Apply", "Prove", "Publish", "Overlap", "Revoke"])
def test_an_account_that_is_removed_from_the_spec_and_added_again_continues(account: Make, step: str) -> None:
    made = account()
    made.rotate("leaver")
    made.settle_until(step)
    database = made.spec.pop("account")
    made.settle()
    assert made.error is None
    made.rotate("without an account")
    made.settle()
    assert made.error is None
    assert made.state is not None
    assert made.revision == made.state.newest.number
    made.spec["account"] = database
    made.settle()
    assert made.error is None
    assert made.read["current"] == next(iter(made.server))
    assert len(made.server) == 1


def test_pods_that_end_slowly_keep_their_login(account: Make) -> None:
    made = account()
    made.grace = timedelta(minutes=30)
    made.rotate("leaver")
    made.settle()
    assert made.accepts == {2}


def test_a_server_that_is_down_delays_a_rotation_and_nothing_else(account: Make) -> None:
    made = account()
    made.down = True
    made.rotate("leaver")
    made.settle()
    assert (made.revision, made.accepts) == (1, {1})
    made.down = False
    made.settle()
    assert (made.revision, made.accepts) == (2, {2})


def test_a_class_of_bad_ideas_is_not_followed_while_it_is_suspended(account: Make) -> None:
    made = account()
    made.rotate("leaver")
    made.settle_until("Expire")
    made.suspended = True
    made.settle()
    assert made.accepts == {1, 2}


# A login that an administrator has locked


def test_the_end_of_an_overlap_opens_no_login_that_was_locked(account: Make) -> None:
    made = account()
    made.rotate("leaver")
    made.settle_until("Overlap")
    made.lock()
    left = set(made.server)
    made.settle()
    assert made.server == left
    assert made.error is not None
    assert made.error.reason == "CredentialLocked"
    assert "Revoke" not in made.taken


def test_a_schedule_opens_no_login_that_was_locked(account: Make) -> None:
    made = account()
    made.settle()
    made.lock()
    made.settle()
    made.now += timedelta(days=91)
    made.settle()
    assert made.accepts == set()
    assert made.taken.count("Stage") == 1
    made.rotate("open-it")
    made.settle()
    assert made.accepts == {2}


def test_a_request_opens_a_locked_login_though_the_previous_one_is_open(account: Make) -> None:
    made = account()
    made.rotate("leaver")
    made.settle_until("Overlap")
    made.lock()
    made.rotate("open-it")
    made.settle_until("Assert")
    assert made.accepts == {1, 2}
    made.settle()
    assert made.accepts == {3}


def test_a_request_ends_an_overlap_that_waits_for_a_locked_login(account: Make) -> None:
    made = account()
    made.rotate("leaver")
    made.settle_until("Overlap")
    made.lock()
    made.settle()
    made.rotate("open-it")
    made.settle()
    assert made.accepts == {3}


def test_no_restart_of_the_operator_opens_a_locked_login_while_the_server_is_silent(account: Make) -> None:
    made = account()
    made.rotate("leaver")
    made.settle_until("Overlap")
    made.lock()
    left = set(made.server)
    made.settle()
    for _ in range(2):
        made.restart()
        made.facts = AccountFacts(ProbeVerdict.UNREACHABLE)
        made.down = True
        made.settle()
        made.down = False  # the object is woken before the next probe
    made.settle()
    assert made.server == left
    assert "Revoke" not in made.taken


@pytest.mark.parametrize("is_new_process", [False, True], ids=["same process", "new process"])
def test_a_locked_login_whose_password_is_lost_gets_another_one(
    account: Make, *, is_new_process: bool
) -> None:
    made = account()
    made.settle()
    made.lock()
    made.settle()
    made.lose_state()
    made.lose_secret()
    if is_new_process:
        made.restart()
    made.settle()
    assert made.accepts == {2}
    assert made.revision == 2


# Random stories


Action: TypeAlias = Callable[[Account], None]
STEPS = (
    "Stage",
    "Apply",
    "Prove",
    "Publish",
    "RollOut",
    "Overlap",
    "Expire",
    "Close",
    "Revoke",
    "GoBack",
)


def die_in(step: str) -> Action:
    def die(one: Account) -> None:
        one.dies = step

    return named(f"die in {step}", die)


def go_to(step: str) -> Action:
    return named(f"go to {step}", lambda one: one.settle_until(step))


def named(name: str, action: Action) -> Action:
    action.__name__ = name
    return action


def rotate(one: Account) -> None:
    one.rotate(f"at {one.now}")


def doom_the_next(one: Account) -> None:
    if one.state:
        one.doomed = {one.state.newest.number + 1}


def refuse_a_candidate(one: Account) -> None:
    one.refuses += 1


def roll_back(one: Account) -> None:
    one.roll_back(max((one.revision or 1) - 1, 1))


def take_down(one: Account) -> None:
    one.down = True


def bring_up(one: Account) -> None:
    one.down = False


def suspend(one: Account) -> None:
    one.suspended = not one.suspended


def add_an_item(one: Account) -> None:
    one.spec["data"] = [
        {"name": "password", "generate": {"password": {}}},
        {"name": f"n{len(one.taken)}", "literal": ""},
    ]


def end_slowly(one: Account) -> None:
    one.grace = timedelta(minutes=20)


def restart(one: Account) -> None:
    one.restart()


ACTIONS: tuple[Action, ...] = (
    *(go_to(step) for step in STEPS),
    *(die_in(step) for step in ("Apply", "Prove", "Assert", "Revoke")),
    rotate,
    doom_the_next,
    refuse_a_candidate,
    roll_back,
    take_down,
    bring_up,
    suspend,
    add_an_item,
    end_slowly,
    restart,
    named("lose the Secret", Account.lose_secret),
    named("sabotage", Account.sabotage),
    named("lock", Account.lock),
    named("lose the state", Account.lose_state),
    named("declare an emergency", Account.declare),
    named("settle", Account.settle),
)


@given(
    st.lists(st.sampled_from(ACTIONS), max_size=12),
    st.sampled_from([*FAMILIES.values(), ALONE]),
    st.sampled_from(["0s", "10m"]),
    st.sampled_from([Revoke.IMMEDIATELY, Revoke.AFTER_ROLLOUT]),
)
@settings(max_examples=75 * TIMES)
def test_whatever_happens_the_published_login_works_and_ends_alone(
    story: list[Action], capacity: Capacity, overlap: str, revoke: Revoke
) -> None:
    one = at_rest(capacity, rotation={"every": "90d", "overlap": overlap})
    one.revoke = revoke
    for action in story:
        action(one)
    one.down = one.suspended = False
    one.refuses, one.dies = 0, None
    one.settle()
    one.close_emergencies()
    one.repairs, one.facts = 0, AccountFacts()
    one.settle()
    rotate(one)
    one.settle()
    assert one.read["current"] == next(iter(one.server))
    assert len(one.server) == 1
