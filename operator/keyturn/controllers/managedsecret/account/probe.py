"""Probe of a published database credential: one login per interval, whose result is part of the observation."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from keyturn.core.errors import Stalled, Wait
from keyturn.core.observation.account import ProbeVerdict
from keyturn.core.observation.observed import with_facts
from keyturn.core.rotation.credential_slots import record_problem
from keyturn.databases.base import Answer
from keyturn.databases.errors import DatabaseError, Unreachable
from keyturn.kube.errors import ApiError

from .change import account_of, answer, server_of
from .memory import next_probe
from .operation import login_of, measure

if TYPE_CHECKING:
    from datetime import datetime

    from keyturn.controllers.context import Context
    from keyturn.controllers.managedsecret.secret_reads import SecretReads
    from keyturn.core.keys import ObjectKey
    from keyturn.core.observation.observed import Observed
    from keyturn.core.spec.database import DatabaseDesired
    from keyturn.databases.base import Account, Engine, Login

    from .memory import AccountMemory

__all__ = ["with_account"]

_TIMEOUT: Final = 30.0


async def with_account(
    key: ObjectKey, observed: Observed, secrets: SecretReads, memory: AccountMemory, context: Context
) -> Observed:
    """Add what is known of the database account; start a probe if one is due, whose end wakes the object."""
    desired = observed.database
    if desired is None:
        return observed
    if memory.is_other_target(key, context.databases.identity(desired.target, key.namespace)):
        answer(server_of(key, desired), memory, context)
        memory.resume(key, observed.now)
    if not _is_at_rest(observed):
        await _probe_if_due(key, observed, desired, secrets, memory, context)
    return with_facts(observed, account=memory.facts(key, observed.now))


async def _probe_if_due(
    key: ObjectKey,
    observed: Observed,
    desired: DatabaseDesired,
    secrets: SecretReads,
    memory: AccountMemory,
    context: Context,
) -> None:
    credential = observed.state.current_credential if observed.state else None
    if credential is None or not credential.is_proven or record_problem(observed, desired):
        return
    number, now = credential.revision, observed.now
    due = memory.probe_due(key, number)
    if due is None:
        due = _first_probe(observed, desired)
        memory.plan_probe(key, number, due)
    if due > now or memory.is_busy(key):
        return
    state = await secrets.state(key)
    login = login_of(credential, state, desired.password) if state else None
    again = memory.servers.admit(server_of(key, desired), key, now)
    memory.plan_probe(key, number, again or next_probe(desired.probe_interval, now))
    if login and again is None:
        opened = (
            frozenset(one.login for one in observed.state.open_credentials) if observed.state else frozenset()
        )
        closed = frozenset(desired.every_login) - opened
        probe = _probe(key, number, desired, login, closed, memory, context)
        memory.keep_probe(key, asyncio.create_task(probe))


def _is_at_rest(observed: Observed) -> bool:
    metadata = observed.managed.metadata
    return bool(observed.trouble or observed.managed.spec.suspend or metadata.deletion_timestamp)


def _first_probe(observed: Observed, desired: DatabaseDesired) -> datetime:
    """Return when a process probes first: at once, or spread over the interval if the last one was accepted."""
    conditions = observed.managed.status.conditions
    was_accepted = any(one.type == "CredentialValid" and one.status == "True" for one in conditions)
    return next_probe(desired.probe_interval, observed.now, least=0.0) if was_accepted else observed.now


async def _probe(
    key: ObjectKey,
    number: int,
    desired: DatabaseDesired,
    login: Login,
    closed: frozenset[str],
    memory: AccountMemory,
    context: Context,
) -> None:
    """Log in once, and wake the object if the result is news, or if it is to be repaired."""
    server, verdict = server_of(key, desired), ProbeVerdict.UNREACHABLE
    try:
        async with asyncio.timeout(_TIMEOUT):
            engine = await context.databases.engine(desired.target, key.namespace, desired.username)
            verdict = await _judge(await account_of(key, desired, context), login, closed, engine)
    except (Wait, Stalled, ApiError):
        pass  # there is no server to ask, or the namespace cannot be read
    except (Unreachable, TimeoutError):
        memory.servers.fail(server, context.now())
        context.databases.doubt(desired.target, key.namespace)
    except DatabaseError:  # an answer, or there was no login to ask with
        context.databases.doubt(desired.target, key.namespace)
    else:
        answer(server, memory, context)
    if not memory.is_probed(key, number):
        context.wake(key)  # another credential was published meanwhile, of which this login shows nothing
    elif memory.judge(key, number, verdict, context.now()) or verdict is ProbeVerdict.REFUSED:
        context.wake(key)


async def _judge(account: Account, login: Login, closed: frozenset[str], engine: Engine) -> ProbeVerdict:
    """Return the result of one login; `closed` are the logins of the account that are recorded as closed.

    Raises:
        DatabaseError: The server did not answer.
    """
    verdict = await measure(engine, "probe", engine.prove(login))
    match verdict.answer:
        case Answer.ACCEPTED:
            return ProbeVerdict.ACCEPTED
        case Answer.LOCKED:
            return ProbeVerdict.LOCKED
        case Answer.UNKNOWN:
            raise Unreachable(verdict.reason, verdict.message)
    # A login that is closed or dropped looks to a client like one with another password.
    found = await measure(engine, "find", engine.find(account))
    there = found.login(login.name)
    # A server that was restored, or lost its last change in a failover, has a login open that was closed since.
    is_earlier = any(one.is_open for one in found.logins if one.name in closed)
    is_usable = there.exists and (there.is_open or is_earlier) and not there.is_expired
    return ProbeVerdict.REFUSED if is_usable else ProbeVerdict.LOCKED
