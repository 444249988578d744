"""Steps at a database server: background jobs behind a fence, recorded after their effect was observed."""

import asyncio
from collections.abc import Hashable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, TypeAlias

from keyturn.controllers.context import BackgroundJob, Context, begin
from keyturn.controllers.managedsecret.retries import invalid_spec, state_conflict
from keyturn.core.errors import Stalled, Wait
from keyturn.core.keys import ObjectKey, TargetKey
from keyturn.core.observation.external import ProbeVerdict
from keyturn.core.observation.observed import Observed
from keyturn.core.reasons import ErrorReason
from keyturn.core.rotation import steps, transitions
from keyturn.core.rotation.credential_slots import was_found
from keyturn.core.rotation.steps import Action
from keyturn.core.spec.references import AccountDesired
from keyturn.core.state.state import State, state_name
from keyturn.databases.base import Account, Template
from keyturn.databases.errors import DatabaseError, Fenced, ReadOnly, Unauthorized, Unreachable
from keyturn.kube import errors, paths
from keyturn.runtime import failpoints

from .memory import AccountMemory, AccountRecord, next_probe
from .operation import Effect, Operation
from .problems import candidate_refused, is_answer, problem_of, taken_by, waits_for_server, with_retain_hint

_TIMEOUT: Final = 30.0
"""Seconds of one step at the server."""

_DENIED_DELAY: Final = timedelta(seconds=15)
"""Seconds until a right that the admin lacked is tried again: an administrator may have granted it."""

_StepResult: TypeAlias = Effect | Wait | Stalled | Fenced


async def change_account(
    step: steps.Account,
    key: ObjectKey,
    observed: Observed,
    state: State,
    version: str | None,
    memory: AccountMemory,
    context: Context,
) -> State | None:
    """Execute a step at the server; return the state that records it, or None if it is not done yet.

    A failure, or that the step is in progress, is kept in memory. `version` is that of the state Secret.

    Raises:
        Conflict: The state Secret has changed since the step was decided; the server was not changed.
    """
    desired = observed.account_desired
    if desired is None:
        raise invalid_spec()
    change = _Change(step, key, desired, state, version, memory.of(key), memory, context)
    outcome = await change.take()
    if isinstance(outcome, Fenced):
        raise state_conflict(key, "Changed")
    if outcome is None or not change.is_done(outcome):
        return None
    failpoints.reached("unrecorded", step.action)
    if step.action is Action.ASSERT:
        return None  # the record has it already
    return state.with_facts(transitions.record(step, state.facts, observed, context.now()))


