"""Size of the status of an emergency: etcd refuses a request with more than 1.5 MiB, and with it all progress.

The rest is left to the spec and to the API server, which records the fields of each row.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from math import ceil
from typing import Any, Final

from keyturn.api.emergency import AffectedLogin, AffectedSecret, EmergencyRotationStatus

MAX_MESSAGE: Final = 1024
"""Characters of a message at most."""
MOST_BYTES: Final = 1_000_000
_SHORTEST: Final = 96
"""Bytes of a message that have room before logins are left out."""
_MOST_LOGINS: Final = (2, 1, 0)
"""Logins of a row that are kept, if with more of them such a message has no room."""
_STEP: Final = 32
"""Messages are cut to multiples of this size, so that a change of one seldom cuts all others elsewhere."""
_MESSAGES: Final[dict[str, Any]] = {
    "secrets": {"__all__": {"message": True, "logins": {"__all__": {"message"}}}}
}
_CUT: Final = "..."
_FIELD: Final = len('"message":,')
_LONGEST_ESCAPE: Final = 6
_JSON: Final = json.JSONEncoder(ensure_ascii=False)


def within_limit(status: EmergencyRotationStatus, most: int = MOST_BYTES) -> EmergencyRotationStatus:
    """Return a status of at most `most` bytes: the longest messages are cut, and logins left out where that must be.

    Each row keeps its state, revision and times. Open logins stay before those that are refused.
    """
    shorter, limit = status, _limit(status, most)
    if limit == sys.maxsize:
        return status
    for number in _MOST_LOGINS:
        if limit >= _SHORTEST:
            break
        shorter = _with_rows(shorter, (_with_logins(row, number) for row in shorter.secrets))
        limit = _limit(shorter, most)
    return _with_rows(shorter, (_with_messages(row, limit) for row in shorter.secrets))


def _limit(status: EmergencyRotationStatus, most: int) -> int:
    """Return the size to which messages are cut, so that the status has at most `most` bytes.

    What has no room in any case is not encoded: that would block the event loop for a second.
    """
    every = [one.message for row in status.secrets for one in (row, *(row.logins or ()))]
    messages = [message for message in every if message is not None]
    rest = most - _size_without_messages(status)
    longest = _share([len(message) for message in messages], rest) + _STEP
    return _share([_size(message[:longest]) for message in messages], rest)


def _share(sizes: list[int], rest: int) -> int:
    """Return the size to which the largest are cut, so that all have room in `rest`."""
    for place, size in enumerate(sorted(sizes)):
        share = rest // (len(sizes) - place)
        if size > share:
            return max(0, share // _STEP * _STEP)
        rest -= size
    return sys.maxsize if rest >= 0 else 0


def _with_rows(status: EmergencyRotationStatus, rows: Iterable[AffectedSecret]) -> EmergencyRotationStatus:
    return status.model_copy(update={"secrets": list(rows)})


def _with_logins(row: AffectedSecret, number: int) -> AffectedSecret:
    if row.logins is None or len(row.logins) <= number:
        return row
    first = sorted(row.logins, key=lambda one: (one.refused_at is not None, -(one.revision or 0)))[:number]
    kept = {id(one) for one in first}
    return row.model_copy(update={"logins": [one for one in row.logins if id(one) in kept] or None})


def _with_messages(row: AffectedSecret, limit: int) -> AffectedSecret:
    """Return a row whose messages have at most `limit` bytes each."""
    logins = [_with_message(one, limit) for one in row.logins] if row.logins else row.logins
    return row.model_copy(update={"message": _cut(row.message, limit), "logins": logins})


def _with_message(login: AffectedLogin, limit: int) -> AffectedLogin:
    message = _cut(login.message, limit)
    return login if message == login.message else login.model_copy(update={"message": message})


def _cut(message: str | None, limit: int) -> str | None:
    if message is None or (len(message) <= limit and _size(message) <= limit):
        return message
    kept = message[: max(0, limit - _size(_CUT))]
    while kept and (excess := _size(kept + _CUT) - limit) > 0:
        kept = kept[: -ceil(excess / _LONGEST_ESCAPE)]
    return kept + _CUT if kept else None


def _size(message: str) -> int:
    """Return the size of a message with the name of its field."""
    return _FIELD + _stored(_JSON.encode(message))


def _size_without_messages(status: EmergencyRotationStatus) -> int:
    return _stored(
        status.model_dump_json(by_alias=True, exclude_none=True, exclude_defaults=True, exclude=_MESSAGES)
    )


def _stored(document: str) -> int:
    """Return the size of a JSON document in etcd: the API server escapes some characters more than we do."""
    escaped = document.count("<") + document.count(">") + document.count("&")
    separators = document.count("\u2028") + document.count("\u2029")
    return len(document.encode()) + 5 * escaped + 3 * separators
