"""Wire format: requests with their headers, and responses parsed without quoting them."""

import re
from collections.abc import Mapping
from enum import Enum
from math import inf
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeAlias

import orjson

from . import errors

Body: TypeAlias = dict[str, Any]
Headers: TypeAlias = Mapping[str, str]

_REASON: Final = re.compile(r"[A-Z][A-Za-z]{0,62}")
# No alternative in Accept: a server that cannot omit the data must reject the request, not send the data.
_METADATA: Final = "application/json;as={};g=meta.k8s.io;v=v1"


class Patch(Enum):
    """Kinds of patch; never used on Secrets."""

    MERGE = "application/merge-patch+json"
    APPLY = "application/apply-patch+yaml"


class Change(NamedTuple):
    """Event of a watch: ADDED, MODIFIED, DELETED or BOOKMARK, with its object."""

    kind: str
    body: Body


class Call(NamedTuple):
    verb: str
    path: str
    url: str
    headers: Headers
    data: bytes | None
    most: float = inf
    """Maximum bytes of the answer."""


class Response(NamedTuple):
    """Answer to a call."""

    status: int
    body: bytes | None
    """None if it exceeds the call's maximum; the rest is not read."""
    retry_after: float | None = None
    """Seconds."""
    date: str | None = None
    """The Date header; None of a server whose clock does not count."""
    asked: float = 0.0
    """Monotonic time before the request was sent."""
    arrived: float = 0.0
    """Monotonic time when the headers had arrived; the body may take much longer."""


READS: Final = frozenset({"get", "list", "watch", "request"})
METHODS: Final = MappingProxyType(
    {
        "get": "GET",
        "list": "GET",
        "watch": "GET",
        "request": "POST",  # answered and not stored
        "create": "POST",
        "update": "PUT",
        "patch": "PATCH",
        "delete": "DELETE",
    }
)


def _headers(accept: str, content_type: str | None = None) -> Headers:
    content = {"Content-Type": content_type} if content_type else {}
    return MappingProxyType({"Accept": accept, **content})


_JSON: Final = "application/json"
READ: Final = _headers(_JSON)
READ_METADATA: Final = _headers(_METADATA.format("PartialObjectMetadata"))
READ_METADATA_LIST: Final = _headers(_METADATA.format("PartialObjectMetadataList"))
WRITE: Final = _headers(_JSON, _JSON)
PATCH: Final = MappingProxyType({kind: _headers(_JSON, kind.value) for kind in Patch})


def parsed(call: Call, data: bytes) -> Body:
    body = _load(data)
    if not isinstance(body, dict):
        raise malformed(call)
    return body


def _load(data: bytes) -> Any:
    """Parse JSON, or return None; the parser's error contains the whole text, so it is not raised."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return None


def change(call: Call, line: bytes) -> Change:
    event = parsed(call, line)
    if event["type"] == "ERROR":
        status = event["object"]
        raise errors.of_answer(call.verb, call.path, status.get("code", 0), _reason(status))
    return Change(event["type"], event["object"])


def refusal(call: Call, response: Response) -> errors.ApiError:
    status = _load(response.body or b"")
    return errors.of_answer(
        call.verb,
        call.path,
        response.status,
        _reason(status),
        retry_after=response.retry_after,
        denier=errors.denier_of(status.get("message")) if isinstance(status, dict) else None,
        fields=errors.fields_of(status),
    )


def malformed(call: Call) -> errors.ApiError:
    return errors.Unavailable(call.verb, call.path, 0, "MalformedAnswer")


def _reason(status: Any) -> str:
    """Return the reason of a Status if it is a single word; admission webhooks may write other text."""
    reason = status.get("reason") if isinstance(status, dict) else None
    return reason if isinstance(reason, str) and _REASON.fullmatch(reason) else "Unknown"


def seconds(retry_after: str) -> float | None:
    return float(retry_after) if retry_after.isdecimal() else None
