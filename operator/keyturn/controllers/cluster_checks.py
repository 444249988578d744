"""Periodic checks of the cluster: CRDs and permissions."""

import asyncio
import contextlib
import random
from collections.abc import Callable, Collection
from typing import Final

import structlog

from keyturn.installation.checks import rights, schemas
from keyturn.installation.checks.rights import Place, Right
from keyturn.installation.checks.schemas import Installed
from keyturn.kube import errors
from keyturn.kube.client import Api
from keyturn.runtime import metrics, threadpools

_INTERVAL: Final = 600.0
_FAILING_INTERVAL: Final = 15.0
_PUBLICATION_DELAY: Final = 5.0
"""Seconds in which the API server publishes the schema of a changed CRD."""
_REQUEST_TIMEOUT: Final = 10.0
"""Time limit in seconds for all requests of one check; afterwards its result is unknown, and nothing is blocked."""
_MANAGED: Final = "managedsecrets.keyturn.dev"
_LEADER_VERBS: Final = frozenset({"get", "update"})
"""Verbs that a leader needs on an existing Lease."""

_log = structlog.get_logger()


class ClusterChecks:
    """Periodic checks, which run in every replica and read only."""

    def __init__(
        self, api: Api, place: Place, lost: Callable[[tuple[str, ...]], None], doubted: asyncio.Event
    ) -> None:
        """`lost` receives the fields of a ManagedSecret's status that the installed CRD lacks.

        `doubted` is set when a status came back without a field that was sent; the CRDs are checked soon then.
        """
        self.was_checked = asyncio.Event()
        """Set after the first check of the CRDs, whatever its result."""
        self._api = api
        self._asked: Collection[Right] = tuple(rights.rights_of(place))
        self._lost = lost
        self._missing: Collection[Right] = ()
        self._outdated: dict[str, str] = {}
        self._unknown: dict[str, str] = {}
        self._doubted = doubted

    def problems(self) -> list[str]:
        """Return why this replica could not become leader, for the readiness probe."""
        return [
            f"lease not reachable: may not {one}; {one.manifest} gives this right"
            for one in self._missing
            if one.resource == "leases" and one.verb in _LEADER_VERBS
        ]

    async def run(self) -> None:
        """Run until cancelled: every 10 min, or every 15 s after a finding."""
        while True:
            await self.check()
            self._doubted.clear()
            is_well = not self._missing and not self._unknown and not any(self._outdated.values())
            pause = _INTERVAL if is_well else _FAILING_INTERVAL
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause * random.uniform(0.8, 1.2)):  # noqa: S311 - it spreads the requests
                    await self._doubted.wait()
                    await asyncio.sleep(_PUBLICATION_DELAY)

    async def check(self) -> None:
        """Run all checks once."""
        await self._check_crds()
        self.was_checked.set()
        await self._check_permissions()

    async def _check_crds(self) -> None:
        try:
            async with asyncio.timeout(_REQUEST_TIMEOUT):
                document = await schemas.read(self._api)
        except (errors.ApiError, TimeoutError) as error:
            self._log_unknown("CRD check failed", error)
            return
        self._unknown.pop("CRD check failed", None)
        crds = await threadpools.run_own(schemas.compared, document, schemas.SHALLOW)
        for crd in crds:
            self._report_crd(crd)
        lacks = next((one.lacks for one in crds if one.crd == _MANAGED), ())
        self._lost(tuple(field for field in lacks if field.startswith("status")))

    async def _check_permissions(self) -> None:
        """Check all permissions once, then only the missing ones; one that is revoked later shows as a 403."""
        try:
            async with asyncio.timeout(_REQUEST_TIMEOUT):
                missing = await rights.missing(self._api, self._asked, None)
        except (errors.ApiError, TimeoutError) as error:
            self._log_unknown("permission check failed", error)
            return
        self._unknown.pop("permission check failed", None)
        for one in missing:
            if one not in self._missing:
                _log.error("permission missing", permission=str(one), manifest=one.manifest)
        for one in self._missing:
            if one not in missing:
                _log.info("permission granted", permission=str(one))
        self._asked = self._missing = missing

    def _report_crd(self, installed: Installed) -> None:
        metrics.CRD_OUTDATED.labels(installed.crd).set(installed.is_outdated)
        shortfall = installed.shortfall if installed.is_outdated else ""
        before = self._outdated.get(installed.crd, "")
        if shortfall and shortfall != before:
            _log.error("CRD outdated", crd=installed.crd, reason=shortfall, hint=schemas.APPLY)
        elif before and not shortfall:
            _log.info("CRD up to date", crd=installed.crd)
        self._outdated[installed.crd] = shortfall

    def _log_unknown(self, event: str, error: errors.ApiError | TimeoutError) -> None:
        """Log why a check has no result, once per cause."""
        reason = str(error) or "no answer in time"
        if self._unknown.get(event) != reason:
            _log.warning(event, reason=reason)
        self._unknown[event] = reason
