"""What is hashed of a password is what libpq hashes, which has the same SASLprep as the server."""

from __future__ import annotations

import base64

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from psycopg import pq

from keyturn.databases.base import Salt
from keyturn.databases.engines._postgresql import scram
from keyturn.databases.engines._postgresql.saslprep import prepared

_NOWHERE = pq.PGconn.connect(b"host=/nowhere")


def of_libpq(password: bytes) -> str:
    return _NOWHERE.encrypt_password(password, b"app", b"scram-sha-256").decode()


def of_ours(password: bytes, like: str) -> str:
    """Return our verifier with the salt and iterations of another one."""
    iterations, salt = like.split("$")[1].split(":")
    return scram.verifier(password, Salt(base64.b64decode(salt), int(iterations)))


@pytest.mark.parametrize(
    ("password", "hashed"),
    [
        ("Sommer-Größe-2021!", "Sommer-Größe-2021!"),
        ("tab\tinside", "tab\tinside"),
        ("\ufb01ne", "fine"),
        ("a\u00a0b", "a b"),
        ("a\u200bb", "a b"),
        ("soft\u00adhyphen\u00e4", "softhyphen\u00e4"),
        ("a\u0308", "\u00e4"),
        ("\u00ad", "\u00ad"),
        ("\u00e4\x07", "\u00e4\x07"),
        ("new \U0001f916", "new \U0001f916"),
        ("\u0627\ufb01\u0628", "\u0627\ufb01\u0628"),
        ("\u0627\u0661\ufeff\u0628", "\u0627\u0661\u0628"),
        ("\u0627\u0661", "\u0627\u0661"),
    ],
    ids=[
        "accents",
        "ASCII",
        "ligature",
        "space",
        "space without width",
        "mapped to nothing",
        "composed",
        "nothing left",
        "prohibited",
        "unassigned",
        "mixed directions",
        "right to left",
        "ends with a digit",
    ],
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