@dataclass(frozen=True, slots=True)
class _Change:
    """One step at one account."""

    step: steps.Account
    key: ObjectKey
    desired: AccountDesired
    state: State
    version: str | None
    record: AccountRecord
    memory: AccountMemory
    context: Context

    async def take(self) -> Effect | Fenced | None:
        """Return what a job did; None if it failed or is in progress, which the record keeps."""
        name = f"{self.step} {self.version}"
        self.record.take_effect()  # of an attempt that was not recorded, so it was not reported
        job, self.record.job = self.record.job, None
        # Wait for a running job first, whatever it does: the lock of the account would refuse a second one.
        if job is None or (job.task.done() and job.name != name):
            server = server_of(self.key, self.desired)
            # If the server is down, one object at a time may send an operation.
            if again := self.memory.servers.admit(server, self.key, self.context.now()):
                waits = waits_for_server(self._where)
                self.record.fail(waits, self.context.now(), again=again, of_repair=self._is_repair)
                return None
            job = await begin(name, self._run(), self._wake)
        return self._end(job)

    async def _run(self) -> _StepResult:
        """Execute the step within its time; every failure is a result, without the frames that hold values."""
        context, desired, namespace = self.context, self.desired, self.key.namespace
        if other := context.databases.taken_by(self.key):
            return taken_by(self._where, other)
        try:
            async with asyncio.timeout(_TIMEOUT):
                account, template = await account_of(self.key, desired, context), _template_of(desired)
                engine = await context.databases.engine(desired.target, namespace, desired.username, template)
            operation = Operation(
                engine, account, template, self.state, self.step, desired.password, self._check, self._where
            )
            # Waiting for other steps is no time of the server: of a hundred at once, the last would end before it
            # began.
            async with engine.settings.limits.steps.hold(namespace), asyncio.timeout(_TIMEOUT):
                return await operation.run()
        except Fenced as fenced:
            return fenced.with_traceback(None)
        except (DatabaseError, errors.ApiError, TimeoutError) as error:
            if isinstance(error, Unreachable | Unauthorized | ReadOnly):
                context.databases.doubt(desired.target, namespace)
            return problem_of(error, self._where)
        except (Wait, Stalled) as problem:
            return problem.with_traceback(None)

    async def _check(self) -> None:
        """Raise Fenced if the state Secret has changed since the step was decided."""
        try:
            path = paths.secret(self.key.namespace, state_name(self.key.name))
            body = await self.context.api.get(path, metadata_only=True)
        except errors.NotFound:
            raise Fenced from None
        if body["metadata"]["resourceVersion"] != self.version:
            raise Fenced
        failpoints.reached("inside", self.step.action)

    def _end(self, job: BackgroundJob[_StepResult]) -> Effect | Fenced | None:
        now, server = self.context.now(), server_of(self.key, self.desired)
        if not job.task.done():
            self.record.keep_in_progress(job, f"{self._where}: the server is being changed", now)
            return None
        outcome = job.task.result()
        if isinstance(outcome, Effect | Fenced):
            self.memory.answer(server, now, self.context.queue.add)
            return outcome
        problem = with_retain_hint(outcome) if self.step.action is Action.RETIRE else outcome
        if is_answer(problem):
            self.memory.answer(server, now, self.context.queue.add)
        elif problem.reason == ErrorReason.DATABASE_UNREACHABLE:
            self.memory.servers.fail(server, now)
        if self._is_repair and problem.reason in {ErrorReason.CREDENTIAL_REFUSED, ErrorReason.WRONG_ROLE}:
            self.record.note_repair(now)  # it did not help, and counts
        again = now + _DENIED_DELAY if problem.reason == ErrorReason.DATABASE_DENIED else None
        self.record.fail(problem, now, again=again, of_repair=self._is_repair)
        return None

    def is_done(self, effect: Effect) -> bool:
        """Keep what the step did or found out; return whether it is to be recorded."""
        record, now, facts = self.record, self.context.now(), self.state.facts
        record.effect = effect
        if problem := candidate_refused(effect.refused_at) if effect.refused_at else effect.unproven:
            record.refuse(problem, now)
            tried = self.step.credential.revision
            if effect.refused_at and was_found(tried, facts):
                record.judge(tried, ProbeVerdict.REFUSED, now)  # the Secret has it
            return False
        record.attempts = None
        match self.step.action:
            case Action.PROVE:
                number = self.step.credential.revision
                record.renew()
                record.judge(number, ProbeVerdict.ACCEPTED, now)
                record.plan_probe(number, next_probe(self.desired.probe_interval, now))
            case Action.ASSERT if published := facts.current_credential:
                if not self.step.opens:
                    record.note_repair(now)
                record.renew()  # one that was found is proven next
                if published.is_proven:
                    record.judge(published.revision, ProbeVerdict.ACCEPTED, now)
        return True

    def _wake(self) -> None:
        """Wake the object when its operation ends."""
        self.record.resume(self.context.now())
        self.context.queue.add(self.key)

    @property
    def _is_repair(self) -> bool:
        return self.step.action is Action.ASSERT

    @property
    def _where(self) -> str:
        """Return account and target, for messages."""
        target = TargetKey.of(self.desired.target, self.key.namespace)
        return f"account {self.desired.username} at {target}"


async def account_of(key: ObjectKey, desired: AccountDesired, context: Context) -> Account:
    """Return the account at the server; its mark is the same for a ManagedSecret that is created again.

    The mark has the UID of the namespace, so that two clusters with the same ManagedSecret, such as a cluster and its
    copy, do not both change one account. If namespaces are not watched, the UID is read at the API server.

    Raises:
        ApiError: The namespace cannot be read.
    """
    uid = context.cache.uid(key.namespace)
    if uid is None:
        body = await context.api.get(paths.namespace(key.namespace), metadata_only=True)
        uid = body["metadata"]["uid"]
    return Account(desired.username, desired.capacity, f"{key}/{uid}", _template_of(desired))


def server_of(key: ObjectKey, desired: AccountDesired) -> Hashable:
    """Return what the circuit breaker counts by: target and namespace, which can make its own logins fail."""
    return TargetKey.of(desired.target, key.namespace), key.namespace


def _template_of(desired: AccountDesired) -> Template | None:
    """Return what a new account may do, by the names that the spec has as well; None if accounts are not created."""
    if desired.template is None:
        return None
    return Template(**{name: tuple(map(str, those)) for name, those in desired.template if those})
