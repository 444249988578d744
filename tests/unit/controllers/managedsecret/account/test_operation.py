"""What one step does at a database server, whatever it finds there."""

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from keyturn.controllers.managedsecret.account.operation import (
    Claimed,
    Effect,
    OpenSessions,
    Operation,
    login_of,
)
from keyturn.controllers.managedsecret.account.problems import is_answer
from keyturn.core.errors import Stalled, Wait
from keyturn.core.rotation.steps import Account as AccountStep
from keyturn.core.spec.references import Capacity
from keyturn.core.state.records import Credential, ItemValues, Phase, Revision
from keyturn.core.state.state import State
from keyturn.core.value import Value
from keyturn.databases.base import Account, Client, Endpoint, Template
from keyturn.databases.errors import Fenced, Forbidden, Missing
from tests.support.cases import case, cases
from tests.support.memory_databases import HOST, NOT_ADMITTED, MemoryEngine, MemoryServer, Role
from tests.unit.core.accounts import FIRST, SECOND, At, of_login, placed, recorded
from tests.unit.core.builders import NOW

ACCOUNT = Account("app", Capacity.alternating("app"), "shop/db")
POOLER = Endpoint("pooler.shop.svc", 6432)


A, B = of_login(1, "app_a"), of_login(2, "app_b", Phase.STAGED)
ROTATING = recorded(B, A)
ALONE = recorded(replace(A, phase=Phase.STAGED))


def opened(password: str, mark: str = "") -> Role:
    return Role(Value.of_text(password), may_login=True, mark=mark)


def claimed(**passwords: str) -> dict[str, Role]:
    """Return the roles of an account that this ManagedSecret has, of which these log in."""
    roles = {name: Role(mark=ACCOUNT.mark) for name in ACCOUNT.names}
    return roles | {name: opened(password, roles[name].mark) for name, password in passwords.items()}


@dataclass
class Fence:
    """A fence that counts its calls, and may say that the record is another one."""

    calls: int = 0
    error: Exception | None = None

    async def __call__(self) -> None:
        self.calls += 1
        if self.error:
            raise self.error


@dataclass
class Site:
    """One server and the operations there."""

    server: MemoryServer = field(default_factory=MemoryServer)
    fence: Fence = field(default_factory=Fence)
    also_at: tuple[Endpoint, ...] = ()
    template: Template | None = field(default_factory=Template)

    async def run(
        self, step: AccountStep, state: State, *live: Credential, account: Account = ACCOUNT
    ) -> Effect | Wait | Stalled:
        engine = MemoryEngine(self.server, self.also_at)
        operation = Operation(
            engine,
            account,
            self.template,
            state,
            placed(step, state.facts, live),
            "password",
            self.fence,
            "account: app",
        )
        return await operation.run()


@pytest.fixture
def site() -> Site:
    return Site()


# The record


def test_a_credential_is_the_same_in_each_phase_and_another_one_with_each_try() -> None:
    def named(credential: Credential) -> str:
        login = login_of(credential, ROTATING, "password")
        assert login
        return login.credential

    others = [named(one) for one in (A, replace(A, tries=1), B)]
    assert named(replace(A, phase=Phase.CLOSING)) == others[0]
    assert len(set(others)) == len(others)
    assert all(others)


@pytest.mark.parametrize(("reason", "was_found"), [("Claimed", True), ("Created", False)])
def test_a_password_that_was_found_in_a_secret_may_have_any_characters(
    reason: str, *, was_found: bool
) -> None:
    login = login_of(A, recorded(A, reason=reason), "password")

    assert login
    assert login.was_found is was_found


# Apply


async def test_an_account_that_does_not_exist_is_created_with_the_first_login_open(site: Site) -> None:
    done = await site.run(At.apply(1), ALONE, *ALONE.facts.credentials)

    assert done == Effect(Claimed.CREATED)
    assert site.server.accepts("app_a", FIRST)
    assert [name for name, role in site.server.roles.items() if role.may_login] == ["app_a"]


async def test_the_password_is_the_item_that_is_recorded(site: Site) -> None:
    site.server.roles = claimed(app_a=FIRST)
    renamed = replace(ROTATING.facts.credentials[0], item="token")
    values = {
        "token": ItemValues("", {"value": Value.of_text("third-password")}, {"value": "token"}),
        **ROTATING.revisions[2].values,
    }
    state = State.of(
        replace(ROTATING.facts, credentials=(renamed, A)), {**ROTATING.revisions, 2: Revision(values)}
    )

    await site.run(At.apply(2), state, renamed, A)

    assert site.server.accepts("app_b", "third-password")


async def test_a_candidate_is_opened_next_to_the_published_login(site: Site) -> None:
    site.server.roles = claimed(app_a=FIRST)

    assert await site.run(At.apply(2), ROTATING, A, B) == Effect()

    assert site.server.accepts("app_a", FIRST)
    assert site.server.accepts("app_b", SECOND)


async def test_a_rotation_opens_its_candidate_in_one_session_of_the_admin(site: Site) -> None:
    site.server.roles = claimed(app_a=FIRST)

    await site.run(At.apply(2), ROTATING, A, B)

    assert site.server.calls == ["bring"]


