"""Writes the status of an object, whole, if it has changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from keyturn.api import API_VERSION
from keyturn.api.base import Schema
from keyturn.api.meta import Metadata
from keyturn.kube.wire import Body
from keyturn.runtime import failpoints

from .client import Api


class HasStatus(Protocol):
    """An object of ours, with its status as it was read."""

    @property
    def metadata(self) -> Metadata: ...

    @property
    def status(self) -> Schema: ...


@dataclass(frozen=True, slots=True)
class WrittenStatus:
    """The answer to a write of a status."""

    body: Body
    """The object with its new resourceVersion."""
    dropped: frozenset[str]
    """Fields that the API server dropped, because its CRD lacks them."""


async def write(
    api: Api,
    kind: str,
    path: str,
    before: HasStatus,
    after: Schema,
    *,
    failpoint: str = "",
) -> WrittenStatus | None:
    """Write the status of an object of `kind` to `path`; return None if no field has changed.

    The status is replaced (PUT): the API server keeps all other parts of the object, so the body has only its
    identity, and no patch is computed. The resourceVersion is the fence: no status is written about a spec that has
    changed since it was read. Tests can kill the process before and after the write, at the step `failpoint`.

    Raises:
        Conflict: The object has changed since it was read, or is another one of the same name.
        NotFound: The object is deleted.
    """
    document = _document(after)
    changes = _changes(_document(before.status), document)
    if not changes:
        return None
    failpoints.reached("before", failpoint)
    body = await api.replace(path, _body(kind, before.metadata, document))
    failpoints.reached("after", failpoint)
    kept = body.get("status", {})
    return WrittenStatus(
        body, frozenset(name for name, part in changes.items() if part is not None and name not in kept)
    )


def _body(kind: str, metadata: Metadata, status: dict[str, Any]) -> dict[str, Any]:
    identity = {
        "name": metadata.name,
        "resourceVersion": metadata.resource_version,
        "uid": metadata.uid,
    }
    if metadata.namespace:
        identity["namespace"] = metadata.namespace
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": identity, "status": status}


def _changes(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    removed = {name: None for name in old if name not in new}
    return removed | {name: part for name, part in new.items() if old.get(name) != part}


def _document(status: Schema) -> dict[str, Any]:
    return status.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True)
