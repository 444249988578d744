"""Writes the status: changed fields only, with the observed resourceVersion."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keyturn.kube import errors, paths
from keyturn.kube import status as statuses

if TYPE_CHECKING:
    from keyturn.api.managedsecret import ManagedSecret
    from keyturn.api.status import ManagedSecretStatus
    from keyturn.controllers.context import Context
    from keyturn.core.keys import ObjectKey
    from keyturn.kube.client import Body

__all__ = ["write_status"]


async def write_status(
    key: ObjectKey, managed: ManagedSecret, status: ManagedSecretStatus, context: Context
) -> None:
    """Write the changed fields of the status.

    The resourceVersion is the fence: a pass never continues with a spec that has changed since it was read.

    Raises:
        Conflict: The object has changed; the cache gets the newer one.
    """
    path = paths.managed_secret_status(key.namespace, key.name)
    try:
        written = await statuses.write(context.api, path, managed, status)
    except errors.Conflict:
        await _look_again(key, context)
        raise
    if written is None:
        return
    context.cache.put_managed(written.body)
    if written.dropped and not context.lost:
        context.doubt_crds()


async def _look_again(key: ObjectKey, context: Context) -> None:
    try:
        body: Body = await context.api.get(paths.managed_secret(key.namespace, key.name))
    except errors.NotFound:
        context.cache.drop_managed(key)
    else:
        context.cache.put_managed(body)