async def test_an_account_of_another_object_is_not_claimed_for_a_candidate(site: Site) -> None:
    site.server.roles = claimed(app_a=FIRST)
    site.server.roles["app"].mark = "other/db/here"

    with pytest.raises(Forbidden, match="AccountTaken"):
        await site.run(At.apply(2), ROTATING, A, B)

    assert site.server.roles["app"].mark == "other/db/here"


async def test_a_step_can_be_repeated(site: Site) -> None:
    site.server.roles = claimed(app_a=FIRST)
    for _ in range(3):
        await site.run(At.apply(2), ROTATING, A, B)

    assert site.server.accepts("app_a", FIRST)
    assert site.server.accepts("app_b", SECOND)


async def test_nothing_is_changed_if_the_record_is_another_one(site: Site) -> None:
    site.server.roles, site.fence.error = claimed(app_a=FIRST), Fenced()

    with pytest.raises(Fenced):
        await site.run(At.apply(2), ROTATING, A, B)

    assert not site.server.roles["app_b"].may_login


async def test_a_login_with_an_unknown_password_is_not_closed(site: Site) -> None:
    site.server.roles = {"app": opened("of-somebody-else")}

    with pytest.raises(Stalled, match="AccountExists"):
        await site.run(At.apply(1), ALONE, *ALONE.facts.credentials)

    assert site.server.accepts("app", "of-somebody-else")


async def test_an_account_is_adopted_with_the_password_that_the_secret_has(site: Site) -> None:
    site.server.roles = {"app": opened(FIRST)}
    found = recorded(of_login(1, "app", Phase.STAGED))

    assert await site.run(At.apply(1), found, *found.facts.credentials) == Effect(Claimed.ADOPTED)

    assert site.server.accepts("app", FIRST)
    assert site.server.roles["app"].mark == ACCOUNT.mark


async def test_the_password_of_an_adopted_account_is_proven_before_anything_is_changed(site: Site) -> None:
    site.server.roles = {"app": opened("the-one-that-works")}
    found = recorded(of_login(1, "app", Phase.STAGED), reason="Claimed")

    with pytest.raises(Stalled, match="CredentialRefused"):
        await site.run(At.apply(1), found, *found.facts.credentials)

    assert site.server.accepts("app", "the-one-that-works")
    assert site.fence.calls == 0


async def test_an_adopted_account_is_not_touched_while_its_login_is_not_admitted(site: Site) -> None:
    site.server.roles, site.server.not_admitted = {"app": opened(FIRST)}, {"app"}
    found = recorded(of_login(1, "app", Phase.STAGED))

    with pytest.raises(Wait, match="LoginNotAdmitted"):
        await site.run(At.apply(1), found, *found.facts.credentials)

    assert site.fence.calls == 0


async def test_an_adopted_account_is_not_touched_while_its_password_cannot_be_tried(site: Site) -> None:
    site.server.roles, site.server.unanswered = {"app": opened(FIRST)}, {HOST}
    found = recorded(of_login(1, "app", Phase.STAGED))

    with pytest.raises(Wait, match="DatabaseUnreachable"):
        await site.run(At.apply(1), found, *found.facts.credentials)

    assert site.fence.calls == 0


async def test_what_is_missing_of_a_claimed_account_is_created_without_an_event(site: Site) -> None:
    site.server.roles = claimed(app_a=FIRST)
    del site.server.roles["app_b"]

    assert await site.run(At.apply(2), ROTATING, A, B) == Effect()


async def test_an_account_that_does_not_exist_is_not_created_without_a_template(site: Site) -> None:
    site.template = None

    with pytest.raises(Missing):
        await site.run(At.apply(1), ALONE, *ALONE.facts.credentials)


async def test_no_login_is_closed_because_its_password_is_not_recorded(site: Site) -> None:
    site.server.roles = claimed(app_a=FIRST)
    lost = replace(A, revision=7)

    with pytest.raises(Stalled, match="StateUnreadable"):
        await site.run(At.apply(2), ROTATING, lost, B)

    assert site.server.accepts("app_a", FIRST)


# An account whose marks are gone: released by an administrator, or restored from a dump without comments


def released(*names: str, **passwords: str) -> dict[str, Role]:
    """Return the roles of an account of which these, or all, have no mark; some log in."""
    roles = claimed(**passwords)
    return roles | {name: replace(roles[name], mark="") for name in names or roles}


@pytest.mark.parametrize(
    "names", [(), ("app",), ("app_a",)], ids=["of every role", "of the owner", "of the published login"]
)
async def test_an_account_whose_marks_were_removed_is_claimed_with_the_recorded_password(
    site: Site, names: tuple[str, ...]
) -> None:
    site.server.roles = released(*names, app_a=FIRST)

    done = await site.run(At.apply(2), ROTATING, A, B)

    assert done == Effect(None if names == ("app_a",) else Claimed.ADOPTED)
    assert site.server.accepts("app_a", FIRST)
    assert site.server.accepts("app_b", SECOND)
    assert {role.mark for role in site.server.roles.values()} == {ACCOUNT.mark}


