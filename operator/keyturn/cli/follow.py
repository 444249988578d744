"""`--wait`: tells each change of a ManagedSecret once, until what was asked for is done or cannot be."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING

import click

from keyturn.core.standing import AFTER_THE_ROLLOUT, condition
from keyturn.kube import errors, paths

from . import managed
from .text import clock, length

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator
    from datetime import timedelta

    from keyturn.api.managedsecret import ManagedSecret
    from keyturn.api.status import ManagedSecretStatus

    from .cluster import Cluster
    from .managed import Found

__all__ = ["changes_between", "follow", "trouble_of"]

_GRACE = 3.0
"""Seconds in which the operator takes up a request; what the status complained of before is no answer to it."""
_ONE_WATCH = 2
"""Seconds; after each the object is read and judged again, so that an operator that is silent is noticed."""
_PAUSE = 0.5


async def follow(
    cluster: Cluster,
    asked: Found,
    is_taken_up: Callable[[ManagedSecret], bool],
    patience: timedelta,
    tell: Callable[[str], None],
) -> ManagedSecret:
    """Tell every change since somebody `asked`, until what `is_taken_up` knows is done; return it as it is then.

    What keeps it from that is an error.
    """
    loop = asyncio.get_running_loop()
    began, before, name = loop.time(), asked.managed.status, asked.key.name
    try:
        async with asyncio.timeout(patience.total_seconds()), aclosing(_versions(cluster, name)) as versions:
            async for now in versions:
                seconds = loop.time() - began
                for line in changes_between(before, now.status):
                    tell(f"{seconds:6.1f} s  {line}")
                before = now.status
                taken_up = is_taken_up(now)
                if (taken_up or seconds > _GRACE) and (trouble := trouble_of(now)):
                    raise click.ClickException(trouble)
                if taken_up and _is_through(now.status):
                    tell(f"{seconds:6.1f} s  done: {_outcome(now)}")
                    return now
    except TimeoutError:
        pass
    raise click.ClickException(
        f"not done after {length(patience)}; it goes on, and `keyturn status {name}` tells how far it is"
    )


def changes_between(before: ManagedSecretStatus, after: ManagedSecretStatus) -> Iterator[str]:
    """Say what has changed from one status to another."""
    if after.rotation and after.rotation.step == "Stage" and before.rotation is None:
        yield f"revision {after.rotation.id.rpartition('/')[2]} is on its way ({after.rotation.reason})"
    if after.revision != before.revision:
        yield f"revision {after.revision} is in the Secret {after.secret_name}"
    elif after.rotation is None and _comes_sooner(before, after) and after.next_rotation_time:
        yield f"it starts when its window opens, at {clock(after.next_rotation_time)}"
    states = {(one.kind, one.name): (one.state, one.message) for one in before.workloads}
    for one in after.workloads:
        if states.get((one.kind, one.name)) != (one.state, one.message):
            detail = f": {one.message}" if one.message else ""
            yield f"{one.kind}/{one.name} is {one.state}{detail}"


def _comes_sooner(before: ManagedSecretStatus, after: ManagedSecretStatus) -> bool:
    then, now = before.next_rotation_time, after.next_rotation_time
    return now is not None and (then is None or now < then)


def trouble_of(found: ManagedSecret) -> str | None:
    """Say what keeps a ManagedSecret from going on before a person acts."""
    if found.spec.suspend:
        return "spec.suspend is true, so nothing is written; see `keyturn resume`"
    stalled = condition(found, "Stalled")
    if stalled and stalled.status == "True":
        return f"stalled by {stalled.reason}: {stalled.message}"
    return None


def _is_through(status: ManagedSecretStatus) -> bool:
    """Say whether every workload runs what it should: nobody waits for an overlap of hours."""
    return status.rotation is None or status.rotation.step in AFTER_THE_ROLLOUT


def _outcome(found: ManagedSecret) -> str:
    said = condition(found, "WorkloadsCurrent")
    workloads = f"; {said.message}" if said and found.status.workloads else ""
    return f"revision {found.status.revision} is in the Secret {found.status.secret_name}{workloads}"


async def _versions(cluster: Cluster, name: str) -> AsyncGenerator[ManagedSecret, None]:
    """Yield the object as it is, then each newer version, whatever the API server does meanwhile."""
    while True:
        try:
            found = await managed.one(cluster, name)
            yield found.managed
            async for now in _watched(cluster, name, found.managed.metadata.resource_version):
                yield now
        except (errors.Gone, errors.Unavailable):
            await asyncio.sleep(_PAUSE)


async def _watched(cluster: Cluster, name: str, version: str) -> AsyncGenerator[ManagedSecret, None]:
    only, path = {"fieldSelector": f"metadata.name={name}"}, paths.managed_secrets(cluster.namespace)
    async with aclosing(cluster.api.watch(path, version, only, timeout_seconds=_ONE_WATCH)) as changes:
        async for kind, body in changes:
            if kind == "DELETED":
                raise click.ClickException(f"ManagedSecret {name!r} was deleted meanwhile")
            if kind in {"ADDED", "MODIFIED"}:
                yield managed.found_in(body).managed
