"""Strict reader: a field of the input that no code reads is reported."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .findings import Report

__all__ = ["StrictReader"]

T = TypeVar("T")

_PLAIN = re.compile(r"[A-Za-z0-9_-]+")
_UNKNOWN = "is not known here and left out"
_LOOK = "check the documentation of the tool that reads it, and use Keyturn's field for it"


class StrictReader:
    """One mapping of a document, read field by field."""

    def __init__(self, body: Any, path: str, report: Report) -> None:
        self.path = path
        self.report = report
        self._body: dict[str, Any] = {}
        self._parts: dict[str, list[StrictReader]] = {}
        if isinstance(body, Mapping):
            self._body = {str(name): content for name, content in body.items()}
        elif body is not None:
            report.lost(
                path, "is not a mapping and left out", "write it as the tool's documentation requires"
            )
        self._unread = {name for name, content in self._body.items() if content is not None}

    def __contains__(self, name: str) -> bool:
        return self._body.get(name) is not None

    def __bool__(self) -> bool:
        return bool(self._body)

    def reported_in(self, report: Report) -> StrictReader:
        """Return a reader of the same mapping whose findings are in another report."""
        self._unread.clear()
        return StrictReader(self._body, self.path, report)

    def at(self, name: str) -> str:
        """Return the path of a field."""
        step = name if _PLAIN.fullmatch(name) else f"[{name}]"
        return f"{self.path}.{step}" if self.path and not step.startswith("[") else f"{self.path}{step}"

    def raw(self, name: str) -> Any:
        self._unread.discard(name)
        return self._body.get(name)

    def text(self, name: str) -> str | None:
        """Return a text; YAML parses some as numbers."""
        found = self.raw(name)
        if isinstance(found, bool):
            return "true" if found else "false"
        if found is None or isinstance(found, str):
            return found
        if isinstance(found, int | float):
            return str(found)
        return self._misshapen(name, "text", None)

    def flag(self, name: str) -> bool | None:
        found = self.raw(name)
        return (
            found
            if found is None or isinstance(found, bool)
            else self._misshapen(name, "true or false", None)
        )

    def number(self, name: str) -> int | None:
        found = self.raw(name)
        if found is None or (isinstance(found, int) and not isinstance(found, bool)):
            return found
        return self._misshapen(name, "a number", None)

    def part(self, name: str) -> StrictReader:
        """Return a mapping; empty if absent."""
        if name not in self._parts:
            self._parts[name] = [StrictReader(self.raw(name), self.at(name), self.report)]
        return self._parts[name][0]

    def parts(self, name: str) -> list[StrictReader]:
        """Return a list of mappings."""
        if name not in self._parts:
            found = self.raw(name)
            if found is not None and not isinstance(found, list):
                found = self._misshapen(name, "a list", None)
            places = enumerate(found or ())
            self._parts[name] = [
                StrictReader(one, f"{self.at(name)}[{place}]", self.report) for place, one in places
            ]
        return self._parts[name]

    def texts(self, name: str) -> list[str]:
        found = self.raw(name)
        if found is not None and not (isinstance(found, list) and all(isinstance(one, str) for one in found)):
            found = self._misshapen(name, "a list of texts", None)
        return list(found or ())

    def texts_by_name(self, name: str) -> dict[str, str]:
        part = self.part(name)
        read = {one: part.text(one) for one in part.names()}
        return {one: text for one, text in read.items() if text is not None}

    def names(self) -> list[str]:
        return list(self._body)

    def lost(self, name: str, what: str, remedy: str) -> None:
        """Report a present field without which the output has less meaning."""
        if name in self:
            self.raw(name)
            self.report.lost(self.at(name), what, remedy)

    def changed(self, name: str, what: str, remedy: str = "") -> None:
        """Report a present field with another form in the output."""
        if name in self:
            self.raw(name)
            self.report.changed(self.at(name), what, remedy)

    def lost_unless(self, usual: object, name: str, what: str, remedy: str) -> None:
        """Report a field that differs from the default, and is missing in the output."""
        if self.raw(name) != usual:
            self.lost(name, what, remedy)

    def ignore(self, *names: str) -> None:
        """Skip fields that are not part of the spec, such as status."""
        self._unread -= set(names)

    def report_unread(self) -> None:
        """Report every field that was not read."""
        for path in self._left():
            self.report.lost(path, _UNKNOWN, _LOOK)

    def _left(self) -> Iterator[str]:
        yield from (self.at(name) for name in self._body if name in self._unread)
        for part in itertools.chain.from_iterable(self._parts.values()):
            yield from part._left()  # noqa: SLF001  # its own kind

    def _misshapen(self, name: str, form: str, instead: T) -> T:
        self.report.lost(self.at(name), f"is not {form} and left out", f"write {form}")
        return instead