@pytest.mark.parametrize("names", [(), ("app_a",)], ids=["of every role", "of the login alone"])
@pytest.mark.parametrize(
    ("login", "reason"),
    [("app_a", "CredentialRefused"), ("app_b", "AccountExists")],
    ids=["known", "unknown"],
)
async def test_a_login_without_a_mark_that_refuses_the_recorded_password_is_left_as_it_is(
    site: Site, names: tuple[str, ...], login: str, reason: str
) -> None:
    site.server.roles = released(*(names and (login,)), **({"app_a": FIRST} | {login: "of-others"}))

    with pytest.raises(Stalled, match=reason) as refused:
        await site.run(At.apply(2), ROTATING, A, B)

    assert site.server.accepts(login, "of-others")
    assert site.server.roles[login].mark == ""
    assert ("MARK app: the password is then set again" in refused.value.message) is (login == "app_a")


async def test_no_password_is_tried_at_an_account_of_another(site: Site) -> None:
    site.server.roles = released(app_a="of-others")
    site.server.roles["app_a"].mark = "office/db/here"

    with pytest.raises(Forbidden):
        await site.run(At.apply(2), ROTATING, A, B)

    assert not [call for call in site.server.calls if call.startswith("prove")]


async def test_a_login_without_a_mark_that_is_recorded_as_closing_is_claimed_and_closed(site: Site) -> None:
    site.server.roles = released(app_a=FIRST, app_b=SECOND)

    assert await revoke(site) == Effect()

    assert not site.server.accepts("app_a", FIRST)
    assert site.server.accepts("app_b", SECOND)
    assert {role.mark for role in site.server.roles.values()} == {ACCOUNT.mark}


async def test_a_single_login_without_a_mark_is_claimed_with_the_password_before_the_new_one(
    site: Site,
) -> None:
    single = Account("app", Capacity(("app",)), ACCOUNT.mark)
    site.server.roles = {"app": opened(FIRST)}
    new = of_login(2, "app", Phase.STAGED)
    state = recorded(new, of_login(1, "app"))

    assert await site.run(At.apply(2), state, new, account=single) == Effect(Claimed.ADOPTED)

    assert site.server.accepts("app", SECOND)


async def test_a_published_login_whose_password_is_lost_is_never_to_be_closed(site: Site) -> None:
    site.server.roles = released(app_a=FIRST)
    lost = replace(A, revision=7)
    state = ROTATING.with_facts(replace(ROTATING.facts, credentials=(B, lost)))

    with pytest.raises(Stalled, match="StateUnreadable"):
        await site.run(At.apply(2), state, lost, B)


# Apply with SingleUser: the new password replaces the published one

SINGLE = Account("app", Capacity(("app",)), ACCOUNT.mark)
REPLACING = recorded(of_login(2, "app", Phase.STAGED), of_login(1, "app"))
REPLACED = recorded(of_login(2, "app", Phase.APPLIED), of_login(1, "app"))


async def replace_password(site: Site) -> Effect | Wait | Stalled:
    return await site.run(At.apply(2), REPLACING, REPLACING.facts.credentials[0], account=SINGLE)


@pytest.mark.parametrize("silent", [HOST, POOLER], ids=str)
async def test_a_single_password_is_not_replaced_while_an_endpoint_cannot_prove_the_new_one(
    site: Site, silent: Endpoint
) -> None:
    site.server.roles, site.also_at = claimed(app=FIRST), (POOLER,)
    site.server.unanswered = {silent}

    done = await replace_password(site)

    assert reason(done) == "DatabaseUnreachable"
    assert f"at {silent}: " in message(done)
    assert message(done).endswith("; the password is changed when each address answers")
    assert site.server.accepts("app", FIRST)


async def test_a_single_password_is_not_replaced_while_the_login_is_not_admitted(site: Site) -> None:
    site.server.roles, site.server.not_admitted = claimed(app=FIRST), {"app"}

    assert reason(await replace_password(site)) == "LoginNotAdmitted"
    assert site.server.roles["app"].password == Value.of_text(FIRST)


async def test_a_single_password_is_replaced_though_a_pooler_refuses_the_published_one(site: Site) -> None:
    site.server.roles, site.also_at = claimed(app=FIRST), (POOLER,)
    site.server.stale = {POOLER: {}}

    assert await replace_password(site) == Effect()
    assert site.server.accepts("app", SECOND)


async def test_a_single_password_that_was_replaced_before_a_crash_is_recorded(site: Site) -> None:
    """Only then can it be given up, which restores the published one."""
    site.server.roles, site.also_at = claimed(app=SECOND), (POOLER,)
    site.server.unanswered = {POOLER}

    assert await replace_password(site) == Effect()


# With two passwords of one name the new one is beside the published one

TWICE = Account("app", Capacity(("app",), values_per_name=2), ACCOUNT.mark)
APP = of_login(1, "app")


async def test_a_second_password_of_a_name_replaces_none(site: Site) -> None:
    site.server.roles, site.also_at = claimed(app=FIRST), (POOLER,)
    site.server.unanswered = {POOLER}

    assert (
        await site.run(At.apply(2), REPLACING, APP, REPLACING.facts.credentials[0], account=TWICE) == Effect()
    )

    assert site.server.accepts("app", FIRST)
    assert site.server.accepts("app", SECOND)
    assert site.server.calls == ["bring"]


