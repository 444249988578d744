"""Names of ManagedSecrets for shell completion."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from keyturn.kube import config, errors, paths
from keyturn.kube.client import Api

if TYPE_CHECKING:
    from .options import Where

__all__ = ["names"]

_TIMEOUT = 2.0
"""Time limit in seconds, without output before."""


def names(where: Where) -> list[str]:
    """Return the ManagedSecrets of a namespace; none if the cluster does not answer in time."""
    try:
        return asyncio.run(asyncio.wait_for(_names(where), _TIMEOUT))
    except (config.NotConfigured, errors.ApiError, TimeoutError):
        return []


async def _names(where: Where) -> list[str]:
    connection = await config.load(where.kubeconfig, where.context)
    path = paths.managed_secrets(where.namespace or connection.namespace)
    async with config.session(connection) as session:
        pages = Api(session, connection.server, timeout=_TIMEOUT).pages(path, metadata_only=True)
        return [body["metadata"]["name"] async for page in pages for body in page.items]
