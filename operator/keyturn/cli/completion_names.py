"""Names of ManagedSecrets for shell completion."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from keyturn.kube import config, errors, paths
from keyturn.kube.client import Api
from keyturn.kube.connection import NotConfigured

if TYPE_CHECKING:
    from .options import Where

_VARIABLE = "KEYTURN_COMPLETION_TIMEOUT"
"""Variable for the time limit in seconds; the Tab key has no options."""
_TIMEOUT = 3.0
_LONGEST_TIMEOUT = 60.0


def names(where: Where) -> list[str]:
    """Return the ManagedSecrets of a namespace; none if the cluster does not answer in time."""
    seconds = time_limit(os.environ.get(_VARIABLE, ""))
    try:
        return asyncio.run(asyncio.wait_for(_names(where, seconds), seconds))
    except (NotConfigured, errors.ApiError, TimeoutError):
        return []


def time_limit(text: str) -> float:
    """Read a time limit in seconds, at most a minute; anything else than a positive number is the default."""
    try:
        seconds = float(text)
    except ValueError:
        return _TIMEOUT
    return min(seconds, _LONGEST_TIMEOUT) if seconds > 0 else _TIMEOUT


async def _names(where: Where, seconds: float) -> list[str]:
    connection = await config.load(where.kubeconfig, where.context)
    path = paths.managed_secrets(where.namespace or connection.namespace)
    async with config.session(connection) as session:
        pages = Api(session, connection.server, timeout=seconds).pages(path, metadata_only=True)
        return [body["metadata"]["name"] async for page in pages for body in page.items]
