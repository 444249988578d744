"""Connection of a command to the API server, and messages for its errors."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Self, TypeVar

import click

from keyturn.kube import config, errors, paths
from keyturn.kube.client import Api
from keyturn.kube.config import NotConfigured
from keyturn.runtime import logs

from .options import Where
from .transport import transport_of

_REQUEST_TIMEOUT = 10.0
"""Request timeout in seconds, for interactive use."""
_LONGEST_PAUSE = 30.0
"""Seconds that an overloaded API server may ask a command to wait."""
_CAUSES = {
    "ClientConnectorDNSError": "its name cannot be resolved",
    "ClientConnectorError": "it accepts no connection",
    "ClientConnectorSSLError": "it does not speak TLS",
    "MalformedAnswer": "what answers there is no API server",
    "NonHttpUrlClientError": "its URL does not begin with https://",
    "ServerDisconnectedError": "it closes the connection",
    "Timeout": "it does not answer in time",
}
"""Causes of a failed request by the class of its error."""
_READS = frozenset({"get", "list", "watch"})

_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class Cluster:
    """One API server, and the namespace of the command."""

    api: Api
    namespace: str
    server: str = ""

    def at(self, namespace: str) -> Self:
        """Return the same API server with another namespace."""
        return replace(self, namespace=namespace)

    def now(self) -> datetime:
        """Return the time by the API server's clock, as in the timestamps that it is compared with."""
        return self.api.clock.now()


def run(where: Where, work: Callable[[Cluster], Awaitable[_Answer]]) -> _Answer:
    """Run `work` with the selected cluster; an error becomes a message with a remedy."""

    async def connect_and_run() -> _Answer:
        async with connect(where) as cluster:
            return await work(cluster)

    logs.configure(logs.LogFormat.CONSOLE, logging.WARNING)
    try:
        return asyncio.run(connect_and_run())
    except NotConfigured as problem:
        raise click.ClickException(str(problem)) from None


@asynccontextmanager
async def connect(where: Where, patience: float = _REQUEST_TIMEOUT) -> AsyncIterator[Cluster]:
    """Connect to a cluster, within `run` also to another one."""
    connection = await config.load(where.kubeconfig, where.context)
    async with transport_of(connection) as transport:
        api = Api(transport, connection.server, timeout=patience)
        try:
            yield Cluster(api, where.namespace or connection.namespace, connection.server)
        except errors.ApiError as error:
            raise click.ClickException(sentence(error, connection.server)) from None


async def pause_after(error: errors.ApiError, least: float) -> None:
    """Sleep before another attempt, as long as an overloaded API server asks for."""
    await asyncio.sleep(max(least, min(error.retry_after or 0.0, _LONGEST_PAUSE)))


def sentence(error: errors.ApiError, server: str) -> str:
    """Return a message with a remedy for an error of the API server."""
    match error:
        case errors.Unavailable(status=0):
            return _no_answer(error.reason, server)
        case errors.Unavailable(status=404):
            return (
                f"Keyturn is not installed in the cluster at {server}, which has no"
                f" {paths.resource(error.path)} of keyturn.dev; select another cluster with --context, or install the"
                " operator with its Helm chart or its manifests (`keyturn crds` prints the CRDs alone)"
            )
        case errors.Unauthorized():
            return f"the API server at {server} rejects your credentials; log in again"
        case errors.Forbidden():
            return f"forbidden: cannot {error.verb} {paths.described(error.path)}; {_who_gives(error)}"
        case errors.Throttled() | errors.Unavailable():
            return f"the API server at {server} is overloaded or not ready (HTTP {error.status}); try again"
        case _:
            reason = f"{error.reason}, HTTP {error.status}"
            return f"the API server at {server} refuses it: {reason} ({error.verb} {error.path})"


def _no_answer(reason: str, server: str) -> str:
    if reason == "ClientConnectorCertificateError":
        return (
            f"the certificate of the API server at {server} is not trusted; check certificate-authority-data of"
            " the kubeconfig, and whether this is the cluster that you mean: see --context and --kubeconfig"
        )
    return (
        f"no answer from the API server at {server} ({_CAUSES.get(reason, reason)});"
        " is it up, and is this the cluster that you mean? See --context and --kubeconfig"
    )


def _who_gives(error: errors.Forbidden) -> str:
    """Return the role that has a permission: one of Keyturn's, or one of Kubernetes."""
    if not error.path.startswith(paths.OURS):
        return "ask an administrator for this right, see docs/cli.md"
    if paths.resource(error.path) == "secretclasses":
        return "ask an administrator for the ClusterRole keyturn-class-reader"
    role = "view" if error.verb in _READS else "edit"
    return f"ask an administrator for the ClusterRole keyturn-{role}, which is part of {role}"


# Names of ManagedSecrets for shell completion

_SECONDS_TO_COMPLETE = float(os.environ.get("KEYTURN_COMPLETION_TIMEOUT", "3"))
"""The Tab key has no options."""


def names(where: Where) -> list[str]:
    """Return the ManagedSecrets of a namespace; none if the cluster does not answer in time."""
    try:
        return asyncio.run(asyncio.wait_for(_names(where), _SECONDS_TO_COMPLETE))
    except (NotConfigured, click.ClickException, TimeoutError):
        return []


async def _names(where: Where) -> list[str]:
    async with connect(where, _SECONDS_TO_COMPLETE) as cluster:
        pages = cluster.api.pages(paths.managed_secrets(cluster.namespace), metadata_only=True)
        return [body["metadata"]["name"] async for page in pages for body in page.items]
