"""Access record: the readers of each managed secret, with count, first and last read, or refused request.

Its form in a Secret of the operator's namespace leaves out what does not fit.
"""

import base64
import binascii
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple, Self

import orjson

from keyturn.core.labels import ACCESS_TYPE, KEYTURN, MANAGED_BY
from keyturn.core.observation.emergency import Reader, ReaderStatus
from keyturn.kube.wire import Body

from .event import Access

_MAX_PER_SCOPE: Final = 50
_MAX_READ: Final = 20_000
_MAX_REFUSED: Final = 4_000


class AccessScope(NamedTuple):
    """Scope of a request: one secret, a namespace (no name), or the cluster (neither)."""

    namespace: str
    name: str

    @property
    def reach(self) -> str:
        if self.name:
            return "secret"
        return "namespace" if self.namespace else "cluster"


@dataclass(slots=True)
class Entry:
    """Requests by one subject in one scope."""

    kind: str
    verbs: frozenset[str]
    first: datetime
    last: datetime
    count: int = 0
    status: ReaderStatus = ReaderStatus.UNKNOWN
    """Status at its first request."""

    def add(self, other: Self) -> None:
        if other.first < self.first:
            self.status = other.status
        self.verbs |= other.verbs
        self.first, self.last = min(self.first, other.first), max(self.last, other.last)
        self.count += other.count


