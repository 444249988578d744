"""Which accounts are refused, with the sentence that says what to do instead."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain
from typing import Final

from keyturn.databases.base import Account, Template
from keyturn.databases.errors import DatabaseError, Forbidden, Missing, ReadOnly, RefusedByPolicy

from . import codes
from .facts import CLOSED, HOST, NATIVE, Facts, ServerFacts, User, quoted, user

_OLDEST: Final = (10, 6)
_SERVERS: Final = re.compile(
    r"(root|public|(mysql|mariadb)([._].*)?|(rds|cloudsql|azure).*)", re.IGNORECASE | re.DOTALL
)
"""Names of the server itself, of its administrators, or of its provider."""
_SCHEMAS: Final = re.compile(
    r"mysql|sys|information_schema|performance_schema|keyturn|mariadb.*", re.IGNORECASE
)
"""Schemas of the server, of which mysql has the hashes of all passwords, and that of the marks."""
_MOST_METHODS: Final = 2
_TLS: Final = 1
_FIELD: Final = "account.username"
_LONGEST_MARK: Final = 400
"""Characters of a mark in a message; namespace and name have 317 at most."""


def check_server(server: ServerFacts) -> None:
    """Raise if nothing can be changed at this server."""
    if not server.is_mariadb or server.release < _OLDEST:
        raise Forbidden(
            "UnsupportedVersion", "MariaDB 10.6 is the oldest release that works; upgrade the server"
        )
    if server.is_read_only:
        raise ReadOnly(
            "ReadOnly",
            "the server has read_only, as replicas have; write the address of the primary as its host, or end its"
            " read-only mode",
        )
    if server.refuses_hashes:
        raise RefusedByPolicy(*codes.HASHES_REFUSED)


def forbidden(account: Account, facts: Facts) -> tuple[str, str] | None:
    """Return reason and sentence if a guard refuses the account."""
    return next(chain(_refusals(account, facts), _in_use(account, facts)), None)


def check_claims(account: Account, facts: Facts, proven: frozenset[str]) -> None:
    """Raise if this ManagedSecret must not claim the account; `proven` have accepted their recorded passwords."""
    in_use = () if account.owner in proven else _in_use(account, facts)
    _check(chain(_refusals(account, facts), in_use))


def check_claimed(account: Account, facts: Facts) -> None:
    """Raise if the user is absent, or this ManagedSecret does not own it."""
    _check(_refusals(account, facts))
    if facts.user is None:
        raise absent(account.owner)
    if not facts.mark:
        remedy = f"If the account is its own, {marking(account)}"
        message = f"user {account.owner!r} has no mark of this ManagedSecret; nothing was changed. {remedy}"
        raise Forbidden("AccountNotClaimed", message)


def check_new(owner: str, template: Template | None) -> Template:
    """Return the template of a new user; raise if it must not be created, or not with these privileges."""
    if template is None:
        raise absent(owner)
    if of_server := [one for one in template.schemas if _SCHEMAS.fullmatch(one)]:
        raise Forbidden(
            "AccountForbidden",
            f"schema {of_server[0]!r} is the server's, or Keyturn's; remove it from account.mariadb.template.schemas",
        )
    return template


def absent(name: str) -> DatabaseError:
    """Return the error of a user that does not exist."""
    return Missing(
        "AccountMissing",
        f"user {user(name)} does not exist; create it with its privileges, or set account.mariadb.template",
    )


def marking(account: Account) -> str:
    """Return what an administrator does so that the account has the mark of this ManagedSecret."""
    values = f"({quoted(account.owner)}, {quoted(account.mark)})"
    return f"send as an administrator: REPLACE INTO keyturn.marks (username, mark) VALUES {values}"


def closing(login: str) -> str:
    """Return the statement that closes a user."""
    return f"ALTER USER {user(login)} IDENTIFIED VIA {NATIVE} USING '{CLOSED}' ACCOUNT LOCK"


def _check(refusals: Iterator[tuple[str, str]]) -> None:
    refusal = next(refusals, None)
    if refusal is not None:
        raise Forbidden(*refusal)


def _refusals(account: Account, facts: Facts) -> Iterator[tuple[str, str]]:
    name = account.owner
    if name == facts.server.admin:
        yield "AccountForbidden", f"user {name!r} is the admin of the target; write another {_FIELD}"
    if _SERVERS.fullmatch(name):
        yield "AccountForbidden", f"user {name!r} belongs to the server; write another {_FIELD}"
    if facts.mark not in {"", account.mark}:
        release = f"DELETE FROM keyturn.marks WHERE username = {quoted(name)}"
        remedy = (
            f"write another {_FIELD}, or, if no cluster uses it there, send as an administrator: {release}"
        )
        other = facts.mark[:_LONGEST_MARK]
        yield (
            "AccountTaken",
            f"user {name!r} belongs to ManagedSecret {other}, not {account.mark}; {remedy}",
        )
    yield from _preferred(name, facts)
    if facts.user:
        yield from _refusals_of(facts.user, facts.server)


def _preferred(name: str, facts: Facts) -> Iterator[tuple[str, str]]:
    """Yield users that the server takes instead, for clients of their hosts."""
    for other in facts.users:
        if other.is_role:
            yield (
                "AccountForbidden",
                f"{other.name!r} is a role, and roles do not log in; write another {_FIELD}",
            )
        elif not other.name and other.host != HOST:
            remedy = f"send as an administrator: DROP USER {user('', other.host)}"
            yield (
                "AccountForbidden",
                f"an anonymous user has clients of {other.host!r} in place of {name!r}; {remedy}",
            )
        elif other.name and other.host != HOST:
            to = "DROP USER" if facts.user else "RENAME USER"
            end = "" if facts.user else f" TO {user(name)}"
            remedy = f"send as an administrator: {to} {user(name, other.host)}{end}"
            yield (
                "AccountForbidden",
                f"Keyturn changes users of the host '%', and {name!r} is of {other.host!r}; {remedy}",
            )


def _refusals_of(found: User, server: ServerFacts) -> Iterator[tuple[str, str]]:
    if found.powers:
        has = ", ".join(found.powers)
        yield "AccountForbidden", f"user {found.name!r} has {has}; revoke that, or write another {_FIELD}"
    others = sorted({one for one in found.methods if one != NATIVE})
    if others or len(found.methods) > _MOST_METHODS:
        has = f"logs in with {others[0]}" if others else f"has {len(found.methods)} passwords"
        yield (
            codes.UNSUPPORTED_PLUGIN,
            f"user {found.name!r} {has}; set one password of {NATIVE}, of which every driver tries two",
        )
    if found.requires > _TLS:
        yield (
            "AccountForbidden",
            f"user {found.name!r} requires a client certificate, and Keyturn has none; write another {_FIELD}",
        )
    elif found.requires and not server.has_tls:
        yield "AccountForbidden", f"user {found.name!r} requires TLS; remove tls.mode from the target"


def _in_use(account: Account, facts: Facts) -> Iterator[tuple[str, str]]:
    if facts.user and facts.user.is_open and not facts.mark:
        # It may be the account's own, so the way out is never to close it.
        remedy = f"If it is the account of this ManagedSecret, {marking(account)}; otherwise write another {_FIELD}"
        found = f"user {account.owner!r} exists, logs in and has no mark; nothing was changed"
        yield "AccountInUse", f"{found}. {remedy}"
