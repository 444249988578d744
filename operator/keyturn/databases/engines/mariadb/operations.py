"""What the engine does: each change is one session behind the lock of the account and the fence.

The lock is of a session that the server ends if it idles. So a process that was stopped after the fence has lost its
session when it continues, and no driver opens another one for the statement that it was about to send.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
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
    digest,
)

from . import catalog, codes, guards
from .driver import LoginFailed, Session, StatementFailed, connect
from .facts import CLOSED, HOST, NATIVE, Facts, quoted, user

_PREPARE: Final = (
    "SET SESSION sql_mode = '', wait_timeout = {idle}, lock_wait_timeout = 2, innodb_lock_wait_timeout = 2,"
    " max_statement_time = {seconds}"
)
_COUNTS: Final = 30
_PAUSE: Final = 0.1
"""Seconds between two counts of sessions that were ended, which disappear on their own."""
_LONGEST_NAME: Final = 128
_MOST_PASSWORDS: Final = 2


@dataclass(frozen=True, slots=True)
class _Statement:
    """A change, and the statement that permits the admin to do it."""

    text: str
    grant: str


class Operations:
    """The methods of the engine, at one server."""

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings

    async def check(self) -> Server:
        async with self._admin() as session:
            at = await catalog.server(session)
            guards.check_server(at)
            return Server(at.version, await catalog.lacks(session, at), at.started)

    async def find(self, account: Account) -> Found:
        async with self._admin() as session:
            facts = await catalog.read(session, account)
            found = _describe(account, facts)
            lacks = await catalog.lacks(session, facts.server)
            clients = await catalog.clients(session, account.owner)
            return Found(found.logins, found.mark, found.forbidden, lacks, clients)

    async def create(
        self, account: Account, template: Template | None, fence: Fence, proven: frozenset[str]
    ) -> Found:
        async with self._admin() as session, self._lock(session, account) as facts:
            guards.check_claims(account, facts, proven)
            await _change(session, list(_creating(account, template, facts)), fence)
            return _describe(account, facts)

    async def bring(self, account: Account, live: tuple[Login, ...], fence: Fence) -> None:
        _check_values(account, live)
        async with self._admin() as session, self._lock(session, account) as facts:
            guards.check_claimed(account, facts)
            await _change(session, [_altering(account, live, facts)], fence)

    async def retire(self, account: Account, fence: Fence) -> None:
        async with self._admin() as session, self._lock(session, account) as facts:
            if facts.mark != account.mark:
                return
            closing = [_altering(account, (), facts)] if facts.user else []
            removal = f"DELETE FROM keyturn.marks WHERE username = {quoted(account.owner)}"
            await _change(session, [*closing, _Statement(removal, _of_marks(facts))], fence)

    async def end_sessions(self, account: Account, login: str, fence: Fence) -> int:
        async with self._admin() as session:
            async with self._lock(session, account) as facts:
                guards.check_claimed(account, facts)
                if await catalog.clients(session, login):
                    grant = f"GRANT CONNECTION ADMIN ON *.* TO {facts.server.admin_name}"
                    await _change(session, [_Statement(f"KILL USER {quoted(login)}", grant)], fence)
            for _ in range(_COUNTS):
                if not (left := await catalog.clients(session, login)):
                    break
                await asyncio.sleep(_PAUSE)
            return sum(one.count for one in left)

    # Logins

    async def prove(self, login: Login, endpoint: Endpoint | None) -> Verdict:
        at = endpoint or self._settings.endpoint
        try:
            return await addresses.prove_at_each(self._settings, at, partial(self._prove_at, login))
        except Overloaded:
            raise
        except DatabaseError as error:
            return _unknown(error)

    async def _prove_at(self, login: Login, place: Place) -> Verdict:
        limits = self._settings.limits
        try:
            async with limits.logins, limits.tenant, connect(self._settings, place, login) as session:
                return await self._user_of(session, login, place)
        except LoginFailed as error:
            return codes.verdict_of(error.number, place)
        except Overloaded:
            raise
        except DatabaseError as error:
            return _unknown(error)

    async def _user_of(self, session: Session, login: Login, place: Place) -> Verdict:
        """Return whether a session is of the user that is changed; not asked at poolers."""
        if place.endpoint != self._settings.endpoint:
            return Verdict(Answer.ACCEPTED)
        try:
            rows = await session.query("SELECT CURRENT_USER()")
        except StatementFailed as error:
            return codes.verdict_of(error.number, place)
        if rows == [(f"{login.name}@{HOST}",)]:
            return Verdict(Answer.ACCEPTED)
        return Verdict(
            Answer.WRONG_ROLE,
            message=f"sessions of {login.name!r} are of another user than {user(login.name)} at {place}",
        )

    # Sessions

    @asynccontextmanager
    async def _admin(self) -> AsyncIterator[Session]:
        """Open a session of the admin; a refusal of the server becomes one of our errors."""
        settings = self._settings
        place = await addresses.first_place(settings, settings.endpoint)
        refused, credential = settings.limits.refused, digest(str(place).encode(), settings.admin_digest)
        prepare = _PREPARE.format(
            idle=max(1, math.ceil(settings.idle_timeout)), seconds=f"{settings.statement_timeout:g}"
        )
        failure: DatabaseError
        try:
            async with settings.limits.admin, settings.limits.tenant:
                refused.check(credential)
                async with connect(settings, place, settings.admin, prepare) as session:
                    refused.forget(credential)
                    yield session
                    return
        except LoginFailed as error:
            failure = codes.error_of(error.number, place)
        except StatementFailed as error:
            failure = codes.meaning_of(error.number, "")
        if isinstance(failure, Unauthorized):
            refused.note(credential, failure)
        raise failure

    @asynccontextmanager
    async def _lock(self, session: Session, account: Account) -> AsyncIterator[Facts]:
        """Read what there is of an account under its lock."""
        lock = quoted(_lock_of(account))
        if await session.query(f"SELECT GET_LOCK({lock}, 0)") != [("1",)]:
            raise await _busy(session, lock)
        try:
            facts = await catalog.read(session, account)
            guards.check_server(facts.server)
            yield facts
        finally:
            # The server would free the lock when it notices that the connection is closed, which is later.
            with suppress(DatabaseError, StatementFailed):
                await session.query(f"DO RELEASE_LOCK({lock})")


async def _busy(session: Session, lock: str) -> Busy:
    """Return the error of a lock that is held; it names the user, unless that is the admin."""
    rows = await session.query(
        "SELECT USER FROM information_schema.PROCESSLIST"
        f" WHERE ID = IS_USED_LOCK({lock}) AND USER <> SUBSTRING_INDEX(CURRENT_USER(), '@', 1)"
    )
    if not rows:
        return Busy()
    return Busy(
        f"user {rows[0][0][:_LONGEST_NAME]!r} holds the lock with which Keyturn changes this account; end its session"
    )


async def _change(session: Session, changes: list[_Statement], fence: Fence) -> None:
    """Call the fence and send the statements; do neither if there is nothing to change."""
    if not changes:
        return
    await fence()
    for change in changes:
        try:
            await session.query(change.text)
        except StatementFailed as error:
            number = error.number
        else:
            continue
        raise codes.meaning_of(number, change.grant)


def _creating(account: Account, template: Template | None, facts: Facts) -> Iterator[_Statement]:
    """Yield what claims an account; that its user is Keyturn's own work is recorded before it begins."""
    if facts.user and facts.mark == account.mark and facts.is_complete:
        return
    if facts.user and (facts.is_complete or template is None):
        yield _marking(account, facts, "TRUE")
        return
    template = guards.check_new(account.owner, template)
    admin = facts.server.admin_name
    yield _marking(account, facts, "FALSE")
    yield _Statement(
        f"CREATE USER IF NOT EXISTS {user(account.owner)} IDENTIFIED VIA {NATIVE} USING '{CLOSED}'"
        " PASSWORD EXPIRE NEVER ACCOUNT LOCK",
        f"GRANT CREATE USER ON *.* TO {admin}",
    )
    for schema in template.schemas:
        granted = f"GRANT {', '.join(template.privileges)} ON {_schema(schema)}.* TO"
        yield _Statement(f"{granted} {user(account.owner)}", f"{granted} {admin} WITH GRANT OPTION")
    yield _marking(account, facts, "TRUE")


