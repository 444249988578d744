"""Leaves objects at rest after a start, if nothing has changed for them since this version reconciled them.

The Lease has whether this version has reconciled every object: another one may decide otherwise, so that its first
leader observes all, whatever their records of rest say.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import structlog

from keyturn.core.keys import ObjectKey
from keyturn.kube.secret_sight import Sight
from keyturn.runtime import metrics

from .managedsecret.rest import has_record, rest_of

if TYPE_CHECKING:
    from keyturn.kube.cache.cache import InformerCache
    from keyturn.kube.leader_election import Elector

    from .context import Context
    from .event_handlers import Key
    from .managedsecret.memory import Memory
    from .workqueue import WorkQueue

__all__ = ["leave_at_rest"]

_AT_ONCE: Final = 200
"""Objects between two turns of the event loop, which takes about 10 ms."""

_log = structlog.get_logger()


async def leave_at_rest(context: Context, memory: Memory, queue: WorkQueue[Key], elector: Elector) -> None:
    """Take unchanged objects out of the work queue until they are due, before it runs."""
    if not elector.is_vouched:
        memory.rests.expect(_recorded(context.cache), elector.vouch)
        return
    if context.lost or context.sight is not Sight.WATCH:
        return
    count = 0
    for number, key in enumerate(queue.ready()):
        if number % _AT_ONCE == 0:
            await asyncio.sleep(0)
        count += isinstance(key, ObjectKey) and _rests(key, context, queue)
    metrics.UNCHANGED.set(count)
    _log.info("objects unchanged", managed_secrets=count)


def _rests(key: ObjectKey, context: Context, queue: WorkQueue[Key]) -> bool:
    """Take an object out of the queue, if it rests."""
    rest = rest_of(key, context.cache)
    if rest is None or (rest.until and rest.until <= context.now()):
        return False
    queue.put_off(key, rest.until)
    return True


def _recorded(cache: InformerCache) -> set[ObjectKey]:
    """Return the objects with a record of rest, which another version may have written."""
    bodies = ((key, cache.kept(key)) for key in cache.managed_keys())
    return {key for key, body in bodies if body and has_record(body)}