async def test_a_second_password_is_refused_if_the_published_one_is_accepted(site: Site) -> None:
    site.server.roles = claimed(app=FIRST)

    done = await site.run(At.prove(2), REPLACED, account=TWICE)

    assert done == Effect(refused_at=HOST)


async def test_the_previous_password_of_a_name_is_refused_and_the_sessions_of_the_name_are_not_counted(
    site: Site,
) -> None:
    site.server.roles = claimed(app=FIRST)
    site.server.roles["app"].others = (Value.of_text(SECOND),)
    site.server.clients = [Client("app", "10.0.0.1", 2)]
    current = of_login(2, "app")
    closing = recorded(current, replace(APP, phase=Phase.CLOSING), current=2)

    assert await site.run(At.revoke(1), closing, current, account=TWICE) == Effect()

    assert not site.server.accepts("app", FIRST)
    assert site.server.accepts("app", SECOND)


# Prove


async def test_an_account_is_adopted_once_the_password_that_was_found_is_proven(site: Site) -> None:
    site.server.roles = {"app": opened(FIRST)}
    found = recorded(of_login(1, "app", Phase.APPLIED), reason="Claimed")

    assert await site.run(At.prove(1), found, *found.facts.credentials) == Effect(Claimed.ADOPTED)

    assert site.server.accepts("app", FIRST)
    assert site.server.roles["app"].mark == ACCOUNT.mark


async def test_an_account_whose_password_was_not_found_in_the_secret_is_not_claimed(site: Site) -> None:
    site.server.roles = {"app": opened("the-one-that-works")}
    found = recorded(of_login(1, "app", Phase.APPLIED), reason="Claimed")

    assert reason(await site.run(At.prove(1), found, *found.facts.credentials)) == "CredentialRefused"

    assert site.server.roles["app"].mark == ""


async def test_a_found_password_that_an_account_of_ours_refuses_is_a_refusal(site: Site) -> None:
    site.server.roles = claimed(app="changed-by-hand")
    found = recorded(of_login(1, "app", Phase.APPLIED), reason="Claimed")

    assert await site.run(At.prove(1), found, *found.facts.credentials) == Effect(refused_at=HOST)


async def test_a_candidate_is_proven_by_a_login_at_every_endpoint(site: Site) -> None:
    site.server.roles, site.also_at = claimed(app_a=FIRST, app_b=SECOND), (POOLER,)

    assert await site.run(At.prove(2), ROTATING) == Effect()
    assert site.server.calls == ["prove app_b", "prove app_b"]


async def test_a_candidate_is_refused_if_the_published_login_is_accepted(site: Site) -> None:
    site.server.roles, site.server.refuses = claimed(app_a=FIRST, app_b=SECOND), {"app_b"}

    assert await site.run(At.prove(2), ROTATING) == Effect(refused_at=HOST)
    assert site.server.calls == ["prove app_b", "prove app_a"]


async def test_a_server_that_refuses_the_published_login_too_proves_nothing(site: Site) -> None:
    site.server.roles, site.server.refuses = claimed(app_a=FIRST, app_b=SECOND), {"app_a", "app_b"}

    assert reason(await site.run(At.prove(2), ROTATING)) == "CredentialRefused"


async def test_the_first_candidate_is_refused_without_a_published_login(site: Site) -> None:
    site.server.roles = claimed(app_a="another-one")

    assert await site.run(At.prove(1), ALONE) == Effect(refused_at=HOST)


async def test_a_candidate_that_is_locked_is_not_accepted(site: Site) -> None:
    site.server.roles = claimed(app_a=FIRST, app_b=SECOND)
    site.server.roles["app_b"].may_login = False

    assert await site.run(At.prove(2), ROTATING) == Effect(refused_at=HOST)


@pytest.mark.parametrize(
    "listed", [{}, {"app_a": Value.of_text(FIRST)}], ids=["nothing", "the published login"]
)
async def test_a_pooler_that_does_not_have_the_candidate_yet_is_waited_for(
    site: Site, listed: dict[str, Value]
) -> None:
    """Another password would be refused there as well."""
    site.server.roles, site.also_at = claimed(app_a=FIRST, app_b=SECOND), (POOLER,)
    site.server.stale = {POOLER: listed}

    done = await site.run(At.prove(2), ROTATING)

    assert isinstance(done, Wait)
    assert (done.reason, is_answer(done)) == ("CandidateRefused", True)
    assert done.message.startswith(
        f"account: {POOLER} refuses the new password, which the server accepts; retrying"
    )


async def test_a_first_candidate_that_a_pooler_does_not_have_yet_is_waited_for(site: Site) -> None:
    site.server.roles, site.also_at = claimed(app_a=FIRST), (POOLER,)
    site.server.stale = {POOLER: {}}

    assert reason(await site.run(At.prove(1), ALONE)) == "CandidateRefused"


