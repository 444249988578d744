"""Persistence of baseline and access log, in one Secret of the operator's namespace.

All replicas write it with optimistic concurrency: each merges what the others have added, and leaves its own data
for the next round after a conflict.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from collections import OrderedDict, defaultdict
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import chain, repeat
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson

from keyturn.core.emergency.readers import ReaderStatus
from keyturn.core.labels import ACCESS_TYPE, KEYTURN, MANAGED_BY

from .access_log import AccessScope, Dropped, Entry
from .baseline import MOST_PAIRS, TAG_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from keyturn.kube.client import Body

    from .access_log import AccessLog
    from .baseline import Habits

__all__ = [
    "NAME",
    "Record",
    "RecordRow",
    "Sheet",
    "StoredLog",
    "Unreadable",
    "body_of",
    "decode",
    "last_read",
    "merge",
]

NAME: Final = "keyturn-access"
_KEY_BYTES: Final = 32
_MAX_ROWS: Final = 20_000
_MAX_JOURNAL_BYTES: Final = 400 * 1024
_MAX_REFUSED_BYTES: Final = 100 * 1024
_MAX_COUNTS_BYTES: Final = 48 * 1024
_MAX_TIMES_BYTES: Final = 16 * 1024
_MAX_PLAIN_BYTES: Final = 16 * 1024 * 1024
"""Bytes after decompression; a Secret from another writer may unpack to anything."""


class Unreadable(Exception):  # noqa: N818  # it says what it is
    """The record is not one of ours."""


class RecordRow(NamedTuple):
    """An entry, and its copy for writing."""

    entry: Entry
    scope: AccessScope
    subject: str
    copy: Entry


@dataclass(frozen=True, slots=True)
class Sheet:
    """A copy of an access log for writing."""

    existing: list[list[RecordRow]] = field(default_factory=list)
    """The rows of each scope with a managed object."""
    deleted: list[list[RecordRow]] = field(default_factory=list)
    """Those of other scopes."""
    forgotten: dict[AccessScope, Dropped] = field(default_factory=dict)

    def copy(self, journal: AccessLog) -> Iterator[int]:
        """Copy the entries; yield those of each step, between which the log may change."""
        for scope, entries, forgotten in journal.pages():
            rows = [RecordRow(one, scope, subject, replace(one)) for subject, one in entries.items()]
            (self.existing if journal.exists(scope) else self.deleted).append(rows)
            self.forgotten[scope] = forgotten
            yield len(rows)

    def settle(self) -> None:
        """Mark the rows as stored."""
        for row in chain(*self.existing, *self.deleted):
            row.entry.kept += row.copy.fresh
            row.entry.fresh -= row.copy.fresh

    def rows(self) -> list[RecordRow]:
        """Return the rows by priority, in case not all fit.

        Round-robin between namespaces, and between the scopes of each, so that many entries of one take no space from
        another; those of deleted objects come last.
        """
        return [*_by_priority(self.existing), *_by_priority(self.deleted)]


@dataclass(frozen=True, slots=True)
class StoredLog:
    """A stored access log."""

    entries: list[tuple[AccessScope, str, Entry]]
    forgotten: list[tuple[AccessScope, Dropped, int]]
    """Readers that were dropped from memory, and the number of those that did not fit into the record."""


@dataclass(frozen=True, slots=True)
class Record:
    """The content of the Secret."""

    key: bytes
    since: datetime | None
    pairs: OrderedDict[bytes, None]
    read: StoredLog
    refused: StoredLog


def _by_priority(pages: Iterable[list[RecordRow]]) -> list[RecordRow]:
    namespaces: defaultdict[str, list[list[RecordRow]]] = defaultdict(list)
    for rows in filter(None, pages):
        namespaces[rows[0].scope.namespace].append(_ends_first(rows))
    return _round_robin([_round_robin(rows) for rows in namespaces.values()])


def _ends_first(rows: list[RecordRow]) -> list[RecordRow]:
    """Alternate the last and the first readers, so that both fit."""
    last, first = list(rows), sorted(rows, key=lambda row: row.copy.first)
    taken = {id(row): row for pair in zip(last, first, strict=True) for row in pair}
    return list(taken.values())


def _round_robin(several: list[list[RecordRow]]) -> list[RecordRow]:
    """Take the first of each list, then the second of each, and so on."""
    places = [(place, row) for rows in several for place, row in enumerate(rows)]
    places.sort(key=itemgetter(0))
    return [row for _, row in places]


def _written(row: RecordRow) -> tuple[Any, ...]:
    one = row.copy
    times = _number(one.first), _number(one.last), one.kept + one.fresh
    return (*row.scope, row.subject, str(one.kind), sorted(one.verbs), *times, str(one.status))


def body_of(namespace: str, version: str | None, habits: Habits, read: Sheet, refused: Sheet) -> Body:
    """Return the record as a Secret; rows that do not fit are counted. It runs in a thread, as `decode` does."""
    metadata: dict[str, Any] = {
        "name": NAME,
        "namespace": namespace,
        "labels": {MANAGED_BY: KEYTURN},
    }
    if version:
        metadata["resourceVersion"] = version
    since = _number(habits.since) if habits.since else 0
    data = {
        "key": habits.key,
        "since": str(since).encode(),
        "pairs": b"".join(habits.pairs),
        **_columns("journal", read, _MAX_JOURNAL_BYTES),
        **_columns("refused", refused, _MAX_REFUSED_BYTES),
    }
    encoded = {name: base64.b64encode(content).decode() for name, content in data.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": ACCESS_TYPE, "data": encoded}


def decode(body: Body) -> Record:
    """Decode a stored record; takes seconds, so it runs in a thread.

    Raises:
        Unreadable: It is not one of ours.
    """
    if body.get("type") != ACCESS_TYPE:
        raise Unreadable
    try:
        data = {name: base64.b64decode(text) for name, text in body["data"].items()}
        key, pairs = data["key"], data["pairs"]
        since = _time(int(data["since"]))
        read, refused = _stored("journal", data), _stored("refused", data)
    except (KeyError, TypeError, ValueError, OverflowError, OSError, binascii.Error, zlib.error):
        raise Unreadable from None
    if len(key) != _KEY_BYTES or len(pairs) % TAG_BYTES or len(pairs) > MOST_PAIRS * TAG_BYTES:
        raise Unreadable
    tags = OrderedDict.fromkeys(pairs[at : at + TAG_BYTES] for at in range(0, len(pairs), TAG_BYTES))
    return Record(key, since if since.timestamp() else None, tags, read, refused)


def last_read(body: Body) -> datetime | None:
    """Return the time of the last read in a stored record.

    Raises:
        Unreadable: It is not one of ours.
    """
    return max((entry.last for _, _, entry in decode(body).read.entries), default=None)


def merge(record: Record, habits: Habits, read: AccessLog, refused: AccessLog) -> Iterator[int]:
    """Merge a stored record; yield the entries of each step, between which reads may be noted."""
    yield from habits.merge(record.key, record.since, record.pairs)
    for journal, stored in ((read, record.read), (refused, record.refused)):
        begins = journal.is_empty
        for scope, subject, entry in stored.entries:
            journal.merge(scope, subject, entry)
            yield 1
        for scope, dropped, in_record in stored.forgotten:
            # A replica with readers in memory may know those that did not fit into the record. For another one both
            # numbers may be of the same readers, as a replica that started earlier has counted them in memory.
            readers = max(dropped.readers, in_record) if begins else dropped.readers
            journal.note_forgotten(scope, dropped._replace(readers=readers))
            yield 1


def _columns(name: str, sheet: Sheet, largest: int) -> dict[str, bytes]:
    rows = sheet.rows()
    packed, fitting = _pack([_written(row) for row in rows[:_MAX_ROWS]], largest)
    lost: dict[AccessScope, Dropped] = {}
    for row in rows[fitting:]:
        lost[row.scope] = lost.get(row.scope, Dropped()).plus(row.copy.last)
    return {name: packed, **_forgotten(name, sheet.forgotten, lost)}


def _stored(name: str, data: Mapping[str, bytes]) -> StoredLog:
    entries = [_entry(row) for row in orjson.loads(_unpack(data[name]))]
    counts = orjson.loads(_unpack(data[f"{name}-forgotten"]))
    times = orjson.loads(_unpack(data[f"{name}-times"]))
    newest = max(
        (_number(entry.last) for _, _, entry in entries), default=0
    )  # for times that the limit has cut
    return StoredLog(
        entries, [_count(*one) for one in zip(counts, chain(times, repeat(newest)), strict=False)]
    )


def _forgotten(
    name: str, forgotten: Mapping[AccessScope, Dropped], lost: Mapping[AccessScope, Dropped]
) -> dict[str, bytes]:
    """Return the numbers of dropped readers, in memory and by this record, the largest first, and their times."""
    none = Dropped()
    found = [(scope, forgotten.get(scope, none), lost.get(scope, none)) for scope in {**forgotten, **lost}]
    found = [one for one in found if one[1].readers or one[2].readers]
    found.sort(key=lambda one: one[1].readers + one[2].readers, reverse=True)
    counts = [(*scope, in_memory.readers, in_record.readers) for scope, in_memory, in_record in found]
    times = [_number(max(in_memory.last, in_record.last)) for _, in_memory, in_record in found]
    return {
        f"{name}-forgotten": _pack(counts, _MAX_COUNTS_BYTES)[0],
        f"{name}-times": _pack(times, _MAX_TIMES_BYTES)[0],
    }


def _pack(rows: Sequence[Any], largest: int) -> tuple[bytes, int]:
    """Compress as many rows as fit; return how many."""
    while True:
        packed = zlib.compress(orjson.dumps(rows), 1)
        if len(packed) <= largest:
            return packed, len(rows)
        rows = rows[: len(rows) * 3 // 4]


def _unpack(packed: bytes) -> bytes:
    plain = zlib.decompressobj().decompress(packed, _MAX_PLAIN_BYTES)
    if len(plain) == _MAX_PLAIN_BYTES:
        raise ValueError
    return plain


def _entry(row: Sequence[Any]) -> tuple[AccessScope, str, Entry]:
    namespace, name, subject, kind, verbs, first, last, count, status = row
    texts = (namespace, name, subject, kind, *verbs)
    if not all(isinstance(text, str) for text in texts):
        raise TypeError
    return (
        AccessScope(namespace, name),
        subject,
        Entry(
            kind,
            frozenset(verbs),
            _time(int(first)),
            _time(int(last)),
            kept=int(count),
            status=ReaderStatus(status),
        ),
    )


def _count(row: Sequence[Any], last: Any) -> tuple[AccessScope, Dropped, int]:
    namespace, name, in_memory, in_record = row
    if not all(isinstance(text, str) for text in (namespace, name)):
        raise TypeError
    return AccessScope(namespace, name), Dropped(int(in_memory), _time(int(last))), int(in_record)


def _number(time: datetime) -> int:
    return int(time.timestamp())


def _time(number: int) -> datetime:
    return datetime.fromtimestamp(number, UTC)
