"""Which accounts are refused, with the sentence that says what to do instead."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Final

from keyturn.databases.base import Account, Template
from keyturn.databases.errors import DatabaseError, Forbidden, Missing, ReadOnly

from .facts import NO_CHANGES, OLDEST, ROLE, Admin, Facts, Role, identifier, mark_of, marked

_SERVERS: Final = re.compile(r"(pg_|rds|cloudsql|azure|alloydb)", re.IGNORECASE)
"""Names of roles of the server itself, or of its provider."""
_FIRST: Final = frozenset({"postgres", "root"})
"""Names of the administrators that servers begin with, which are not superusers at every provider."""
_SCHEMAS: Final = re.compile(r"pg_.*|information_schema", re.IGNORECASE)
"""Schemas of the server itself; pg_catalog has the verifiers of all passwords, which a superuser may grant."""
_MANAGED: Final = frozenset(
    {
        "streaming_replica",  # CloudNativePG
        "cnpg_pooler_pgbouncer",
        "standby",  # Zalando
        "pooler",
        "zalandos",
        "robot_zmon",
        "cron_admin",
    }
)
_LONGEST_MARK: Final = 400
"""Characters of a mark in a message; namespace and name have 317 at most."""
_FIELD: Final = "account.username"
_MANAGERS: Final = "CloudNativePG or the operator of Zalando"


def check_server(admin: Admin) -> None:
    """Raise if nothing can be changed at this server."""
    if admin.version < OLDEST:
        raise Forbidden(
            "UnsupportedVersion", "PostgreSQL 12 is the oldest release that works; upgrade the server"
        )
    if admin.is_standby:
        raise ReadOnly("Standby", "the server is a standby; write the address of the primary as its host")
    if admin.is_read_only:
        raise ReadOnly(*NO_CHANGES)


def forbidden(account: Account, facts: Facts) -> tuple[str, str] | None:
    """Return reason and sentence if a guard refuses the account."""
    return next(chain(_refusals(account, facts), _in_use(account, facts)), None)


def check_claims(account: Account, facts: Facts, proven: frozenset[str]) -> None:
    """Raise if this ManagedSecret must not claim the account; `proven` have accepted their recorded passwords."""
    _check(chain(_refusals(account, facts), _in_use(account, facts, proven)))


def check_claimed(account: Account, facts: Facts) -> None:
    """Raise if a name is absent, or this ManagedSecret does not own the account and each of its open logins."""
    _check(_refusals(account, facts))
    missing = [name for name in account.names if name not in facts.roles]
    if missing:
        raise absent(missing[0])
    # First of the two, as an account without any mark is claimed again once its recorded passwords are proven.
    _check(chain(_unclaimed(account, facts), _in_use(account, facts)))


def check_new(owner: str, template: Template | None) -> None:
    """Raise if an owner that does not exist must not be created, or not with these privileges."""
    if template is None:
        raise absent(owner)
    if of_server := [one for one in template.schemas if _SCHEMAS.fullmatch(one)]:
        raise Forbidden(
            "AccountForbidden",
            f"schema {of_server[0]!r} is the server's, which can show its passwords; remove it from"
            " account.postgresql.template.schemas",
        )


def absent(name: str) -> DatabaseError:
    """Return the error of a role that does not exist."""
    return Missing(
        "AccountMissing",
        f"role {name!r} does not exist. If it was renamed, send as an administrator: ALTER ROLE <its name now> RENAME"
        f" TO {identifier(name)}; otherwise create it with its privileges, or set account.postgresql.template",
    )


def _check(refusals: Iterator[tuple[str, str]]) -> None:
    refusal = next(refusals, None)
    if refusal is not None:
        raise Forbidden(*refusal)


def _refusals(account: Account, facts: Facts) -> Iterator[tuple[str, str]]:
    for name in account.names:
        if name == facts.admin.name:
            yield (
                "AccountForbidden",
                f"role {name!r} is the admin of the target; write another {_FIELD}",
            )
        if _SERVERS.match(name) or name.lower() in _FIRST:
            yield "AccountForbidden", f"role {name!r} belongs to the server; write another {_FIELD}"
        if name in _MANAGED:
            yield "AccountManagedElsewhere", f"role {name!r} is managed by {_MANAGERS}; rotate it there"
    yield from _taken(account, facts)
    for role in facts.roles.values():
        yield from _refusals_of(role, facts.admin)


def _unclaimed(account: Account, facts: Facts) -> Iterator[tuple[str, str]]:
    """Yield that the owner has no mark, with all roles that lack it."""
    without = [name for name, role in facts.roles.items() if not mark_of(role.comment)]
    if account.owner in without:
        remedy = f"If the account is its own, {marking(account, without)}"
        yield (
            "AccountNotClaimed",
            f"role {account.owner!r} has no mark of this ManagedSecret; nothing was changed. {remedy}",
        )


def marking(account: Account, names: Iterable[str]) -> str:
    """Return what an administrator does so that roles have the mark of this ManagedSecret."""
    return f"put the line {marked('', account.mark)!r} into the comment of {', '.join(map(repr, names))}"


def _in_use(
    account: Account, facts: Facts, proven: frozenset[str] = frozenset()
) -> Iterator[tuple[str, str]]:
    """Yield that others may use a name; `proven` are those whose recorded passwords were accepted."""
    # It may be a login of the account, so the way out is never to close or drop it.
    remedy = (
        f"If it is a login of this ManagedSecret, put the line {marked('', account.mark)!r} into its comment;"
        f" otherwise write another {_FIELD}"
    )
    for role in facts.roles.values():
        if role.name in proven or mark_of(role.comment):
            continue
        if role.is_open:
            yield (
                "AccountInUse",
                f"role {role.name!r} exists, logs in and has no mark; nothing was changed. {remedy}",
            )
        elif uses := ", ".join(_uses(role, account, facts)):
            yield (
                "AccountInUse",
                f"role {role.name!r} exists, has no mark and {uses}; nothing was changed. {remedy}",
            )


def _uses(role: Role, account: Account, facts: Facts) -> Iterator[str]:
    """Yield what others use a closed role for, none of which a login of an account has.

    The owner may have all of it, as its objects, members and settings stay as they are.
    """
    if role.name == account.owner:
        return
    owner = facts.roles.get(account.owner)
    if role.owns:
        yield "owns objects"
    if role.has_members:
        yield "has members"
    if role.member_of - {account.owner} - (owner.member_of if owner else frozenset()):
        yield "is a member of others"
    # Keyturn makes the sessions of its logins act as the owner. The settings of one that it has closed differ if the
    # owner's were changed since, or if only a superuser may remove them.
    settings, wanted = facts.settings.get(role.name, {}), facts.settings.get(account.owner, {})
    if settings.get(ROLE) != account.owner and settings.items() - wanted.items():
        yield "has settings"


def _taken(account: Account, facts: Facts) -> Iterator[tuple[str, str]]:
    """Yield that another ManagedSecret has the account, with the statements that release it."""
    others = {name: mark_of(role.comment) for name, role in facts.roles.items()}
    taken = [name for name, mark in others.items() if mark not in {"", account.mark}]
    if taken:
        release = " ".join(f"COMMENT ON ROLE {identifier(name)} IS NULL;" for name in taken)
        other = others[taken[0]][:_LONGEST_MARK]
        remedy = (
            f"write another {_FIELD}, or, if no cluster uses it there, send as an administrator: {release}"
        )
        yield (
            "AccountTaken",
            f"role {taken[0]!r} belongs to ManagedSecret {other}, not {account.mark}; {remedy}",
        )


def _refusals_of(role: Role, admin: Admin) -> Iterator[tuple[str, str]]:
    if role.powers:
        has = ", ".join(role.powers)
        yield "AccountForbidden", f"role {role.name!r} has or may acquire {has}; write another {_FIELD}"
    above = sorted(name for name in role.member_of if name == admin.name or _SERVERS.match(name))
    if above:
        remedy = f"revoke that, or write another {_FIELD}"
        yield "AccountForbidden", f"role {role.name!r} is a member of {above[0]!r}; {remedy}"
