"""Keys of a password with a known salt: libpq computes the same ones, in several times the time.

PBKDF2 is a large part of what a login costs. From release 18 on, libpq takes the keys instead of a password. They are
computed for one login from the password as it is then, and are kept nowhere: a client could log in with them as with
the password.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import TYPE_CHECKING, Final

from psycopg import pq

if TYPE_CHECKING:
    from keyturn.databases.base import Salt

__all__ = ["is_able", "keys"]

_FIRST_RELEASE: Final = 180_000


def is_able(password: str) -> bool:
    """Whether keys can replace a password; other characters than ASCII are normalised before they are hashed."""
    return password.isascii() and pq.version() >= _FIRST_RELEASE


def keys(password: str, salt: Salt) -> dict[str, str]:
    """Return the parameters of libpq that replace a password."""
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt.value, salt.iterations)
    names = {"scram_client_key": b"Client Key", "scram_server_key": b"Server Key"}
    return {
        name: base64.b64encode(hmac.digest(salted, text, "sha256")).decode() for name, text in names.items()
    }
