r"""A .env file, read as python-dotenv reads it, and changed value by value; every other byte stays.

Readers differ: python-dotenv expands `${…}` within single quotes too and reads `\\` there as one backslash; a shell
runs backquotes within double quotes; compose takes ` #` for a comment. A value without a common form is rejected, and
so is a line that only one of them reads.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from keyturn.runtime import dotenv_reader

from .files import Refused

if TYPE_CHECKING:
    from dotenv.parser import Binding

    from keyturn.core.value import Value

_MAX_VARIABLES: Final = 1000
_MAX_EXPANDED: Final = 1024 * 1024
_ENTRY: Final = re.compile(
    r"(?P<head>\s*(?:export[ \t]+)?[A-Za-z_][A-Za-z0-9_]*[ \t]*=[ \t]*)"
    r"(?P<value>'(?:\\'|[^'])*'|\"(?:\\\"|[^\"])*\"|[^\s'\"#][^\r\n]*?|)"
    r"(?P<tail>(?:[ \t]+#[^\r\n]*)?[ \t]*\r?\n?)"
)
_PLAIN: Final = re.compile(r"[A-Za-z0-9_./@%+,=-][A-Za-z0-9_./:@%+,=~-]*")
_TILDES: Final = (":~", "=~")
"""Positions at which shells expand a home folder."""
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\x85\u2028\u2029]")


@dataclass(frozen=True, slots=True, repr=False)
class Entry:
    """A variable or a comment, with preceding blank lines and the line end."""

    line: int
    name: str | None
    """None for a comment."""
    raw: str
    """The value with unexpanded references; empty if there is none."""
    head: str
    written: str
    """The value as in the file, with quotes."""
    tail: str

    @property
    def text(self) -> str:
        return self.head + self.written + self.tail

    @property
    def follows_a_blank_line(self) -> bool:
        return self.head.startswith(("\n", "\r\n"))

    @property
    def comment(self) -> str:
        """The comment of the entry, or after its value."""
        return self.tail.strip()


@dataclass(frozen=True, slots=True, repr=False)
class Document:
    """One .env file."""

    name: str
    """Name of the file in messages."""
    entries: tuple[Entry, ...]

    @classmethod
    def read(cls, name: str, content: bytes) -> Document:
        """Parse a file."""
        document = cls(name, tuple(_entries(name, content)))
        if len(document.variables) > _MAX_VARIABLES:
            raise Refused(f"{name} has more than the {_MAX_VARIABLES} variables that a .env file may have")
        return document

    @property
    def content(self) -> bytes:
        return "".join(one.text for one in self.entries).encode()

    @property
    def variables(self) -> tuple[Entry, ...]:
        return tuple(one for one in self.entries if one.name is not None)

    @property
    def raw(self) -> Mapping[str, str]:
        """All values with unexpanded references; of several the last counts, as for programs."""
        return {one.name: one.raw for one in self.entries if one.name is not None}

    def entry(self, name: str) -> Entry | None:
        """Return the entry of a variable."""
        found = [one for one in self.entries if one.name == name]
        if len(found) > 1:
            lines = " and ".join(str(one.line) for one in found)
            raise Refused(f"{self.name}: {name} is there more than once, in lines {lines}; keep one")
        return found[0] if found else None

    def values(self, surroundings: Mapping[str, str] | None = None) -> dict[str, str]:
        """Expand references; `surroundings` has variables that the file does not set."""
        variables = ((one.name or "", one.raw) for one in self.variables)
        try:
            found = dotenv_reader.expand(variables, surroundings or {}, _MAX_EXPANDED)
        except dotenv_reader.NotDotenvError as error:
            sentence = f"{self.name} {error}"
        else:
            return {name: text or "" for name, text in found.items()}
        raise Refused(sentence)

    def unset(self, surroundings: Mapping[str, str] | None = None) -> Iterator[tuple[Entry, str]]:
        """Yield each entry that references, without a default, what is not set above it."""
        known = set(surroundings or ())
        for one in self.variables:
            for name, default in _references(one.raw):
                if default is None and name not in known:
                    yield one, name
            known.add(one.name or "")

    def with_written(self, changes: Mapping[str, str]) -> Document:
        """Return the file with other values, as they are to be written; new variables come last.

        A new one that others reference comes first, so that it is set above them.
        """
        entries = {id(one): one for one in self.entries}
        first, last = list[Entry](), list[Entry]()
        read = {name for one in self.variables for name in references(one.raw)}
        newline = "\r\n" if any(one.tail.endswith("\r\n") for one in self.entries) else "\n"
        for name, written in changes.items():
            if entry := self.entry(name):
                entries[id(entry)] = replace(entry, written=written)
            else:
                (first if name in read else last).append(Entry(0, name, "", f"{name}=", written, newline))
        old = list(entries.values())
        if last and old and not old[-1].text.endswith("\n"):
            old[-1] = replace(old[-1], tail=f"{old[-1].tail}{newline}")
        return Document.read(self.name, replace(self, entries=(*first, *old, *last)).content)


def references(raw: str) -> tuple[str, ...]:
    """Return the variables that a value references."""
    return tuple(name for name, _ in _references(raw))


def _references(raw: str) -> Iterator[tuple[str, str | None]]:
    return ((found[1], found[2]) for found in dotenv_reader.REFERENCE.finditer(raw))


def quoted(name: str, value: Value) -> str:
    """Return a value with the quotes that it needs."""
    try:
        text = value.reveal().decode()
    except UnicodeDecodeError:
        text = None
    if text is None:  # outside the except block, since its error quotes the value
        raise Refused(f"{name} is no text, and a .env file holds nothing else; encode it, as in base64")
    if not text or (_PLAIN.fullmatch(text) and not any(tilde in text for tilde in _TILDES)):
        return text
    if _CONTROL.search(text):
        raise Refused(
            f"{name} has control characters, which a .env file does not hold; encode it, as in base64"
        )
    if "${" in text:
        raise Refused(f"{name} has ${{ in it, which python-dotenv fills in even within quotes; encode it")
    if "'" not in text and "\\\\" not in text and not text.endswith("\\"):
        return f"'{text}'"
    if "$" not in text and "`" not in text:
        escaped = text.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    raise Refused(
        f"{name} has $ or ` next to a single quote or backslashes, and no way of writing that reads the same"
        " for compose, python-dotenv and a shell; encode it, as in base64"
    )


def _entries(name: str, content: bytes) -> Iterator[Entry]:
    if content.startswith(b"\xef\xbb\xbf"):
        raise Refused(f"{name} has a byte order mark; save it as UTF-8 without one")
    try:
        found = dotenv_reader.bindings(content)
    except dotenv_reader.NotDotenvError as error:
        sentence = f"{name} {error}"
    else:
        yield from (_entry(name, one) for one in found)
        return
    raise Refused(sentence)


def _entry(name: str, binding: Binding) -> Entry:
    text, line = binding.original.string, dotenv_reader.line_of(binding)
    if binding.key is None:
        blank = text[: len(text) - len(text.lstrip())]
        return Entry(line, None, "", blank, "", text.removeprefix(blank))
    found = _ENTRY.fullmatch(text)
    value = found["value"] if found else ""
    if found is None or (value[:1] not in {"", "'", '"'} and value != binding.value):
        raise Refused(
            f"{name} line {line} is not read alike by compose, python-dotenv and shells; write NAME=value, with"
            " letters, digits and underscores as the name, and quotes around a value with blanks, quotes or #"
        )
    raw = (value and binding.value) or ""
    return Entry(line, binding.key, raw, found["head"], value, found["tail"])
