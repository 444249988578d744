"""Writes the status of an object: the top-level fields that changed, as a merge patch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from keyturn.runtime import failpoints

from .client import Patch

if TYPE_CHECKING:
    from keyturn.api.base import Schema
    from keyturn.api.meta import Metadata

    from .client import Api, Body

__all__ = ["HasStatus", "Written", "status_patch", "write"]


class HasStatus(Protocol):
    """An object of ours, with its status as it was read."""

    @property
    def metadata(self) -> Metadata: ...

    @property
    def status(self) -> Schema: ...


@dataclass(frozen=True, slots=True)
class Written:
    """The answer to a write of a status."""

    body: Body
    """The object with its new resourceVersion."""
    dropped: frozenset[str]
    """Fields that the API server dropped, because its CRD lacks them."""


async def write(
    api: Api, path: str, before: HasStatus, after: Schema, *, failpoint: str = ""
) -> Written | None:
    """Write the changed fields of a status to `path`; return None if none has changed.

    The resourceVersion is the fence: no status is written about a spec that has changed since it was read. Tests can
    kill the process before and after the write, at the step `failpoint`.

    Raises:
        Conflict: The object has changed since it was read, or is another one of the same name.
        NotFound: The object is deleted.
    """
    changes = status_patch(before.status, after)
    if not changes:
        return None
    metadata = {"resourceVersion": before.metadata.resource_version, "uid": before.metadata.uid}
    failpoints.reached("before", failpoint)
    body = await api.patch(path, {"metadata": metadata, "status": changes}, Patch.MERGE)
    failpoints.reached("after", failpoint)
    kept = body.get("status", {})
    return Written(
        body, frozenset(name for name, part in changes.items() if part is not None and name not in kept)
    )


def status_patch(before: Schema, after: Schema) -> dict[str, Any]:
    """Return the merge patch (RFC 7386) from `before` to `after`, top-level field by field."""
    old, new = _document(before), _document(after)
    removed = {name: None for name in old if name not in new}
    return removed | {name: part for name, part in new.items() if old.get(name) != part}


def _document(status: Schema) -> dict[str, Any]:
    return status.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True)