async def test_with_a_single_login_a_pooler_that_refuses_the_candidate_counts_as_a_refusal(
    site: Site,
) -> None:
    """The server has the candidate in place of the published password, which must not stay invalid."""
    single = recorded(of_login(2, "app", Phase.APPLIED), of_login(1, "app"))
    site.server.roles, site.also_at = claimed(app=SECOND), (POOLER,)
    site.server.stale = {POOLER: {"app": Value.of_text(FIRST)}}

    assert await site.run(At.prove(2), single, account=SINGLE) == Effect(refused_at=POOLER)


async def test_with_a_single_login_a_silent_pooler_counts_against_the_candidate(site: Site) -> None:
    site.server.roles, site.also_at = claimed(app=SECOND), (POOLER,)
    site.server.unanswered = {POOLER}

    done = await site.run(At.prove(2), REPLACED, account=SINGLE)

    assert isinstance(done, Effect)
    assert done.unproven
    assert done.unproven.reason == "DatabaseUnreachable"
    assert str(POOLER) in done.unproven.message


async def test_with_a_single_login_a_silent_server_is_waited_for(site: Site) -> None:
    site.server.roles, site.server.unanswered = claimed(app=SECOND), {HOST}

    assert reason(await site.run(At.prove(2), REPLACED, account=SINGLE)) == "DatabaseUnreachable"


async def test_addresses_that_differ_refuse_a_candidate(site: Site) -> None:
    site.server.roles, site.also_at = claimed(app_a=FIRST, app_b=SECOND), (POOLER,)
    site.server.mixed = {POOLER}

    done = await site.run(At.prove(2), ROTATING)

    assert reason(done) == "CandidateRefused"
    assert "(10.0.0.1 accepts the login, and 10.0.0.2 refuses it)" in message(done)
    single = recorded(of_login(2, "app", Phase.APPLIED), of_login(1, "app"))
    site.server.roles = claimed(app=SECOND)
    assert await site.run(At.prove(2), single, account=SINGLE) == Effect(refused_at=POOLER)


async def test_addresses_that_differ_still_accept_a_closed_login(site: Site) -> None:
    site.server.roles, site.also_at = claimed(app_a=FIRST), (POOLER,)
    site.server.mixed = {POOLER}

    done = await site.run(At.retire(), RETIRING)

    assert reason(done) == "StillAccepted"
    assert "(10.0.0.1 accepts the login, and 10.0.0.2 refuses it)" in message(done)


async def test_an_endpoint_without_an_answer_proves_nothing(site: Site) -> None:
    site.server.roles, site.also_at = claimed(app_a=FIRST, app_b=SECOND), (POOLER,)
    site.server.unanswered = {POOLER}

    done = await site.run(At.prove(2), ROTATING)

    assert reason(done) == "DatabaseUnreachable"
    assert str(POOLER) in message(done)


@pytest.mark.parametrize("name", ["app_a", "app_b"])
async def test_a_login_that_is_not_admitted_proves_nothing_and_keeps_its_sentence(
    site: Site, name: str
) -> None:
    site.server.roles, site.server.not_admitted = claimed(app_a=FIRST), {name}

    done = await site.run(At.prove(2), ROTATING)

    assert (reason(done), message(done)) == (
        "LoginNotAdmitted",
        f"account: app at {HOST}: {NOT_ADMITTED}; retrying",
    )


async def test_a_password_that_is_not_recorded_is_no_silence_of_the_server(site: Site) -> None:
    assert reason(await site.run(At.prove(7), ROTATING)) == "StateUnreadable"
    assert site.server.calls == []


# Revoke


CLOSING = recorded(of_login(2, "app_b"), replace(A, phase=Phase.CLOSING), current=2)
_CURRENT = CLOSING.facts.current_credential


async def revoke(site: Site, **settings: Any) -> Effect | Wait | Stalled:
    assert _CURRENT
    return await site.run(At.revoke(1, **settings), CLOSING, _CURRENT)


async def test_a_closed_login_is_proven_refused_between_two_logins_of_the_current_one(site: Site) -> None:
    site.server.roles = claimed(app_a=FIRST, app_b=SECOND)

    assert await revoke(site) == Effect()
    assert not site.server.accepts("app_a", FIRST)
    proofs = [call for call in site.server.calls if call.startswith("prove")]
    assert proofs == ["prove app_b", "prove app_a", "prove app_b"]


async def test_a_login_that_is_missing_is_created_when_it_is_closed(site: Site) -> None:
    site.server.roles = claimed(app_a=FIRST, app_b=SECOND)
    del site.server.roles["app_a"]

    assert await revoke(site) == Effect()
    assert site.server.accepts("app_b", SECOND)
    assert not site.server.accepts("app_a", FIRST)


@pytest.mark.parametrize("step", [At.apply(2), At.revoke(1), At.repair(opens=True), At.repair()], ids=repr)
async def test_an_owner_that_was_there_is_not_created_again(site: Site, step: AccountStep) -> None:
    """It was renamed or dropped; a new one would own nothing of the application."""
    site.server.roles = claimed(app_a=FIRST)
    site.server.roles["old"] = site.server.roles.pop("app")

    with pytest.raises(Missing, match="AccountMissing"):
        await site.run(step, ROTATING, A, B)

    assert "app" not in site.server.roles
    assert site.server.accepts("app_a", FIRST)


