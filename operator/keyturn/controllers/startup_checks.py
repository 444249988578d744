"""Whether the cluster fits this operator: its CRDs, the rights on it and the clocks, looked at from the start on."""

from __future__ import annotations

import asyncio
import contextlib
import random
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import structlog

from keyturn.installation.checks import rights, schemas
from keyturn.installation.checks.api_server import MOST_SKEW
from keyturn.kube import errors
from keyturn.runtime import metrics
from keyturn.runtime import threadpools as threads

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from keyturn.installation.checks.rights import Place, Right
    from keyturn.installation.checks.schemas import Installed
    from keyturn.kube.client import Api

__all__ = ["Startup"]

_EVERY: Final = 600.0
_UNWELL_EVERY: Final = 15.0
_PUBLISHED_AFTER: Final = 5.0
"""Seconds in which the API server publishes the schema of a changed CRD."""
_LONGEST: Final = 10.0
"""Seconds for all questions of a kind; what is not answered by then is unknown, and holds nothing up."""
_MANAGED: Final = "managedsecrets.keyturn.dev"
_TO_LEAD: Final = frozenset({"get", "update"})
"""What a replica must be able to do with a Lease that is there."""

_log = structlog.get_logger()


class Startup:
    """Runs in every replica, and writes nothing."""

    def __init__(self, api: Api, place: Place, lost: Callable[[tuple[str, ...]], None]) -> None:
        """Take whom to tell which fields of a ManagedSecret's status the installed CRD does not have."""
        self.looked = asyncio.Event()
        """Set after the first look at the CRDs, whatever it found."""
        self._api = api
        self._asked: Collection[Right] = tuple(rights.rights_of(place))
        self._lost = lost
        self._missing: Collection[Right] = ()
        self._outdated: dict[str, str] = {}
        self._unknown: dict[str, str] = {}
        self._is_skewed = False
        self._doubted = asyncio.Event()

    def doubt(self) -> None:
        """Have the CRDs looked at soon: a status came back without a field that was sent."""
        self._doubted.set()

    def problems(self) -> list[str]:
        """Say why this replica could not lead."""
        return [
            f"lease not reachable: may not {one}; {one.manifest} gives this right"
            for one in self._missing
            if one.resource == "leases" and one.verb in _TO_LEAD
        ]

    async def run(self) -> None:
        """Look for as long as the process lives."""
        while True:
            await self.look()
            self._doubted.clear()
            is_well = not self._missing and not self._unknown and not any(self._outdated.values())
            pause = _EVERY if is_well else _UNWELL_EVERY
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause * random.uniform(0.8, 1.2)):  # noqa: S311 - it spreads a herd
                    await self._doubted.wait()
                    await asyncio.sleep(_PUBLISHED_AFTER)

    async def look(self) -> None:
        """Look once."""
        await self._look_at_crds()
        self.looked.set()
        await self._look_at_rights()
        self._look_at_clock()

    async def _look_at_crds(self) -> None:
        try:
            async with asyncio.timeout(_LONGEST):
                document = await schemas.read(self._api)
        except (errors.ApiError, TimeoutError) as error:
            self._say_unknown("CRDs not compared", error)
            return
        self._unknown.pop("CRDs not compared", None)
        found = await threads.for_us(schemas.compared, document, schemas.SHALLOW)
        for one in found:
            self._tell_crd(one)
        self._lost(_lost_fields(found))

    async def _look_at_rights(self) -> None:
        """Ask for all rights once, and then for those that are missing: a right that is taken away shows as a 403."""
        try:
            async with asyncio.timeout(_LONGEST):
                missing = await rights.missing(self._api, self._asked, None)
        except (errors.ApiError, TimeoutError) as error:
            self._say_unknown("rights not known", error)
            return
        self._unknown.pop("rights not known", None)
        for one in missing:
            if one not in self._missing:
                _log.error("right missing", right=str(one), given_by=one.manifest)
        for one in self._missing:
            if one not in missing:
                _log.info("right given", right=str(one))
        self._asked = self._missing = missing

    def _look_at_clock(self) -> None:
        skew = datetime.now(UTC) - self._api.clock.now()
        is_skewed = abs(skew) > MOST_SKEW
        if is_skewed and not self._is_skewed:
            _log.warning("clock differs from the API server's", ahead_by_seconds=round(skew.total_seconds()))
        self._is_skewed = is_skewed

    def _tell_crd(self, one: Installed) -> None:
        metrics.CRD_OUTDATED.labels(one.crd).set(one.is_outdated)
        shortfall = one.shortfall if one.is_outdated else ""
        before = self._outdated.get(one.crd, "")
        if shortfall and shortfall != before:
            _log.error("CRD is older than the operator", crd=one.crd, why=shortfall, hint=schemas.APPLY)
        elif before and not shortfall:
            _log.info("CRD is as new as the operator", crd=one.crd)
        self._outdated[one.crd] = shortfall

    def _say_unknown(self, event: str, error: errors.ApiError | TimeoutError) -> None:
        """Log once of each reason why something is unknown."""
        why = str(error) or "no answer in time"
        if self._unknown.get(event) != why:
            _log.warning(event, why=why)
        self._unknown[event] = why


def _lost_fields(found: Collection[Installed]) -> tuple[str, ...]:
    lacks = next((one.lacks for one in found if one.crd == _MANAGED), ())
    return tuple(field for field in lacks if field.startswith("status"))
