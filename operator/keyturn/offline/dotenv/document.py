"""A .env file, parsed as by python-dotenv and kept byte for byte, so that single values can be replaced."""

from __future__ import annotations

import io
import re
from collections import ChainMap
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from .errors import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Document", "Entry", "Unset", "references"]

_MAX_FILE_BYTES: Final = 64 * 1024
_MAX_VARIABLES: Final = 1000
_MANY_BLANKS = re.compile(r"[^\S\r\n]{1000}")
"""python-dotenv searches for a comment at each blank, and from each to the last: quadratic."""
_MAX_REFERENCES: Final = 100
"""python-dotenv searches the rest of the text for the end of each."""
_MAX_EXPANDED: Final = 1024 * 1024
_BOM: Final = "\ufeff"
_NEWLINE = re.compile(r"\r\n|\n|\r")
_BLANK_LINES = re.compile(r"\s*")
# What python-dotenv accepts before a value, to find the value's position.
_HEAD = re.compile(r"\s*(?:export[^\S\r\n]+)?(?:'[^']+'|[^=#\s]+)[^\S\r\n]*(=)?")
_BLANK = re.compile(r"[^\S\r\n]*")
_QUOTED = re.compile(r"'(?:\\'|[^'])*'|\"(?:\\\"|[^\"])*\"")
_TO_THE_END = re.compile(r"[^\r\n]*")


@dataclass(frozen=True, slots=True, repr=False)
class Entry:
    """A variable or a comment, with preceding blank lines and the line end."""

    text: str
    line: int
    name: str | None
    """None for a comment."""
    raw: str
    """The value with unexpanded references; empty if there is none."""

    @property
    def follows_a_blank_line(self) -> bool:
        return bool(_NEWLINE.match(self.text))

    @property
    def comment(self) -> str:
        """The comment of the entry, or after its value."""
        if self.name is None:
            return self.text.strip()
        _, end = _place(self.text)
        return self.text[end:].strip()

    @property
    def written(self) -> str:
        """The value as in the file, with quotes."""
        start, end = _place(self.text)
        return self.text[start:end]

    def with_written(self, written: str) -> Entry:
        """Replace the value, with the quotes that the new one needs."""
        start, end = _place(self.text)
        head = self.text[:start]
        equals = "" if "=" in head else "="
        # A comment right after a quote would become part of an unquoted value.
        gap = " " if self.text[end:].startswith("#") else ""
        return replace(self, text=f"{head}{equals}{written}{gap}{self.text[end:]}")


@dataclass(frozen=True, slots=True)
class Unset:
    """A reference to a variable that is not set above it."""

    name: str
    reference: str
    line: int


