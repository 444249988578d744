"""What the engine does: each change is one transaction behind the lock of the account and the fence."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Final

from keyturn.databases import addresses
from keyturn.databases.addresses import Place
from keyturn.databases.base import (
    Account,
    Answer,
    Endpoint,
    EngineSettings,
    Fence,
    Found,
    FoundLogin,
    Login,
    Server,
    Template,
    Verdict,
)
from keyturn.databases.errors import (
    Busy,
    DatabaseError,
    Overloaded,
    RefusedByPolicy,
    Unauthorized,
    Unreachable,
)

from . import catalog, codes, driver, guards, statements
from .connecting import OtherSalt
from .driver import ConnectionFailed, Session, StatementFailed, connect, text_of
from .facts import Facts, mark_of
from .statements import About, Statement

_PREPARE: Final = """
SELECT pg_catalog.set_config('search_path', '', false),
       pg_catalog.set_config('default_transaction_read_only', 'off', false)
"""
"""Names in queries are those of the server's catalog, and a server that is read-only by default takes the changes.

A function of the schema public with a better match, such as unnest(text[]), would be executed as the admin.
"""
_LOCK: Final = """
SELECT set_config('idle_in_transaction_session_timeout', $1, true), set_config('statement_timeout', $2, true),
       set_config('lock_timeout', $3, true), pg_try_advisory_xact_lock($4::bigint)
"""
"""Until the end of the transaction."""
_HOLDER: Final = """
SELECT usename FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE locktype = 'advisory' AND granted AND objsubid = 1 AND datname = current_database() AND usename <> current_user
      AND (classid::bigint << 32) | objid::bigint = $1::bigint
