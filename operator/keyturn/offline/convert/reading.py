"""Findings of a conversion, and the reader that reports every field of a document that no code reads."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import Any, Final, TypeVar

Body = Mapping[str, Any]
T = TypeVar("T")

_PLAIN: Final = re.compile(r"[A-Za-z0-9_-]+")
_SET_BY_SERVERS: Final = (
    *("creationTimestamp", "deletionGracePeriodSeconds", "deletionTimestamp", "finalizers", "generation"),
    *("managedFields", "ownerReferences", "resourceVersion", "selfLink", "uid"),
)
_NOISE: Final = frozenset({"kubectl.kubernetes.io/last-applied-configuration", "force-sync"})
_SOURCES: Final = re.compile(r"(reconcile\.)?external-secrets\.io/|secret-generator\.v1\.mittwald\.de/")


class Weight(Enum):
    """Whether the output has the meaning of the input."""

    LOST = auto()
    CHANGED = auto()
    """The same meaning in another form, or with a further object."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A field without an equal counterpart in the output."""

    document: str
    field: str
    what: str
    remedy: str
    weight: Weight
    quoted: str = ""
    """The input, where it has to be rewritten by hand; never a value of a Secret."""


def grouped(findings: Iterable[Finding]) -> list[Finding]:
    """Merge equal findings of several fields of a document."""
    first: dict[Finding, list[str]] = {}
    for finding in findings:
        first.setdefault(replace(finding, field=""), []).append(finding.field)
    return [replace(one, field=", ".join(fields)) for one, fields in first.items()]


@dataclass(slots=True)
class Report:
    """Collects the findings of one document."""

    document: str
    findings: list[Finding] = field(default_factory=list)

    def lost(self, field: str, what: str, remedy: str, quoted: str = "") -> None:
        """Report that the output has less meaning than the input."""
        self.findings.append(Finding(self.document, field, what, remedy, Weight.LOST, quoted))

    def changed(self, field: str, what: str, remedy: str = "") -> None:
        """Report that the output has another form."""
        self.findings.append(Finding(self.document, field, what, remedy, Weight.CHANGED))


@dataclass(frozen=True, slots=True)
class Manifest:
    """A converted object with its findings."""

    body: dict[str, Any]
    source: str = ""
    findings: tuple[Finding, ...] = ()


class Reader:
    """One mapping of a document, read field by field."""

    def __init__(self, body: Any, path: str, report: Report) -> None:
        self.path = path
        self.report = report
        self._body: dict[str, Any] = {}
        self._parts: dict[str, list[Reader]] = {}
        if isinstance(body, Mapping):
            self._body = {str(name): content for name, content in body.items()}
        elif body is not None:
            report.lost(path, "is not a mapping and left out", "write it as the tool's documentation says")
        self._unread = {name for name, content in self._body.items() if content is not None}

    def __contains__(self, name: str) -> bool:
        return self._body.get(name) is not None

    def __bool__(self) -> bool:
        return bool(self._body)

    def at(self, name: str) -> str:
        """Return the path of a field."""
        if not _PLAIN.fullmatch(name):
            return f"{self.path}[{name}]"
        return f"{self.path}.{name}" if self.path else name

    def raw(self, name: str) -> Any:
        self._unread.discard(name)
        return self._body.get(name)

    def text(self, name: str) -> str | None:
        """Return a text; YAML parses some as numbers."""
        found = self.raw(name)
        if isinstance(found, bool):
            return "true" if found else "false"
        if found is None or isinstance(found, str | int | float):
            return None if found is None else str(found)
        return self._misshapen(name, "text", None)

    def part(self, name: str) -> "Reader":
        """Return a mapping; empty if absent."""
        if name not in self._parts:
            self._parts[name] = [Reader(self.raw(name), self.at(name), self.report)]
        return self._parts[name][0]

    def parts(self, name: str) -> list["Reader"]:
        """Return a list of mappings."""
        if name not in self._parts:
            found = self.raw(name)
            if found is not None and not isinstance(found, list):
                found = self._misshapen(name, "a list", None)
            self._parts[name] = [
                Reader(one, f"{self.at(name)}[{place}]", self.report) for place, one in enumerate(found or ())
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

    def lost(self, name: str, what: str, remedy: str, quoted: str = "") -> None:
        """Report a field, which may be absent, as one without which the output has less meaning."""
        self.ignore(name)
        self.report.lost(self.at(name), what, remedy, quoted)

    def changed(self, name: str, what: str, remedy: str = "") -> None:
        """Report a field with another form in the output."""
        self.ignore(name)
        self.report.changed(self.at(name), what, remedy)

    def one_of(self, name: str, *known: str) -> str | None:
        """Return a text among these; any other is left to `report_unread`."""
        found = self._body.get(name)
        return self.text(name) if found is None or found in known else None

    def needless(self, *names: str) -> None:
        """Report present settings without which Keyturn does the same."""
        for name in names:
            if name in self:
                self.changed(name, "is left out: Keyturn needs no such setting")

    def ignore(self, *names: str) -> None:
        """Skip fields that have no meaning, or are reported together with another."""
        self._unread -= set(names)

    def metadata(self) -> dict[str, Any]:
        """Return the metadata of the new object, which has the same name."""
        part = self.part("metadata")
        part.ignore(*_SET_BY_SERVERS)
        body: dict[str, Any] = {name: text for name in ("name", "namespace") if (text := part.text(name))}
        return body | present(**{name: part.marks(name) for name in ("labels", "annotations")})

    def marks(self, name: str) -> dict[str, str]:
        """Return labels or annotations, without those that tools write for themselves."""
        marks = self.part(name)
        marks.ignore(*_NOISE, *(key for key in marks.names() if "external-secrets.io/" in key))
        texts = {key: marks.text(key) for key in marks.names() if not (key in _NOISE or _SOURCES.match(key))}
        return {key: text for key, text in texts.items() if text is not None}

    def report_unread(self) -> None:
        """Report every field that was not read."""
        for path in self._left():
            what = "left out, without a counterpart in Keyturn"
            self.report.lost(path, what, "docs/migration.md has what to write instead")

    def _left(self) -> Iterator[str]:
        yield from (self.at(name) for name in self._body if name in self._unread)
        for part in (one for parts in self._parts.values() for one in parts):
            yield from part._left()  # noqa: SLF001  # its own kind

    def _misshapen(self, name: str, form: str, instead: T) -> T:
        self.report.lost(self.at(name), f"is not {form} and left out", f"write {form}")
        return instead


def present(**fields: Any) -> dict[str, Any]:
    """Return the fields that have a content."""
    return {name: content for name, content in fields.items() if content not in (None, "", [], {})}


def opened(body: Body, report: Report) -> "Reader":
    """Return the reader of a whole document."""
    document = Reader(body, "", report)
    document.ignore("apiVersion", "kind", "status")
    return document
