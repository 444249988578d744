"""Parses audit events (audit.k8s.io/v1) about Secrets and authentication; everything else is dropped."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import orjson

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

MOST_EVENTS: Final = 5_000
_MAX_CONTAINERS: Final = 100_000
"""Lists and objects in a body: 400 events at level Metadata have 5,000; a million take seconds to parse."""
_KIND, _VERSION = "EventList", "audit.k8s.io/v1"
_STARTED, _COMPLETE = "ResponseStarted", "ResponseComplete"
_ANONYMOUS = "system:anonymous"
_MASTERS = "system:masters"
"""Members bypass RBAC: administrators by certificate, or a stolen certificate."""
_CONTROL_PLANE: Final = frozenset(
    f"system:{name}"
    for name in (
        *("apiserver", "kube-apiserver", "kube-controller-manager", "kube-scheduler"),
        "cloud-controller-manager",
    )
)
_MAX_NAME_LENGTH = 256
_YEARS = range(2020, 2200)
_VERBS = frozenset({"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"})


class NotAnEvent(Exception):  # noqa: N818  # it says what it is
    """The input is no audit event; the message says what is expected."""


class SubjectKind(StrEnum):
    """Kind of an authenticated subject."""

    USER = "user"
    SERVICE_ACCOUNT = "serviceaccount"
    NODE = "node"
    SYSTEM = "system"
    ANONYMOUS = "anonymous"

    @classmethod
    def of(cls, name: str, groups: Collection[str] = ()) -> SubjectKind:
        """Return the kind by name; without the group, a name like one of Kubernetes may be a user's."""
        if name in _CONTROL_PLANE:
            return cls.SYSTEM
        if name == _ANONYMOUS:
            return cls.ANONYMOUS
        if _MASTERS in groups:
            return cls.USER
        return next((kind for prefix, kind in _PREFIXES.items() if name.startswith(prefix)), cls.USER)


_PREFIX_OF_NODES: Final = "system:node:"
_PREFIXES: Final = {
    "system:serviceaccount:": SubjectKind.SERVICE_ACCOUNT,
    _PREFIX_OF_NODES: SubjectKind.NODE,
}


class AccessOutcome(StrEnum):
    """What came of a request."""

    DONE = "done"
    REFUSED = "refused"
    """It was rejected (403)."""
    MISSED = "missed"
    """The Secret is missing (404): nothing was read, but the request was logged."""


@dataclass(frozen=True, slots=True)
class Access:
    """A request for Secrets."""

    time: datetime
    verb: str
    subject: str
    """The subject; "alice as bob" if alice impersonates bob; "system:node:*" for every node."""
    kind: SubjectKind
    namespace: str
    """Empty for all namespaces."""
    name: str
    """Empty for all Secrets of the namespace."""
    outcome: AccessOutcome = AccessOutcome.DONE


class LoginFailed:
    """A failed authentication (401)."""


Told = Access | LoginFailed
_OUTCOMES: Final = {HTTPStatus.FORBIDDEN: AccessOutcome.REFUSED, HTTPStatus.NOT_FOUND: AccessOutcome.MISSED}


def items_of(body: bytes) -> Sequence[Any]:
    """Return the unparsed events of a list.

    Raises:
        NotAnEvent: It is no list of events, or too long.
    """
    if body.count(b"[") + body.count(b"{") > _MAX_CONTAINERS:
        raise NotAnEvent("send events at level Metadata, without request and response objects")
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        document = None  # its message would quote the body
    is_object = isinstance(document, dict)
    if not is_object or (document.get("kind"), document.get("apiVersion")) != (_KIND, _VERSION):
        raise NotAnEvent(f"send an {_KIND} of {_VERSION} as JSON, as the API server's audit webhook does")
    items = document.get("items")
    if not isinstance(items, list):
        raise NotAnEvent("items must be a list of events")
    if len(items) > MOST_EVENTS:
        raise NotAnEvent(f"send {MOST_EVENTS} events at a time at most: --audit-webhook-batch-max-size")
    return items


def parse(item: Any) -> Told | None:
    """Parse an event; None if it concerns neither Secrets nor a failed authentication.

    Raises:
        NotAnEvent: It is malformed.
    """
    try:
        return _parse(item)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        raise NotAnEvent("an event lacks required fields") from None


def _parse(item: Mapping[str, Any]) -> Told | None:
    stage, verb = item["stage"], item["verb"]
    code = (item.get("responseStatus") or {}).get("code", 0)
    if code == HTTPStatus.UNAUTHORIZED:
        return LoginFailed()
    ref = item.get("objectRef") or {}
    if ref.get("resource") != "secrets" or ref.get("apiGroup") or ref.get("subresource"):
        return None
    # A watch has two events, at its start and at its end, which may be an hour later.
    if stage != (_STARTED if verb == "watch" else _COMPLETE):
        return None
    if code >= HTTPStatus.BAD_REQUEST and code not in _OUTCOMES:
        return None
    user, acting = _text(item["user"]["username"]), item.get("impersonatedUser")
    kind = SubjectKind.of(user, item["user"].get("groups") or ())
    subject = f"{_PREFIX_OF_NODES}*" if kind is SubjectKind.NODE else user
    return Access(
        time=_time(item),
        verb=verb if verb in _VERBS else "other",
        subject=f"{subject} as {_text(acting['username'])}" if acting else subject,
        kind=kind,
        namespace=_text(ref.get("namespace") or ""),
        name=_text(ref.get("name") or ""),
        outcome=_OUTCOMES.get(code, AccessOutcome.DONE),
    )


def _time(item: Mapping[str, Any]) -> datetime:
    time = datetime.fromisoformat(item["stageTimestamp"])
    if time.tzinfo is None or time.year not in _YEARS:
        raise ValueError
    return time.astimezone(UTC)


def _text(text: Any) -> str:
    """Shorten a name; a digest replaces the rest, so that different names stay different."""
    if not isinstance(text, str):
        raise TypeError
    if len(text) <= _MAX_NAME_LENGTH:
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{text[: _MAX_NAME_LENGTH - 17]}~{digest}"
