"""What a server stores of a password, which is the same each time a recorded credential is brought."""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import replace

import pytest

from keyturn.core.value import Value
from keyturn.databases.base import Account, Login, Salt
from keyturn.databases.engines._postgresql import scram

ACCOUNT = Account("app", ("app_a", "app_b"), "shop/app/uid")
LOGIN = Login("app_a", Value.of_text("canary"), "revision 1, try 0")

# The example of RFC 7677.
SALT = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
EXCHANGE = (
    b"n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
    b"s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
)
PROOF = base64.b64decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")
SIGNATURE = base64.b64decode("6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")


def test_a_server_with_the_verifier_accepts_the_proof_of_its_password_alone() -> None:
    verifier = scram.verifier(b"pencil", Salt(SALT, 4096))

    kind, head, tail = verifier.split("$")
    stored, server = (base64.b64decode(key) for key in tail.split(":"))
    signature = hmac.digest(stored, EXCHANGE, "sha256")
    client = bytes(one ^ other for one, other in zip(PROOF, signature, strict=True))
    assert (kind, head) == ("SCRAM-SHA-256", "4096:W22ZaJ0SNY7soEsUEjb6gQ==")
    assert hashlib.sha256(client).digest() == stored
    assert hmac.digest(server, EXCHANGE, "sha256") == SIGNATURE
    assert scram.verifier(b"pencils", Salt(SALT, 4096)) != verifier


def test_a_recorded_credential_has_one_salt() -> None:
    again = Login("app_a", Value.of_text("canary"), "revision 1, try 0")

    assert scram.salt_of(ACCOUNT, again) == scram.salt_of(ACCOUNT, LOGIN)
    assert len(scram.salt_of(ACCOUNT, LOGIN)) == 16


@pytest.mark.parametrize(
    ("account", "login"),
    [
        pytest.param(replace(ACCOUNT, mark="shop/app/other"), LOGIN, id="mark"),
        pytest.param(ACCOUNT, replace(LOGIN, name="app_b"), id="login"),
        pytest.param(ACCOUNT, replace(LOGIN, credential="revision 2, try 0"), id="revision"),
        pytest.param(ACCOUNT, replace(LOGIN, credential="revision 1, try 1"), id="try"),
    ],
)
def test_another_credential_has_another_salt(account: Account, login: Login) -> None:
    assert scram.salt_of(account, login) != scram.salt_of(ACCOUNT, LOGIN)


def test_a_salt_says_nothing_about_the_password() -> None:
    """A server tells it to everyone that begins a login."""
    assert scram.salt_of(ACCOUNT, replace(LOGIN, password=Value.of_text("other"))) == scram.salt_of(
        ACCOUNT, LOGIN
    )


def test_a_login_that_is_not_recorded_has_a_new_salt_each_time() -> None:
    login = replace(LOGIN, credential="")

    assert scram.salt_of(ACCOUNT, login) != scram.salt_of(ACCOUNT, login)
