"""What survives a restart: known readers and the journal, in one Secret beside the operator.

All replicas write it, with a resourceVersion: each reads what the others have added, puts its own on top, and leaves
it for the next round when another was faster.
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

from .access_log import AccessScope, Entry
from .baseline import MOST_PAIRS, TAG_BYTES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from keyturn.kube.client import Body

    from .access_log import AccessLog
    from .baseline import Habits

__all__ = ["NAME", "TYPE", "RecordRow", "Sheet", "Unreadable", "body_of", "merge", "settle", "sheet_of"]

NAME: Final = "keyturn-access"
TYPE: Final = "keyturn.dev/access"
_KEY_BYTES: Final = 32
_MOST_ROWS: Final = 20_000
_LARGEST_JOURNAL: Final = 400 * 1024
_LARGEST_REFUSED: Final = 100 * 1024
_LARGEST_COUNTS: Final = 48 * 1024
_LARGEST_PLAIN: Final = 16 * 1024 * 1024
"""A Secret that others wrote may unpack to anything."""


class Unreadable(Exception):  # noqa: N818  # it says what it is
    """This is not what we have written."""


@dataclass(frozen=True, slots=True)
class RecordRow:
    """One entry of the journal as it is written, and how many of its times were fresh then."""

    entry: Entry
    fresh: int
    written: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Sheet:
    """A journal as it is written down."""

    rows: list[RecordRow]
    """In the order of what is to be kept if not all of it fits."""
    forgotten: Mapping[AccessScope, int]


def sheet_of(journal: AccessLog) -> Sheet:
    """Copy what is to be written.

    Namespaces take turns, and so do the pages of each: whoever has many takes room from nobody else.
    """
    pages: defaultdict[AccessScope, list[RecordRow]] = defaultdict(list)
    for scope, subject, one in journal.entries():
        pages[scope].append(RecordRow(one, one.fresh, _written(scope, subject, one)))
    namespaces: defaultdict[str, list[list[RecordRow]]] = defaultdict(list)
    for scope, rows in pages.items():
        namespaces[scope.namespace].append(_ends_first(rows))
    rows = _in_turn([_in_turn(rows) for rows in namespaces.values()])
    return Sheet(rows, dict(journal.pages()))


def _ends_first(rows: list[RecordRow]) -> list[RecordRow]:
    """Take the last readers and the first ones in turn, so that neither crowd the others out."""
    last, first = list(rows), sorted(rows, key=lambda row: row.entry.first)
    taken = {id(row): row for pair in zip(last, first, strict=True) for row in pair}
    return list(taken.values())


def _in_turn(several: list[list[RecordRow]]) -> list[RecordRow]:
    """Take the first of each list, then the second of each, and so on."""
    places = [(place, row) for rows in several for place, row in enumerate(rows)]
    places.sort(key=itemgetter(0))
    return [row for _, row in places]


def _written(scope: AccessScope, subject: str, one: Entry) -> tuple[Any, ...]:
    times = _number(one.first), _number(one.last), one.kept + one.fresh
    return (*scope, subject, str(one.kind), sorted(one.verbs), *times, str(one.standing))


def settle(sheet: Sheet) -> None:
    """Note that the record has these now."""
    for row in sheet.rows:
        row.entry.kept += row.fresh
        row.entry.fresh -= row.fresh


def body_of(namespace: str, version: str | None, habits: Habits, read: Sheet, refused: Sheet) -> Body:
    """Write all down as a Secret; of the journals as much as fits, and of what does not how much it is."""
    metadata: dict[str, Any] = {
        "name": NAME,
        "namespace": namespace,
        "labels": {"app.kubernetes.io/managed-by": "keyturn"},
    }
    if version:
        metadata["resourceVersion"] = version
    since = _number(habits.since) if habits.since else 0
    data = {
        "key": habits.key,
        "since": str(since).encode(),
        "pairs": b"".join(habits.pairs),
        **_columns("journal", read, _LARGEST_JOURNAL),
        **_columns("refused", refused, _LARGEST_REFUSED),
    }
    encoded = {name: base64.b64encode(content).decode() for name, content in data.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": TYPE, "data": encoded}


def merge(body: Body, habits: Habits, read: AccessLog, refused: AccessLog) -> None:
    """Put what is known on top of what a record has.

    Raises:
        Unreadable: It is none that we have written; nothing was changed.
    """
    if body.get("type") != TYPE:
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
            # Whoever knows of readers itself may still know those that had no room in the record.
            journal.note_forgotten(scope, in_memory + (in_record if begins else 0))


def _columns(name: str, sheet: Sheet, largest: int) -> dict[str, bytes]:
    packed, fitting = _packed([row.written for row in sheet.rows[:_MOST_ROWS]], largest)
    lost = Counter(AccessScope(*row.written[:2]) for row in sheet.rows[fitting:])
    return {name: packed, f"{name}-forgotten": _forgotten(sheet.forgotten, lost)}


def _rows(
    name: str, data: Mapping[str, bytes]
) -> tuple[list[tuple[AccessScope, str, Entry]], list[tuple[AccessScope, int, int]]]:
    entries = [_entry(row) for row in orjson.loads(_unpacked(data[name]))]
    return entries, [_count(row) for row in orjson.loads(_unpacked(data[f"{name}-forgotten"]))]


def _forgotten(forgotten: Mapping[AccessScope, int], lost: Mapping[AccessScope, int]) -> bytes:
    """Write down how often somebody was forgotten, in memory and by this record, the most first."""
    counts = [(*scope, forgotten.get(scope, 0), lost.get(scope, 0)) for scope in {**forgotten, **lost}]
    counts.sort(key=lambda row: row[2] + row[3], reverse=True)
    return _packed([row for row in counts if row[2] or row[3]], _LARGEST_COUNTS)[0]


def _packed(rows: Sequence[tuple[Any, ...]], largest: int) -> tuple[bytes, int]:
    """Pack as many as there is room for; say how many that were."""
    while True:
        packed = zlib.compress(orjson.dumps(rows), 1)
        if len(packed) <= largest:
            return packed, len(rows)
        rows = rows[: len(rows) * 3 // 4]


def _unpacked(packed: bytes) -> bytes:
    plain = zlib.decompressobj().decompress(packed, _LARGEST_PLAIN)
    if len(plain) == _LARGEST_PLAIN:
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
