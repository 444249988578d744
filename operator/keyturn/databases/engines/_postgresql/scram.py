"""Keys of a password and a salt: what a login proves, and what a server stores.

PBKDF2 is a large part of what a login costs. From release 18 on, libpq takes the keys instead of a password, which it
would compute in several times the time. They are computed for one login from the password as it is then, and are kept
nowhere: a client could log in with them as with the password. SASLprep (RFC 4013) is how clients and servers agree on
the bytes of a password before they are hashed.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import stringprep
import unicodedata
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from psycopg import pq

if TYPE_CHECKING:
    from keyturn.databases.base import Account, Login, Salt

_PROHIBITED: Final = (
    stringprep.in_table_a1,
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)


def prepared(password: bytes) -> bytes:
    """Return what PostgreSQL hashes of a password: ASCII, and what SASLprep prohibits, stays as it is."""
    if not password.isascii():
        with suppress(UnicodeDecodeError):
            text = "".join(map(_mapped, password.decode()))
            if _is_permitted(text):
                return unicodedata.normalize("NFKC", text).encode()
    return password


def _mapped(character: str) -> str:
    if stringprep.in_table_c12(character):
        return " "
    return "" if stringprep.in_table_b1(character) else character


def _is_permitted(text: str) -> bool:
    """Whether a text may be normalised; PostgreSQL looks at it before that."""
    if not text or any(is_in(character) for character in text for is_in in _PROHIBITED):
        return False
    is_of_right_to_left = [stringprep.in_table_d1(character) for character in text]
    if not any(is_of_right_to_left):
        return True
    is_mixed = any(map(stringprep.in_table_d2, text))
    return is_of_right_to_left[0] and is_of_right_to_left[-1] and not is_mixed


DEFAULT_ITERATIONS: Final = 4096
"""Hashes per password of a server that has no setting for it: before release 16."""
_FIRST_RELEASE: Final = 180_000
_SALT: Final = 16
"""Bytes."""


def is_able(password: str) -> bool:
    """Whether keys can replace a password; other characters than ASCII are normalised before they are hashed."""
    return password.isascii() and pq.version() >= _FIRST_RELEASE


def keys(password: str, salt: Salt) -> dict[str, str]:
    """Return the parameters of libpq that replace a password."""
    client, server = _keys(password.encode(), salt)
    return {"scram_client_key": _text(client), "scram_server_key": _text(server)}


def salt_of(account: Account, login: Login) -> bytes:
    """Return the salt of a recorded credential, the same each time; a random one for another login.

    A pooler that took the keys of a login opens further sessions with them, which a server with another salt refuses.
    The salt is of the mark, the name and the credential alone: a server tells it to everyone that begins a login.
    """
    if not login.credential:
        return os.urandom(_SALT)
    named = f"keyturn scram salt\0{account.mark}\0{login.name}\0{login.credential}"
    return hashlib.sha256(named.encode()).digest()[:_SALT]


def verifier(password: bytes, salt: Salt) -> str:
    """Return what a server stores of a password."""
    client, server = _keys(prepared(password), salt)
    stored = hashlib.sha256(client).digest()
    return f"SCRAM-SHA-256${salt.iterations}:{_text(salt.value)}${_text(stored)}:{_text(server)}"


def _keys(password: bytes, salt: Salt) -> tuple[bytes, bytes]:
    """Return the keys of client and server."""
    salted = hashlib.pbkdf2_hmac("sha256", password, salt.value, salt.iterations)
    return hmac.digest(salted, b"Client Key", "sha256"), hmac.digest(salted, b"Server Key", "sha256")


def _text(key: bytes) -> str:
    return base64.b64encode(key).decode()
