"""Whether a replica leads: what the Lease says of its holder, and by which clock it is renewed."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from keyturn.core.text import length
from keyturn.kube import errors, paths
from keyturn.kube.lease_holder import holder_of

from .api_server import MOST_SKEW
from .point import Point

if TYPE_CHECKING:
    from keyturn.kube.client import Api
    from keyturn.kube.lease_holder import Holder

__all__ = ["LEASE", "Election", "look", "point_of"]

LEASE: Final = "keyturn"
_NAME: Final = "lease"
_LOOKS: Final = 6
_PAUSE: Final = 1.0
"""Seconds. A leader renews every two; one that is seen to renew lives, whatever its clock says."""
_NOW: Final = timedelta()


@dataclass(frozen=True, slots=True)
class Election:
    """What the Lease says."""

    holder: Holder | None
    age: timedelta | None
    """How long ago the holder renewed, by its clock against the API server's; below zero if its clock is ahead."""
    lives: bool
    """The holder renewed lately, or was seen to renew."""


async def look(api: Api, namespace: str) -> Election | None:
    """Look at the Lease, for some seconds where the holder may be dead or its clock wrong; None without a Lease.

    Raises:
        ApiError: It could not be read.
    """
    path = paths.lease(namespace, LEASE)
    try:
        first = await _look_once(api, path)
        for _ in range(_LOOKS):
            if first.lives or first.holder is None:
                return first
            await asyncio.sleep(_PAUSE)
            later = await _look_once(api, path)
            if later.holder != first.holder:
                return Election(later.holder, later.age, lives=later.holder is not None)
    except errors.NotFound:
        return None
    return first


def point_of(found: Election | None, namespace: str) -> Point:
    where = f"in namespace {namespace}"
    advice = (
        "see the points rights and deployment, and the log: kubectl logs"
        f" -n {namespace} -l app.kubernetes.io/name=keyturn"
    )
    if found is None:
        return Point.failed(_NAME, f"there is no Lease {LEASE} {where}: no replica has led yet", advice)
    if found.holder is None:
        return Point.failed(_NAME, f"the Lease {LEASE} {where} is free: no replica leads", advice)
    held = f"held by {found.holder.identity}"
    if found.age is None or not found.lives:
        age = f"{length(found.age)} ago" if found.age is not None else "at no readable time"
        return Point.failed(_NAME, f"{held}, last renewed {age}: no replica leads", advice)
    if abs(found.age) > MOST_SKEW:
        side = "ahead of" if found.age < _NOW else "behind"
        said = f"the clock of the leader is {length(abs(found.age))} {side} the API server's"
        return Point.warn(_NAME, f"{held}; {said}", "let NTP set the clock of its node")
    return Point.ok(_NAME, f"{held}, renewed {length(max(found.age, _NOW))} ago")


async def _look_once(api: Api, path: str) -> Election:
    holder = holder_of(await api.get(path))
    if holder is None or holder.renewed is None:
        return Election(holder, None, lives=False)
    age = api.clock.now() - holder.renewed
    return Election(holder, age, lives=abs(age) < timedelta(seconds=holder.seconds))
