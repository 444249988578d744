"""Checks the versions and clocks of the API server and of the leader, and by the Lease that a replica leads."""

import asyncio
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import inf
from typing import Final

from keyturn import __version__
from keyturn.core.times import length
from keyturn.installation.checks import Point
from keyturn.kube import errors, paths
from keyturn.kube.client import Api
from keyturn.kube.leader_election import LEASE, TERMS, Holder, holder_of, renewal_of
from keyturn.runtime import build

OLDEST: Final = (1, 34)
NEWEST: Final = (1, 37)
"""Keyturn is tested with these two versions and those between."""
MOST_SKEW: Final = timedelta(minutes=1)
_NUMBERS: Final = re.compile(r"v(\d+)\.(\d+)")
_PATH: Final = "/version"


async def version_of(api: Api) -> str:
    """Return the version of the API server, such as `v1.37.2`."""
    return str((await api.get(_PATH)).get("gitVersion", ""))


def api_server_point(version: str) -> Point:
    name, supported = "api-server", f"supported: {_text(OLDEST)} to {_text(NEWEST)}"
    match = _NUMBERS.match(version)
    if match is None:
        return Point.unknown(name, f"the API server calls its version {version!r}")
    found = int(match[1]), int(match[2])
    if found < OLDEST:
        return Point.failed(name, f"Kubernetes {version}", f"upgrade the cluster to {_text(OLDEST)} or newer")
    if found > NEWEST:
        advice = f"expect no fault, and look whether a newer Keyturn is tested with it ({supported})"
        return Point.warn(name, f"Kubernetes {version}, with which this version is not tested", advice)
    return Point.ok(name, f"Kubernetes {version} ({supported})")


def clock_point(ours: datetime, theirs: datetime) -> Point:
    """Compare the clock of this machine with the Date header of the API server."""
    skew = ours - theirs
    if abs(skew) <= MOST_SKEW:
        return Point.ok("clock", "this machine and the API server agree")
    said = f"{length(abs(skew))} {'ahead of' if skew > timedelta() else 'behind'} the API server's"
    return Point.warn("clock", f"the clock of this machine is {said}", "let NTP set both clocks")


def _text(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))


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
    """Read the Lease, repeatedly if the holder may be dead or its clock wrong; None without a Lease."""
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


def leader_point(found: Election | None, namespace: str) -> Point:
    where = f"in namespace {namespace}"
    advice = (
        "see the points rights and deployment, and the log: kubectl logs"
        f" -n {namespace} -l app.kubernetes.io/name=keyturn"
    )
    if found is None:
        return Point.failed(_NAME, f"there is no Lease {LEASE} {where}: no replica has led yet", advice)
    if found.holder is None:
        since = f" since {length(found.age)}" if found.age is not None else ""
        return Point.failed(_NAME, f"the Lease {LEASE} {where} is free{since}: no replica leads", advice)
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


_VERSION: Final = "version"


def operator_point(elected: Election | None) -> Point:
    holder = elected.holder if elected else None
    if holder is None:
        cause = "no replica leads" if elected else "no Lease was read"
        said = f"unknown: {cause}; this command line is {build.version()}"
        return Point.warn(_VERSION, said, "see the point lease")
    if not holder.version:
        said = f"the leader reports no version: it is older than this command line, {build.version()}"
        return Point.warn(_VERSION, said, "upgrade the operator, or use the command line of its release")
    there = f"{holder.version} ({holder.commit})" if holder.commit else holder.version
    if holder.version != __version__:
        said = f"the operator is {there}, and this is {build.version()}"
        return Point.warn(_VERSION, said, "use the command line of the operator's release, or upgrade it")
    return Point.ok(_VERSION, f"the operator is {there}, and so is this {build.version()}")