@dataclass(frozen=True, slots=True, repr=False)
class Document:
    """One .env file."""

    name: str
    """Name of the file in messages."""
    entries: tuple[Entry, ...]
    has_bom: bool = False

    @classmethod
    def read(cls, name: str, content: bytes) -> Document:
        """Parse a file.

        Raises:
            Refused: It is no .env file, or too large.
        """
        text = _decoded(name, content)
        has_bom = text.startswith(_BOM)
        read = cls(name, tuple(_entries(name, text.removeprefix(_BOM))), has_bom)
        if len(read.variables) > _MAX_VARIABLES:
            raise Refused(
                f"{name} has {len(read.variables)} variables; a .env file may have {_MAX_VARIABLES}"
            )
        return read

    @property
    def content(self) -> bytes:
        return ((_BOM if self.has_bom else "") + "".join(one.text for one in self.entries)).encode()

    @property
    def variables(self) -> tuple[Entry, ...]:
        return tuple(one for one in self.entries if one.name is not None)

    @property
    def raw(self) -> Mapping[str, str]:
        """All values with unexpanded references; of several the last counts, as for programs."""
        return {one.name: one.raw for one in self.entries if one.name is not None}

    def entry(self, name: str) -> Entry | None:
        """Return the entry of a variable.

        Raises:
            Refused: There are several.
        """
        found = [one for one in self.entries if one.name == name]
        if len(found) > 1:
            lines = " and ".join(str(one.line) for one in found)
            raise Refused(f"{self.name}: {name} is there more than once, in lines {lines}; keep one")
        return found[0] if found else None

    def values(self, surroundings: Mapping[str, str]) -> tuple[dict[str, str], list[Unset]]:
        """Expand references as python-dotenv does; also return the unset ones.

        Raises:
            Refused: The result is larger than an environment can be.
        """
        from dotenv.variables import Variable, parse_variables  # noqa: PLC0415  # on first use, as its parser

        found: dict[str, str] = {}
        known = ChainMap(found, surroundings)  # type: ignore[arg-type]  # it writes into the first only
        unset: list[Unset] = []
        room = _MAX_EXPANDED
        for entry in self.variables:
            parts = []
            for atom in parse_variables(entry.raw):
                if isinstance(atom, Variable) and atom.name not in known and atom.default is None:
                    unset.append(Unset(entry.name or "", atom.name, entry.line))
                parts.append(atom.resolve(known))
                room -= len(parts[-1])
                if room < 0:  # ten lines that double each other have gigabytes
                    raise Refused(f"{self.name}: the values may have {_MAX_EXPANDED} characters together")
            found[entry.name or ""] = "".join(parts)
        return found, unset

    def with_written(self, changes: Mapping[str, str]) -> Document:
        """Return the file with other values, as they are to be written; every other byte stays.

        A new variable is inserted before the first one that reads it, otherwise appended.

        Raises:
            Refused: The file would be parsed differently.
        """
        changed = self
        for name, written in changes.items():
            changed = changed._with(name, written)
        return Document.read(self.name, changed.content)

    def _with(self, name: str, written: str) -> Document:
        entry = self.entry(name)
        if entry is None:
            return self._with_new(name, written)
        entries = (one.with_written(written) if one is entry else one for one in self.entries)
        return replace(self, entries=tuple(entries))

    def _with_new(self, name: str, written: str) -> Document:
        place = self._place_for(name)
        before, after = self.entries[:place], self.entries[place:]
        newline = self._newline
        is_open = bool(before) and not before[-1].text.endswith(("\n", "\r"))
        text = f"{newline if is_open else ''}{name}={written}{newline}"
        return replace(self, entries=(*before, Entry(text, 0, name, ""), *after))

    def _place_for(self, name: str) -> int:
        readers = (
            place for place, one in enumerate(self.entries) if one.name and name in references(one.raw)
        )
        place = next(readers, len(self.entries))
        # Comments right above the reader belong to it.
        while (
            0 < place < len(self.entries)
            and not self.entries[place].follows_a_blank_line
            and self.entries[place - 1].name is None
        ):
            place -= 1
        return place

    @property
    def _newline(self) -> str:
        found = next((_NEWLINE.search(one.text) for one in self.entries if _NEWLINE.search(one.text)), None)
        return found[0] if found else "\n"


def references(raw: str) -> tuple[str, ...]:
    """Return the variables that a value references."""
    return tuple(re.findall(r"\$\{([^}:]*)(?::-[^}]*)?\}", raw))


def _decoded(name: str, content: bytes) -> str:
    if len(content) > _MAX_FILE_BYTES:
        raise Refused(f"{name} has {len(content)} bytes; a .env file may have {_MAX_FILE_BYTES}")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:  # outside the except block, since its error quotes the content
        raise Refused(f"{name} is no text in UTF-8 without NUL; save it as UTF-8")
    if text.count("${") > _MAX_REFERENCES:
        raise Refused(f"{name} reads more than {_MAX_REFERENCES} variables by ${{…}}; write fewer")
    if _MANY_BLANKS.search(text):
        raise Refused(f"{name} has a thousand blanks in a row; remove them")
    return text


def _entries(name: str, text: str) -> Iterator[Entry]:
    from dotenv.parser import parse_stream  # noqa: PLC0415  # on first use: help answers without it

    for one in parse_stream(io.StringIO(text, newline="")):
        blank = _BLANK_LINES.match(one.original.string)
        line = one.original.line + len(_NEWLINE.findall(blank[0] if blank else ""))
        if one.error:
            raise Refused(f"{name}, line {line}, is not NAME=value, or a quote is not closed; fix it")
        if one.key and (not one.key.isprintable() or "=" in one.key):
            raise Refused(f"{name}, line {line}, has an invalid name; fix it")
        yield Entry(one.original.string, line, one.key, _raw(one.original.string, one.value))


def _raw(text: str, value: str | None) -> str:
    """Return a value; a comment that python-dotenv alone takes for a value is none."""
    start, end = _place(text) if value else (0, 0)
    return value if value and end > start else ""


def _place(text: str) -> tuple[int, int]:
    """Return start and end of the value in an entry."""
    head = _HEAD.match(text)
    if head is None:
        return len(text), len(text)
    if not head[1]:
        name_ends = len(head[0].rstrip())
        return name_ends, name_ends
    blank = _BLANK.match(text, head.end())
    start = blank.end() if blank else head.end()
    if quoted := _QUOTED.match(text, start):
        return start, quoted.end()
    rest = _TO_THE_END.match(text, start)
    unquoted = rest[0] if rest else ""
    if unquoted.startswith("#") and start > head.end():  # NAME= # a comment, for shells
        return head.end(), head.end()
    value = re.sub(r"\s+#.*", "", unquoted).rstrip()
    return start, start + len(value)
