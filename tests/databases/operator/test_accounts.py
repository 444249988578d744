"""How an account begins, is repaired and comes back: adopted, refused, without its role, under another name."""

import base64
import secrets

import pytest

from sandbox.harness import eventually
from tests.cluster.namespace import password
from tests.databases.operator.accounts import DatabaseAccount, Pair


def _put_into_secret(account: DatabaseAccount, login: str, chosen: str) -> None:
    data = {"username": login, "password": chosen}
    encoded = {key: base64.b64encode(text.encode()).decode() for key, text in data.items()}
    account.space.create({"kind": "Secret", "metadata": {"name": "auth"}, "data": encoded})


@pytest.fixture
def in_use(account: DatabaseAccount) -> Pair:
    """An account that an application logs in to, whose password is in the Secret."""
    chosen = secrets.token_urlsafe(32)
    _put_into_secret(account, account.username, chosen)
    return account.use(chosen)


def test_an_account_in_use_is_adopted_with_its_password_and_becomes_the_owner_of_two_logins(
    account: DatabaseAccount, in_use: Pair
) -> None:
    account.manage(target={"adopt": "IfUnowned"}, database={"postgresql": None}, overlap="1s")
    account.space.until_condition("CredentialValid", "True", "Accepted")
    assert account.published() == in_use
    assert account.space.until_event("AccountAdopted")
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


def test_an_account_that_is_removed_and_added_again_as_another_one_is_refused(
    account: DatabaseAccount,
) -> None:
    account.manage(overlap="1s")
    first, written = account.published(), account.space.get("ManagedSecret", "auth")["spec"]["account"]

    account.space.respec(lambda spec: (spec.pop("account"), spec["data"].append(password("other"))))
    account.space.until(
        lambda body: body["status"].get("revision") == 2 and "CredentialValid" not in str(body["status"]),
        "a revision without an account",
    )
    account.space.respec(lambda spec: spec.update(account={**written, "username": "another_app"}))

    assert "write account as it was" in account.space.stalled("InvalidDatabase")
    assert account.accepts(first)
    assert account.open_names() == [first.login]

    account.space.respec(lambda spec: spec.pop("account"))
    account.space.respec(lambda spec: spec.update(account=written))
    account.until_phases(r1="Closed", r3="Proven")
    assert (account.accepts(first), account.accepts(account.published())) == (False, True)


def test_a_login_that_lost_its_account_gets_it_back(account: DatabaseAccount) -> None:
    account.manage()
    pair = account.published()
    admin = f"{account.database}_admin"
    account.alter(f"REVOKE {account.username} FROM {pair.login} GRANTED BY {admin}")

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
    # Without a change of `account`, a missing account is looked for after a minute.
    often = {"every": "5m"}
    account.space.edit("ManagedSecret", "auth", lambda body: body["spec"]["account"].update(probe=often))
    eventually(lambda: account.space.revision("auth") == "2", "the rotation")
    account.space.until_condition("CredentialValid", "True", "Accepted")
