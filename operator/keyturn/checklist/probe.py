"""Probe of the access log: a read of a Secret must appear in it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from keyturn.core.policy.findings import Finding, Point, Verdict
from keyturn.core.times import to_second
from keyturn.endpoints.audit import persistence
from keyturn.endpoints.audit.access_log import AccessLog, crowd_of
from keyturn.endpoints.audit.baseline import Habits
from keyturn.kube import errors, paths

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from .facts import Declared, Facts

__all__ = ["Probe"]

_MYSELF: Final = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
_REVIEW: Final = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
_RECENT: Final = timedelta(days=1)
"""A read of the last day is sufficient."""
_LONGEST_AGE: Final = timedelta(days=365)
_MAX_WAIT_SECONDS: Final = 100
"""Seconds: the record is written at most once a minute."""
_POLL_INTERVAL: Final = 2


@dataclass(frozen=True, slots=True)
class Probe:
    """One read, and a check of the record."""

    facts: Facts
    operator_namespace: str
    tell: Callable[[str], None]
    patience: int = _MAX_WAIT_SECONDS

    async def findings(self, declared: list[Declared]) -> list[Finding] | None:
        """Read a managed Secret and wait for its record; None if nothing records reads."""
        if await self._journal() is None:
            return None
        target = next((one for one in declared if one.managed.status.secret_name), None)
        if target is None:
            return [
                _finding(Verdict.UNKNOWN, "there is no managed Secret to be read for a probe", "look at -A")
            ]
        review = await self.facts.api.request(_MYSELF, _REVIEW)
        who = review["status"]["userInfo"]["username"]
        now = self.facts.now()
        known = await self._last_read(who, target, now - _LONGEST_AGE)
        if known and known >= now - _RECENT:
            return [_proven(f"your reads are recorded, the last one at {known:%Y-%m-%d %H:%M} UTC")]
        path = paths.secret(target.secret.namespace, target.secret.name)
        await self.facts.api.get(path, metadata_only=True)
        return [_not_yet(target) if known else await self._wait(who, target, to_second(now))]

    async def _wait(self, who: str, target: Declared, since: datetime) -> Finding:
        self.tell(
            f"access-log: waiting until a read of {target.where} is recorded, {self.patience} s at most"
        )
        for _ in range(0, self.patience, _POLL_INTERVAL):
            if await self._last_read(who, target, since):
                return _proven(f"a read of {target.where} was recorded")
            await asyncio.sleep(_POLL_INTERVAL)
        return _finding(
            Verdict.FAIL,
            f"a read of {target.where} was not recorded within {self.patience} s",
            "see that the API server sends its audit events, as docs/access.md has it, and that the operator is up",
        )

    async def _last_read(self, who: str, target: Declared, since: datetime) -> datetime | None:
        journal = await self._journal()
        names = [target.managed.metadata.name]
        readers = journal.readers_of(target.secret.namespace, names, since) if journal else []
        return max((one.last for one in readers if one.subject in {who, crowd_of(who)}), default=None)

    async def _journal(self) -> AccessLog | None:
        journal = AccessLog()
        try:
            body = await self.facts.api.get(paths.secret(self.operator_namespace, persistence.NAME))
            record = persistence.decode(body)
        except (errors.NotFound, errors.Forbidden, persistence.Unreadable):
            return None
        for _ in persistence.merge(record, Habits(b"", timedelta(0), 0), journal, AccessLog()):
            pass
        return journal


def _not_yet(target: Declared) -> Finding:
    """Return the finding without a wait: reads of known readers are recorded with a delay."""
    return _finding(
        Verdict.UNKNOWN,
        f"a read of {target.where} was made; of readers who are known, the record tells within ten minutes",
        "look again then",
    )


def _proven(evidence: str) -> Finding:
    return _finding(Verdict.PASS, evidence)


def _finding(verdict: Verdict, evidence: str, remedy: str = "") -> Finding:
    return Finding(Point.ACCESS_LOG, verdict, evidence, remedy)
