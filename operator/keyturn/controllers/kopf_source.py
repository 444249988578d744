"""Event source: kopf runs the watches, whose events go to `EventHandlers`; no other part of kopf is used.

A handler makes kopf watch a kind, and is not called, because events are handled as they arrive (`kopf_lists`).
Other kinds of handler keep state in annotations and would copy a Secret's data there, so `on.event` is the only
kind.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

from keyturn.kube import config
from keyturn.runtime.clock import pauses
from keyturn.runtime.imports import unseen

from .kopf_lists import watch_only

# kopf loads each Kubernetes client that it finds to log in with it: 13 MiB for `kubernetes`, 33 MiB for `pykube`.
# The operator has its own credentials and needs `kubernetes` only outside a cluster.
with unseen("kubernetes", "kubernetes_asyncio", "pykube"):
    import kopf

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import aiohttp

    from keyturn.kube.connection import Connection

    from .cache_sync import WatchLiveness
    from .event_handlers import EventHandlers
    from .kopf_lists import Take

_SERVER_TIMEOUT = 60
_END_TIMEOUT = 5.0


async def run_kopf(restore_signal_handlers: Callable[[], None], **options: Any) -> None:
    """Run kopf, and replace its signal handlers: kopf would stop before the parts that it feeds.

    kopf sets them last when it starts its tasks. The event loop calls handlers and has no turn before they are
    replaced, so no signal is lost.

    kopf suppresses the cancellation of a watch that breaks at the same moment, as all do when the API server
    restarts, and waits for that watch without a limit, until it kills the process. It is cancelled until it ends.
    """
    others = asyncio.all_tasks()
    tasks = await kopf.spawn_tasks(**options)
    restore_signal_handlers()
    running = asyncio.create_task(kopf.run_tasks(tasks, ignored=others))
    try:
        await asyncio.shield(running)
    except asyncio.CancelledError:
        while not running.done():
            running.cancel()
            await asyncio.wait([running], timeout=_END_TIMEOUT)
        raise


def kopf_registry(
    handlers: EventHandlers, connection: Connection, liveness: WatchLiveness
) -> kopf.OperatorRegistry:
    """Return kopf's registry with credentials and watched kinds."""
    registry = kopf.OperatorRegistry()
    kinds = takers_of(handlers)
    liveness.starts = dict(handlers.listed)
    answers = watch_only({plural: take for (*_, plural), take in kinds.items()}, liveness.starts)
    _start_with(registry, connection, liveness, answers)
    for resource in kinds:
        kopf.on.event(*resource, registry=registry, id=resource[-1])(_not_called)
    return registry


async def _not_called(**_: Any) -> None:
    """Do nothing: a kind is watched because it has a handler, and its events are handled before kopf reads them."""


def takers_of(handlers: EventHandlers) -> dict[tuple[str, ...], Take]:
    """Return the handlers of events by watched kind, as kopf names it: group, version and plural."""
    return {kind.resource: partial(handlers.take, kind) for kind in handlers.kinds()}


def _start_with(
    registry: kopf.OperatorRegistry,
    connection: Connection,
    liveness: WatchLiveness,
    answers: type[aiohttp.ClientResponse],
) -> None:
    @kopf.on.login(registry=registry)
    async def login(**_: Any) -> kopf.AiohttpSession:
        # kopf closes its session before it asks for credentials again, so it gets a new one each time.
        return kopf.AiohttpSession(
            aiohttp_session=config.session(connection, liveness, answers=answers),
            server=connection.server,
            default_namespace=connection.namespace,
        )

    @kopf.on.startup(registry=registry)
    async def configure(settings: kopf.OperatorSettings, **_: Any) -> None:
        _configure(settings)


def _configure(settings: kopf.OperatorSettings) -> None:
    """Limit kopf to watches and its process life cycle; the server timeout ends watches that hang silently."""
    settings.scanning.disabled = True
    settings.posting.enabled = False
    settings.watching.chunk_size = 1  # The lists only start watches: see `kopf_lists`.
    settings.watching.server_timeout = _SERVER_TIMEOUT
    settings.networking.request_timeout = 30
    settings.networking.error_backoffs = _Backoffs()
    settings.process.ultimate_exiting_timeout = 25


class _Backoffs:
    """Endless sequence of pauses between attempts, so that an API server that is away for an hour ends nothing.

    A watch that lacked its right or its server resumes within 10 seconds, with the requests of users meanwhile.
    """

    def __iter__(self) -> Iterator[float]:
        return pauses(1.0, 10.0)
