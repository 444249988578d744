"""Operations of one step at a database server: claim an account, assert its credentials, prove and refuse logins."""

from collections.abc import Coroutine
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Any, Final, TypeVar

from keyturn.core.errors import Stalled, Wait
from keyturn.core.reasons import ErrorReason
from keyturn.core.rotation import steps
from keyturn.core.rotation.credential_slots import was_found, was_in_use
from keyturn.core.rotation.steps import Action
from keyturn.core.spec.items import VALUE
from keyturn.core.state.records import Credential
from keyturn.core.state.state import State
from keyturn.databases.base import (
    PUBLISHED_REFUSED,
    Account,
    Answer,
    Endpoint,
    Engine,
    Fence,
    Found,
    Login,
    Template,
    Verdict,
    prove_refused,
)
from keyturn.databases.errors import DatabaseError, Forbidden, Missing
from keyturn.runtime import metrics
from keyturn.runtime.clock import loop_time

from .problems import (
    lost_mark,
    lost_password,
    no_proof,
    not_closed,
    not_replaced,
    published_refused,
    refused_after_repair,
    refused_elsewhere,
    still_accepted,
    wrong_password,
    wrong_role,
)

T = TypeVar("T")

_LONGEST_MARK: Final = 400
"""Characters of a mark in a message; namespace, name and UID have fewer."""
_UNMARKED: Final = frozenset({"AccountNotClaimed", "AccountInUse"})
"""Refusals of an account, or of one of its logins, that has no mark."""
_NOT_OURS: Final = frozenset({*_UNMARKED, "AccountTaken"})


class Claimed(Enum):
    """How an account became one of Keyturn's."""

    CREATED = auto()
    ADOPTED = auto()


@dataclass(frozen=True, slots=True)
class OpenSessions:
    """Sessions of one login from one client address."""

    login: str
    address: str
    """Empty if the server does not show it."""
    count: int


