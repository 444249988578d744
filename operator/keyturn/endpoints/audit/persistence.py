"""Form of the access record in its Secret in the operator's namespace; what does not fit is left out."""

from __future__ import annotations

import base64
import binascii
import zlib
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import orjson

from keyturn.core.emergency.readers import ReaderStatus
from keyturn.core.labels import ACCESS_TYPE, KEYTURN, MANAGED_BY

from .access_log import AccessLog, AccessScope, Entry, Record

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from keyturn.kube.wire import Body

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
