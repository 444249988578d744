"""Memory of database accounts: the operation in progress, its last failure, the last probe, and recent repairs.

A server without an answer gets one attempt per pause and namespace. The circuit breaker of stores, which counts
single requests, is in `stores.health`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from keyturn.controllers.context import BackgroundJob
from keyturn.controllers.managedsecret.retries import retry_pause
from keyturn.core.errors import Stalled, Wait
from keyturn.core.keys import ObjectKey
from keyturn.core.observation.external import NEEDS_REPAIR, AccountFacts, ProbeVerdict
from keyturn.core.reasons import ErrorReason
from keyturn.core.spec.database import DatabaseDesired
from keyturn.core.state.state import Triggers
from keyturn.core.times import backoff
from keyturn.databases.base import TargetIdentity
from keyturn.runtime.clock import jittered

from .operation import Effect

_MAX_FAILURES: Final = 3
"""Consecutive operations without an answer after which a server counts as down."""
_FIRST_PAUSE: Final = timedelta(seconds=5)
_LONGEST_PAUSE: Final = timedelta(minutes=2)
_MOST_SERVERS: Final = 1024
"""Servers above which those are dropped that were not asked for an hour, such as of deleted targets."""
_UNUSED_AFTER: Final = timedelta(hours=1)


@dataclass(slots=True)
class _Server:
    asked: datetime
    """When the last operation failed."""
    failures: int = 0
    again: datetime | None = None
    """When the next attempt may begin; None while the server answers."""
    waiting: set[ObjectKey] = field(default_factory=set)
    """Objects whose operation was not attempted."""

    @property
    def is_down(self) -> bool:
        return self.failures >= _MAX_FAILURES


class ServerBreaker:
    """Servers without an answer, by target and namespace; a server that answers has no entry."""

    def __init__(self) -> None:
        self._servers: dict[Hashable, _Server] = {}

    def admit(self, target: Hashable, key: ObjectKey, now: datetime) -> datetime | None:
        """Return None if an operation may begin, or when the object asks again.

        Of a server that is down, one object per pause is admitted; the others are woken when it answers.
        """
        server = self._servers.get(target)
        if server is None or not server.is_down:
            return None
        if server.again is None or server.again <= now:
            server.again = now + self._pause(server)
            return None
        server.waiting.add(key)
        return now + _LONGEST_PAUSE

    def forget(self, key: ObjectKey) -> None:
        """Drop a deleted object."""
        for server in self._servers.values():
            server.waiting.discard(key)

    def fail(self, target: Hashable, now: datetime) -> None:
        """Record an operation without an answer."""
        if target not in self._servers and len(self._servers) >= _MOST_SERVERS:
            last = now - _UNUSED_AFTER
            self._servers = {
                one: kept for one, kept in self._servers.items() if kept.waiting or kept.asked > last
            }
        server = self._servers.setdefault(target, _Server(now))
        server.asked = now
        server.failures += 1
        if server.is_down:
            server.again = now + self._pause(server)

    def succeed(self, target: Hashable) -> frozenset[ObjectKey]:
        """Record an answer, whatever it says; return the objects that wait for the server."""
        server = self._servers.pop(target, None)
        return frozenset(server.waiting) if server else frozenset()

    @staticmethod
    def _pause(server: _Server) -> timedelta:
        return backoff(_FIRST_PAUSE, server.failures - _MAX_FAILURES + 1, _LONGEST_PAUSE)


_CHECK_INTERVAL: Final = timedelta(minutes=2)
_LEAST_SHARE: Final = 0.8
"""Share of the interval after which the next probe may begin; the rest is jitter."""
_PROBED_WITHIN: Final = timedelta(seconds=30)
"""Over which the probes of all accounts of a server are spread that was restarted or replaced."""
_REPAIR_WINDOW: Final = timedelta(hours=1)
_MAX_REPAIRS: Final = 3
_ANSWERS: Final = NEEDS_REPAIR | {ProbeVerdict.ACCEPTED, ProbeVerdict.LOCKED}


@dataclass(slots=True)
class _Account:
    """What is known of the account of one ManagedSecret."""

    job: BackgroundJob[Any] | None = None
    problem: Wait | Stalled | None = None
    is_of_repair: bool = False
    """Whether the problem is that of a repair, for which there is no reason once the login is accepted."""
    again: datetime | None = None
    attempts: int = 0
    refused: int = 0
    repairs: list[datetime] = field(default_factory=list)
    effect: Effect | None = None
    target: TargetIdentity | None = None
    """Identity of the target at the last observation."""
    spec: DatabaseDesired | None = None
    """The account in the spec at the last observation."""
    requested: Triggers | None = None
    """What users requested by annotations and triggers at the last observation."""
    rival: ObjectKey | None = None
    """The other ManagedSecret that had the account at the last observation after a failure."""
    verdict: ProbeVerdict = ProbeVerdict.NOT_PROBED
    is_locked: bool = False
    """Whether the last answer was that the login is closed, locked or dropped."""
    cause: str = ""
    """Why the server admits no login, or how the login is locked."""
    probed: int | None = None
    """The revision whose credential the verdict is about."""
    probed_at: datetime | None = None
    probe_due: datetime | None = None
    desired: DatabaseDesired | None = None
    """The account in the spec, if its published credential is to be probed."""
    probe: asyncio.Task[None] | None = None

    @property
    def tasks(self) -> list[asyncio.Task[Any]]:
        """Operation and probe, in progress or ended."""
        job = [self.job.task] if self.job else []
        return job + ([self.probe] if self.probe else [])


class AccountMemory:
    """Operations and probes at database servers, by ManagedSecret."""

    def __init__(self) -> None:
        self.servers = ServerBreaker()
        self._accounts: dict[ObjectKey, _Account] = {}

    def facts(self, key: ObjectKey, now: datetime) -> AccountFacts:
        account = self._account(key)
        return AccountFacts(
            verdict=self._verdict(account, now),
            cause=account.cause,
            probed_at=account.probed_at,
            problem=account.problem,
            again=account.again,
            refused=account.refused,
            locked=account.is_locked,
            busy=account.job is not None and not account.job.task.done(),
        )

    def forget(self, key: ObjectKey) -> None:
        """Cancel the operations of a deleted object, and drop its records."""
        self.servers.forget(key)
        account = self._accounts.pop(key, None)
        if account is None:
            return
        for task in account.tasks:
            task.cancel()

    async def close(self) -> None:
        """Cancel all operations, whose sessions end with them: this process leads no more."""
        tasks = [task for account in self._accounts.values() for task in account.tasks]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    # Operations

    def problem(self, key: ObjectKey) -> Wait | Stalled | None:
        """Return why the last operation failed, or that it is in progress; None after a success."""
        account = self._accounts.get(key)
        return account.problem if account else None

    def take_job(self, key: ObjectKey) -> BackgroundJob[Any] | None:
        """Remove and return the operation that was started."""
        account = self._account(key)
        job, account.job = account.job, None
        return job

    def keep_in_progress(self, key: ObjectKey, job: BackgroundJob[Any], message: str, now: datetime) -> None:
        """Keep an operation in progress; its end wakes the object."""
        account = self._account(key)
        account.job = job
        account.problem = Wait(ErrorReason.CHANGING_CREDENTIAL, message, _CHECK_INTERVAL)
        account.is_of_repair = False
        account.again = now + _CHECK_INTERVAL

    def fail(
        self,
        key: ObjectKey,
        problem: Wait | Stalled,
        now: datetime,
        *,
        again: datetime | None = None,
        of_repair: bool = False,
    ) -> None:
        """Record a failed operation; the next one is due after a back-off, or not before `again`."""
        account = self._account(key)
        account.attempts += 1
        account.problem, account.is_of_repair = problem, of_repair
        account.again = again or now + retry_pause(problem, account.attempts)

    def refuse(self, key: ObjectKey, problem: Wait, now: datetime) -> None:
        """Record that the candidate was refused, or not proven while the server refuses the published password."""
        account = self._account(key)
        account.refused += 1
        account.problem, account.is_of_repair = problem, False
        account.again = now + problem.after

    def succeed(self, key: ObjectKey) -> None:
        """End the back-off."""
        account = self._account(key)
        account.problem = account.again = None
        account.attempts = 0

    def keep_effect(self, key: ObjectKey, effect: Effect) -> None:
        """Keep what the last step did, to be reported."""
        self._account(key).effect = effect

    def take_effect(self, key: ObjectKey) -> Effect | None:
        account = self._account(key)
        effect, account.effect = account.effect, None
        return effect

    def renew(self, key: ObjectKey) -> None:
        """Forget refusals: there is another candidate, or it was accepted or given up."""
        if account := self._accounts.get(key):
            account.refused = 0
            account.problem = account.again = None

    def resume(self, key: ObjectKey, now: datetime) -> None:
        """Make a failed operation, and the next probe of a server that admitted no login, due now."""
        account = self._accounts.get(key)
        if account is None:
            return
        if account.again is not None:
            account.again = now
        if account.verdict in {ProbeVerdict.UNREACHABLE, ProbeVerdict.NOT_ADMITTED}:
            account.probe_due = now

    def probe_soon(self, key: ObjectKey, now: datetime) -> None:
        """Let the next probe begin within seconds: the server may have lost a change in a failover."""
        account = self._account(key)
        if account.probe_due is not None:
            account.probe_due = min(account.probe_due, next_probe(_PROBED_WITHIN, now, least=0.0))

    def replace_target(self, key: ObjectKey, identity: TargetIdentity) -> TargetIdentity:
        """Replace the identity of the target; return the one of the last observation, or the same at the first."""
        account = self._account(key)
        before, account.target = account.target, identity
        return before or identity

    def replace_claim(
        self, key: ObjectKey, spec: DatabaseDesired, rival: ObjectKey | None, requested: Triggers
    ) -> bool:
        """Replace the account in the spec, who else has it, and what is requested.

        Return whether a failed operation may succeed now, or a person asks for it.
        """
        account = self._account(key)
        asked, account.requested = account.requested, requested
        before, account.spec, account.rival = (account.spec, account.rival), spec, rival
        is_asked = asked is not None and asked != requested
        is_other = (before[0] is not None and before[0] != spec) or (
            before[1] is not None and before[1] != rival
        )
        return is_asked or is_other

    def note_repair(self, key: ObjectKey, now: datetime) -> None:
        """Record that the recorded credentials were set again."""
        account = self._account(key)
        account.repairs = [when for when in account.repairs if now - when < _REPAIR_WINDOW] + [now]

    def recall_repairs(self, key: ObjectKey, when: datetime) -> None:
        """Count the repairs of an earlier process, after which the credential was contested."""
        self._account(key).repairs = [when] * _MAX_REPAIRS

    # Probes

    def admit_probes(self, key: ObjectKey, desired: DatabaseDesired | None) -> None:
        """Set the account whose published credential is probed; None if there are to be no probes."""
        if desired is not None:
            self._account(key).desired = desired
        elif account := self._accounts.get(key):
            account.desired = None

    def probed(self, key: ObjectKey) -> tuple[DatabaseDesired, int] | None:
        """Return what is probed: the account, and the revision of its credential; None without probes."""
        account = self._accounts.get(key)
        if account is None or account.desired is None or account.probed is None:
            return None
        return account.desired, account.probed

    def probe_due(self, key: ObjectKey, number: int) -> datetime | None:
        """Return when the credential of a revision is probed; None if that is not known yet."""
        account = self._account(key)
        return account.probe_due if account.probed == number else None

    def is_busy(self, key: ObjectKey) -> bool:
        """Whether an operation or a probe is in progress."""
        account = self._account(key)
        probe, job = account.probe, account.job
        return (probe is not None and not probe.done()) or (job is not None and not job.task.done())

    def is_probed(self, key: ObjectKey, number: int) -> bool:
        """Whether verdicts are about the credential of a revision; not of one that was superseded meanwhile."""
        account = self._accounts.get(key)
        return account is not None and account.probed == number

    def plan_probe(self, key: ObjectKey, number: int, due: datetime) -> None:
        """Set when the credential of a revision is probed; a verdict about another one is dropped."""
        account = self._account(key)
        if account.probed != number:
            account.probed, account.verdict, account.probed_at = number, ProbeVerdict.NOT_PROBED, None
            account.cause, account.is_locked = "", False
        account.probe_due = due

    def keep_probe(self, key: ObjectKey, probe: asyncio.Task[None]) -> None:
        self._account(key).probe = probe

    def judge(
        self, key: ObjectKey, number: int, verdict: ProbeVerdict, now: datetime, cause: str = ""
    ) -> bool:
        """Record the result of a probe or of a proof; return whether it is news.

        An accepted login ends a failed repair: none is attempted any more, whose success would end the problem.
        """
        account = self._account(key)
        before = (account.probed, account.verdict, account.cause)
        account.probed, account.verdict, account.cause, account.probed_at = number, verdict, cause, now
        if verdict in _ANSWERS:
            account.is_locked = verdict is ProbeVerdict.LOCKED
        is_accepted = verdict is ProbeVerdict.ACCEPTED
        ends_repair = is_accepted and account.is_of_repair and account.problem is not None
        if ends_repair:
            account.problem = account.again = None
            account.attempts = 0
        return ends_repair or before != (number, verdict, cause)

    def _verdict(self, account: _Account, now: datetime) -> ProbeVerdict:
        """Return the last verdict; a refusal after three repairs within an hour is contested."""
        recent = sum(now - when < _REPAIR_WINDOW for when in account.repairs)
        if account.verdict in NEEDS_REPAIR and recent >= _MAX_REPAIRS:
            return ProbeVerdict.CONTESTED
        return account.verdict

    def _account(self, key: ObjectKey) -> _Account:
        account = self._accounts.get(key)
        if account is None:
            account = self._accounts[key] = _Account()
        return account


def next_probe(interval: timedelta, now: datetime, *, least: float = _LEAST_SHARE) -> datetime:
    """Return when a credential is probed again: at a random time between a share of the interval and all of it."""
    return now + timedelta(seconds=jittered(interval.total_seconds(), least))
