"""Probe of a published database credential: one login per interval, an item of the work queue of its own.

A pass of the ManagedSecret says what is probed, and when first. The probe itself needs no pass: it reads the password
from the state Secret as that is now, and wakes the object if the result is news.
"""

import asyncio
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from keyturn.controllers.context import Context
from keyturn.core.errors import Stalled, Wait
from keyturn.core.keys import ObjectKey, ProbeKey
from keyturn.core.observation.external import NEEDS_REPAIR, ProbeVerdict
from keyturn.core.observation.observed import Observed, with_facts
from keyturn.core.reasons import ConditionReason
from keyturn.core.rotation.credential_slots import record_problem
from keyturn.core.spec.references import AccountDesired
from keyturn.core.state.state import state_name
from keyturn.core.status.summary import condition
from keyturn.databases.base import NO_CONNECTION_LEFT, Account, Answer, Engine, Login
from keyturn.databases.errors import DatabaseError, Overloaded, Unreachable
from keyturn.kube import errors, paths
from keyturn.kube.state_secret import state_of
from keyturn.kube.target_secret import owner_of

from .change import account_of, server_of
from .memory import AccountMemory, AccountRecord, next_probe
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
    desired = observed.account_desired
    if desired is None:
        memory.of(key).desired = None
        return observed
    record, target = memory.of(key), context.databases.identity(desired.target, key.namespace)
    before, record.target = record.target or target, target
    if before != target:
        memory.answer(server_of(key, desired), context.now(), context.queue.add)
        record.resume(observed.now)
    if before.server != target.server:
        record.probe_soon(observed.now)
    rival = context.databases.taken_by(key) if record.problem else None
    if record.replace_claim(desired, rival, observed.requested):
        record.resume(observed.now)
    record.desired = _plan_probe(observed, desired, record)
    if record.desired and record.probe_due:
        context.queue.put(ProbeKey.of(key), record.probe_due)
    return with_facts(observed, account=record.facts(observed.now))


def begin_probe(key: ObjectKey, memory: AccountMemory, context: Context) -> datetime | None:
    """Start the probe of a credential in the background if it is due; return when the next one is."""
    record, now = memory.known(key), context.now()
    if record is None or record.desired is None or record.probed is None:
        return None
    if record.probe_due is None or record.probe_due > now:
        return record.probe_due
    following = next_probe(record.desired.probe_interval, now)
    if not all(task.done() for task in record.tasks):
        return following  # the end of an operation wakes the object, which plans a probe before that
    again = memory.servers.admit(server_of(key, record.desired), key, now)
    record.probe_due = again or following
    if again is None:
        probe = _Probe(key, record.probed, record.desired, record, memory, context)
        record.probe = asyncio.create_task(probe.run())
    return record.probe_due


def _plan_probe(observed: Observed, desired: AccountDesired, record: AccountRecord) -> AccountDesired | None:
    """Plan the next probe of the published credential; return its account, or None for an inactive object."""
    credential = observed.state.current_credential if observed.state else None
    is_published = credential is not None and credential.is_proven and not record_problem(observed)
    if credential is None or not is_published or observed.is_inactive:
        return None
    interval, due = desired.probe_interval, record.probe_due
    if due is None or record.probed != credential.revision:
        before = condition(observed.managed, "CredentialValid")
        if before and before.reason == ConditionReason.CONTESTED and record.probed is None:
            record.recall_repairs(before.last_transition_time)
        # A process probes at once, or spreads the probes over the interval if the last one was accepted.
        was_accepted = before is not None and before.status == "True"
        due = next_probe(interval, observed.now, least=0.0) if was_accepted else observed.now
    elif due > observed.now + interval:  # the interval was longer when it was planned
        due = next_probe(interval, observed.now, least=0.0)
    record.plan_probe(credential.revision, due)
    return desired


@dataclass(frozen=True, slots=True)
class _Probe:
    """One login with the credential of a revision."""

    key: ObjectKey
    number: int
    desired: AccountDesired
    record: AccountRecord
    memory: AccountMemory
    context: Context

    async def run(self) -> None:
        """Log in once, and wake the object if the result is news, or if it is to be repaired."""
        context, record = self.context, self.record
        try:
            found = await self._read_login()
            probed = await self._log_in(*found) if found else None
        except (errors.ApiError, Overloaded):  # no login was tried
            if record.probed == self.number:
                record.probe_due = context.now() + _RETRY_DELAY
                context.queue.put(ProbeKey.of(self.key), record.probe_due)
            return
        if probed is None or record.probed != self.number:
            context.queue.add(
                self.key
            )  # another credential is published, of which a login with this one shows nothing
            return
        verdict, cause = probed
        if record.judge(self.number, verdict, context.now(), cause) or verdict in NEEDS_REPAIR:
            context.queue.add(self.key)

    async def _read_login(self) -> tuple[Login, frozenset[str]] | None:
        """Read the published login, and the logins of the account that are recorded as closed; keep nothing else.

        None if the record has another credential now, or lacks the password. Passes have reads of their own.
        """
        key, desired = self.key, self.desired
        try:
            body = await self.context.api.get(paths.secret(key.namespace, state_name(key.name)))
            state = state_of(body) if owner_of(body) == key.name else None
        except (errors.NotFound, Stalled):
            return None
        credential = state.facts.current_credential if state else None
        if (
            state is None
            or credential is None
            or credential.revision != self.number
            or not credential.is_proven
        ):
            return None
        login = login_of(credential, state, desired.password)
        closed = frozenset(desired.every_name) - {one.login for one in state.facts.open_credentials}
        return (replace(login, acts_as=desired.username), closed) if login else None

    async def _log_in(self, login: Login, closed: frozenset[str]) -> _Probed:
        """Return the result of one login; `closed` are the logins of the account that are recorded as closed.

        Raises:
            Overloaded: No login was tried, because no thread was free.
        """
        context, key, desired = self.context, self.key, self.desired
        server, probed = server_of(key, desired), _Probed(ProbeVerdict.UNREACHABLE)
        try:
            async with asyncio.timeout(_TIMEOUT):
                engine = await context.databases.engine(desired.target, key.namespace, desired.username)
                probed = await _judge(await account_of(key, desired, context), login, closed, engine)
        except (Wait, Stalled, errors.ApiError):
            pass  # there is no server to ask, or the namespace cannot be read
        except (Unreachable, TimeoutError):
            self.memory.servers.fail(server, context.now())
            context.databases.doubt(desired.target, key.namespace)
        except Overloaded:
            raise
        except DatabaseError:  # an answer, or there was no login to ask with
            context.databases.doubt(desired.target, key.namespace)
        else:
            self.memory.answer(server, context.now(), context.queue.add)
        return probed


async def _judge(account: Account, login: Login, closed: frozenset[str], engine: Engine) -> _Probed:
    """Return the result of one login; `closed` are the logins of the account that are recorded as closed."""
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
    is_usable = there.is_lost or (there.exists and (there.is_open or is_earlier) and not there.is_expired)
    return _Probed(ProbeVerdict.REFUSED) if is_usable else locked
