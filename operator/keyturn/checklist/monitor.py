"""What the operator looks at now and then for the checklist: published reports, and encryption if asked to."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Final

import structlog

from keyturn.core.policy import encryption as at_rest
from keyturn.core.policy.findings import Verdict
from keyturn.kube import errors, paths
from keyturn.runtime import threadpools as threads

from . import report_configmap as published
from .evidence import TimedVerdict

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from keyturn.kube.client import Api

    from .evidence import ClusterEvidence

__all__ = ["Inspection"]

_ROUND: Final = 60.0
_ENCRYPTION_EVERY: Final = 10
"""Rounds: the metrics of an API server can be megabytes."""
_METRICS: Final = "/metrics"

_log = structlog.get_logger()


class Inspection:
    """Runs in every replica, and writes nothing."""

    def __init__(
        self,
        api: Api,
        namespace: str,
        evidence: ClusterEvidence,
        now: Callable[[], datetime],
        *,
        proves_encryption: bool,
    ) -> None:
        """Take the operator's own namespace, where reports are published."""
        self._api = api
        self._namespace = namespace
        self._evidence = evidence
        self._now = now
        self._proves_encryption = proves_encryption
        self._looks = 0
        self._said: dict[str, str] = {}

    async def run(self) -> None:
        """Look for as long as the process lives."""
        while True:
            await self.look()
            await asyncio.sleep(_ROUND * random.uniform(0.8, 1.2))  # noqa: S311 - it spreads a herd

    async def look(self) -> None:
        """Look once, and at the API server's metrics each tenth time."""
        await self._read_reports()
        if self._proves_encryption and self._looks % _ENCRYPTION_EVERY == 0:
            await self._look_at_encryption()
        self._looks += 1

    async def _read_reports(self) -> None:
        try:
            body = await self._api.get(paths.config_map(self._namespace, published.NAME))
        except errors.NotFound:
            self._evidence.published = {}
            return
        except errors.ApiError as error:
            self._say("published reports are not read", str(error))
            return  # what was read before goes on to count, with its time
        found = dict(published.reports_in(body.get("data") or {}))
        unreadable = sorted(name for name, report in found.items() if report is None)
        self._say("published reports are unreadable", ", ".join(unreadable))
        self._evidence.published = {name: report for name, report in found.items() if report is not None}

    async def _look_at_encryption(self) -> None:
        verdict = Verdict.UNKNOWN
        try:
            text = await self._api.text(_METRICS)
        except errors.ApiError as error:
            self._say("encryption at rest cannot be proven", str(error))
        else:
            (found,) = await threads.for_us(at_rest.judged, text)
            verdict = found.verdict
            self._say("encryption at rest", "" if verdict is Verdict.PASS else found.evidence)
        self._evidence.at_rest = TimedVerdict(verdict, self._now())

    def _say(self, event: str, why: str) -> None:
        """Tell the log once of each trouble, and nothing while all is well."""
        if why and self._said.get(event) != why:
            _log.warning(event, why=why)
        self._said[event] = why