async def test_a_pooler_that_still_accepts_a_closed_login_is_named(site: Site) -> None:
    site.server.roles, site.also_at = claimed(app_a=FIRST, app_b=SECOND), (POOLER,)
    site.server.stale = {POOLER: {"app_a": Value.of_text(FIRST), "app_b": Value.of_text(SECOND)}}

    done = await revoke(site)

    assert reason(done) == "StillAccepted"
    assert str(POOLER) in message(done)


async def test_a_login_that_is_locked_but_has_its_password_is_not_proven_refused(site: Site) -> None:
    site.server.roles, site.server.half_closed = claimed(app_a=FIRST, app_b=SECOND), {"app_a"}

    assert reason(await revoke(site)) == "StillAccepted"


async def test_a_refusal_is_not_proven_where_the_current_login_fails_too(site: Site) -> None:
    site.server.roles, site.server.refuses = claimed(app_a=FIRST, app_b=SECOND), {"app_b"}

    assert reason(await revoke(site)) == "CredentialRefused"


async def test_a_refusal_is_not_proven_by_a_login_that_is_not_admitted(site: Site) -> None:
    site.server.roles, site.server.not_admitted = claimed(app_a=FIRST, app_b=SECOND), {"app_a"}

    assert reason(await revoke(site)) == "LoginNotAdmitted"


async def test_open_sessions_of_a_closed_login_are_counted(site: Site) -> None:
    site.server.roles = claimed(app_a=FIRST, app_b=SECOND)
    site.server.clients = [Client("app_a", "10.0.0.7", 2), Client("app_b", "10.0.0.8", 9)]

    done = await revoke(site)

    assert isinstance(done, Effect)
    assert [(one.login, one.address, one.count) for one in done.sessions] == [("app_a", "10.0.0.7", 2)]


async def test_open_sessions_are_ended_where_that_is_asked_for(site: Site) -> None:
    site.server.roles = claimed(app_a=FIRST, app_b=SECOND)
    site.server.clients = [Client("app_a", "10.0.0.7", 2)]

    assert await revoke(site, ends_sessions=True) == Effect()
    assert site.server.clients == []


async def test_open_sessions_that_could_not_be_ended_are_counted(site: Site) -> None:
    site.server.roles, site.server.keeps_sessions = claimed(app_a=FIRST, app_b=SECOND), True
    site.server.clients = [Client("app_a", "10.0.0.7", 2)]

    done = await revoke(site, ends_sessions=True)

    assert "end_sessions" in site.server.calls
    assert done == Effect(sessions=(OpenSessions("app_a", "10.0.0.7", 2),))


async def test_a_first_candidate_that_is_given_up_is_closed_though_the_account_was_never_created(
    site: Site,
) -> None:
    assert await site.run(At.revoke(1), recorded(replace(A, phase=Phase.CLOSING))) == Effect()


async def test_a_first_candidate_that_is_given_up_does_not_close_an_account_of_others(site: Site) -> None:
    site.server.roles = {name: opened("of-others") for name in ACCOUNT.names}

    assert await site.run(At.revoke(1), recorded(replace(A, phase=Phase.CLOSING))) == Effect()

    assert site.server.accepts("app_a", "of-others")


@cases(
    ("owner", "cause"),
    case("without a mark", Role(), "the account was not claimed"),
    case("with a mark", Role(mark=ACCOUNT.mark), "app_a logs in and has no mark"),
    case("of another", Role(mark="other/db/here"), "the account has the mark other/db/here"),
    case("without its owner", None, "there is no role app"),
)
async def test_a_login_that_stays_open_in_an_account_that_is_not_keyturns_any_more_is_not_closed(
    site: Site, owner: Role | None, cause: str
) -> None:
    site.server.roles = released(app_a=FIRST)
    del site.server.roles["app"]
    site.server.roles |= {"app": owner} if owner else {}

    done = await site.run(At.revoke(1, ends_sessions=True), recorded(replace(A, phase=Phase.CLOSING)))

    assert reason(done) == "StillAccepted"
    assert message(done) == (
        f"account: app: app_a is not closed at {HOST}, and Keyturn cannot close it: {cause}; or close the login as"
        " an administrator: CLOSE app_a"
    )
    assert site.server.accepts("app_a", FIRST)


async def test_a_login_that_an_administrator_closed_in_an_account_without_a_mark_is_proven_refused(
    site: Site,
) -> None:
    site.server.roles = claimed()
    site.server.roles["app"].mark = ""

    assert await site.run(At.revoke(1), recorded(replace(A, phase=Phase.CLOSING))) == Effect()
    assert "prove app_a" in site.server.calls


async def test_a_pooler_that_accepts_a_login_of_an_account_without_a_mark_is_named(site: Site) -> None:
    site.server.roles, site.also_at = {}, (POOLER,)
    site.server.stale = {POOLER: {"app_a": Value.of_text(FIRST)}}

    done = await site.run(At.revoke(1), recorded(replace(A, phase=Phase.CLOSING)))

    assert (reason(done), f"{POOLER} still accepts its password; remove it there" in message(done)) == (
        "StillAccepted",
        True,
    )


