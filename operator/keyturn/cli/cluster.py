"""How a command reaches the API server, and what it says where it cannot."""

from __future__ import annotations

import asyncio
import logging
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn, TypeVar

import click

from keyturn import logs
from keyturn.kube import config, errors, paths
from keyturn.kube.client import Api

from .printing import print_lines

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from datetime import datetime

    from .options import Where

__all__ = ["INTERRUPTED", "Cluster", "beside", "run"]

INTERRUPTED = 130
_PATIENCE = 10.0
"""Seconds that one answer may take: somebody sits before the screen."""
_NOT_FOUND = 404

_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class Cluster:
    """One API server, and the namespace that a command speaks of."""

    api: Api
    namespace: str

    def now(self) -> datetime:
        """Return the time by the API server's clock, which stamped whatever is compared with it."""
        return self.api.clock.now()


def run(where: Where, work: Callable[[Cluster], Awaitable[_Answer]], patience: float = _PATIENCE) -> _Answer:
    """Do `work` at the cluster that is meant; what goes wrong becomes a sentence that says what to do."""
    logs.configure(logs.LogFormat.CONSOLE, logging.WARNING)
    try:
        return asyncio.run(_done(where, work, patience))
    except config.NotConfigured as problem:
        raise click.ClickException(str(problem)) from None
    except KeyboardInterrupt:
        print_lines("interrupted", err=True)
        sys.exit(INTERRUPTED)


async def _done(where: Where, work: Callable[[Cluster], Awaitable[_Answer]], patience: float) -> _Answer:
    connection = await config.load(where.kubeconfig, where.context)
    async with config.session(connection) as session:
        api = Api(session, connection.server, timeout=patience)
        try:
            return await work(Cluster(api, where.namespace or connection.namespace))
        except errors.ApiError as error:
            _tell(error, connection.server)


@asynccontextmanager
async def beside(where: Where, patience: float = _PATIENCE) -> AsyncIterator[Cluster]:
    """Reach another cluster from within `run`, for a comparison."""
    connection = await config.load(where.kubeconfig, where.context)
    async with config.session(connection) as session:
        api = Api(session, connection.server, timeout=patience)
        try:
            yield Cluster(api, where.namespace or connection.namespace)
        except errors.ApiError as error:
            _tell(error, connection.server)


def _tell(error: errors.ApiError, server: str) -> NoReturn:
    raise click.ClickException(_sentence(error, server)) from None


def _sentence(error: errors.ApiError, server: str) -> str:
    match error:
        case errors.Unavailable(status=0):
            return (
                f"no answer from the API server at {server} ({error.reason});"
                " is it up, and is this the cluster that you mean? See --context and --kubeconfig"
            )
        case errors.Unavailable(status=404):
            return (
                f"the cluster at {server} does not know {paths.resource(error.path)} of keyturn.dev;"
                " install Keyturn there first: kubectl apply -k manifests/base"
            )
        case errors.Unauthorized():
            return f"the API server at {server} does not know you; log in anew"
        case errors.Forbidden():
            return (
                f"you may not {error.verb} {paths.described(error.path)}; ask for this right, see docs/cli.md"
            )
        case _:
            return f"the API server at {server} refuses it: {error.reason} ({error.verb} {error.path})"
