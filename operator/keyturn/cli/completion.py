"""Shell completion: the scripts, and the names that only the cluster knows."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from click.shell_completion import ShellComplete, get_completion_class

from keyturn.kube import config, errors, paths
from keyturn.kube.client import Api

if TYPE_CHECKING:
    from collections.abc import Sequence

    from click import Command

    from .options import Where

__all__ = ["VARIABLE", "for_kubectl", "names", "script"]

VARIABLE = "_KEYTURN_COMPLETE"
_PATIENCE = 2.0
"""Seconds: somebody has pressed a key and sees nothing."""


def script(shell: str, command: Command) -> str:
    """Return what a shell has to run once to complete our commands."""
    kind = get_completion_class(shell)
    assert kind is not None, "click knows the shells that we offer"  # noqa: S101
    return kind(command, {}, "keyturn", VARIABLE).source()


def for_kubectl(words: Sequence[str], command: Command) -> str:
    """Answer kubectl, which asks `kubectl_complete-keyturn` with the words so far, the last one incomplete.

    Source: Kubernetes, "Extend kubectl with plugins", and Cobra's directive 4: do not offer files.
    """
    *before, incomplete = words or ("",)
    found = ShellComplete(command, {}, "kubectl keyturn", VARIABLE).get_completions(list(before), incomplete)
    return "\n".join([*(item.value for item in found), ":4"])


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
