"""A password that cannot be hashed in time is no silence of the server."""

from __future__ import annotations

import base64
import hashlib
import hmac
import threading
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from psycopg import pq

from keyturn.core.spec.references import Capacity
from keyturn.core.value import Value
from keyturn.databases.base import Account, Login, Salt
from keyturn.databases.engines.postgresql import driver
from keyturn.databases.engines.postgresql.driver import Session, prepared, text_of
from keyturn.databases.errors import Overloaded, RefusedByPolicy
from keyturn.runtime import threadpools
from tests.support.cases import case, cases

LOGIN = Login("app_a", Value.of_text("canary"), "revision 1, try 0")
SALT = b"s" * 16


def session(iterations: bytes | None = b"4096") -> Session:
    """Make a session of a server that has passwords hashed so often."""
    connection = SimpleNamespace(parameter_status=lambda _: iterations)
    opening: Any = SimpleNamespace(connection=connection)
    return Session(opening, 1.0, "shop")


async def test_a_hash_that_gets_no_thread_in_time_is_no_silence_of_the_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(driver, "_HASHED_WITHIN", 0.05)
    released = threading.Event()
    monkeypatch.setattr(driver, "verifier", lambda *_: released.wait(20))

    try:
        with pytest.raises(Overloaded) as failure:
            await session().verifier(LOGIN, SALT)
    finally:
        released.set()
    assert failure.value.code == "NoThread"
    assert failure.value.__cause__ is failure.value.__context__ is None


async def test_a_tenant_whose_work_is_suspended_is_no_silence_of_the_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def refuse(*_: object) -> bytes:
        raise threadpools.TookTooLong("WorkSuspended", "suspended", timedelta(minutes=10))

    monkeypatch.setattr(threadpools, "run_for_tenant", refuse)
    with pytest.raises(Overloaded):
        await session().verifier(LOGIN, SALT)


@pytest.mark.parametrize(
    ("said", "iterations"), [(None, 4096), (b"5000", 5000)], ids=["before 16", "since 16"]
)
async def test_a_password_is_hashed_as_often_as_the_server_says(said: bytes | None, iterations: int) -> None:
    verifier = await session(said).verifier(LOGIN, SALT)

    assert verifier == driver.verifier(b"canary", Salt(SALT, iterations))


@pytest.mark.parametrize("said", [b"0", b"65537", b"4096x", b"9" * 10])
async def test_a_number_of_hashes_that_no_server_needs_is_refused(said: bytes) -> None:
    with pytest.raises(RefusedByPolicy) as refusal:
        await session(said).verifier(LOGIN, SALT)

    assert refusal.value.code == "TooManyIterations"


ACCOUNT = Account("app", Capacity.alternating("app"), "shop/app/uid")

# The example of RFC 7677.
RFC_SALT = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
EXCHANGE = (
    b"n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
    b"s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
)
PROOF = base64.b64decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")
SIGNATURE = base64.b64decode("6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")


def test_a_server_with_the_verifier_accepts_the_proof_of_its_password_alone() -> None:
    verifier = driver.verifier(b"pencil", Salt(RFC_SALT, 4096))

    kind, head, tail = verifier.split("$")
    stored, server = (base64.b64decode(key) for key in tail.split(":"))
    signature = hmac.digest(stored, EXCHANGE, "sha256")
    client = bytes(one ^ other for one, other in zip(PROOF, signature, strict=True))
    assert (kind, head) == ("SCRAM-SHA-256", "4096:W22ZaJ0SNY7soEsUEjb6gQ==")
    assert hashlib.sha256(client).digest() == stored
    assert hmac.digest(server, EXCHANGE, "sha256") == SIGNATURE
    assert driver.verifier(b"pencils", Salt(RFC_SALT, 4096)) != verifier


def test_a_recorded_credential_has_one_salt() -> None:
    again = Login("app_a", Value.of_text("canary"), "revision 1, try 0")

    assert driver.salt_of(ACCOUNT, again) == driver.salt_of(ACCOUNT, LOGIN)
    assert len(driver.salt_of(ACCOUNT, LOGIN)) == 16


