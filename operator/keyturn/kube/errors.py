"""What a refusal of the API server means to us, told without one word of its body.

A body can hold values: a malformed patch of a Secret is answered with the whole stored Secret in its message.
So an error knows the verb, the path, the status and the `reason` word of the Status object, and nothing else.
"""
# ruff: noqa: N818  # they are named after the server's own words for them

from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Final


class ApiError(Exception):
    """The API server did not do what we asked."""

    def __init__(
        self, verb: str, path: str, status: int, reason: str, *, retry_after: float | None = None
    ) -> None:
        super().__init__(f"{verb} {path}: {status} {reason}" if status else f"{verb} {path}: {reason}")
        self.verb = verb
        self.path = path
        self.status = status
        self.reason = reason
        self.retry_after = retry_after


class BadRequest(ApiError):
    """We sent something that is no valid request: a defect of ours."""


class Unauthorized(ApiError):
    """The server does not know us (any more)."""


class Forbidden(ApiError):
    """RBAC, a quota or an admission rule says no; which of them is in the message that we do not read."""


class NotFound(ApiError):
    """The object (or the namespace it should go into) does not exist."""


class AlreadyExists(ApiError):
    """Somebody created it before us, or an earlier try of ours did."""


class Conflict(ApiError):
    """The object is no longer as we read it: read it again and decide again."""


class Gone(ApiError):
    """The server no longer knows that resourceVersion: list again."""


class Invalid(ApiError):
    """The object breaks its schema or a validation rule: the same body will never be accepted."""


class Throttled(ApiError):
    """The server protected itself and did not act; `retry_after` is its wish in seconds, if it has one."""


class Unavailable(ApiError):
    """No answer, or none worth having: network, timeout, a server in trouble. A write may have been done."""


class NotLeading(ApiError):
    """The write was not sent, since this process may no longer be the leader."""


_BY_STATUS: Final[Mapping[int, type[ApiError]]] = MappingProxyType(
    {
        HTTPStatus.BAD_REQUEST: BadRequest,
        HTTPStatus.UNAUTHORIZED: Unauthorized,
        HTTPStatus.FORBIDDEN: Forbidden,
        HTTPStatus.NOT_FOUND: NotFound,
        HTTPStatus.REQUEST_TIMEOUT: Unavailable,
        HTTPStatus.CONFLICT: Conflict,
        HTTPStatus.GONE: Gone,
        HTTPStatus.UNPROCESSABLE_ENTITY: Invalid,
        HTTPStatus.TOO_MANY_REQUESTS: Throttled,
    }
)


def of_answer(
    verb: str, path: str, status: int, reason: str, *, retry_after: float | None = None
) -> ApiError:
    """Say what a refusal with this status and reason means."""
    return _meaning(status, reason)(verb, path, status, reason, retry_after=retry_after)


def _meaning(status: int, reason: str) -> type[ApiError]:
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Unavailable
    if status == HTTPStatus.CONFLICT and reason == "AlreadyExists":
        return AlreadyExists
    if status == HTTPStatus.NOT_FOUND and reason != "NotFound":
        # Nobody serves this path (the CRD is not there, or not yet): says nothing about the object.
        return Unavailable
    return _BY_STATUS.get(status, ApiError)
