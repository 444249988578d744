"""How an account begins and ends: created, adopted, refused, and closed or left at the deletion."""

from __future__ import annotations

import base64
import secrets
from typing import TYPE_CHECKING

import pytest

from sandbox.harness import eventually
from tests.cluster.namespace import password

if TYPE_CHECKING:
    from tests.databases.operator.accounts import DatabaseAccount, Pair
    from tests.support.objects import Body
    from tests.support.operator import Operator


def _put_into_secret(account: DatabaseAccount, login: str, chosen: str, **labels: str) -> None:
    data = {"username": login, "password": chosen}
    encoded = {key: base64.b64encode(text.encode()).decode() for key, text in data.items()}
    account.space.create({"kind": "Secret", "metadata": {"name": "auth", "labels": labels}, "data": encoded})


@pytest.fixture
def in_use(account: DatabaseAccount) -> Pair:
    """An account that an application logs in to, whose password is in the Secret."""
    chosen = secrets.token_urlsafe(32)
    _put_into_secret(account, account.username, chosen)
    return account.use(chosen)


def test_an_account_in_use_is_adopted_with_its_password(account: DatabaseAccount, in_use: Pair) -> None:
    account.manage(target={"adopt": "IfUnowned"}, database={"template": None})

    account.space.until_condition("CredentialValid", "True", "Accepted")
    assert account.published() == in_use
    assert account.accepts(in_use)
    assert account.space.until_event("AccountAdopted")


def test_an_adopted_account_becomes_the_owner_of_two_logins(account: DatabaseAccount, in_use: Pair) -> None:
    account.manage(target={"adopt": "IfUnowned"}, database={"template": None}, overlap="1s")
    revision = account.space.status()["revision"]

    account.space.rotate()
    account.space.until_revision(str(revision + 1))
    new = account.published()
    eventually(lambda: account.open_names() == [new.login], "the account itself is closed")

    assert new.login == f"{account.username}_a"
    assert not account.accepts(in_use)
    with account.connect(new) as session:
        session.execute("INSERT INTO public.orders VALUES (1)")


def test_an_account_in_use_with_an_unknown_password_is_not_touched(account: DatabaseAccount) -> None:
    pair = account.use(secrets.token_urlsafe(32))

    account.create()

    assert "target.adopt" in account.space.stalled("AccountExists")
    assert account.accepts(pair)
    assert account.open_names() == [pair.login]


def test_an_account_is_not_adopted_with_a_wrong_password(account: DatabaseAccount) -> None:
    pair = account.use(secrets.token_urlsafe(32))
    _put_into_secret(account, account.username, secrets.token_urlsafe(32))

    account.create(target={"adopt": "IfUnowned"}, database={"template": None})

    account.space.stalled("CredentialRefused")
    assert account.accepts(pair)


@pytest.mark.parametrize(
    ("labels", "release"),
    [
        pytest.param(
            {"cnpg.io/reload": "true"}, "remove the role from spec.managed.roles", id="CloudNativePG"
        ),
        pytest.param(
            {"application": "spilo", "cluster-name": "acid-shop", "team": "acid"},
            "remove the user from spec.users",
            id="Zalando",
        ),
    ],
)
def test_an_account_of_another_operator_is_not_touched_until_it_is_released(
    account: DatabaseAccount, labels: dict[str, str], release: str
) -> None:
    chosen = secrets.token_urlsafe(32)
    _put_into_secret(account, account.username, chosen, **labels)
    pair = account.use(chosen)
    before = account.roles()

    account.create(target={"adopt": "IfUnowned"}, database={"template": None})

    assert release in account.space.stalled("AccountManagedElsewhere")
    assert account.roles() == before
    account.space.edit("Secret", "auth", lambda body: body["metadata"].pop("labels"))
    account.space.looked_at()  # without a change of the spec that takes a minute
    account.space.until_condition("CredentialValid", "True", "Accepted")
    assert account.published() == pair


def test_a_missing_account_is_not_created_without_a_template(account: DatabaseAccount) -> None:
    account.create(database={"template": None})

    assert "template" in account.space.stalled("AccountMissing")
    assert account.open_names() == []


def test_the_second_object_for_an_account_leaves_it_to_the_first(account: DatabaseAccount) -> None:
    account.manage()
    first = account.published()

    account.create(name="second")

    assert f"{account.space.namespace}/auth" in account.space.stalled("AccountTaken", "second")
    assert account.accepts(first)