async def test_a_lost_password_of_an_account_without_a_mark_is_not_tried(site: Site) -> None:
    site.server.roles = claimed(app_a="lost")
    site.server.roles["app"].mark = ""
    lost = Credential(0, "app_a", Phase.CLOSING, NOW, item="password", target="DatabaseTarget/orders")
    state = recorded(replace(A, phase=Phase.CLOSING))
    state = state.with_facts(replace(state.facts, credentials=(*state.facts.credentials, lost)))

    assert await site.run(At.revoke(0), state) == Effect()
    assert "prove app_a" not in site.server.calls


async def test_a_first_candidate_that_is_given_up_is_proven_refused(site: Site) -> None:
    site.server.roles, closing = claimed(app_a=FIRST), recorded(replace(A, phase=Phase.CLOSING))
    site.also_at, site.server.stale = (POOLER,), {POOLER: {"app_a": Value.of_text(FIRST)}}

    assert reason(await site.run(At.revoke(1), closing)) == "StillAccepted"
    assert not site.server.accepts("app_a", FIRST)


async def test_a_login_whose_password_is_lost_is_closed_at_the_server(site: Site) -> None:
    site.server.roles = claimed(app_a="lost", app_b=SECOND)
    lost = Credential(0, "app_a", Phase.CLOSING, NOW, item="password", target="DatabaseTarget/orders")
    state = recorded(of_login(2, "app_b"), current=2)
    state = state.with_facts(replace(state.facts, credentials=(*state.facts.credentials, lost)))

    assert await site.run(At.revoke(0), state, state.facts.credentials[0]) == Effect()

    assert not site.server.accepts("app_a", "lost")
    assert "prove app_a" not in site.server.calls


# A login whose sessions do not act as the owner


async def test_a_candidate_whose_sessions_do_not_act_as_the_owner_is_opened_again_and_proven(
    site: Site,
) -> None:
    site.server.roles, site.server.strays = claimed(app_a=FIRST, app_b=SECOND), {"app_b"}

    assert await site.run(At.prove(2), ROTATING, A, B) == Effect()
    assert site.server.calls == ["prove app_b", "bring", "prove app_b"]


@pytest.mark.parametrize("step", [At.prove(2), At.repair()], ids=repr)
async def test_a_login_that_never_acts_as_the_owner_is_not_proven(site: Site, step: AccountStep) -> None:
    site.server.roles, site.server.strays = claimed(app_a=FIRST, app_b=SECOND), {"app_a", "app_b"}
    site.server.keeps_strays = True

    done = await site.run(step, ROTATING, A, B)

    assert reason(done) == "WrongRole"
    assert "do not act as app, although its membership and its setting role were just set" in message(done)


async def test_a_repair_makes_sessions_act_as_the_owner_again(site: Site) -> None:
    site.server.roles, site.server.strays = claimed(app_a=FIRST), {"app_a"}

    assert await site.run(At.repair(), recorded(A), A) == Effect()
    assert site.server.strays == set()


async def test_the_refusal_of_an_old_login_does_not_depend_on_the_role_of_the_current_one(site: Site) -> None:
    site.server.roles, site.server.strays = claimed(app_a=FIRST, app_b=SECOND), {"app_a", "app_b"}
    site.server.keeps_strays = True

    assert await revoke(site) == Effect()


# Assert and Retire


async def test_a_repair_sets_the_published_password_again_and_proves_it(site: Site) -> None:
    site.server.roles = claimed(app_a="changed-by-hand")
    state = recorded(A)

    assert await site.run(At.repair(), state, A) == Effect()
    assert site.server.accepts("app_a", FIRST)


async def test_a_repair_that_does_not_help_is_a_problem(site: Site) -> None:
    site.server.roles, site.server.refuses = claimed(app_a=FIRST), {"app_a"}

    assert reason(await site.run(At.repair(), recorded(A), A)) == "CredentialRefused"


async def test_a_repair_of_a_login_that_is_not_admitted_has_its_cause(site: Site) -> None:
    site.server.roles, site.server.not_admitted = claimed(app_a=FIRST), {"app_a"}

    done = await site.run(At.repair(), recorded(A), A)

    assert (reason(done), NOT_ADMITTED in message(done)) == ("LoginNotAdmitted", True)


async def test_the_password_of_an_account_that_is_to_be_adopted_is_not_set(site: Site) -> None:
    site.server.roles = {"app": opened("the-one-that-works")}
    found = recorded(of_login(1, "app", Phase.APPLIED), reason="Claimed")

    assert reason(await site.run(At.repair(), found, *found.facts.credentials)) == "CredentialRefused"

    assert site.server.accepts("app", "the-one-that-works")


async def test_a_retired_account_accepts_no_login(site: Site) -> None:
    site.server.roles = claimed(app_a=FIRST, app_b=SECOND)

    assert await site.run(At.retire(), ROTATING) == Effect()
    assert not any(role.may_login for role in site.server.roles.values())


RETIRING = recorded(replace(B, phase=Phase.CLOSING), replace(A, phase=Phase.CLOSING))


