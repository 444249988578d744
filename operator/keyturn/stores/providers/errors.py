"""What an outside store did not do, and what that means: built from statuses and codes, never from its words.

The body of a refusal can hold a value, a token or whatever a stranger likes to see in our log. So an error knows
what was tried, a code of one word, and at most a sentence of our own.
"""
# ruff: noqa: N818  # each is named after what happened

from __future__ import annotations

import re
from http import HTTPStatus
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "Conflict",
    "Denied",
    "NotFound",
    "Refused",
    "StoreError",
    "Throttled",
    "Unauthorized",
    "Unreachable",
    "detail_of",
    "hint_of",
    "of_status",
    "word",
]

_WORD: Final = re.compile(r"[A-Za-z][A-Za-z0-9._]{0,63}")
_CAUSES: Final = MappingProxyType(
    {
        "ClientConnectorDNSError": "its host name cannot be resolved; check the host or the region in the spec",
        "NoAddress": "its host name cannot be resolved; check the host or the region in the spec",
        "ClientConnectorCertificateError": "its TLS certificate is not trusted; set caRef to a ConfigMap with its CA",
    }
)
"""What the codes of a connection mean that come from a library."""
_LONGEST_WAIT: Final = 86400.0
_ANSWERS: Final = frozenset(
    {
        *("MalformedAnswer", "ChecksumMismatch"),
        *("InternalServiceError", "InternalServerError", "ServiceUnavailable"),  # of AWS
        *("DataLoss", "Internal", "Unknown"),  # of gRPC
    }
)


class StoreError(Exception):
    """A store did not do what we asked."""

    def __init__(self, code: str, hint: str = "", *, retry_after: float | None = None) -> None:
        """Take `code` as one word, and `hint` as a sentence of ours on what to do."""
        super().__init__(f"{code}: {hint}" if hint else code)
        self.code = code
        self.hint = hint
        self.retry_after = retry_after


class NotFound(StoreError):
    """The store has no such key, version or property; a later look may find it."""


class Throttled(StoreError):
    """The store protects itself and did not act; `retry_after` is its wish in seconds, if it has one."""


class Unauthorized(StoreError):
    """The store does not take our login."""


class Denied(Unauthorized):
    """The store knows us, and does not let us do this."""


class Unreachable(StoreError):
    """No answer, or none worth having: network, timeout, a store in trouble. A write may have been done."""

    @property
    def was_answered(self) -> bool:
        """Whether somebody answered: then it may be in trouble with the one thing that it was asked for."""
        return self.code in _ANSWERS or self.code.startswith("Status")


class Conflict(StoreError):
    """Somebody wrote in between: read again and decide again."""


class Refused(StoreError):
    """Never like this, by the store or by us: a person must change something."""


_BY_STATUS: Final[Mapping[int, type[StoreError]]] = {
    HTTPStatus.UNAUTHORIZED: Unauthorized,
    HTTPStatus.FORBIDDEN: Denied,
    HTTPStatus.NOT_FOUND: NotFound,
    HTTPStatus.REQUEST_TIMEOUT: Unreachable,
    HTTPStatus.CONFLICT: Conflict,
    HTTPStatus.PRECONDITION_FAILED: Conflict,
    HTTPStatus.TOO_MANY_REQUESTS: Throttled,
}


def of_status(status: int, retry_after: str | None = None) -> StoreError:
    """Say what an answer over HTTP with this status means."""
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        kind: type[StoreError] = Unreachable
    else:
        kind = _BY_STATUS.get(status, Refused)
    return kind(f"Status{status}", retry_after=seconds(retry_after))


def seconds(retry_after: str | None) -> float | None:
    """Read Retry-After where it is a number; a date needs a clock, and nobody's but ours is trusted."""
    if retry_after is None or not (retry_after.isascii() and retry_after.isdecimal()):
        return None
    return min(float(retry_after[:9]), _LONGEST_WAIT)


def word(code: object) -> str:
    """Take a code from an answer if it is a single word: a server may write anything there."""
    return code if isinstance(code, str) and _WORD.fullmatch(code) else "Unknown"


def hint_of(error: StoreError) -> str:
    """Return what the author of an error says should be done, or what its code means."""
    return error.hint or _CAUSES.get(error.code, "")


def detail_of(error: StoreError) -> str:
    """Return the code of an error, with what it means."""
    hint = hint_of(error)
    return f"{error.code}: {hint}" if hint else error.code