@dataclass(frozen=True, slots=True)
class Effect:
    """What a step did, or found out, at the server."""

    claimed: Claimed | None = None
    refused_at: Endpoint | None = None
    """Where the candidate was refused, while the published credential was accepted."""
    unproven: Wait | None = None
    """Why an address proves nothing about the candidate, which replaces the published password at the server."""
    sessions: tuple[OpenSessions, ...] = ()
    """Open sessions of a login that was closed."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One step at one server, with the recorded credentials and their passwords."""

    engine: Engine
    account: Account
    template: Template | None
    state: State
    step: steps.Account
    password: str
    """The item that is the password."""
    fence: Fence
    where: str
    """Account and target, for messages."""

    async def run(self) -> Effect | Wait | Stalled:
        """Execute the step. Idempotent: each change asserts the whole recorded set.

        Raises:
            DatabaseError: The server did not execute it.
            ApiError: The fence could not read the record; nothing was changed.
        """
        match self.step.action:
            case Action.APPLY:
                return await self._find_silence() or Effect(await self._open())
            case Action.PROVE:
                return await self._prove()
            case Action.ASSERT:
                return await self._assert()
            case Action.REVOKE:
                return await self._revoke()
            case Action.RETIRE:
                return await self._retire()

    # Changes

    async def _claim(self) -> Claimed | None:
        """Claim the account and create its missing roles, unless that is done."""
        found = await self._find()
        if found.mark == self.account.mark and found.is_complete and not found.unclaimed:
            return None
        # An account that is not Keyturn's to claim is refused by the engine, with its sentence.
        proven = frozenset(one.name for one in found.unclaimed if found.is_claimable)
        for name in sorted(proven):
            await self._prove_login(name)
        # An owner that Keyturn had was renamed or dropped: a new one would own nothing of the application.
        had_account = any(one.proven_at for one in self.state.facts.credentials)
        template = None if had_account else self.template
        creating = self.engine.create(self.account, template, self.fence, proven)
        before = await measure(self.engine, "create", creating)
        if before.mark == self.account.mark:
            return None
        return Claimed.ADOPTED if before.owner.exists else Claimed.CREATED

    async def _open(self) -> Claimed | None:
        """Bring the account, which is claimed and created before if that was not done."""
        # A published login shows that it was, which spares a session of the admin with each rotation.
        if self._published() and await self._not_brought() is None:
            return None
        claimed = await self._claim()
        await self._bring()
        return claimed

    async def _find_silence(self) -> Wait | None:
        """Return why a password that replaces another one could not be proven at an endpoint; None if it could be.

        The server refuses the other one from then on. If it does so already, the process ended before the record.
        """
        if self.account.capacity.overlaps:
            return None
        new = self.step.credential
        others = (one for one in self.state.facts.open_credentials if one.revision != new.revision)
        replaced = next((login for one in others if (login := self._login(one))), None)
        if replaced is None:
            return None
        for endpoint in self.engine.settings.endpoints:
            verdict = await self._try(replaced, endpoint)
            if verdict.proves_nothing:
                return not_replaced(self._no_proof(verdict, endpoint))
            if endpoint == self.engine.settings.endpoint and verdict.answer is not Answer.ACCEPTED:
                return None
        return None

    async def _not_brought(self) -> Missing | Forbidden | None:
        """Bring the account; return why not, if it is not claimed or not complete: then nothing is changed."""
        try:
            await self._bring()
        except Missing as missing:
            return missing.with_traceback(None)
        except Forbidden as error:
            if error.code not in _NOT_OURS:
                raise
            return error.with_traceback(None)
        return None

    async def _find(self) -> Found:
        return await measure(self.engine, "find", self.engine.find(self.account))

    async def _is_claimed(self) -> bool:
        """Whether the account has the mark of this ManagedSecret."""
        return (await self._find()).mark == self.account.mark

    async def _prove_login(self, name: str) -> None:
        """Log in with a recorded password: that of a published login first, and also one that is to be closed."""
        recorded = [one for one in self._recorded if one.login == name]
        for login in (login for one in recorded if (login := self._login(one))):
            verdict = await self._try(login)
            if verdict.answer is Answer.ACCEPTED:
                return
            if verdict.answer is not Answer.REFUSED:
                raise no_proof(self.where, verdict)
        live = [one for one in recorded if one in self.step.live]
        if lost := [one for one in live if self._login(one) is None]:
            raise lost_password(self.where, lost[0].revision)
        if any(was_found(one.revision, self.state.facts) and not one.is_proven for one in live):
            raise wrong_password(self.where)
        if any(one.is_proven or was_in_use(one.revision, self.state.facts) for one in live):
            raise lost_mark(self.where, name, self.engine.marking(self.account))
        raise Stalled(
            ErrorReason.ACCOUNT_EXISTS,
            f"{self.where}: {name} exists and may log in with a password that Keyturn does not have, and would be"
            " closed; write its username and password into the Secret and set target.adopt: IfUnowned, or close it"
            " at the server",
        )

    async def _bring(self) -> None:
        """Make the server accept exactly the credentials that are open after the step.

        Raises:
            Stalled: The record lacks a password; without it the login would be closed.
        """
        logins = [(one, self._login(one)) for one in self.step.live]
        if lost := [one for one, login in logins if login is None]:
            raise lost_password(self.where, lost[0].revision)
        live = tuple(login for _, login in logins if login)
        await measure(self.engine, "bring", self.engine.bring(self.account, live, self.fence))

    async def _assert(self) -> Effect | Wait | Stalled:
        credential = self.state.facts.current_credential
        # A password that was found in the Secret is set only in an account that is Keyturn's already.
        if credential and not credential.is_proven and not await self._is_claimed():
            return wrong_password(self.where)
        claimed = await (self._open() if self.step.opens else self._bring())
        published = self._published()
        verdict = await self._try(self._as_owner(published)) if published else None
        if verdict is None or verdict.answer is Answer.ACCEPTED:
            return Effect(claimed)
        if verdict.answer is Answer.WRONG_ROLE:
            return wrong_role(self.where, verdict)
        if verdict.answer is Answer.UNKNOWN:
            return no_proof(self.where, verdict)
        return refused_after_repair(self.where)

    # Proofs

    async def _prove(self) -> Effect | Wait | Stalled:
        """Log in with a candidate at every endpoint, the server first.

        A pooler or replica that refuses what the server accepts is waited for, as it would refuse another candidate,
        too; but not if the candidate has replaced the password of the published login. Nor is silence there.
        """
        number = self.step.credential.revision
        login = self._login(self.step.credential)
        if login is None:
            return lost_password(self.where, number)
        published, endpoints = self._published(), self.engine.settings.endpoints
        for endpoint in endpoints:
            verdict = await self._try(self._as_owner(login), endpoint)
            if verdict.answer is Answer.WRONG_ROLE:
                await self._bring()
                verdict = await self._try(self._as_owner(login), endpoint)
            if verdict.answer is Answer.ACCEPTED:
                continue
            if verdict.answer is Answer.WRONG_ROLE:
                return wrong_role(self.where, verdict)
            is_replacing = published is not None and not self.account.capacity.overlaps
            if verdict.proves_nothing:
                problem = self._no_proof(verdict, endpoint)
                return Effect(unproven=problem) if endpoint != endpoints[0] and is_replacing else problem
            if endpoint != endpoints[0] and not is_replacing:
                return refused_elsewhere(endpoint, verdict)
            return await self._doubt(number, endpoint)
        # An account is adopted once the password that was found is proven.
        return Effect(await self._claim() if was_found(number, self.state.facts) else None)

    async def _doubt(self, number: int, endpoint: Endpoint) -> Effect | Wait | Stalled:
        """Return the refusal of a candidate, if the endpoint accepts the published login."""
        if was_found(number, self.state.facts) and not await self._is_claimed():
            return wrong_password(self.where)
        published = self._published()
        if published is None or not self.account.capacity.overlaps:
            return Effect(refused_at=endpoint)
        verdict = await self._try(published, endpoint)
        if verdict.answer is Answer.ACCEPTED:
            return Effect(refused_at=endpoint)
        return self._unknown(verdict, endpoint)

    async def _revoke(self) -> Effect | Wait:
        """Close a login, and prove at every endpoint that it is refused and the published one accepted."""
        credential = self.step.credential
        cause, claimed = await self._close()
        if cause is None and self.step.ends_sessions:
            ending = self.engine.end_sessions(self.account, credential.login, self.fence)
            await measure(self.engine, "end_sessions", ending)
        if problem := await self._prove_closed(credential, cause):
            return problem
        return Effect(claimed, sessions=await self._sessions(credential) if cause is None else ())

    async def _close(self) -> tuple[DatabaseError | None, Claimed | None]:
        """Close each login that must not be accepted; return why not, if the account is not Keyturn's.

        Either a candidate that is given up was never opened there, or an administrator removed the mark or a role.
        With a published login, an account without a mark is claimed again, as for a candidate, and one that a backup
        lacks is created again.
        """
        cause = await self._not_brought()
        if cause is None or not self.step.live:
            return cause, None
        if isinstance(cause, Forbidden) and cause.code not in _UNMARKED:
            raise cause
        created = await self._claim()
        await self._bring()
        return None, created if isinstance(cause, Missing) else None

    async def _prove_closed(self, credential: Credential, cause: DatabaseError | None) -> Wait | None:
        """Return why the refusal of a login is not proven; None if it is.

        `cause` is why the account is not Keyturn's. If the password is lost as well, nothing there is known to be.
        """
        old, current, login = self._login(credential), self._published(), credential.login
        server = self.engine.settings.endpoint
        if old is None:  # its password is lost, so no login can be tried
            if cause or login in self._live_logins:
                return None
            found = await self._find()
            return still_accepted(self.where, login, server) if found.login(login).is_open else None
        for endpoint in self.engine.settings.endpoints:
            if current:
                proof = prove_refused(self.engine, old, current, endpoint)
                verdict = await measure(self.engine, "prove", proof)
            else:
                verdict = await self._try(old, endpoint)
            if verdict.may_be_accepted and cause and endpoint == server:
                remedy = f"or close the login as an administrator: {self.engine.closing(login)}"
                return not_closed(self.where, login, endpoint, cause.message, remedy)
            if verdict.may_be_accepted:
                return still_accepted(self.where, login, endpoint, verdict.message)
            if verdict.answer is Answer.UNKNOWN:
                return self._unknown(verdict, endpoint)
        return None

    async def _retire(self) -> Effect | Wait:
        """Close the account, and prove at every endpoint that each recorded login is refused.

        The engine closes only what has the mark, and after a crash nothing has it any more.
        """
        await measure(self.engine, "retire", self.engine.retire(self.account, self.fence))
        for credential in self.step.credentials:
            # A password that was found and never proven is that of an account that was never claimed.
            if was_found(credential.revision, self.state.facts) and credential.proven_at is None:
                continue
            if problem := await self._prove_retired(credential):
                return problem
        return Effect()

    async def _prove_retired(self, credential: Credential) -> Wait | None:
        """Return why a login of a deleted ManagedSecret is not refused; None if it is. None is published any more."""
        login, server = self._login(credential), self.engine.settings.endpoint
        if login is None:  # its password is lost, so no login can be tried
            found = await self._find()
            return self._left_open(credential.login, found) if found.login(credential.login).is_open else None
        for endpoint in self.engine.settings.endpoints:
            verdict = await self._try(login, endpoint)
            if verdict.answer is Answer.REFUSED:
                continue
            if endpoint == server:
                found = await self._find()
                if not found.login(login.name).exists:
                    continue  # a rule of the server may admit members of a role only, and so not ask for its password
                if verdict.may_be_accepted:
                    return self._left_open(login.name, found)
            if verdict.may_be_accepted:
                return still_accepted(self.where, login.name, endpoint, verdict.message)
            return self._unknown(verdict, endpoint)
        return None

    def _left_open(self, login: str, found: Found) -> Wait:
        """Return why the engine did not close a login of a deleted ManagedSecret."""
        cause = "the account has no mark of this ManagedSecret"
        remedy = f"close the login as an administrator: {self.engine.closing(login)}"
        if found.mark:
            cause = f"the account belongs to ManagedSecret {found.mark[:_LONGEST_MARK]} now"
            remedy = "rotate the account there, until the password of this one is refused"
        return not_closed(self.where, login, self.engine.settings.endpoint, cause, remedy)

    def _unknown(self, verdict: Verdict, endpoint: Endpoint) -> Wait:
        """Return why a login proves nothing, such as that the endpoint refuses the published one too."""
        if verdict.answer is not Answer.UNKNOWN or verdict.reason == PUBLISHED_REFUSED:
            return published_refused(f"{self.where} at {endpoint}")
        return self._no_proof(verdict, endpoint)

    def _no_proof(self, verdict: Verdict, endpoint: Endpoint) -> Wait:
        is_server = endpoint == self.engine.settings.endpoint
        return no_proof(f"{self.where} at {endpoint}", verdict, is_server=is_server)

    async def _sessions(self, closed: Credential) -> tuple[OpenSessions, ...]:
        """Count the open sessions of a login that was closed; none if other passwords of its name are open."""
        if closed.login in self._live_logins:
            return ()
        found = await self._find()
        clients = (one for one in found.clients if one.login == closed.login)
        return tuple(OpenSessions(one.login, one.address, one.count) for one in clients)

    async def _try(self, login: Login, endpoint: Endpoint | None = None) -> Verdict:
        return await measure(self.engine, "prove", self.engine.prove(login, endpoint))

    # The record

    @property
    def _live_logins(self) -> frozenset[str]:
        return frozenset(one.login for one in self.step.live)

    @property
    def _recorded(self) -> tuple[Credential, ...]:
        """Return the credentials that the server may accept, a proven one first."""
        every = dict.fromkeys((*self.step.live, *self.state.facts.open_credentials))
        return tuple(sorted(every, key=lambda one: not one.is_proven))

    def _published(self) -> Login | None:
        credential = self.state.facts.current_credential
        return self._login(credential) if credential and credential.is_proven else None

    def _login(self, credential: Credential) -> Login | None:
        return login_of(credential, self.state, self.password)

    def _as_owner(self, login: Login) -> Login:
        """Return a login whose sessions are asked whether they act as the owner."""
        return replace(login, acts_as=self.account.owner)


def login_of(credential: Credential, state: State, password: str) -> Login | None:
    """Return a credential with its password; None if no revision has it any more.

    `password` is the item of data that is it, if the record does not say.
    """
    revision = state.revisions.get(credential.revision)
    kept = revision.values.get(credential.item or password) if revision else None
    value = kept.outputs.get(VALUE) if kept else None
    if value is None:
        return None
    named = f"revision {credential.revision}, try {credential.tries}"
    return Login(credential.login, value, named, was_found(credential.revision, state.facts))


async def measure(engine: Engine, operation: str, work: Coroutine[Any, Any, T]) -> T:
    """Run an operation, and count it with its result and its duration."""
    began, result = loop_time(), "Ended"  # by its time limit, or by the fence
    try:
        answer = await work
        result = str(getattr(answer, "answer", "OK"))
    except DatabaseError as error:
        result = type(error).__name__
        raise
    else:
        return answer
    finally:
        metrics.DATABASE_OPERATIONS.labels(engine.kind, operation, result).inc()
        metrics.DATABASE_OPERATION_SECONDS.labels(engine.kind, operation).observe(loop_time() - began)
