"""An account at a server: roles, memberships, settings as statements that copy them, and rights of the admin."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final


def identifier(name: str) -> str:
    """Quote a name, whatever characters it has."""
    return '"' + _checked(name).replace('"', '""') + '"'


def identifiers(*names: str) -> str:
    """Quote several names, separated by commas."""
    return ", ".join(identifier(name) for name in names)


def literal(text: str) -> str:
    """Quote a text, as an E string if it has a backslash: otherwise a setting of the server decides what that is."""
    quoted = "'" + _checked(text).replace("'", "''") + "'"
    return "E" + quoted.replace("\\", "\\\\") if "\\" in quoted else quoted


def _checked(text: str) -> str:
    if "\0" in text:
        raise ValueError("PostgreSQL has no text with a zero byte")
    return text


Settings = dict[tuple[str, str], str]
"""Values by database, empty for all databases, and name."""
ROLE: Final = ("", "role")
"""The setting that makes a session of a login act as the owner, also after RESET ROLE and DISCARD ALL."""
_LONGEST: Final = 400
"""Characters of the name of a setting in a message; an application may choose the name."""
_LISTS: Final = frozenset(
    {
        "local_preload_libraries",
        "search_path",
        "session_preload_libraries",
        "shared_preload_libraries",
        "temp_tablespaces",
        "unix_socket_directories",
    }
)
"""Settings whose value is a list of names, each quoted by the server; the same in pg_dump."""
_ENTRY: Final = re.compile(r'\s*+(?:"((?:[^"]|"")*+)"|([^",]*+))\s*+(?:,|$)')
"""Without backtracking, which a server could make last: it chooses the text."""


@dataclass(frozen=True, slots=True)
class Copy:
    """One statement, and the same without a value, which an application may want to keep to itself."""

    text: str
    name: str
    place: str
    is_reset: bool = False
    """Whether it takes away a setting that the owner does not have, without which a login works as well."""

    @property
    def shown(self) -> str:
        return f"{self.place} SET {self.name} TO <the value of the owner>;"


def copied(owner: str, login: str, settings: Mapping[str, Settings]) -> Iterator[Copy]:
    """Yield the statements that give a login the settings of its owner, and its role in each database."""
    of_owner = settings.get(owner, {})
    wanted = {place: value for place, value in of_owner.items() if place[1] != ROLE[1]} | {ROLE: owner}
    there = settings.get(login, {})
    for database, name in sorted(there.keys() - wanted.keys()):
        place = _place(login, database)
        yield Copy(f"{place} RESET {_name(name)}", _name(name)[:_LONGEST], place, is_reset=True)
    for (database, name), value in sorted(wanted.items()):
        if there.get((database, name)) != value:
            place = _place(login, database)
            shown = _name(name)[:_LONGEST]
            yield Copy(f"{place} SET {_name(name)} TO {_value(name, value)}", shown, place)


def _place(login: str, database: str) -> str:
    where = f" IN DATABASE {identifier(database)}" if database else ""
    return f"ALTER ROLE {identifier(login)}{where}"


def _name(name: str) -> str:
    """Quote each part of a name such as `app.tenant`."""
    return ".".join(identifier(part) for part in name.split("."))


def _value(name: str, value: str) -> str:
    if name.lower() not in _LISTS:
        return literal(value)
    return ", ".join(literal(entry) for entry in _entries(value)) or "''"


def _entries(value: str) -> Iterator[str]:
    """Split a list as the server wrote it: names, those with other characters in double quotes."""
    end = 0
    while end < len(value) and (found := _ENTRY.match(value, end)):
        quoted, plain = found.groups()
        yield plain.strip() if quoted is None else quoted.replace('""', '"')
        end = found.end()


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
