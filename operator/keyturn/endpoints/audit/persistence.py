"""Persistence of baseline and access log, in one Secret of the operator's namespace.

All replicas write it with optimistic concurrency: each merges what the others have added, and leaves its own data
for the next round after a conflict.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

import orjson

from keyturn.core.emergency.readers import ReaderStatus
from keyturn.core.labels import ACCESS_TYPE, KEYTURN, MANAGED_BY

from .access_log import AccessScope, Entry
from .baseline import MOST_PAIRS, TAG_BYTES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from keyturn.kube.client import Body

    from .access_log import AccessLog
    from .baseline import Habits

__all__ = ["NAME", "RecordRow", "Sheet", "Unreadable", "body_of", "merge", "settle", "sheet_of"]

NAME: Final = "keyturn-access"
_KEY_BYTES: Final = 32
_MAX_ROWS: Final = 20_000
_MAX_JOURNAL_BYTES: Final = 400 * 1024
_MAX_REFUSED_BYTES: Final = 100 * 1024
_MAX_COUNTS_BYTES: Final = 48 * 1024
_MAX_PLAIN_BYTES: Final = 16 * 1024 * 1024
"""Bytes after decompression; a Secret from another writer may unpack to anything."""


class Unreadable(Exception):  # noqa: N818  # it says what it is
    """The record is not one of ours."""


@dataclass(frozen=True, slots=True)
class RecordRow:
    """A stored entry, and how many of its reads were fresh then."""

    entry: Entry
    fresh: int
    written: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Sheet:
    """A copy of an access log for writing."""

    rows: list[RecordRow]
    """By priority, in case not all rows fit."""
    forgotten: Mapping[AccessScope, int]


def sheet_of(journal: AccessLog) -> Sheet:
    """Copy the entries to be written.

    Round-robin between namespaces, and between the scopes of each, so that many entries of one take no space from
    another; those of deleted objects come last.
    """
    pages: defaultdict[AccessScope, list[RecordRow]] = defaultdict(list)
    for scope, subject, one in journal.entries():
        pages[scope].append(RecordRow(one, one.fresh, _written(scope, subject, one)))
    existing, deleted = _by_namespace(), _by_namespace()
    for scope, rows in pages.items():
        chosen = existing if journal.exists(scope) else deleted
        chosen[scope.namespace].append(_ends_first(rows))
    rows = [
        row for chosen in (existing, deleted) for row in _round_robin([*map(_round_robin, chosen.values())])
    ]
    return Sheet(rows, dict(journal.pages()))


def _by_namespace() -> defaultdict[str, list[list[RecordRow]]]:
    return defaultdict(list)


def _ends_first(rows: list[RecordRow]) -> list[RecordRow]:
    """Alternate the last and the first readers, so that both fit."""
    last, first = list(rows), sorted(rows, key=lambda row: row.entry.first)
    taken = {id(row): row for pair in zip(last, first, strict=True) for row in pair}
    return list(taken.values())


def _round_robin(several: list[list[RecordRow]]) -> list[RecordRow]:
    """Take the first of each list, then the second of each, and so on."""
    places = [(place, row) for rows in several for place, row in enumerate(rows)]
    places.sort(key=itemgetter(0))
    return [row for _, row in places]


def _written(scope: AccessScope, subject: str, one: Entry) -> tuple[Any, ...]:
    times = _number(one.first), _number(one.last), one.kept + one.fresh
    return (*scope, subject, str(one.kind), sorted(one.verbs), *times, str(one.standing))


def settle(sheet: Sheet) -> None:
    """Mark the rows as stored."""
    for row in sheet.rows:
        row.entry.kept += row.fresh
        row.entry.fresh -= row.fresh


def body_of(namespace: str, version: str | None, habits: Habits, read: Sheet, refused: Sheet) -> Body:
    """Return the record as a Secret; rows that do not fit are counted."""
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


def merge(body: Body, habits: Habits, read: AccessLog, refused: AccessLog) -> None:
    """Merge a stored record.

    Raises:
        Unreadable: It is not one of ours; nothing was changed.
    """
    if body.get("type") != ACCESS_TYPE:
        raise Unreadable
    try:
        data = {name: base64.b64decode(text) for name, text in body["data"].items()}
        key, pairs = data["key"], data["pairs"]
        since = _time(int(data["since"]))
        sheets = [(read, *_rows("journal", data)), (refused, *_rows("refused", data))]
    except (KeyError, TypeError, ValueError, OverflowError, OSError, binascii.Error, zlib.error):
        raise Unreadable from None
    if len(key) != _KEY_BYTES or len(pairs) % TAG_BYTES or len(pairs) > MOST_PAIRS * TAG_BYTES:
        raise Unreadable
    tags = (pairs[at : at + TAG_BYTES] for at in range(0, len(pairs), TAG_BYTES))
    habits.merge(key, since if since.timestamp() else None, tags)
    for journal, entries, forgotten in sheets:
        begins = journal.is_empty
        for scope, subject, entry in entries:
            journal.merge(scope, subject, entry)
        for scope, in_memory, in_record in forgotten:
            # A replica with readers in memory may know those that did not fit into the record.
            journal.note_forgotten(scope, in_memory + (in_record if begins else 0))


def _columns(name: str, sheet: Sheet, largest: int) -> dict[str, bytes]:
    packed, fitting = _pack([row.written for row in sheet.rows[:_MAX_ROWS]], largest)
    lost = Counter(AccessScope(*row.written[:2]) for row in sheet.rows[fitting:])
    return {name: packed, f"{name}-forgotten": _forgotten(sheet.forgotten, lost)}


def _rows(
    name: str, data: Mapping[str, bytes]
) -> tuple[list[tuple[AccessScope, str, Entry]], list[tuple[AccessScope, int, int]]]:
    entries = [_entry(row) for row in orjson.loads(_unpack(data[name]))]
    return entries, [_count(row) for row in orjson.loads(_unpack(data[f"{name}-forgotten"]))]


def _forgotten(forgotten: Mapping[AccessScope, int], lost: Mapping[AccessScope, int]) -> bytes:
    """Return the counts of dropped readers, in memory and by this record, the largest first."""
    counts = [(*scope, forgotten.get(scope, 0), lost.get(scope, 0)) for scope in {**forgotten, **lost}]
    counts.sort(key=lambda row: row[2] + row[3], reverse=True)
    return _pack([row for row in counts if row[2] or row[3]], _MAX_COUNTS_BYTES)[0]


def _pack(rows: Sequence[tuple[Any, ...]], largest: int) -> tuple[bytes, int]:
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
    namespace, name, subject, kind, verbs, first, last, count, standing = row
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
            standing=ReaderStatus(standing),
        ),
    )


def _count(row: Sequence[Any]) -> tuple[AccessScope, int, int]:
    namespace, name, in_memory, in_record = row
    if not all(isinstance(text, str) for text in (namespace, name)):
        raise TypeError
    return AccessScope(namespace, name), int(in_memory), int(in_record)


def _number(time: datetime) -> int:
    return int(time.timestamp())


def _time(number: int) -> datetime:
    return datetime.fromtimestamp(number, UTC)
