"""Checklist monitor of the operator: reads published reports, and checks encryption at rest if enabled."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Final

import structlog

from keyturn.core.policy import encryption
from keyturn.core.policy.findings import Verdict
from keyturn.kube import errors, paths
from keyturn.runtime import logs, threadpools

from . import report_configmap
from .evidence import TimedVerdict

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from keyturn.kube.client import Api

    from .evidence import ClusterEvidence

__all__ = ["ChecklistMonitor"]

_INTERVAL: Final = 60.0
_ENCRYPTION_ROUNDS: Final = 10
"""Rounds between checks: the metrics of an API server can have megabytes."""
_METRICS: Final = "/metrics"

_log = structlog.get_logger()


class ChecklistMonitor:
    """Runs in every replica; it reads only."""

    def __init__(
        self,
        api: Api,
        namespace: str,
        evidence: ClusterEvidence,
        now: Callable[[], datetime],
        *,
        proves_encryption: bool,
    ) -> None:
        """`namespace` is the operator's own, which has the published reports."""
        self._api = api
        self._namespace = namespace
        self._evidence = evidence
        self._now = now
        self._proves_encryption = proves_encryption
        self._looks = 0
        self._logged: dict[str, str] = {}

    async def run(self) -> None:
        """Run until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(_INTERVAL * random.uniform(0.8, 1.2))  # noqa: S311 - it spreads the requests

    async def look(self) -> None:
        """Read the reports; each tenth time check encryption as well. No error of either ends the operator."""
        await self._attempt(self._read_reports)
        if self._proves_encryption and self._looks % _ENCRYPTION_ROUNDS == 0:
            await self._attempt(self._look_at_encryption)
        self._looks += 1

    async def _attempt(self, part: Callable[[], Awaitable[None]]) -> None:
        try:
            await part()
        except Exception as error:  # noqa: BLE001  # the process reconciles without it, and the next look follows
            _log.error("checklist look failed", **logs.describe(error))

    async def _read_reports(self) -> None:
        try:
            body = await self._api.get(paths.config_map(self._namespace, report_configmap.NAME))
        except errors.NotFound:
            self._evidence.published = {}
            return
        except errors.ApiError as error:
            self._log_once("published reports not read", str(error))
            return  # the earlier reports stay, with their times
        found = dict(report_configmap.reports_in(body.get("data") or {}))
        unreadable = sorted(name for name, report in found.items() if report is None)
        self._log_once("published reports invalid", ", ".join(unreadable))
        self._evidence.published = {name: report for name, report in found.items() if report is not None}

    async def _look_at_encryption(self) -> None:
        verdict = Verdict.UNKNOWN
        try:
            text = await self._api.text(_METRICS)
        except errors.ApiError as error:
            self._log_once("encryption check failed", str(error))
        else:
            (found,) = await threadpools.for_us(encryption.judge_encryption, text)
            verdict = found.verdict
            self._log_once("encryption at rest missing", "" if verdict is Verdict.PASS else found.evidence)
        self._evidence.at_rest = TimedVerdict(verdict, self._now())

    def _log_once(self, event: str, reason: str) -> None:
        """Log each problem once."""
        if reason and self._logged.get(event) != reason:
            _log.warning(event, reason=reason)
        self._logged[event] = reason
