"""Steps at a database server: background jobs behind a fence, recorded after their effect was observed."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from datetime import timedelta
from functools import partial
from typing import Final, TypeAlias

from keyturn.controllers.context import BackgroundJob, Context, begin
from keyturn.controllers.managedsecret.retries import invalid_spec, state_conflict
from keyturn.controllers.managedsecret.secret_reads import SecretReads
from keyturn.core.errors import Stalled, Wait
from keyturn.core.keys import ObjectKey, TargetKey
from keyturn.core.observation.external import ProbeVerdict
from keyturn.core.observation.observed import Observed
from keyturn.core.reasons import ErrorReason
from keyturn.core.rotation import steps, transitions
from keyturn.core.rotation.credential_slots import was_found
from keyturn.core.rotation.credentials import accepted_after
from keyturn.core.spec.database import DatabaseDesired
from keyturn.core.state.records import Credential
from keyturn.core.state.state import State, state_name
from keyturn.databases.base import Account, Fence, Template
from keyturn.databases.errors import DatabaseError, Fenced, ReadOnly, Unauthorized, Unreachable
from keyturn.kube import errors, paths
from keyturn.runtime import failpoints

from .memory import AccountMemory, next_probe
from .operation import Effect, Operation
from .problems import (
    candidate_refused,
    is_answer,
    problem_of,
    taken_by,
    waits_for_server,
    with_retain_hint,
)

_TIMEOUT: Final = 30.0
"""Seconds of one step at the server."""

_DENIED_DELAY: Final = timedelta(seconds=15)
"""Seconds until a right that the admin lacked is tried again: an administrator may have granted it."""

_StepResult: TypeAlias = Effect | Wait | Stalled | Fenced


async def change_account(
    step: steps.DatabaseStep,
    key: ObjectKey,
    observed: Observed,
    state: State,
    secrets: SecretReads,
    memory: AccountMemory,
    context: Context,
) -> State | None:
    """Execute a step at the server; return the state that records it, or None if it is not done yet.

    A failure, or that the step is in progress, is kept in memory.

    Raises:
        Conflict: The state Secret has changed since the step was decided; the server was not changed.
    """
    desired = observed.database
    if desired is None:
        raise invalid_spec()
    version = secrets.state_version(key)
    name = f"{step} {version}"
    memory.take_effect(key)  # of an attempt that was not recorded, so it was not reported
    job = memory.take_job(key)
    # Wait for a running job first, whatever it does: the lock of the account would refuse a second one.
    if job is None or (job.task.done() and job.name != name):
        if not _is_admitted(step, key, desired, memory, context):
            return None
        live = accepted_after(step, observed)
        work = _run(step, key, desired, state, live, _fence(step, key, version, context), context)
        job = await begin(name, work, partial(_wake, key, memory, context))
    outcome = _end(job, step, key, desired, memory, context)
    if isinstance(outcome, Fenced):
        raise state_conflict(key, "Changed")
    if outcome is None or not _is_done(step, outcome, key, state, memory, context):
        return None
    if isinstance(step, steps.Prove):
        memory.plan_probe(key, step.number, next_probe(desired.probe_interval, context.now()))
    failpoints.reached("unrecorded", type(step).__name__)
    if isinstance(step, steps.Assert):
        return None  # the record has it already
    return state.with_facts(transitions.record(step, state.facts, observed, context.now()))


async def account_of(key: ObjectKey, desired: DatabaseDesired, context: Context) -> Account:
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
    return Account(desired.username, desired.logins, f"{key}/{uid}")


def server_of(key: ObjectKey, desired: DatabaseDesired) -> Hashable:
    """Return what the circuit breaker counts by: target and namespace, which can make its own logins fail."""
    return TargetKey.of(desired.target, key.namespace), key.namespace


def _place_of(key: ObjectKey, desired: DatabaseDesired) -> str:
    """Return account and target, for messages."""
    return f"database: account {desired.username} at {TargetKey.of(desired.target, key.namespace)}"


def _template_of(desired: DatabaseDesired) -> Template | None:
    """Return what a new account may do; None if accounts are not created."""
    if desired.template is None:
        return None
    schemas, privileges = tuple(desired.template.schemas or ()), desired.template.privileges
    return Template(schemas, tuple(map(str, privileges))) if privileges else Template(schemas)


def answer(server: Hashable, memory: AccountMemory, context: Context) -> None:
    """Record that a server answers, and wake the objects that wait for it."""
    for key in memory.servers.succeed(server):
        memory.resume(key, context.now())
        context.wake(key)


# The job


async def _run(
    step: steps.DatabaseStep,
    key: ObjectKey,
    desired: DatabaseDesired,
    state: State,
    live: tuple[Credential, ...],
    fence: Fence,
    context: Context,
) -> _StepResult:
    """Execute a step within its time; every failure is a result, without the frames that hold values."""
    where = _place_of(key, desired)
    if other := context.databases.taken_by(key):
        return taken_by(where, other)
    try:
        async with asyncio.timeout(_TIMEOUT):
            account, template = await account_of(key, desired, context), _template_of(desired)
            schemas = template.schemas if template else ()
            engine = await context.databases.engine(desired.target, key.namespace, desired.username, schemas)
        operation = Operation(engine, account, template, state, live, desired.password, fence, where)
        # Waiting for other steps is no time of the server: of a hundred at once, the last would end before it began.
        async with engine.settings.limits.steps.hold(key.namespace), asyncio.timeout(_TIMEOUT):
            return await operation.run(step)
    except Fenced as fenced:
        return fenced.with_traceback(None)
    except (DatabaseError, errors.ApiError, TimeoutError) as error:
        if isinstance(error, Unreachable | Unauthorized | ReadOnly):
            context.databases.doubt(desired.target, key.namespace)
        return problem_of(error, where)
    except (Wait, Stalled) as problem:
        return problem.with_traceback(None)


def _fence(step: steps.DatabaseStep, key: ObjectKey, version: str | None, context: Context) -> Fence:
    """Return the fence, which raises if the state Secret has changed since the step was decided."""

    async def check() -> None:
        try:
            path = paths.secret(key.namespace, state_name(key.name))
            body = await context.api.get(path, metadata_only=True)
        except errors.NotFound:
            raise Fenced from None
        if body["metadata"]["resourceVersion"] != version:
            raise Fenced
        failpoints.reached("inside", type(step).__name__)

    return check


def _end(
    job: BackgroundJob[_StepResult],
    step: steps.DatabaseStep,
    key: ObjectKey,
    desired: DatabaseDesired,
    memory: AccountMemory,
    context: Context,
) -> Effect | Fenced | None:
    """Return the result of a job; None if it failed or is in progress, which memory keeps."""
    now, where, server = context.now(), _place_of(key, desired), server_of(key, desired)
    if not job.task.done():
        memory.keep_in_progress(key, job, f"{where}: the server is being changed", now)
        return None
    match job.task.result():
        case Effect() | Fenced() as outcome:
            answer(server, memory, context)
            return outcome
        case failure:
            problem = with_retain_hint(failure) if isinstance(step, steps.Retire) else failure
            if is_answer(problem):
                answer(server, memory, context)
            elif problem.reason == ErrorReason.DATABASE_UNREACHABLE:
                memory.servers.fail(server, now)
            is_repair = isinstance(step, steps.Assert)
            if is_repair and problem.reason in {ErrorReason.CREDENTIAL_REFUSED, ErrorReason.WRONG_ROLE}:
                memory.note_repair(key, now)  # it did not help, and counts
            again = now + _DENIED_DELAY if problem.reason == ErrorReason.DATABASE_DENIED else None
            memory.fail(key, problem, now, again=again, of_repair=is_repair)
            return None


def _is_admitted(
    step: steps.DatabaseStep,
    key: ObjectKey,
    desired: DatabaseDesired,
    memory: AccountMemory,
    context: Context,
) -> bool:
    """Whether an operation may begin; if the server is down, one object at a time may send one."""
    now = context.now()
    again = memory.servers.admit(server_of(key, desired), key, now)
    if again is not None:
        problem, is_repair = waits_for_server(_place_of(key, desired)), isinstance(step, steps.Assert)
        memory.fail(key, problem, now, again=again, of_repair=is_repair)
    return again is None


def _is_done(
    step: steps.DatabaseStep,
    effect: Effect,
    key: ObjectKey,
    state: State,
    memory: AccountMemory,
    context: Context,
) -> bool:
    """Keep what a step did or found out; return whether it is to be recorded."""
    now, published = context.now(), state.facts.current_credential
    memory.keep_effect(key, effect)
    if effect.refused_at:
        memory.refuse(key, candidate_refused(effect.refused_at), now)
        if isinstance(step, steps.Prove) and was_found(step.number, state.facts):
            memory.judge(key, step.number, ProbeVerdict.REFUSED, now)  # the Secret has it
        return False
    if effect.unproven:
        memory.refuse(key, effect.unproven, now)
        return False
    memory.succeed(key)
    match step:
        case steps.Prove(number=number):
            memory.renew(key)
            memory.judge(key, number, ProbeVerdict.ACCEPTED, now)
        case steps.Assert(opens=opens) if published:
            if not opens:
                memory.note_repair(key, now)
            memory.renew(key)  # one that was found is proven next
            if published.is_proven:
                memory.judge(key, published.revision, ProbeVerdict.ACCEPTED, now)
    return True


def _wake(key: ObjectKey, memory: AccountMemory, context: Context) -> None:
    """Wake the object when its operation ends."""
    memory.resume(key, context.now())
    context.wake(key)