def _schema(name: str) -> str:
    """Quote a schema, of which a grant would take some characters as wildcards."""
    return f"`{name.replace('_', chr(92) + '_').replace('%', chr(92) + '%').replace('`', '``')}`"


def _marking(account: Account, facts: Facts, is_complete: str) -> _Statement:
    values = f"({quoted(account.owner)}, {quoted(account.mark)}, {is_complete})"
    return _Statement(
        f"REPLACE INTO keyturn.marks (username, mark, is_complete) VALUES {values}", _of_marks(facts)
    )


def _of_marks(facts: Facts) -> str:
    return f"GRANT SELECT, INSERT, UPDATE, DELETE ON keyturn.marks TO {facts.server.admin_name}"


def _altering(account: Account, live: tuple[Login, ...], facts: Facts) -> _Statement:
    """Return the statement after which exactly these passwords are accepted, the newest at the first try."""
    text = guards.closing(account.owner)
    if live:
        ways = " OR ".join(f"{NATIVE} USING '{_hash(login)}'" for login in reversed(live))
        text = f"ALTER USER {user(account.owner)} IDENTIFIED VIA {ways} PASSWORD EXPIRE NEVER ACCOUNT UNLOCK"
    return _Statement(text, f"GRANT CREATE USER ON *.* TO {facts.server.admin_name}")


