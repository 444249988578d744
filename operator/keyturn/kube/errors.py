"""Typed errors of the API server, without a word of the response body.

A body can contain values: the answer to a malformed patch of a Secret has the whole stored Secret in its message. An
error therefore has only the verb, the path, the status code and the `reason` of the Status object.
"""
# ruff: noqa: N818  # named after the reasons of the API server

from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Final

__all__ = [
    "AlreadyExists",
    "ApiError",
    "BadRequest",
    "Conflict",
    "Forbidden",
    "Gone",
    "Invalid",
    "NotFound",
    "NotLeading",
    "Throttled",
    "Unauthorized",
    "Unavailable",
    "of_answer",
]


class ApiError(Exception):
    """A request to the API server failed."""

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
    """The request was malformed, which is a defect of Keyturn."""


class Unauthorized(ApiError):
    """The credentials are invalid or have expired."""


class Forbidden(ApiError):
    """RBAC, a quota or an admission rule rejects the request; the message that says which is not read."""


class NotFound(ApiError):
    """The object, or the namespace to create it in, does not exist."""


class AlreadyExists(ApiError):
    """Another client created it first, or an earlier attempt of this one did."""


class Conflict(ApiError):
    """The object has changed since it was read: read and decide again."""


class Gone(ApiError):
    """The server no longer has that resourceVersion: list again."""


class Invalid(ApiError):
    """The object violates its schema or a validation rule; the same body is never accepted."""


class Throttled(ApiError):
    """The server rejected the request without executing it; `retry_after` is the Retry-After header in seconds."""


class Unavailable(ApiError):
    """No usable answer: network error, timeout or 5xx. A write may have been executed."""


class NotLeading(ApiError):
    """The write was not sent, because this process may no longer be the leader."""


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
    """Return the error for a status code and reason."""
    return _class_of(status, reason)(verb, path, status, reason, retry_after=retry_after)


def _class_of(status: int, reason: str) -> type[ApiError]:
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Unavailable
    if status == HTTPStatus.CONFLICT and reason == "AlreadyExists":
        return AlreadyExists
    if status == HTTPStatus.NOT_FOUND and reason != "NotFound":
        # The server does not serve this path (the CRD is missing or not established), which says nothing about the
        # object.
        return Unavailable
    return _BY_STATUS.get(status, ApiError)
