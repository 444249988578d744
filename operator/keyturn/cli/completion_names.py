"""Which ManagedSecrets there are, for somebody who has pressed the Tab key."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from keyturn.kube import config, errors, paths
from keyturn.kube.client import Api

if TYPE_CHECKING:
    from .options import Where

__all__ = ["names"]

_PATIENCE = 2.0
"""Seconds in which nothing is shown."""


def names(where: Where) -> list[str]:
    """Return the ManagedSecrets of a namespace; none where the cluster does not say soon."""
    try:
        return asyncio.run(asyncio.wait_for(_names(where), _PATIENCE))
    except (config.NotConfigured, errors.ApiError, TimeoutError):
        return []


async def _names(where: Where) -> list[str]:
    connection = await config.load(where.kubeconfig, where.context)
    path = paths.managed_secrets(where.namespace or connection.namespace)
    async with config.session(connection) as session:
        pages = Api(session, connection.server, timeout=_PATIENCE).pages(path, metadata_only=True)
        return [body["metadata"]["name"] async for page in pages for body in page.items]
