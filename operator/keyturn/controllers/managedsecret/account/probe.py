"""Probe of a published database credential: one login per interval, an item of the work queue of its own.

A pass of the ManagedSecret says what is probed, and when first. The probe itself needs no pass: it reads the password
from the state Secret as that is now, and wakes the object if the result is news.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from keyturn.controllers.context import Context
from keyturn.core.errors import Stalled, Wait
from keyturn.core.keys import ObjectKey
from keyturn.core.observation.external import NEEDS_REPAIR, ProbeVerdict
from keyturn.core.observation.observed import Observed, with_facts
from keyturn.core.reasons import ConditionReason
from keyturn.core.rotation.credential_slots import record_problem
from keyturn.core.spec.database import DatabaseDesired
from keyturn.core.state.state import state_name
from keyturn.core.status.summary import condition
from keyturn.databases.base import NO_CONNECTION_LEFT, Account, Answer, Engine, Login
from keyturn.databases.errors import DatabaseError, Overloaded, Unreachable
from keyturn.kube import errors, paths
from keyturn.kube.state_secret import state_of
from keyturn.kube.target_secret import owner_of

from .change import account_of, answer, server_of
from .memory import AccountMemory, next_probe
from .operation import login_of, measure

_TIMEOUT: Final = 30.0
_RETRY_DELAY: Final = timedelta(minutes=1)
"""Pause after no login was tried: the API server did not answer, or no thread was free."""


class _Probed(NamedTuple):
    """Result of one login."""

    verdict: ProbeVerdict
    cause: str = ""
    """Why no login is admitted, or how it is locked."""


def with_account(key: ObjectKey, observed: Observed, memory: AccountMemory, context: Context) -> Observed:
    """Add what is known of the database account, and plan its next probe."""
    desired = observed.database
    if desired is None:
        memory.admit_probes(key, None)
        return observed
    target = context.databases.identity(desired.target, key.namespace)
    before = memory.replace_target(key, target)
    if before != target:
        answer(server_of(key, desired), memory, context)
        memory.resume(key, observed.now)
    if before.server != target.server:
        memory.probe_soon(key, observed.now)
    rival = context.databases.taken_by(key) if memory.problem(key) else None
    if memory.replace_claim(key, desired, rival, observed.requested):
        memory.resume(key, observed.now)
    _plan_probe(key, observed, desired, memory, context)
    return with_facts(observed, account=memory.facts(key, observed.now))


def begin_probe(key: ObjectKey, memory: AccountMemory, context: Context) -> datetime | None:
    """Start the probe of a credential in the background if it is due; return when the next one is."""
    probed, now = memory.probed(key), context.now()
    if probed is None:
        return None
    desired, number = probed
    due = memory.probe_due(key, number)
    if due is None or due > now:
        return due
    following = next_probe(desired.probe_interval, now)
    if memory.is_busy(key):
        return following  # the end of an operation wakes the object, which plans a probe before that
    again = memory.servers.admit(server_of(key, desired), key, now)
    memory.plan_probe(key, number, again or following)
    if again is None:
        memory.keep_probe(key, asyncio.create_task(_probe(key, number, desired, memory, context)))
    return again or following


def _plan_probe(
    key: ObjectKey, observed: Observed, desired: DatabaseDesired, memory: AccountMemory, context: Context
) -> None:
    """Plan the next probe of the published credential; there is none of an inactive object."""
    credential = observed.state.current_credential if observed.state else None
    is_published = credential is not None and credential.is_proven and not record_problem(observed, desired)
    if credential is None or not is_published or observed.is_inactive:
        memory.admit_probes(key, None)
        return
    number = credential.revision
    due = memory.probe_due(key, number)
    if due is None:
        before = condition(observed.managed, "CredentialValid")
        if before and before.reason == ConditionReason.CONTESTED and memory.probed(key) is None:
            memory.recall_repairs(key, before.last_transition_time)
        due = _first_probe(observed, desired)
        memory.plan_probe(key, number, due)
    elif due > observed.now + desired.probe_interval:  # the interval was longer when it was planned
        due = next_probe(desired.probe_interval, observed.now, least=0.0)
        memory.plan_probe(key, number, due)
    memory.admit_probes(key, desired)
    context.probe_at(key, due)


def _first_probe(observed: Observed, desired: DatabaseDesired) -> datetime:
    """Return when a process probes first: at once, or spread over the interval if the last one was accepted."""
    before = condition(observed.managed, "CredentialValid")
    if before is None or before.status != "True":
        return observed.now
    return next_probe(desired.probe_interval, observed.now, least=0.0)


async def _probe(
    key: ObjectKey, number: int, desired: DatabaseDesired, memory: AccountMemory, context: Context
) -> None:
    """Log in once, and wake the object if the result is news, or if it is to be repaired."""
    try:
        found = await _read_login(key, number, desired, context)
        probed = await _log_in(key, desired, *found, memory, context) if found else None
    except (errors.ApiError, Overloaded):
        _probe_later(key, number, memory, context)
        return
    if probed is None or not memory.is_probed(key, number):
        context.wake(key)  # another credential is published, of which a login with this one shows nothing
        return
    verdict, cause = probed
    if memory.judge(key, number, verdict, context.now(), cause) or verdict in NEEDS_REPAIR:
        context.wake(key)


async def _read_login(
    key: ObjectKey, number: int, desired: DatabaseDesired, context: Context
) -> tuple[Login, frozenset[str]] | None:
    """Read the published login, and the logins of the account that are recorded as closed; keep nothing else.

    None if the record has another credential now, or lacks the password. Passes have reads of their own.

    Raises:
        ApiError: The API server did not answer.
    """
    try:
        body = await context.api.get(paths.secret(key.namespace, state_name(key.name)))
        state = state_of(body) if owner_of(body) == key.name else None
    except (errors.NotFound, Stalled):
        return None
    credential = state.facts.current_credential if state else None
    if state is None or credential is None or credential.revision != number or not credential.is_proven:
        return None
    login = login_of(credential, state, desired.password)
    closed = frozenset(desired.every_login) - {one.login for one in state.facts.open_credentials}
    return (replace(login, acts_as=desired.username), closed) if login else None


def _probe_later(key: ObjectKey, number: int, memory: AccountMemory, context: Context) -> None:
    """Plan the probe again, because no login was tried."""
    if memory.is_probed(key, number):
        due = context.now() + _RETRY_DELAY
        memory.plan_probe(key, number, due)
        context.probe_at(key, due)


async def _log_in(
    key: ObjectKey,
    desired: DatabaseDesired,
    login: Login,
    closed: frozenset[str],
    memory: AccountMemory,
    context: Context,
) -> _Probed:
    """Return the result of one login; `closed` are the logins of the account that are recorded as closed.

    Raises:
        Overloaded: No login was tried, because no thread was free.
    """
    server, probed = server_of(key, desired), _Probed(ProbeVerdict.UNREACHABLE)
    try:
        async with asyncio.timeout(_TIMEOUT):
            engine = await context.databases.engine(desired.target, key.namespace, desired.username)
            probed = await _judge(await account_of(key, desired, context), login, closed, engine)
    except (Wait, Stalled, errors.ApiError):
        pass  # there is no server to ask, or the namespace cannot be read
    except (Unreachable, TimeoutError):
        memory.servers.fail(server, context.now())
        context.databases.doubt(desired.target, key.namespace)
    except Overloaded:
        raise
    except DatabaseError:  # an answer, or there was no login to ask with
        context.databases.doubt(desired.target, key.namespace)
    else:
        answer(server, memory, context)
    return probed


async def _judge(account: Account, login: Login, closed: frozenset[str], engine: Engine) -> _Probed:
    """Return the result of one login; `closed` are the logins of the account that are recorded as closed.

    Raises:
        DatabaseError: The server did not answer.
    """
    verdict = await measure(engine, "probe", engine.prove(login))
    match verdict.answer:
        case Answer.ACCEPTED:
            return _Probed(ProbeVerdict.ACCEPTED)
        case Answer.WRONG_ROLE:
            return _Probed(ProbeVerdict.WRONG_ROLE)
        case Answer.UNKNOWN if verdict.is_silence:
            raise Unreachable(verdict.reason, verdict.message)
        case Answer.UNKNOWN if verdict.reason != NO_CONNECTION_LEFT:
            return _Probed(ProbeVerdict.NOT_ADMITTED, verdict.message)
    # A login that is closed or dropped looks to a client like one with another password.
    found = await measure(engine, "find", engine.find(account))
    there = found.login(login.name)
    locked = _Probed(ProbeVerdict.LOCKED, f"login {login.name!r} {there.obstacle or 'is locked'}")
    if verdict.answer is Answer.UNKNOWN:
        return locked if there.obstacle else _Probed(ProbeVerdict.NOT_ADMITTED, verdict.message)
    if verdict.answer is Answer.LOCKED:
        return locked
    # A server that was restored, or lost its last change in a failover, has a login open that was closed since.
    is_earlier = any(one.is_open for one in found.logins if one.name in closed)
    is_usable = there.exists and (there.is_open or is_earlier) and not there.is_expired
    return _Probed(ProbeVerdict.REFUSED) if is_usable else locked
