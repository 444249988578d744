"""Settings of a role, which its members do not inherit, as statements that copy them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from .quoting import identifier, literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

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