def _hash(login: Login) -> str:
    """Return what the server keeps of a password."""
    once = hashlib.sha1(login.password.reveal(), usedforsecurity=False).digest()
    return f"*{hashlib.sha1(once, usedforsecurity=False).hexdigest().upper()}"


def _describe(account: Account, facts: Facts) -> Found:
    there = facts.user
    login = FoundLogin(
        account.owner,
        exists=there is not None,
        is_open=there is not None and there.is_open,
        is_expired=there is not None and there.is_expired,
        is_marked=facts.mark == account.mark,
        obstacle=there.obstacle if there else "does not exist",
    )
    return Found((login,), facts.mark, guards.forbidden(account, facts))


def _check_values(account: Account, live: tuple[Login, ...]) -> None:
    """Refuse names of another account, and values that drivers read differently, such as letters with accents.

    The drivers of an account that was in use read its value, whatever it is.
    """
    if len(live) > _MOST_PASSWORDS:
        raise ValueError(f"account {account.owner!r} has {_MOST_PASSWORDS} passwords at most")
    for login in live:
        if login.name != account.owner:
            raise ValueError(f"{login.name!r} is no name of account {account.owner!r}")
        content = login.password.reveal()
        if not content or not (
            login.was_found or (content.isascii() and content.decode("ascii").isprintable())
        ):
            raise RefusedByPolicy(
                "UnsupportedValue",
                f"the password of {login.name!r} is empty or has other characters than printable ASCII, which drivers"
                " read differently; generate it without them",
            )


def _unknown(error: DatabaseError) -> Verdict:
    """Return the verdict of a login that did not take place."""
    return Verdict(Answer.UNKNOWN, error.code, error.message, is_silence=isinstance(error, Unreachable))


def _lock_of(account: Account) -> str:
    """Return the name of the account's lock, which only Keyturn uses; a server takes 64 characters."""
    return f"keyturn:{hashlib.sha256(account.owner.encode()).hexdigest()[:40]}"