@cases(
    ("account", "login"),
    case("mark", replace(ACCOUNT, mark="shop/app/other"), LOGIN),
    case("login", ACCOUNT, replace(LOGIN, name="app_b")),
    case("revision", ACCOUNT, replace(LOGIN, credential="revision 2, try 0")),
    case("try", ACCOUNT, replace(LOGIN, credential="revision 1, try 1")),
)
def test_another_credential_has_another_salt(account: Account, login: Login) -> None:
    assert driver.salt_of(account, login) != driver.salt_of(ACCOUNT, LOGIN)


def test_a_salt_says_nothing_about_the_password() -> None:
    """A server tells it to everyone that begins a login."""
    assert driver.salt_of(ACCOUNT, replace(LOGIN, password=Value.of_text("other"))) == driver.salt_of(
        ACCOUNT, LOGIN
    )


def test_a_login_that_is_not_recorded_has_a_new_salt_each_time() -> None:
    login = replace(LOGIN, credential="")

    assert driver.salt_of(ACCOUNT, login) != driver.salt_of(ACCOUNT, login)


_NOWHERE = pq.PGconn.connect(b"host=/nowhere")


def of_libpq(password: bytes) -> str:
    return _NOWHERE.encrypt_password(password, b"app", b"scram-sha-256").decode()


def of_ours(password: bytes, like: str) -> str:
    """Return our verifier with the salt and iterations of another one."""
    iterations, salt = like.split("$")[1].split(":")
    return driver.verifier(password, Salt(base64.b64decode(salt), int(iterations)))


@cases(
    ("password", "hashed"),
    case("accents", "Sommer-Größe-2021!", "Sommer-Größe-2021!"),
    case("ASCII", "tab\tinside", "tab\tinside"),
    case("ligature", "\ufb01ne", "fine"),
    case("space", "a\u00a0b", "a b"),
    case("space without width", "a\u200bb", "a b"),
    case("mapped to nothing", "soft\u00adhyphen\u00e4", "softhyphen\u00e4"),
    case("composed", "a\u0308", "\u00e4"),
    case("nothing left", "\u00ad", "\u00ad"),
    case("prohibited", "\u00e4\x07", "\u00e4\x07"),
    case("unassigned", "new \U0001f916", "new \U0001f916"),
    case("mixed directions", "\u0627\ufb01\u0628", "\u0627\ufb01\u0628"),
    case("right to left", "\u0627\u0661\ufeff\u0628", "\u0627\u0661\u0628"),
    case("ends with a digit", "\u0627\u0661", "\u0627\u0661"),
)
def test_a_password_is_prepared_as_by_libpq(password: str, hashed: str) -> None:
    theirs = of_libpq(password.encode())

    assert prepared(password.encode()) == hashed.encode()
    assert of_ours(password.encode(), theirs) == theirs


def test_what_is_no_text_stays_as_it_is() -> None:
    assert prepared(b"Gr\xf6\xdfe") == b"Gr\xf6\xdfe"


_OF_UNICODE_3_2 = st.characters(min_codepoint=1, max_codepoint=0xFFFF, exclude_categories=["Cs"])


@given(st.text(_OF_UNICODE_3_2, min_size=1, max_size=4))
@example("\u0340\u0627")
def test_every_password_has_the_verifier_of_libpq(password: str) -> None:
    theirs = of_libpq(password.encode())

    assert of_ours(password.encode(), theirs) == theirs


@pytest.mark.parametrize("password", [b"", b"a\0b", b"\xff"], ids=["empty", "with a zero", "no text"])
def test_a_password_that_no_client_can_send_is_refused(password: bytes) -> None:
    assert text_of(Login("app", Value.of_text("pässword"))) == "pässword"
    with pytest.raises(RefusedByPolicy) as refusal:
        text_of(Login("app", Value(password)))
    assert refusal.value.code == "UnsupportedValue"
