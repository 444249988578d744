"""Checks that a replica leads, by the Lease and the clock of its holder."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from math import inf
from typing import TYPE_CHECKING, Final

from keyturn.core.times import length
from keyturn.kube import errors, paths
from keyturn.kube.lease_holder import LEASE, TERMS, holder_of, renewal_of

from .api_server import MOST_SKEW
from .point import Point

if TYPE_CHECKING:
    from keyturn.kube.client import Api
    from keyturn.kube.lease_holder import Holder

_NAME: Final = "lease"
_MAX_READS: Final = 6
_READ_INTERVAL: Final = 1.0
"""Seconds. A leader renews every 2 s; an observed renewal shows that it is alive, whatever its clock."""
_NOW: Final = timedelta()


@dataclass(frozen=True, slots=True)
class Election:
    """State of the Lease."""

    holder: Holder | None
    age: timedelta | None
    """Time since the last renewal or the release, by the holder's clock; negative if that clock is ahead."""
    lives: bool
    """Whether the holder renewed recently, or during the check."""


async def look(api: Api, namespace: str) -> Election | None:
    """Read the Lease, repeatedly if the holder may be dead or its clock wrong; None without a Lease.

    Raises:
        ApiError: A read failed.
    """
    path = paths.lease(namespace, LEASE)
    try:
        first = await _look_once(api, path)
        for _ in range(_MAX_READS):
            if first.lives or first.holder is None:
                return first
            await asyncio.sleep(_READ_INTERVAL)
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
        return Point.failed(
            _NAME, f"the Lease {LEASE} {where} is free{_since(found.age)}: no replica leads", advice
        )
    held = f"held by {found.holder.identity}"
    if not found.holder.version:  # each replica signs the Lease
        advice = (
            f"find its writer: kubectl get lease {LEASE} -n {namespace} -o yaml --show-managed-fields; a replica"
            f" takes it {TERMS.believed(inf):.0f} s after its last change, whatever its leaseDurationSeconds"
        )
        return Point.failed(_NAME, f"{held}, which is no replica of Keyturn: none leads", advice)
    if found.age is None or not found.lives:
        age = f"{length(found.age)} ago" if found.age is not None else "at no readable time"
        return Point.failed(_NAME, f"{held}, last renewed {age}: no replica leads", advice)
    if abs(found.age) > MOST_SKEW:
        side = "ahead of" if found.age < _NOW else "behind"
        said = f"the clock of the leader is {length(abs(found.age))} {side} the API server's"
        return Point.warn(_NAME, f"{held}; {said}", "let NTP set the clock of its node")
    return Point.ok(_NAME, f"{held}, renewed {length(max(found.age, _NOW))} ago")


async def _look_once(api: Api, path: str) -> Election:
    lease = await api.get(path)
    holder, renewed = holder_of(lease), renewal_of(lease)
    age = api.clock.now() - renewed if renewed else None
    lives = (
        holder is not None
        and age is not None
        and abs(age) < timedelta(seconds=TERMS.believed(holder.seconds))
    )
    return Election(holder, age, lives=lives)


def _since(age: timedelta | None) -> str:
    return f" since {length(age)}" if age is not None else ""