@pytest.mark.parametrize(
    ("other", "fix"),
    [
        pytest.param({"passwordValue": "other"}, "write passwordValue: password", id="another item"),
        pytest.param({"targetRef": {"name": "elsewhere"}}, "write targetRef as it was", id="another server"),
        pytest.param(
            {"username": "another_app"}, "write username and strategy as they were", id="another account"
        ),
    ],
)
def test_an_account_that_is_removed_and_added_again_as_another_one_is_refused(
    account: DatabaseAccount, other: Body, fix: str
) -> None:
    account.manage(overlap="1s")
    first, written = account.published(), account.space.get("ManagedSecret", "auth")["spec"]["database"]

    account.space.respec(lambda spec: (spec.pop("database"), spec["data"].append(password("other"))))
    account.space.until(
        lambda body: body["status"].get("revision") == 2 and "CredentialValid" not in str(body["status"]),
        "a revision without an account",
    )
    account.space.respec(lambda spec: spec.update(database={**written, **other}))

    assert fix in account.space.stalled("InvalidDatabase")
    assert account.accepts(first)
    assert account.open_names() == [first.login]

    account.space.respec(lambda spec: spec.pop("database"))
    account.space.respec(lambda spec: spec.update(database=written))
    account.until_phases(r1="Closed", r3="Proven")
    assert (account.accepts(first), account.accepts(account.published())) == (False, True)


def test_the_deletion_leaves_the_account_as_it_is(account: DatabaseAccount) -> None:
    account.manage()
    pair = account.published()

    account.space.delete("ManagedSecret", "auth")

    assert account.accepts(pair)


def test_the_deletion_closes_the_account_if_the_spec_says_so(account: DatabaseAccount) -> None:
    account.manage(database={"deletionPolicy": "Delete"})
    pair = account.published()

    account.space.delete("ManagedSecret", "auth")

    assert not account.accepts(pair)
    assert account.open_names() == []


def test_an_object_that_is_created_again_continues_with_its_account(account: DatabaseAccount) -> None:
    account.manage()
    before = account.published()
    account.space.delete("ManagedSecret", "auth")

    account.manage()

    assert account.published() == before
    assert account.accepts(before)


def test_a_restart_of_the_operator_changes_nothing(account: DatabaseAccount, operator: Operator) -> None:
    account.manage()
    account.space.until_condition("CredentialValid", "True", "Accepted")
    kinds = {"ManagedSecret": "auth", "Secret": "auth-keyturn"}
    before = {kind: account.space.version(kind, name) for kind, name in kinds.items()}

    with operator.away():
        pass
    account.space.objects.get("ManagedSecret", account.space.namespace, "auth")
    eventually(lambda: operator.has_looked(1), "the operator has looked at everything")

    assert {kind: account.space.version(kind, name) for kind, name in kinds.items()} == before
    assert account.accepts(account.published())


def test_a_password_that_another_administrator_changed_is_set_again(account: DatabaseAccount) -> None:
    account.manage()
    pair = account.published()
    account.alter(f"ALTER ROLE {pair.login} PASSWORD '{secrets.token_urlsafe(24)}'")

    eventually(lambda: account.accepts(pair), "the password is set again")

    assert account.space.until_event("CredentialRepaired")  # after a login that was refused
    assert account.published() == pair
    account.space.until_condition("CredentialValid", "True", "Accepted")


@pytest.mark.parametrize(
    "loss", ["ALTER ROLE {0} RESET role", "REVOKE {1} FROM {0} GRANTED BY {2}"], ids=["setting", "membership"]
)
def test_a_login_that_lost_its_account_gets_it_back(account: DatabaseAccount, loss: str) -> None:
    account.manage()
    pair = account.published()
    account.alter(loss.format(pair.login, account.username, f"{account.database}_admin"))

    assert "did not act as the account" in account.space.until_event("CredentialRepaired")
    account.space.until_condition("CredentialValid", "True", "Accepted")
    with account.connect(pair) as session:
        assert session.execute("SELECT current_user").fetchone() == (account.username,)


def test_a_renamed_account_is_not_replaced_by_an_empty_one(account: DatabaseAccount) -> None:
    account.manage()
    pair = account.published()
    account.alter(f"ALTER ROLE {account.username} RENAME TO {account.username}_old")

    account.space.until_condition("CredentialValid", "False", "WrongRole")
    account.space.rotate()
    eventually(lambda: "ALTER ROLE <its name now> RENAME TO" in str(account.space.condition("Stalled")))
    assert (account.accepts(pair), account.open_names()) == (True, [pair.login])

    account.alter(f"ALTER ROLE {account.username}_old RENAME TO {account.username}")
    # Without a change of `database`, a missing account is looked for after a minute.
    often = {"every": "5m"}
    account.space.edit("ManagedSecret", "auth", lambda body: body["spec"]["database"].update(probe=often))
    eventually(lambda: account.space.revision("auth") == "2", "the rotation")
    account.space.until_condition("CredentialValid", "True", "Accepted")
