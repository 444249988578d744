"""How a status is written: only what changed, and only over the object that was looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from keyturn.kube import errors, paths
from keyturn.kube.client import Patch

if TYPE_CHECKING:
    from keyturn.api.base import Schema
    from keyturn.api.managedsecret import ManagedSecret
    from keyturn.api.status import ManagedSecretStatus
    from keyturn.controllers.context import World
    from keyturn.core.keys import ObjectKey
    from keyturn.kube.client import Body

__all__ = ["status_patch", "write_status"]


async def write_status(
    key: ObjectKey, managed: ManagedSecret, status: ManagedSecretStatus, world: World
) -> None:
    """Write what changed in the status.

    The resourceVersion makes this the fence: nobody acts on a spec that has changed since it was read.

    Raises:
        Conflict: The object is not the one that was looked at; the mirror has the newer one now.
    """
    metadata = managed.metadata
    changes = status_patch(managed.status, status)
    if not changes:
        return
    body = {
        "metadata": {"resourceVersion": metadata.resource_version, "uid": metadata.uid},
        "status": changes,
    }
    try:
        written = await world.api.patch(
            paths.managed_secret_status(key.namespace, key.name), body, Patch.MERGE
        )
    except errors.Conflict:
        await _look_again(key, world)
        raise
    world.mirror.put_managed(written)
    kept = written.get("status", {})
    if not world.lost and any(name not in kept for name, part in changes.items() if part is not None):
        world.doubt_crds()  # the API server drops what the CRD does not know


def status_patch(before: Schema, after: Schema) -> dict[str, Any]:
    """Return the merge patch that makes `after` of `before`, top-level field by field."""
    old, new = _written(before), _written(after)
    removed = {name: None for name in old if name not in new}
    return removed | {name: part for name, part in new.items() if old.get(name) != part}


def _written(status: Schema) -> dict[str, Any]:
    return status.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True)


async def _look_again(key: ObjectKey, world: World) -> None:
    try:
        body: Body = await world.api.get(paths.managed_secret(key.namespace, key.name))
    except errors.NotFound:
        world.mirror.drop_managed(key)
    else:
        world.mirror.put_managed(body)
