"""Typed errors of the API server, without a free word of the response body.

A body can contain values: the answer to a malformed patch of a Secret has the whole stored Secret in its message, and
a policy may quote what it denies. An error therefore has only the verb, the path, the status code, the `reason` of
the Status object, and the name of the policy, webhook or quota that denied the request.
"""
# ruff: noqa: N818  # named after the reasons of the API server

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from types import MappingProxyType
from typing import Final


class DenierKind(StrEnum):
    """What can deny a request at admission."""

    VALIDATING_POLICY = "ValidatingAdmissionPolicy"
    POLICY = "admission policy"
    """Mostly a MutatingAdmissionPolicy; the answer does not have the kind."""
    WEBHOOK = "admission webhook"
    BROKEN_WEBHOOK = "broken admission webhook"
    """It gives no answer, and its `failurePolicy` is Fail."""
    QUOTA = "ResourceQuota"


@dataclass(frozen=True, slots=True)
class Denier:
    """What denied a request: its kind and its name, which are no secrets."""

    kind: DenierKind
    name: str
    binding: str = ""

    def __str__(self) -> str:
        bound = f" with binding {self.binding!r}" if self.binding else ""
        return f"{self.kind} {self.name!r}{bound}"


class ApiError(Exception):
    """A request to the API server failed."""

    def __init__(
        self,
        verb: str,
        path: str,
        status: int,
        reason: str,
        *,
        retry_after: float | None = None,
        denier: Denier | None = None,
        fields: tuple[str, ...] = (),
    ) -> None:
        answer = f"{status} {reason}" if status else reason
        super().__init__(f"{verb} {path}: {answer}" + (f" by {denier}" if denier else ""))
        self.verb = verb
        self.path = path
        self.status = status
        self.reason = reason
        self.retry_after = retry_after
        self.denier = denier
        self.fields = fields
        """Paths of the fields that the API server names as a cause."""


class BadRequest(ApiError):
    """The request was malformed, which is a defect of Keyturn."""


class Unauthorized(ApiError):
    """The credentials are invalid or have expired."""


class Forbidden(ApiError):
    """RBAC, a quota or an admission rule rejects the request."""


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


class HistoryLost(Exception):
    """A consistent read has an older resourceVersion than a read before, as after a restore of etcd.

    Nothing that the process has cached holds, so it ends: the next start reads all objects again.
    """

    def __init__(self, path: str, version: int, before: int) -> None:
        super().__init__(f"{path} has version {version}, and had {before} before")


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


_NAME: Final = r"([a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?)"
"""A DNS-1123 subdomain, as the names of policies, bindings, webhooks and quotas are."""
_OBJECT: Final = r'[a-z0-9.]{1,253} "[-a-z0-9.]{1,253}" is forbidden: '
_FORMS: Final = tuple(
    (kind, re.compile(form))
    for kind, form in (
        (
            DenierKind.VALIDATING_POLICY,
            rf"{_OBJECT}ValidatingAdmissionPolicy '{_NAME}'(?: with binding '{_NAME}')? denied request: ",
        ),
        (DenierKind.POLICY, rf"policy '{_NAME}' with binding '{_NAME}' denied request: "),
        (DenierKind.WEBHOOK, rf'admission webhook "{_NAME}" denied the request(?:: | without explanation)'),
        (DenierKind.BROKEN_WEBHOOK, rf'Internal error occurred: failed calling webhook "{_NAME}"[:;] '),
        (DenierKind.QUOTA, rf"{_OBJECT}exceeded quota: {_NAME}, requested: "),
    )
)
"""How the API server begins its messages; the rest of a message is the text of the policy or webhook."""


_FIELD: Final = re.compile(r"[A-Za-z][A-Za-z0-9]{0,40}(?:\.[A-Za-z][A-Za-z0-9]{0,40}|\[[0-9]{1,6}\])*")
_MAX_FIELDS: Final = 5


def denier_of(message: object) -> Denier | None:
    """Return what denied a request, by the message of its Status; None for any other message."""
    for kind, form in _FORMS:
        if isinstance(message, str) and (found := form.match(message)):
            return Denier(kind, *(name or "" for name in found.groups()))
    return None


def fields_of(status: object) -> tuple[str, ...]:
    """Return the paths of fields that a Status names as causes: spec.data[0].name, up to a key in brackets."""
    details = status.get("details") if isinstance(status, dict) else None
    causes = details.get("causes") if isinstance(details, dict) else None
    named = (one.get("field") for one in causes if isinstance(one, dict)) if isinstance(causes, list) else ()
    found = (_FIELD.match(name) for name in named if isinstance(name, str))
    return tuple(dict.fromkeys(match[0] for match in found if match))[:_MAX_FIELDS]


def of_answer(
    verb: str,
    path: str,
    status: int,
    reason: str,
    *,
    retry_after: float | None = None,
    denier: Denier | None = None,
    fields: tuple[str, ...] = (),
) -> ApiError:
    """Return the error for a status code and reason."""
    return _class_of(status, reason)(
        verb, path, status, reason, retry_after=retry_after, denier=denier, fields=fields
    )


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