@dataclass(slots=True)
class AccessLog:
    """Readers by scope."""

    pages: dict[AccessScope, dict[str, Entry]] = field(default_factory=dict)
    forgotten: Counter[AccessScope] = field(default_factory=Counter)
    """Number of readers that were dropped for lack of space."""
    size: int = 0

    def note(self, scope: AccessScope, access: Access, status: ReaderStatus = ReaderStatus.UNKNOWN) -> None:
        """Count a request; `status` is that of a new reader."""
        one = Entry(access.kind, frozenset({access.verb}), access.time, access.time, 1, status)
        self._add(scope, access.subject, one, _MAX_READ)

    def add(self, other: Self) -> None:
        """Add the counts of another log, which keeps its own entries."""
        for scope, page in other.pages.items():
            for subject, entry in page.items():
                self._add(scope, subject, replace(entry))
        self.forgotten.update(other.forgotten)

    def rows(self) -> Iterator[tuple[AccessScope, str, Entry]]:
        for scope, page in self.pages.items():
            for subject, entry in page.items():
                yield scope, subject, entry

    def trim(self, since: datetime, most: int, exists: Callable[[AccessScope], bool]) -> None:
        """Drop readers before that time, and those above the limits: first those of deleted objects.

        Namespaces have equal shares, and so have the secrets of each, so that a burst in one affects no other.
        """
        for scope, page in list(self.pages.items()):
            for subject in [one for one, entry in page.items() if entry.last < since]:
                del page[subject]
            self._trim_page(scope, _MAX_PER_SCOPE)
        self.size = sum(map(len, self.pages.values()))
        if self.size > most:
            for scope in [one for one in self.pages if not exists(one)]:
                self._trim_page(scope, 0)
        if self.size > most:
            scopes = Counter(scope.namespace for scope in self.pages)
            for scope in list(self.pages):
                self._trim_page(scope, max(2, most // len(scopes) // scopes[scope.namespace]))
        self.size = sum(map(len, self.pages.values()))
        for scope in self.forgotten.keys() - self.pages.keys():
            del self.forgotten[scope]

    def _trim_page(self, scope: AccessScope, most: int) -> None:
        """Drop readers between the first and the last ones; a burst displaces neither."""
        page = self.pages[scope]
        if (excess := len(page) - most) > 0:
            later = sorted(page, key=lambda one: page[one].first)[most // 2 :]
            for subject in sorted(later, key=lambda one: page[one].last)[:excess]:
                del page[subject]
            self.forgotten[scope] += excess
            self.size -= excess
        if not page:
            del self.pages[scope]

    def _add(self, scope: AccessScope, subject: str, one: Entry, most: int | None = None) -> None:
        page = self.pages.setdefault(scope, {})
        if subject in page:
            page[subject].add(one)
        elif most is not None and self.size >= most:
            self.forgotten[scope] += 1
        else:
            page[subject] = one
            self.size += 1


@dataclass(slots=True)
class Record:
    """All reads and refused requests since the first event."""

    since: datetime | None = None
    read: AccessLog = field(default_factory=AccessLog)
    refused: AccessLog = field(default_factory=AccessLog)

    @property
    def is_empty(self) -> bool:
        return not (self.read.pages or self.refused.pages)

    def has_all(self, other: Self) -> bool:
        """Whether each reader of another record is a reader of this one."""
        return all(
            subject in mine.pages.get(scope, ())
            for mine, log in ((self.read, other.read), (self.refused, other.refused))
            for scope, subject, _ in log.rows()
        )

    def add(self, other: Self) -> None:
        """Add another record, which keeps its own entries."""
        times = [time for time in (self.since, other.since) if time]
        self.since = min(times, default=None)
        self.read.add(other.read)
        self.refused.add(other.refused)

    def trim(self, since: datetime, exists: Callable[[AccessScope], bool]) -> None:
        """Drop what is older, and what is above the limits."""
        self.read.trim(since, _MAX_READ, exists)
        self.refused.trim(since, _MAX_REFUSED, exists)


def readers_of(
    logs: Iterable[AccessLog], namespace: str, names: Iterable[str], since: datetime
) -> tuple[list[Reader], int]:
    """Return the readers of the named secrets since then, the last one first, and about how many were dropped."""
    scopes = [
        *(AccessScope(namespace, name) for name in names),
        AccessScope(namespace, ""),
        AccessScope("", ""),
    ]
    whole = AccessLog()
    for log, scope in ((log, scope) for log in logs for scope in scopes):
        whole.add(AccessLog({scope: log.pages.get(scope, {})}, Counter({scope: log.forgotten[scope]})))
    found = [
        Reader(
            subject=subject,
            kind=entry.kind,
            verbs=entry.verbs,
            first=entry.first,
            last=entry.last,
            count=entry.count,
            reach=scope.reach,
            status=entry.status if entry.first >= since else ReaderStatus.KNOWN,
        )
        for scope, subject, entry in whole.rows()
        if entry.last >= since
    ]
    return sorted(found, key=lambda one: one.last, reverse=True), whole.forgotten.total()


NAME: Final = "keyturn-access"
_MAX_BYTES: Final = {"read": 500 * 1024, "refused": 100 * 1024}
"""A Secret may have 1 MiB, in base64."""
_MAX_PLAIN_BYTES: Final = 16 * 1024 * 1024
"""Bytes after decompression; a Secret from another writer may unpack to anything."""


class Unreadable(Exception):  # noqa: N818  # it says what it is
    """The record is not one of ours."""


def body_of(
    namespace: str, version: str | None, record: Record, exists: Callable[[AccessScope], bool]
) -> Body:
    """Return the record as a Secret."""
    metadata: dict[str, Any] = {"name": NAME, "namespace": namespace, "labels": {MANAGED_BY: KEYTURN}}
    if version:
        metadata["resourceVersion"] = version
    data = {"since": str(_number(record.since) if record.since else 0).encode()}
    for name, log in (("read", record.read), ("refused", record.refused)):
        data[name] = _pack(_by_priority(log, exists), _MAX_BYTES[name])
        forgotten = [(*scope, count) for scope, count in log.forgotten.most_common()]
        data[f"{name}-forgotten"] = _pack(forgotten, _MAX_BYTES[name] // 10)
    encoded = {name: base64.b64encode(content).decode() for name, content in data.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": ACCESS_TYPE, "data": encoded}


def decode(body: Body) -> Record:
    """Decode a stored record.

    Raises:
        Unreadable: It is not one of ours.
    """
    if body.get("type") != ACCESS_TYPE:
        raise Unreadable
    try:
        data = {name: base64.b64decode(text) for name, text in body["data"].items()}
        since = int(data["since"])
        return Record(_time(since) if since else None, _log("read", data), _log("refused", data))
    except (KeyError, TypeError, ValueError, OverflowError, OSError, binascii.Error, zlib.error):
        raise Unreadable from None


def _by_priority(log: AccessLog, exists: Callable[[AccessScope], bool]) -> list[tuple[Any, ...]]:
    """Return the rows in turn by namespace, so that many of one displace none of another; deleted objects last."""
    places = Counter[str]()
    found: list[tuple[tuple[bool, int], tuple[Any, ...]]] = []
    for scope, subject, one in log.rows():
        times = _number(one.first), _number(one.last), one.count
        row = (*scope, subject, one.kind, sorted(one.verbs), *times, one.status)
        found.append(((not exists(scope), places[scope.namespace]), row))
        places[scope.namespace] += 1
    return [row for _, row in sorted(found, key=lambda each: each[0])]


def _log(name: str, data: Mapping[str, bytes]) -> AccessLog:
    log = AccessLog()
    for row in _unpack(data[name]):
        namespace, secret, subject, kind = map(_text, row[:4])
        verbs, first, last, count, status = row[4:]
        log.pages.setdefault(AccessScope(namespace, secret), {})[subject] = Entry(
            kind,
            frozenset(map(_text, verbs)),
            _time(int(first)),
            _time(int(last)),
            int(count),
            ReaderStatus(status),
        )
    for namespace, secret, count in _unpack(data[f"{name}-forgotten"]):
        log.forgotten[AccessScope(_text(namespace), _text(secret))] = int(count)
    return log


def _pack(rows: Sequence[Any], largest: int) -> bytes:
    """Compress as many rows as fit."""
    while len(packed := zlib.compress(orjson.dumps(rows), 1)) > largest:
        rows = rows[: len(rows) * 3 // 4]
    return packed


def _unpack(packed: bytes) -> Any:
    plain = zlib.decompressobj().decompress(packed, _MAX_PLAIN_BYTES)
    if len(plain) == _MAX_PLAIN_BYTES:
        raise ValueError
    return orjson.loads(plain)


def _text(text: Any) -> str:
    if not isinstance(text, str):
        raise TypeError
    return text


def _number(time: datetime) -> int:
    return int(time.timestamp())


def _time(number: int) -> datetime:
    return datetime.fromtimestamp(number, UTC)
