"""An account at a server: roles, memberships, settings, and what the admin may do with them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .settings import Settings

NO_CHANGES: Final = (
    "ReadOnly",
    "the server accepts no change; its disk may be full: free space there, and end its read-only mode",
)
"""Code and sentence of a primary that is read-only."""
OLDEST: Final = 120_000
"""The oldest release that works, in the server's own form of 12.0."""
GRANTS_WITH_OPTIONS: Final = 160_000
"""The first release in which an admin changes only roles that it has ADMIN OPTION for."""
_MARK: Final = re.compile(r"keyturn\.dev/managed-secret: (\S+)")


@dataclass(frozen=True, slots=True)
class Admin:
    """The role that Keyturn logs in with, and the server that it is at."""

    name: str
    version: int
    database: str = ""
    """The one that it is connected to."""
    started: str = ""
    """When the server was started."""
    is_superuser: bool = False
    may_create_roles: bool = False
    is_standby: bool = False
    is_read_only: bool = False
    """Whether the session cannot change anything, although it has set the default of its transactions otherwise."""

    @property
    def has_grant_options(self) -> bool:
        return self.version >= GRANTS_WITH_OPTIONS


@dataclass(frozen=True, slots=True)
class Role:
    """One role, and what the admin may do with it."""

    name: str
    is_open: bool = False
    expired: str = ""
    """Since when its password is refused because of a date; empty if it is not."""
    connections: int = -1
    """CONNECTION LIMIT; -1 for none."""
    powers: tuple[str, ...] = ()
    """Attributes such as SUPERUSER, its own and those of the roles that it may act as."""
    member_of: frozenset[str] = frozenset()
    """Every role that it may act as, through others too."""
    may_act_as_owner: bool = False
    """Whether it may act as the owner of the account, for which a membership alone is not enough from 16 on."""
    comment: str = ""
    may_alter: bool = False
    may_act: bool = False
    """Whether the admin has its privileges and may act as it."""
    owns_strays: bool = False
    """Whether it owns objects in the database of the target."""
    owns: bool = False
    """Whether it owns anything at the server, such as a database."""
    has_members: bool = False
    """Whether roles may act as it that are no administrators."""

    @property
    def obstacle(self) -> str:
        """Why no session with it begins, whatever its password is."""
        if not self.is_open:
            return "has NOLOGIN"
        if self.expired:
            return f"has expired, VALID UNTIL {self.expired}"
        return "has CONNECTION LIMIT 0" if self.connections == 0 else ""


@dataclass(frozen=True, slots=True)
class Facts:
    """What one transaction read."""

    admin: Admin
    roles: Mapping[str, Role] = field(default_factory=dict)
    """Those of the account's names that exist."""
    settings: Mapping[str, Settings] = field(default_factory=dict)


def mark_of(comment: str) -> str:
    """Return the mark of the ManagedSecret that a comment names; empty if it names none."""
    found = _MARK.search(comment)
    return found[1] if found else ""


def marked(comment: str, mark: str) -> str:
    """Return a comment with this mark, or without one; what an administrator wrote stays."""
    lines = [line for line in comment.splitlines() if not _MARK.fullmatch(line)]
    return "\n".join([*lines, f"keyturn.dev/managed-secret: {mark}"] if mark else lines)
