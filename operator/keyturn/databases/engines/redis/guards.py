"""Which accounts and rules are refused, and the sentences that say what to do instead."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

from keyturn.api.account import RULES_OF_ADMINS
from keyturn.databases.base import Account
from keyturn.databases.errors import DatabaseError, Forbidden, Missing, ReadOnly, RefusedByPolicy

DEFAULT: Final = "default"
"""The user of clients that name none."""
_OLDEST: Final = 6
_FIELD: Final = "account.username"
_OR_NOT: Final = "or write persistence: None, with which passwords are set again after a restart"
_LONGEST_MARK: Final = 400
"""Characters of a mark in a message; namespace and name have 317 at most."""
_FORBIDDEN_RULE: Final = re.compile(RULES_OF_ADMINS, re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class User:
    """A user, as a node has it."""

    is_on: bool
    is_of_any_password: bool
    """Whether it logs in with whatever password, as with nopass."""
    hashes: frozenset[str]
    """Of its passwords; never shown."""

    @property
    def is_open(self) -> bool:
        return self.is_on and bool(self.hashes or self.is_of_any_password)


@dataclass(frozen=True, slots=True)
class Node:
    """What one session read at one server."""

    host: str
    admin: str
    version: str
    release: int
    """The first number of the release of Redis that it is compatible with."""
    run_id: str
    """Another one after each start."""
    is_replica: bool
    is_cluster: bool
    has_file_of_users: bool
    has_config_file: bool
    replicates_as: str
    """The user that replicas log in with; empty if they need none."""
    users_of_replicas: frozenset[str]
    """Those with which replicas are logged in now."""
    user: User | None = None
    """That of the account."""
    record: str = ""
    """The key of the account, with its mark; empty if there is none."""

    @property
    def mark(self) -> str:
        return self.record.partition(" ")[0]

    def has_lost(self) -> bool:
        """Whether the user disappeared with the memory of the server, and was not deleted."""
        return self.user is None and self.record.rpartition(" ")[2] != self.run_id


def check_node(node: Node, *, is_durable: bool) -> None:
    """Raise if nothing can be changed at this server."""
    if node.release < _OLDEST:
        raise Forbidden("UnsupportedVersion", "Redis 6 is the oldest release that works; upgrade the server")
    if node.is_cluster:
        raise RefusedByPolicy(
            "ClusterMode",
            f"{node.host} is a node of a Redis Cluster, which is not supported; use a primary with replicas",
        )
    if is_durable and not node.has_file_of_users and not node.has_config_file:
        raise ReadOnly(
            "NotPersistable",
            f"{node.host} has neither an aclfile nor a configuration file, so a restart would undo each change;"
            f" set aclfile there, {_OR_NOT}",
        )


def check_primary(node: Node) -> None:
    """Raise if the server takes no change of keys, and so none behind the fence."""
    if node.is_replica:
        message = f"{node.host} is a replica; write the address of the primary as the host, and replicas below alsoAt"
        raise ReadOnly("Standby", message)


def not_saved(node: Node) -> DatabaseError:
    """Return the error of a change that a restart of the server would undo."""
    what = "its aclfile" if node.has_file_of_users else "its configuration file"
    return ReadOnly(
        "NotPersistable",
        f"{node.host} cannot write {what}, so a restart would undo each change; let it write the file and its folder,"
        f" {_OR_NOT}",
    )


def forbidden(account: Account, node: Node) -> tuple[str, str] | None:
    """Return reason and sentence if a guard refuses the account."""
    return next(chain(_refusals(account, node), _in_use(account, node)), None)


def check_claims(account: Account, node: Node, proven: frozenset[str]) -> None:
    """Raise if this ManagedSecret must not claim the account; `proven` have accepted their recorded passwords."""
    _check(chain(_refusals(account, node), () if account.owner in proven else _in_use(account, node)))


def check_claimed(account: Account, node: Node) -> None:
    """Raise if the user is absent, or this ManagedSecret does not own it."""
    _check(_refusals(account, node))
    if node.user is None:
        raise absent(account.owner)
    if not node.mark:
        remedy = f"If the account is its own, {marking(account)}"
        message = f"user {account.owner!r} has no mark of this ManagedSecret; nothing was changed. {remedy}"
        raise Forbidden("AccountNotClaimed", message)


def check_rules(rules: Sequence[str]) -> None:
    """Raise if a new user must not have these rules: with them it could change its own or others' passwords."""
    refused = [rule for rule in rules if _FORBIDDEN_RULE.fullmatch(rule)]
    if refused:
        message = (
            f"account.redis.rules: {refused[0]!r} is for administrators; write +@read, +@write and the like"
        )
        raise Forbidden("AccountForbidden", message)


def absent(name: str) -> DatabaseError:
    """Return the error of a user that does not exist."""
    return Missing(
        "AccountMissing",
        f"user {name!r} does not exist; create it with its rules, or write them into account.redis.rules",
    )


def marking(account: Account) -> str:
    """Return what an administrator does so that the account has the mark of this ManagedSecret."""
    return f"send as an administrator: SET {key_of(account)} {account.mark}"


def closing(login: str) -> str:
    """Return the statement that closes a user."""
    return f"ACL SETUSER {login} off resetpass"


def key_of(account: Account) -> str:
    """Return the key with the mark of an account, which is also what fences its changes."""
    return f"keyturn:{{{account.owner}}}"


def _check(refusals: Iterator[tuple[str, str]]) -> None:
    refusal = next(refusals, None)
    if refusal is not None:
        raise Forbidden(*refusal)


def _refusals(account: Account, node: Node) -> Iterator[tuple[str, str]]:
    name = account.owner
    if name == node.admin:
        yield "AccountForbidden", f"user {name!r} is the admin of the target; write another {_FIELD}"
    if name in {node.replicates_as, *node.users_of_replicas}:
        instead = "give them a user of their own with masteruser and masterauth"
        yield "AccountForbidden", f"replicas of {node.host} log in as user {name!r}; {instead}"
    if node.mark not in {"", account.mark}:
        release = f"if no cluster uses it there, send as an administrator: DEL {key_of(account)}"
        remedy = f"write another {_FIELD}, or, {release}"
        yield (
            "AccountTaken",
            f"user {name!r} belongs to ManagedSecret {node.mark[:_LONGEST_MARK]}, not {account.mark}; {remedy}",
        )


def _in_use(account: Account, node: Node) -> Iterator[tuple[str, str]]:
    if node.user and node.user.is_open and not node.mark:
        # It may be the account's own, so the way out is never to close it.
        remedy = f"If it is the account of this ManagedSecret, {marking(account)}; otherwise write another {_FIELD}"
        found = f"user {account.owner!r} exists, logs in and has no mark; nothing was changed"
        yield "AccountInUse", f"{found}. {remedy}"