"""
"""Which other role holds the lock of an account; every role may take it that may connect to the database."""
_ROLE: Final = "SELECT current_user"
_LONGEST_NAME: Final = 63
_LOCK_TIMEOUT: Final = 2.0
"""Seconds that a statement waits for another session; then nothing is changed."""
_LOOKS: Final = 30
_PAUSE: Final = 0.1
"""Seconds between two counts of sessions that were ended, which disappear on their own."""
_EXTRA: Final = "keyturn_extra"
_END: Final = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = $1"


class Operations:
    """The methods of the engine, at one server."""

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings

    async def check(self) -> Server:
        async with self._admin("check") as session:
            admin = await catalog.admin(session)
            guards.check_server(admin)
            return Server(
                session.version_text, statements.server_lacks(admin), admin.started, admin.is_superuser
            )

    async def find(self, account: Account) -> Found:
        async with self._admin("find") as session:
            facts = await catalog.read(session, account.names)
            return await _describe(session, account, facts)

    async def create(
        self, account: Account, template: Template | None, fence: Fence, proven: frozenset[str]
    ) -> Found:
        async with self._admin("create") as session, self._lock(session, account) as facts:
            guards.check_claims(account, facts, proven)
            if account.owner not in facts.roles:
                guards.check_new(account.owner, template)
            found = await _describe(session, account, facts)
            await _change(session, list(statements.creating(account, template, facts)), fence)
            return found

    async def bring(self, account: Account, live: tuple[Login, ...], fence: Fence) -> None:
        _check_values(account, live)
        async with self._admin("bring") as session:
            verifiers = {
                login.name: await session.verifier(login, driver.salt_of(account, login)) for login in live
            }
            async with self._lock(session, account) as facts:
                guards.check_claimed(account, facts)
                await _change(session, list(statements.bringing(account, verifiers, facts)), fence)

    async def prove(self, login: Login, endpoint: Endpoint | None) -> Verdict:
        try:
            at = endpoint or self._settings.endpoint
            return await addresses.prove_at_each(self._settings, at, partial(self._prove_at, login))
        except Overloaded:
            raise
        except RefusedByPolicy as error:
            return Verdict(Answer.UNKNOWN, error.code, error.message)
        except DatabaseError as error:
            return codes.verdict_of(error)

    async def _prove_at(self, login: Login, place: Place) -> Verdict:
        limits = self._settings.limits
        try:
            async with limits.logins, limits.tenant:
                return await self._log_in(login, place)
        except ConnectionFailed as error:
            return codes.refusal_of(error.failure)
        except StatementFailed as error:
            raise codes.meaning_of(error.state) from None

    async def _log_in(self, login: Login, place: Place) -> Verdict:
        """Log in with the salt of the last login; only one that the server still has proves something."""
        endpoint = place.endpoint
        salts, arguments = self._settings.salts, (self._settings, place, login, "keyturn prove")
        with suppress(OtherSalt):
            async with connect(*arguments, salts.get(endpoint, login.name)) as session:
                salts.put(endpoint, login.name, session.salt)
                return await self._role_of(session, login, endpoint)
        salts.put(endpoint, login.name, None)
        async with connect(*arguments) as session:
            salts.put(endpoint, login.name, session.salt)
            return await self._role_of(session, login, endpoint)

    async def _role_of(self, session: Session, login: Login, endpoint: Endpoint) -> Verdict:
        """Return whether a session acts as the role that it must act as; the server admits it with a warning if not.

        Not asked at poolers and replicas, which have the roles of the server, and whose sessions may wait for a free
        connection. Nor of a login that is the account itself, whose setting `role` is its administrator's.
        """
        if endpoint != self._settings.endpoint or login.acts_as in {"", login.name}:
            return Verdict(Answer.ACCEPTED)
        if await session.query(_ROLE) == [(login.acts_as,)]:
            return Verdict(Answer.ACCEPTED)
        return Verdict(
            Answer.WRONG_ROLE,
            message=f"sessions of {login.name!r} do not act as role {login.acts_as!r}, and cannot use what it owns",
        )

    async def end_sessions(self, account: Account, login: str, fence: Fence) -> int:
        async with self._admin("end") as session:
            async with self._lock(session, account) as facts:
                guards.check_claimed(account, facts)
                if await _sessions(session, login):
                    await fence()
                    await self._end(session, account, login, facts)
            return await _left(session, login)

    async def retire(self, account: Account, fence: Fence) -> None:
        async with self._admin("retire") as session, self._lock(session, account) as facts:
            await _change(session, list(statements.retiring(account, facts)), fence)

    async def _end(self, session: Session, account: Account, login: str, facts: Facts) -> None:
        grant = statements.using(facts.admin, account.names)
        try:
            await session.query(_END, login)
        except StatementFailed as error:
            raise codes.meaning_of(error.state, statements.Statement(_END, grant)) from None

    @asynccontextmanager
    async def _admin(self, operation: str) -> AsyncIterator[Session]:
        """Open a session of the admin; a refusal of the server becomes one of our errors."""
        settings = self._settings
        refused, credential = settings.limits.refused, settings.admin_digest
        try:
            async with settings.limits.admin, settings.limits.tenant:
                refused.check(credential)
                place = await addresses.first_place(settings, settings.endpoint)
                async with connect(settings, place, settings.admin, f"keyturn {operation}") as session:
                    refused.forget(credential)
                    await session.query(_PREPARE)
                    yield session
        except ConnectionFailed as error:
            failure = codes.error_of(error.failure)
            if isinstance(failure, Unauthorized):
                refused.note(credential, failure)
            raise failure from None
        except StatementFailed as error:
            raise codes.meaning_of(error.state) from None

    @asynccontextmanager
    async def _lock(self, session: Session, account: Account) -> AsyncIterator[Facts]:
        """Read what there is of an account under its lock, and commit at the end.

        The server ends the session if it idles, so that a process that is stopped in here holds the lock for seconds.
        """
        await session.query("BEGIN")
        limits = (self._settings.idle_timeout, self._settings.statement_timeout, _LOCK_TIMEOUT)
        rows = await session.query(
            _LOCK, *(str(round(seconds * 1000)) for seconds in limits), str(_lock_of(account))
        )
        if [row[-1:] for row in rows] != [("t",)]:
            raise await _busy(session, account)
        try:
            facts = await catalog.read(session, account.names)
            guards.check_server(facts.admin)
            yield facts
        except Unreachable:
            raise
        except Exception:
            # The server would free the lock when it notices that the connection is closed, which is later.
            with suppress(DatabaseError, StatementFailed):
                await session.query("ROLLBACK")
            raise
        await session.query("COMMIT")


async def _busy(session: Session, account: Account) -> Busy:
    """Return the error of a lock that is held; it names the role, unless that is the admin."""
    rows = await session.query(_HOLDER, str(_lock_of(account)))
    names = [name[:_LONGEST_NAME] for row in rows for name in row[:1]]
    if not names:
        return Busy()
    return Busy(
        f"role {names[0]!r} holds the advisory lock with which Keyturn changes this account; end its session, and let"
        " it not connect to this database if it does so again"
    )


async def _change(session: Session, changes: list[Statement], fence: Fence) -> None:
    """Call the fence and send the statements; do neither if there is nothing to change."""
    if not changes:
        return
    await fence()
    for change in changes:
        if change.about is About.EXTRA:
            await _try(session, change)
        else:
            await _send(session, change)


async def _send(session: Session, change: Statement) -> None:
    try:
        await session.query(change.text)
        has_effect = [("t",)] if not change.check else await session.query(change.check)
    except StatementFailed as error:
        state = error.state
    else:
        if has_effect == [("t",)]:
            return
        state = codes.DENIED
    if state == codes.DENIED and change.blocker:
        await session.query("ROLLBACK")
        rows = await session.query(change.blocker)
        raise codes.denied(change.grant, *(name[:_LONGEST_NAME] for row in rows for name in row[:2]))
    raise codes.meaning_of(state, change)


async def _try(session: Session, change: Statement) -> None:
    """Send a statement whose failure undoes itself alone."""
    await session.query(f"SAVEPOINT {_EXTRA}")
    try:
        await session.query(change.text)
    except StatementFailed:
        await session.query(f"ROLLBACK TO SAVEPOINT {_EXTRA}")


async def _describe(session: Session, account: Account, facts: Facts) -> Found:
    owner = facts.roles.get(account.owner)
    return Found(
        logins=tuple(_login(name, account, facts) for name in account.names),
        mark=mark_of(owner.comment) if owner else "",
        forbidden=guards.forbidden(account, facts),
        lacks=statements.lacks(facts),
        clients=await catalog.clients(session, account.names),
    )


def _login(name: str, account: Account, facts: Facts) -> FoundLogin:
    role = facts.roles.get(name)
    if role is None:
        return FoundLogin(name, exists=False, obstacle="does not exist")
    is_marked = mark_of(role.comment) == account.mark
    return FoundLogin(
        name,
        exists=True,
        is_open=role.is_open,
        is_expired=bool(role.expired),
        is_marked=is_marked,
        obstacle=role.obstacle,
    )


async def _sessions(session: Session, login: str) -> int:
    return sum(client.count for client in await catalog.clients(session, [login]))


async def _left(session: Session, login: str) -> int:
    """Count the sessions that are left, once those that were ended had time to disappear."""
    left = await _sessions(session, login)
    for _ in range(_LOOKS):
        if not left:
            break
        await asyncio.sleep(_PAUSE)
        left = await _sessions(session, login)
    return left


def _check_values(account: Account, live: tuple[Login, ...]) -> None:
    """Refuse names of another account, and values that drivers read differently, such as letters with accents.

    The drivers of an account that was in use read its value, whatever it is.
    """
    for login in live:
        if login.name not in account.names:
            raise ValueError(f"{login.name!r} is no name of account {account.owner!r}")
        if login.was_found:
            text_of(login)
            continue
        content = login.password.reveal()
        if not (content and content.isascii() and content.decode("ascii").isprintable()):
            raise RefusedByPolicy(
                "UnsupportedValue",
                f"the password of {login.name!r} has other characters than printable ASCII, which drivers read"
                " differently; generate it without them",
            )


def _lock_of(account: Account) -> int:
    """Return the number of the account's lock, which only Keyturn uses."""
    digest = hashlib.sha256(b"keyturn\0" + account.owner.encode()).digest()
    return int.from_bytes(digest[:8], signed=True)
