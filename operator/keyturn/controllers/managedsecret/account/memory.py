"""Memory of database accounts: the operation in progress, its last failure, the last probe, and recent repairs.

A server without an answer gets one attempt per pause and namespace. The circuit breaker of stores, which counts
single requests, is in `stores.health`.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

from keyturn.controllers.context import BackgroundJob
from keyturn.controllers.managedsecret.retries import failed_again, waiting
from keyturn.core.errors import Attempts, Stalled, Wait
from keyturn.core.keys import ObjectKey
from keyturn.core.observation.external import NEEDS_REPAIR, AccountFacts, ProbeVerdict
from keyturn.core.reasons import ErrorReason
from keyturn.core.spec.references import AccountDesired
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
class AccountRecord:
    """What is known of the account of one ManagedSecret."""

    job: BackgroundJob[Any] | None = None
    """The operation that was started."""
    attempts: Attempts | None = None
    """Why the last operation failed, or that it is in progress; None after a success."""
    is_of_repair: bool = False
    """Whether the problem is that of a repair, for which there is no reason once the login is accepted."""
    refused: int = 0
    repairs: list[datetime] = field(default_factory=list)
    effect: Effect | None = None
    """What the last step did, until that is reported."""
    target: TargetIdentity | None = None
    """Identity of the target at the last observation."""
    claim: tuple[AccountDesired, ObjectKey | None, Triggers] | None = None
    """At the last observation: the account in the spec, who else had it after a failure, what users requested."""
    verdict: ProbeVerdict = ProbeVerdict.NOT_PROBED
    is_locked: bool = False
    """Whether the last answer was that the login is closed, locked or dropped."""
    cause: str = ""
    """Why the server admits no login, or how the login is locked."""
    probed: int | None = None
    """The revision whose credential the verdict is about."""
    probed_at: datetime | None = None
    probe_due: datetime | None = None
    desired: AccountDesired | None = None
    """The account in the spec, if its published credential is to be probed."""
    probe: asyncio.Task[None] | None = None

    @property
    def problem(self) -> Wait | Stalled | None:
        return self.attempts.error if self.attempts else None

    @property
    def tasks(self) -> list[asyncio.Task[Any]]:
        """Operation and probe, in progress or ended."""
        job = [self.job.task] if self.job else []
        return job + ([self.probe] if self.probe else [])

    def facts(self, now: datetime) -> AccountFacts:
        return AccountFacts(
            verdict=self._verdict(now),
            cause=self.cause,
            probed_at=self.probed_at,
            problem=self.problem,
            again=self.attempts.again if self.attempts else None,
            refused=self.refused,
            locked=self.is_locked,
            busy=self.job is not None and not self.job.task.done(),
        )

    # Operations

    def keep_in_progress(self, job: BackgroundJob[Any], message: str, now: datetime) -> None:
        """Keep an operation in progress; its end wakes the object."""
        self.job, self.is_of_repair = job, False
        waits = Wait(ErrorReason.CHANGING_CREDENTIAL, message, _CHECK_INTERVAL)
        self.attempts = waiting(self.attempts, waits, now)

    def fail(
        self,
        problem: Wait | Stalled,
        now: datetime,
        *,
        again: datetime | None = None,
        of_repair: bool = False,
    ) -> None:
        """Record a failed operation; the next one is due after a back-off, or not before `again`."""
        self.attempts = failed_again(self.attempts, problem, now, again=again)
        self.is_of_repair = of_repair

    def refuse(self, problem: Wait, now: datetime) -> None:
        """Record that the candidate was refused, or not proven while the server refuses the published password."""
        self.refused += 1
        self.is_of_repair = False
        self.attempts = waiting(self.attempts, problem, now)

    def take_effect(self) -> Effect | None:
        effect, self.effect = self.effect, None
        return effect

    def renew(self) -> None:
        """Forget refusals: there is another candidate, or it was accepted or given up."""
        self.refused = 0
        self.attempts = None

    def resume(self, now: datetime) -> None:
        """Make a failed operation, and the next probe of a server that admitted no login, due now."""
        self.attempts = self.attempts and replace(self.attempts, again=now)
        if self.verdict in {ProbeVerdict.UNREACHABLE, ProbeVerdict.NOT_ADMITTED}:
            self.probe_due = now

    def replace_claim(self, spec: AccountDesired, rival: ObjectKey | None, requested: Triggers) -> bool:
        """Replace the account in the spec, who else has it, and what is requested.

        Return whether a failed operation may succeed now, or a person asks for it.
        """
        before, self.claim = self.claim, (spec, rival, requested)
        if before is None:
            return False
        return (before[0], before[2]) != (spec, requested) or before[1] not in {None, rival}

    def note_repair(self, now: datetime) -> None:
        """Record that the recorded credentials were set again."""
        self.repairs = [when for when in self.repairs if now - when < _REPAIR_WINDOW] + [now]

    def recall_repairs(self, when: datetime) -> None:
        """Count the repairs of an earlier process, after which the credential was contested."""
        self.repairs = [when] * _MAX_REPAIRS

    # Probes

    def probe_soon(self, now: datetime) -> None:
        """Let the next probe begin within seconds: the server may have lost a change in a failover."""
        if self.probe_due is not None:
            self.probe_due = min(self.probe_due, next_probe(_PROBED_WITHIN, now, least=0.0))

    def plan_probe(self, number: int, due: datetime) -> None:
        """Set when the credential of a revision is probed; a verdict about another one is dropped."""
        if self.probed != number:
            self.probed, self.verdict, self.probed_at = number, ProbeVerdict.NOT_PROBED, None
            self.cause, self.is_locked = "", False
        self.probe_due = due

    def judge(self, number: int, verdict: ProbeVerdict, now: datetime, cause: str = "") -> bool:
        """Record the result of a probe or of a proof; return whether it is news.

        An accepted login ends a failed repair: none is attempted any more, whose success would end the problem.
        """
        before = (self.probed, self.verdict, self.cause)
        self.probed, self.verdict, self.cause, self.probed_at = number, verdict, cause, now
        if verdict in _ANSWERS:
            self.is_locked = verdict is ProbeVerdict.LOCKED
        is_accepted = verdict is ProbeVerdict.ACCEPTED
        ends_repair = is_accepted and self.is_of_repair and self.attempts is not None
        if ends_repair:
            self.attempts = None
        return ends_repair or before != (number, verdict, cause)

    def _verdict(self, now: datetime) -> ProbeVerdict:
        """Return the last verdict; a refusal after three repairs within an hour is contested."""
        recent = sum(now - when < _REPAIR_WINDOW for when in self.repairs)
        if self.verdict in NEEDS_REPAIR and recent >= _MAX_REPAIRS:
            return ProbeVerdict.CONTESTED
        return self.verdict


class AccountMemory:
    """Operations and probes at database servers, by ManagedSecret."""

    def __init__(self) -> None:
        self.servers = ServerBreaker()
        self.records: defaultdict[ObjectKey, AccountRecord] = defaultdict(AccountRecord)

    def of(self, key: ObjectKey) -> AccountRecord:
        """Return the record of an object, which lasts until the object is forgotten."""
        return self.records[key]

    def known(self, key: ObjectKey) -> AccountRecord | None:
        return self.records.get(key)

    def answer(self, server: Hashable, now: datetime, wake: Callable[[ObjectKey], None]) -> None:
        """Record that a server answers, and wake the objects that wait for it."""
        for key in self.servers.succeed(server):
            self.of(key).resume(now)
            wake(key)

    def forget(self, key: ObjectKey) -> None:
        """Cancel the operations of a deleted object, and drop its records."""
        self.servers.forget(key)
        if record := self.records.pop(key, None):
            for task in record.tasks:
                task.cancel()

    async def close(self) -> None:
        """Cancel all operations, whose sessions end with them: this process leads no more."""
        tasks = [task for record in self.records.values() for task in record.tasks]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


def next_probe(interval: timedelta, now: datetime, *, least: float = _LEAST_SHARE) -> datetime:
    """Return when a credential is probed again: at a random time between a share of the interval and all of it."""
    return now + timedelta(seconds=jittered(interval.total_seconds(), least))
