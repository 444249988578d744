"""Parses audit events (audit.k8s.io/v1) about Secrets and authentication; everything else is dropped."""

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from http import HTTPStatus
from typing import Any, Final, Self

import orjson

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
    def of(cls, name: str, groups: Collection[str] = ()) -> Self:
        """Return the kind by name; without the group, a name like one of Kubernetes may be a user's."""
        if name in _CONTROL_PLANE:
            return cls.SYSTEM
        if name == _ANONYMOUS:
            return cls.ANONYMOUS
        if _MASTERS in groups:
            return cls.USER
        return next((kind for prefix, kind in _PREFIXES.items() if name.startswith(prefix)), cls.USER)


_PREFIX_OF_NODES: Final = "system:node:"
_PREFIXES: Final = {"system:serviceaccount:": SubjectKind.SERVICE_ACCOUNT, _PREFIX_OF_NODES: SubjectKind.NODE}


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
_FORMS: Final = frozenset({"stage", "logEvents", "events", "records", "protoPayload", "message"})
"""Fields, one of which an event or an entry of a log has."""
_RPC_CODES: Final = {
    0: HTTPStatus.OK,
    5: HTTPStatus.NOT_FOUND,
    7: HTTPStatus.FORBIDDEN,
    16: HTTPStatus.UNAUTHORIZED,
}
"""Statuses of Cloud Logging (google.rpc.Code)."""
_OUTCOMES: Final = {HTTPStatus.FORBIDDEN: AccessOutcome.REFUSED, HTTPStatus.NOT_FOUND: AccessOutcome.MISSED}


def items_of(body: bytes) -> Sequence[Any]:
    """Return the unparsed events of a body; None stands for what is no event.

    The body is an EventList, as the API server's audit webhook sends it, or JSON lines: events, or entries of
    CloudWatch Logs, Event Hubs or Cloud Logging that contain them.

    Raises:
        NotAnEvent: It has no event at all, or too many.
    """
    if body.count(b"[") + body.count(b"{") > _MAX_CONTAINERS:
        raise NotAnEvent("send events at level Metadata, without request and response objects")
    whole = _loaded(body)
    if isinstance(whole, dict) and whole.get("kind") == _KIND:
        items = whole.get("items") if whole.get("apiVersion") == _VERSION else None
        if not isinstance(items, list):
            raise NotAnEvent(f"send an {_KIND} of {_VERSION}, whose items are a list of events")
    else:
        documents = (
            [whole] if whole is not None else [_loaded(line) for line in body.splitlines() if line.strip()]
        )
        if not any(isinstance(document, dict) and _FORMS & document.keys() for document in documents):
            raise NotAnEvent(f"send an {_KIND} of {_VERSION}, or JSON lines with audit events")
        items = [item for document in documents for item in _unwrapped(document)]
    if len(items) > MOST_EVENTS:
        raise NotAnEvent(f"send {MOST_EVENTS} events at a time at most: --audit-webhook-batch-max-size")
    return items


def _loaded(text: bytes | str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:  # its message would quote the text
        return None


def _unwrapped(document: Any) -> Iterator[Any]:
    """Yield the events of a line; None for each that is none."""
    match document:
        case {"logEvents": list(entries)}:  # a subscription of CloudWatch Logs
            # Other components of the control plane have other streams.
            if "audit" in str(document.get("logStream", "audit")):
                yield from (_inner(entry, "message") for entry in entries)
        case {"events": list(entries)}:  # aws logs filter-log-events
            yield from (_inner(entry, "message") for entry in entries)
        case {"records": list(entries)}:  # a diagnostic setting of AKS, by Event Hubs
            for entry in entries:
                if isinstance(entry, dict) and str(entry.get("category")).startswith("kube-audit"):
                    yield _inner(entry.get("properties"), "log")
        case {"protoPayload": dict(payload)}:
            yield from _of_cloud_logging(document, payload)
        case {"message": str(text)}:
            yield _loaded(text)
        case _:
            yield document


def _inner(entry: Any, name: str) -> Any:
    text = entry.get(name) if isinstance(entry, dict) else None
    return _loaded(text) if isinstance(text, str) else text


def _of_cloud_logging(entry: Mapping[str, Any], payload: Mapping[str, Any]) -> list[Any]:
    """Return an AuditLog of GKE as an event: [Cloud Audit Logs](https://cloud.google.com/logging/docs/audit)."""
    try:
        operation, status = entry.get("operation") or {}, payload.get("status") or {}
        method, path = payload["methodName"].split("."), payload["resourceName"].split("/")
        if method[:4] != ["io", "k8s", "core", "v1"] or not operation.get("first", True):
            return []
        names = dict(zip(path[2::2], path[3::2], strict=False))
        resource, verb = method[-2:]
        return [
            {
                "auditID": entry.get("insertId"),
                "stage": _STARTED if verb == "watch" else _COMPLETE,
                "verb": verb,
                "user": {"username": payload["authenticationInfo"]["principalEmail"]},
                "objectRef": {
                    "resource": resource,
                    "namespace": names.get("namespaces"),
                    "name": names.get(resource),
                },
                "responseStatus": {
                    "code": _RPC_CODES.get(status.get("code", 0), HTTPStatus.INTERNAL_SERVER_ERROR)
                },
                "stageTimestamp": entry["timestamp"],
            }
        ]
    except (KeyError, TypeError, ValueError, AttributeError):
        return [None]


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