async def test_a_retired_account_is_proven_refused_at_every_endpoint(site: Site) -> None:
    site.server.roles, site.also_at = claimed(app_a=FIRST), (POOLER,)
    site.server.stale = {POOLER: {"app_a": Value.of_text(FIRST)}}

    done = await site.run(At.retire(), RETIRING)

    assert (reason(done), str(POOLER) in message(done)) == ("StillAccepted", True)
    site.server.stale = {POOLER: {}}
    assert await site.run(At.retire(), RETIRING) == Effect()


async def test_an_account_that_was_retired_before_a_crash_is_retired(site: Site) -> None:
    site.server.roles = claimed(app_a=FIRST, app_b=SECOND)
    for _ in range(2):
        assert await site.run(At.retire(), RETIRING) == Effect()


@pytest.mark.parametrize("names", [(), ("app", "app_a"), ("app_a",)], ids=["all", "two", "one"])
async def test_a_login_without_a_mark_is_not_retired_while_its_password_is_accepted(
    site: Site, names: tuple[str, ...]
) -> None:
    site.server.roles = released(*names, app_a=FIRST)

    done = await site.run(At.retire(), RETIRING)

    assert reason(done) == "StillAccepted"
    assert message(done) == (
        f"account: app: app_a is not closed at {HOST}, and Keyturn cannot close it: the account has no mark of this"
        " ManagedSecret; close the login as an administrator: CLOSE app_a"
    )
    assert site.server.accepts("app_a", FIRST)


async def test_a_locked_login_that_keeps_its_password_is_not_retired(site: Site) -> None:
    site.server.roles = released(app_a=FIRST)
    site.server.roles["app_a"].may_login = False

    assert "close the login as an administrator: CLOSE app_a" in message(
        await site.run(At.retire(), RETIRING)
    )


async def test_an_account_that_another_object_has_now_is_retired_once_it_refuses_the_passwords(
    site: Site,
) -> None:
    site.server.roles = claimed(app_a=FIRST)
    for role in site.server.roles.values():
        role.mark = "office/db/here"

    done = await site.run(At.retire(), RETIRING)

    assert reason(done) == "StillAccepted"
    assert message(done) == (
        f"account: app: app_a is not closed at {HOST}, and Keyturn cannot close it: the account belongs to"
        " ManagedSecret office/db/here now; rotate the account there, until the password of this one is refused"
    )
    site.server.roles["app_a"].password = Value.of_text("of-the-other")
    assert await site.run(At.retire(), RETIRING) == Effect()
    assert site.server.accepts("app_a", "of-the-other")


@pytest.mark.parametrize("mark", ["", "office/db/here"], ids=["without a mark", "of another"])
async def test_a_found_password_that_was_never_proven_is_retired_without_a_proof(
    site: Site, mark: str
) -> None:
    """Its account was never claimed, such as one that is forbidden."""
    site.server.roles = {"app": opened(FIRST, mark)}
    found = recorded(of_login(1, "app", Phase.CLOSING), reason="Claimed")

    assert await site.run(At.retire(), found) == Effect()
    assert site.server.accepts("app", FIRST)
    assert "prove app" not in site.server.calls


async def test_a_login_that_does_not_exist_is_retired_whatever_the_server_answers(site: Site) -> None:
    site.server.not_admitted = {"app_a", "app_b"}

    assert await site.run(At.retire(), RETIRING) == Effect()


async def test_a_login_whose_password_cannot_be_tried_is_not_retired(site: Site) -> None:
    site.server.roles, site.server.not_admitted = claimed(app_a=FIRST), {"app_a"}

    assert reason(await site.run(At.retire(), RETIRING)) == "LoginNotAdmitted"


@pytest.mark.parametrize("is_open", [True, False], ids=["open", "closed"])
async def test_a_login_whose_password_is_lost_is_retired_once_it_is_closed(
    site: Site, *, is_open: bool
) -> None:
    site.server.roles = released(**({"app_a": "lost"} if is_open else {}))
    lost = Credential(0, "app_a", Phase.CLOSING, NOW, item="password", target="DatabaseTarget/orders")
    state = RETIRING.with_facts(replace(RETIRING.facts, credentials=(lost,)))

    assert reason(await site.run(At.retire(), state)) == ("StillAccepted" if is_open else "")
    assert "prove app_a" not in site.server.calls


def reason(done: Effect | Wait | Stalled) -> str:
    return "" if isinstance(done, Effect) else done.reason


def message(done: Effect | Wait | Stalled) -> str:
    return "" if isinstance(done, Effect) else done.message


# A locked login that is opened on request


@pytest.mark.parametrize("is_dropped", [False, True], ids=["locked", "dropped"])
async def test_a_locked_login_is_opened_on_request(site: Site, *, is_dropped: bool) -> None:
    site.server.roles = claimed()
    if is_dropped:
        del site.server.roles["app_a"]

    done = await site.run(At.repair(opens=True), recorded(A), A)

    assert done == Effect()
    assert site.server.accepts("app_a", FIRST)


async def test_a_repair_creates_nothing(site: Site) -> None:
    with pytest.raises(Missing):
        await site.run(At.repair(), recorded(A), A)
