"""An account at a server: its users by their hosts, its mark, and the server itself; never a hash of a password."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

NATIVE: Final = "mysql_native_password"
"""The one method with which the server learns no password, and two of which every driver tries."""
HOST: Final = "%"
"""The host of every user of ours: clients log in from anywhere."""
CLOSED: Final = "invalid"
"""Stands for a hash that no password has; an empty one would let everyone in."""
_POWERS: Final[Mapping[int, str]] = {
    6: "RELOAD",
    7: "SHUTDOWN",
    9: "FILE",
    10: "GRANT OPTION",
    15: "SUPER",
    19: "REPLICATION SLAVE",
    25: "CREATE USER",
    30: "SET USER",
    32: "CONNECTION ADMIN",
    33: "READ_ONLY ADMIN",
    34: "REPLICATION SLAVE ADMIN",
}
"""Bits of `access`: what no account of an application has, and with what it could change others or itself."""


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """The server, and the admin that asks."""

    version: str
    is_mariadb: bool
    release: tuple[int, int]
    admin: str
    admin_host: str
    is_read_only: bool
    refuses_hashes: bool
    started: str
    has_tls: bool

    @property
    def admin_name(self) -> str:
        """Return the admin as statements name it."""
        return user(self.admin, self.admin_host)


@dataclass(frozen=True, slots=True)
class User:
    """One user of the account's name, or the anonymous one, at one host."""

    name: str
    host: str
    is_role: bool = False
    is_locked: bool = False
    is_expired: bool = False
    has_password: bool = False
    """Whether some password is accepted, if it is not locked."""
    methods: tuple[str, ...] = (NATIVE,)
    """How it may log in, each with its own password."""
    requires: int = 0
    """0 nothing, 1 TLS, 2 and 3 a certificate."""
    powers: tuple[str, ...] = ()

    @property
    def is_open(self) -> bool:
        return self.has_password and not self.is_locked

    @property
    def obstacle(self) -> str:
        """Why no session with it begins, whatever its password is."""
        if self.is_locked:
            return "has ACCOUNT LOCK"
        if not self.has_password:
            return "has no password"
        return "has PASSWORD EXPIRE" if self.is_expired else ""


@dataclass(frozen=True, slots=True)
class Facts:
    """What one session read of an account."""

    server: ServerFacts
    users: tuple[User, ...]
    mark: str = ""
    is_complete: bool = True
    """Whether the privileges of a user that Keyturn created were granted."""

    @property
    def user(self) -> User | None:
        """Return the user that is changed."""
        return next((one for one in self.users if one.name and one.host == HOST), None)


def quoted(text: str) -> str:
    """Return a text as a literal."""
    return "'" + text.replace("\\", r"\\").replace("'", "''") + "'"


def user(name: str, host: str = HOST) -> str:
    """Return a user as statements name it."""
    return f"{quoted(name)}@{quoted(host)}"


def user_of(name: str, host: str, privileges: str) -> User:
    """Return what the server keeps of a user; what makes no sense counts as a user that may do all."""
    try:
        kept: dict[str, Any] = json.loads(privileges)
        alternatives = [{**kept, **one} for one in kept.get("auth_or", [{}])]
        access = int(kept.get("access", 0))
        return User(
            name,
            host,
            is_role=bool(kept.get("is_role")),
            is_locked=bool(kept.get("account_locked")),
            is_expired=kept.get("password_last_changed") == 0,
            has_password=any(one.get("authentication_string") != CLOSED for one in alternatives),
            methods=tuple(one.get("plugin") or NATIVE for one in alternatives),
            requires=int(kept.get("ssl_type", 0)),
            powers=tuple(power for bit, power in _POWERS.items() if access >> bit & 1),
        )
    except (ValueError, TypeError, AttributeError):
        return User(name, host, powers=tuple(_POWERS.values()))
