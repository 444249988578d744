"""Evidence about the cluster as a whole, and the operator's check of encryption at rest."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog

from keyturn.core.policy.findings import Verdict
from keyturn.kube import errors
from keyturn.runtime import logs, threadpools

from . import api_server

if TYPE_CHECKING:
    from datetime import datetime

    from keyturn.kube.client import Api

_INTERVAL: Final = 600.0
"""Seconds between checks: the metrics of an API server can have megabytes."""

_log = structlog.get_logger()


@dataclass(slots=True)
class ClusterEvidence:
    """Each field is replaced as a whole, since metrics are collected in another thread."""

    at_rest: Verdict | None = None
    """Encryption of Secrets in etcd; None if it is not checked."""
    takes_events: bool = False
    """Whether the audit webhook is served."""
    logged: datetime | None = None
    """The last read by the operator that arrived as an audit event."""


class EncryptionMonitor:
    """Runs in every replica; it reads only."""

    def __init__(self, api: Api, evidence: ClusterEvidence, *, is_enabled: bool) -> None:
        """`evidence` gets the verdict."""
        self._api = api
        self._evidence = evidence
        self._is_enabled = is_enabled
        self._logged = ""

    async def run(self) -> None:
        """Run until cancelled; no error ends the operator."""
        while True:
            if self._is_enabled:
                await self.check()
            await asyncio.sleep(_INTERVAL * random.uniform(0.8, 1.2))  # noqa: S311 - it spreads the requests

    async def check(self) -> None:
        """Read the metrics of the API server; log each problem once."""
        verdict = Verdict.UNKNOWN
        try:
            found = await threadpools.run_own(api_server.judge_encryption, await self._api.text("/metrics"))
            verdict, problem = found.verdict, "" if found.verdict is Verdict.PASS else found.evidence
        except errors.ApiError as error:
            problem = str(error)
        except Exception as error:  # noqa: BLE001  # the process reconciles without it, and the next check follows
            _log.error("encryption check failed", **logs.describe(error))
            problem = type(error).__name__
        if problem and problem != self._logged:
            _log.warning("encryption at rest not proven", reason=problem)
        self._logged, self._evidence.at_rest = problem, verdict
