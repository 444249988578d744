"""What the engine does: each change is one transaction at each node, the primary first, behind WATCH and the fence.

A change of the primary writes the key of the account, with a token of its own. A process that was stopped after the
fence finds the key changed, and its EXEC does nothing. At a replica it is the same key, which arrives by replication:
a process waits there until its own token has arrived, so what a stopped one still sends is either refused or
overwritten.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Final

from keyturn.core.spec.references import Capacity
from keyturn.databases import addresses
from keyturn.databases.addresses import Place
from keyturn.databases.base import (
    Account,
    Answer,
    Client,
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
    RefusedByPolicy,
    Unauthorized,
    Unreachable,
    digest,
)

from . import guards, nodes
from .driver import Command, Failed, LoginRefused, Session, connect
from .guards import Node, key_of

_ARRIVES_WITHIN: Final = 5.0
"""Seconds in which a change of a key reaches a replica."""
_PAUSE: Final = 0.05
_COUNTS: Final = 60
"""Counts of sessions that were ended, which disappear on their own."""
_CHANGING: Final = Verdict(
    Answer.UNKNOWN,
    "Changing",
    "the password was changed while it was tried; it is tried again",
    is_silence=True,
)


class Operations:
    """The methods of the engine, at one primary and its replicas."""

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._run_ids: dict[Place, str] = {}
        """As each replica had it last."""

    @property
    def _is_durable(self) -> bool:
        return self._settings.own.get("persistence") != "None"

    async def check(self) -> Server:
        async with self._primary() as session:
            node = await nodes.read(session, self._settings.admin)
            self._check(node)
            guards.check_primary(node)
            lacks = await nodes.lacks(session, self._settings.admin)
        for place in await self._replicas():
            with suppress(Unreachable):  # what it misses is brought when it is back, with another run ID
                async with self._session(place) as session:
                    replica = await nodes.read(session, self._settings.admin)
                    self._check(replica)
                    self._run_ids[place] = replica.run_id
                    lacks += await nodes.lacks(session, self._settings.admin)
        others = sorted(set(self._run_ids.values()) - {node.run_id})
        return Server(node.version, lacks, " ".join(one[:12] for one in (node.run_id, *others)))

    async def find(self, account: Account) -> Found:
        async with self._primary() as session:
            node = await nodes.read(session, self._settings.admin, account)
            lacks = await nodes.lacks(session, self._settings.admin)
            found = _describe(account, node)
        clients = await self._clients(account.owner)
        return replace(found, lacks=lacks, clients=clients)

    async def create(
        self, account: Account, template: Template | None, fence: Fence, proven: frozenset[str]
    ) -> Found:
        async with self._primary() as session:
            node = await self._watch(session, account)
            guards.check_claims(account, node, proven)
            found = _describe(account, node)
            if node.user and node.mark == account.mark:
                return found
            rules = None if node.user else _rules_of_new(account, template, node)
            await fence()
            changes = (
                [("ACL", "SETUSER", account.owner, "reset", *rules, "off", "resetpass")] if rules else []
            )
            await self._execute(session, node, [*changes, _marking(account, node)[1]])
            return found

    async def bring(self, account: Account, live: tuple[Login, ...], fence: Fence) -> None:
        _check_values(account, live)
        passwords = [f"#{nodes.hash_of(login)}" for login in live]
        rules = ("on" if live else "off", "resetpass", *passwords)
        async with self._primary() as session:
            node = await self._watch(session, account)
            created: tuple[str, ...] = ()
            if node.has_lost() and account.template:
                guards.check_claims(account, node, frozenset())
                created = ("reset", *_rules_of_new(account, None, node))
            else:
                guards.check_claimed(account, node)
            await fence()
            record, marking = _marking(account, node)
            change = ("ACL", "SETUSER", account.owner, *created, *rules)
            await self._execute(session, node, [change, marking])
            kept = (
                await nodes.rules_of(session, self._settings.admin, account.owner)
                if self._settings.also_at
                else ()
            )
        await self._follow(account, node, record, lambda at: (*(() if at.user else ("reset", *kept)), *rules))

    async def retire(self, account: Account, fence: Fence) -> None:
        async with self._primary() as session:
            node = await self._watch(session, account)
            if node.mark != account.mark:
                return
            await fence()
            closing = [("ACL", "SETUSER", account.owner, "off", "resetpass")] if node.user else []
            await self._execute(session, node, [*closing, ("DEL", key_of(account))])
        await self._follow(account, node, "", lambda at: ("off", "resetpass") if at.user else ())

    async def end_sessions(self, account: Account, login: str, fence: Fence) -> int:
        async with self._primary() as session:
            node = await self._watch(session, account)
            guards.check_claimed(account, node)
            if await nodes.clients(session, login):
                await fence()
                await self._execute(session, node, [("CLIENT", "KILL", "USER", login)], is_saved=False)
        for place in await self._replicas():
            async with self._session(place) as session:
                await session.call("CLIENT", "KILL", "USER", login)
        for _ in range(_COUNTS):
            if not (left := await self._clients(login)):
                break
            await asyncio.sleep(_PAUSE)
        return sum(one.count for one in left)

    # Logins

    async def prove(self, login: Login, endpoint: Endpoint | None) -> Verdict:
        """Log in at one endpoint; without one at each, as a replica that was restarted may have earlier passwords."""
        if endpoint is not None:
            return await self._prove(login, endpoint)
        first, *others = self._settings.endpoints
        verdict = await self._prove(login, first)
        for other in others if verdict.answer is Answer.ACCEPTED else ():
            found = await self._prove(login, other)
            if not found.is_silence and found.answer is not Answer.ACCEPTED:
                return found
        return verdict

    async def _prove(self, login: Login, endpoint: Endpoint) -> Verdict:
        try:
            return await addresses.prove_at_each(self._settings, endpoint, partial(self._prove_at, login))
        except DatabaseError as error:
            return _unknown(error)

    async def _prove_at(self, login: Login, place: Place) -> Verdict:
        limits = self._settings.limits
        try:
            async with limits.logins, limits.tenant, connect(self._settings, place, login) as session:
                name = await session.call("ACL", "WHOAMI")
        except LoginRefused:
            return await self._explain(login, place)
        except DatabaseError as error:
            return _unknown(error)
        if isinstance(name, Failed) or name == login.name:  # most users may not ask
            return Verdict(Answer.ACCEPTED)
        return Verdict(Answer.WRONG_ROLE, message=f"{place} gives sessions of {login.name!r} another user")

    async def _explain(self, login: Login, place: Place) -> Verdict:
        """Return what a refusal means: Redis says the same of a wrong password and of a user that is off."""
        account = Account(login.name, _NO_CAPACITY, "")
        try:
            async with self._session(place) as session:
                user = (await nodes.read(session, self._settings.admin, account)).user
        except DatabaseError as error:
            return _unknown(error)
        if user is None or nodes.hash_of(login) not in user.hashes:
            return Verdict(Answer.REFUSED)
        return _CHANGING if user.is_on else Verdict(Answer.LOCKED)

    # Changes

    async def _watch(self, session: Session, account: Account) -> Node:
        """Watch the key of an account, and read what there is of it.

        What is read is not older than the watch: a process that changes the account meanwhile makes EXEC do nothing.
        """
        reply = await session.call("WATCH", key_of(account))
        if isinstance(reply, Failed):
            raise nodes.refused(session, self._settings.admin, reply)
        node = await nodes.read(session, self._settings.admin, account)
        self._check(node)
        guards.check_primary(node)
        return node

    async def _execute(
        self, session: Session, node: Node, changes: list[Command], *, is_saved: bool = True
    ) -> None:
        """Send changes as one transaction, and save the users if a restart is to find them.

        Raises:
            Busy: Another process has changed the account since it was watched, and nothing was changed here.
        """
        begun, *queued, done = await session.send(("MULTI",), *changes, ("EXEC",))
        for reply in (begun, *queued, done, *(done if isinstance(done, list) else ())):
            if isinstance(reply, Failed):
                raise nodes.refused(session, self._settings.admin, reply)
        if done is None:
            raise Busy
        if not is_saved or not self._is_durable:
            return
        saved = await session.call(*(("ACL", "SAVE") if node.has_file_of_users else ("CONFIG", "REWRITE")))
        if saved == Failed("NOPERM"):
            raise nodes.refused(session, self._settings.admin, saved)
        if isinstance(saved, Failed):
            raise guards.not_saved(node)

    async def _follow(
        self, account: Account, primary: Node, record: str, rules: Callable[[Node], tuple[str, ...]]
    ) -> None:
        """Bring each replica to what the primary has.

        Raises:
            Unreachable: One of them did not answer, or has not received the key; the primary was changed.
        """
        errors: dict[Place, Unreachable] = {}
        places = await self._replicas()
        for place in places:
            try:
                async with self._session(place) as session:
                    await self._follow_at(session, account, primary, record, rules)
            except Unreachable as error:
                errors[place] = error.with_traceback(None)
        # Of a host with two families one may have no route, which proofs leave out as well.
        answering = {(place.endpoint, place.family) for place in places if place not in errors}
        for place, failure in errors.items():
            others = {family for endpoint, family in answering if endpoint == place.endpoint}
            if not others or place.family in others:
                raise failure

    async def _follow_at(
        self,
        session: Session,
        account: Account,
        primary: Node,
        record: str,
        rules: Callable[[Node], tuple[str, ...]],
    ) -> None:
        for is_last in (False, False, True):
            node = await self._await_arrival(session, account, primary, record)
            if node.run_id == primary.run_id:
                return  # the primary, by another address
            self._check(node)
            try:
                if wanted := rules(node):
                    await self._execute(session, node, [("ACL", "SETUSER", account.owner, *wanted)])
            except Busy:  # a full synchronisation of the replica changes every key
                if is_last:
                    raise
            else:
                return

    async def _await_arrival(self, session: Session, account: Account, primary: Node, record: str) -> Node:
        """Watch the key of an account at a replica once it is what the primary has."""
        end = asyncio.get_running_loop().time() + _ARRIVES_WITHIN
        while True:
            await session.call("WATCH", key_of(account))
            node = await nodes.read(session, self._settings.admin, account)
            if node.run_id == primary.run_id or node.record == record:
                return node
            if asyncio.get_running_loop().time() > end:
                break
            await session.call("UNWATCH")
            await asyncio.sleep(_PAUSE)
        raise Unreachable(
            "NotReplicated",
            f"{session.place} has not received a change of the primary; check that it is a replica, and its link",
        )

    # Sessions

    def _check(self, node: Node) -> None:
        guards.check_node(node, is_durable=self._is_durable)

    async def _clients(self, name: str) -> tuple[Client, ...]:
        """Count the sessions of a user at every node that answers."""
        counts: dict[str, int] = {}
        seen: set[str] = set()
        for place in (
            await addresses.first_place(self._settings, self._settings.endpoint),
            *await self._replicas(),
        ):
            with suppress(Unreachable):
                async with self._session(place) as session:
                    node = await nodes.read(session, self._settings.admin)
                    for one in await nodes.clients(session, name) if node.run_id not in seen else ():
                        counts[one.address] = counts.get(one.address, 0) + one.count
                    seen.add(node.run_id)
        return tuple(Client(name, address, count) for address, count in sorted(counts.items()))

    async def _replicas(self) -> tuple[Place, ...]:
        """Return each address of the other endpoints, as each may be of another node."""
        found = [await addresses.each_place(self._settings, one) for one in self._settings.also_at]
        return tuple(place for places in found for place in places)

    @asynccontextmanager
    async def _primary(self) -> AsyncIterator[Session]:
        place = await addresses.first_place(self._settings, self._settings.endpoint)
        async with self._session(place) as session:
            yield session

    @asynccontextmanager
    async def _session(self, place: Place) -> AsyncIterator[Session]:
        """Open a session of the admin at one node."""
        settings = self._settings
        refused, credential = settings.limits.refused, digest(str(place).encode(), settings.admin_digest)
        async with settings.limits.admin, settings.limits.tenant:
            refused.check(credential)
            with suppress(LoginRefused):
                async with connect(settings, place, settings.admin) as session:
                    refused.forget(credential)
                    yield session
                    return
        message = f"{place} refuses the admin's password; correct adminCredentials, and create the admin at each node"
        failure = Unauthorized("AdminRefused", message)
        refused.note(credential, failure)
        raise failure


_NO_CAPACITY: Final = Capacity(())


def _describe(account: Account, node: Node) -> Found:
    user = node.user
    login = FoundLogin(
        account.owner,
        exists=user is not None,
        is_open=user is not None and user.is_open,
        is_marked=node.mark == account.mark,
        is_lost=node.has_lost() and account.template is not None,
        obstacle="does not exist" if user is None else "" if user.is_open else "is off or has no password",
    )
    return Found((login,), node.mark, guards.forbidden(account, node))


def _rules_of_new(account: Account, template: Template | None, node: Node) -> tuple[str, ...]:
    """Return the rules of a user that does not exist: also of one that the server has lost, which owned nothing.

    Raises:
        Missing: There is no template, or the user was deleted.
    """
    template = template or (account.template if node.has_lost() else None)
    if template is None:
        raise guards.absent(account.owner)
    guards.check_rules(template.rules)
    return template.rules


def _marking(account: Account, node: Node) -> tuple[str, Command]:
    """Return what the key of an account has after a change, which no other change writes, and the command."""
    record = f"{account.mark} {secrets.token_hex(8)} {node.run_id}"
    return record, ("SET", key_of(account), record)


def _check_values(account: Account, live: tuple[Login, ...]) -> None:
    """Refuse names of another account, and values that drivers read differently, such as letters with accents.

    The drivers of an account that was in use read its value, whatever it is.
    """
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
