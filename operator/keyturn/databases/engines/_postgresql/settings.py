"""Settings of a role, which its members do not inherit, as statements that copy them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from .quoting import identifier, literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["ROLE", "Settings", "copied"]

Settings = dict[tuple[str, str], str]
"""Values by database, empty for all databases, and name."""
ROLE: Final = ("", "role")
"""The setting that makes a session of a login act as the owner, also after RESET ROLE and DISCARD ALL."""
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
_ENTRY: Final = re.compile(r'\s*(?:"((?:[^"]|"")*)"|([^",]*?))\s*(?:,|$)')


def copied(owner: str, login: str, settings: Mapping[str, Settings]) -> Iterator[str]:
    """Yield the statements that give a login the settings of its owner, and the role of the owner."""
    wanted = {**settings.get(owner, {}), ROLE: owner}
    there = settings.get(login, {})
    for place, name in sorted(there.keys() - wanted.keys()):
        yield f"{_place(login, place)} RESET {_name(name)}"
    for (place, name), value in sorted(wanted.items()):
        if there.get((place, name)) != value:
            yield f"{_place(login, place)} SET {_name(name)} TO {_value(name, value)}"


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
    for found in _ENTRY.finditer(value):
        if found.start() < len(value):
            quoted, plain = found.groups()
            yield plain if quoted is None else quoted.replace('""', '"')
