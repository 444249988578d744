"""Checks the version of the API server and its clock."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from keyturn.core.times import length

from .point import Point

if TYPE_CHECKING:
    from datetime import datetime

    from keyturn.kube.client import Api

OLDEST: Final = (1, 34)
NEWEST: Final = (1, 37)
"""Keyturn is tested with these two versions and those between."""
MOST_SKEW: Final = timedelta(minutes=1)
_NUMBERS: Final = re.compile(r"v(\d+)\.(\d+)")
_PATH: Final = "/version"


async def version_of(api: Api) -> str:
    """Return the version of the API server, such as `v1.37.2`.

    Raises:
        ApiError: The request failed.
    """
    return str((await api.get(_PATH)).get("gitVersion", ""))


def version_point(version: str) -> Point:
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
