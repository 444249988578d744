"""Queries of a server's catalogs, each of which an admin without further rights may send."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, TypeVar

from keyturn.databases.base import Client
from keyturn.databases.errors import Unreachable

from .driver import Row, Session
from .facts import Admin, Facts, Role, Settings

T = TypeVar("T")

_ADMIN: Final = """
SELECT rolname, rolsuper, rolcreaterole, pg_is_in_recovery(), current_setting('transaction_read_only') = 'on',
       current_database(), to_char(pg_postmaster_start_time() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
FROM pg_roles WHERE rolname = current_user
"""
_ROLES: Final = """
SELECT rolname, rolcanlogin, CASE WHEN rolvaliduntil <= now()
       THEN coalesce(to_char(rolvaliduntil AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI "UTC"'), 'ever') ELSE '' END,
       rolconnlimit,
       coalesce(shobj_description(oid, 'pg_authid'), ''),
       pg_has_role(oid, 'MEMBER WITH ADMIN OPTION'), pg_has_role(oid, 'USAGE') AND pg_has_role(oid, '{act}'),
       EXISTS (SELECT FROM pg_shdepend WHERE refclassid = 'pg_authid'::regclass AND refobjid = pg_roles.oid
               AND deptype = 'o' AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database())),
       EXISTS (SELECT FROM pg_shdepend WHERE refclassid = 'pg_authid'::regclass AND refobjid = pg_roles.oid
               AND deptype = 'o'),
       EXISTS (SELECT FROM pg_auth_members JOIN pg_roles AS other ON other.oid = member WHERE roleid = pg_roles.oid
               AND NOT (other.rolsuper OR other.rolcreaterole)),
       coalesce(pg_has_role(oid, (SELECT oid FROM pg_roles WHERE rolname = $1), '{act}'), false)
FROM pg_roles WHERE rolname IN ({names})
"""
_ABOVE: Final = """
WITH RECURSIVE above (name, oid) AS (
  SELECT rolname, oid FROM pg_roles WHERE rolname IN ({names})
  UNION SELECT above.name, roleid FROM above JOIN pg_auth_members ON member = above.oid)
SELECT above.name, rolname, rolsuper, rolreplication, rolbypassrls, rolcreaterole
FROM above JOIN pg_roles ON pg_roles.oid = above.oid
"""
_SETTINGS: Final = """
SELECT rolname, coalesce(datname, ''), split_part(setting, '=', 1), substr(setting, strpos(setting, '=') + 1)
FROM pg_db_role_setting JOIN pg_roles ON pg_roles.oid = setrole
     LEFT JOIN pg_database ON pg_database.oid = setdatabase, unnest(setconfig) AS setting
WHERE rolname IN ({names})
"""
_CLIENTS: Final = """
SELECT usename, coalesce(host(client_addr), ''), count(*) FROM pg_stat_activity
WHERE usename IN ({names}) GROUP BY 1, 2
"""
_LONGEST_NAME: Final = 63
_LONGEST_ADDRESS: Final = 45
"""Characters of an IPv6 address that ends with an IPv4 one."""
_DIGITS: Final = 9
"""Of a number of sessions."""
_POWERS: Final = ("SUPERUSER", "REPLICATION", "BYPASSRLS", "CREATEROLE")


async def admin(session: Session) -> Admin:
    """Read who the admin is, and where."""
    rows = await session.query(_ADMIN)
    return _understood(lambda: _admin(rows, session.version))


async def read(session: Session, names: Sequence[str]) -> Facts:
    """Read what there is of the roles with these names, of which the first is the owner of the account."""
    found = await admin(session)
    act = "SET" if found.has_grant_options else "MEMBER"
    rows = await session.query(_with(_ROLES, names).replace("{act}", act), *names)
    all_above = await session.query(_with(_ABOVE, names), *names)
    all_settings = await session.query(_with(_SETTINGS, names), *names)
    return _understood(lambda: _facts(found, names, rows, all_above, all_settings))


async def clients(session: Session, names: Sequence[str]) -> tuple[Client, ...]:
    """Count open sessions by login and address; the address is empty where the admin may not see it."""
    rows = await session.query(_with(_CLIENTS, names), *names)
    return _understood(lambda: tuple(sorted(_client(row) for row in rows)))


def _client(row: Row) -> Client:
    name, address, count = row
    _check_names(name)
    if len(address) > _LONGEST_ADDRESS or len(count) > _DIGITS:
        raise ValueError("no PostgreSQL has such a session")
    return Client(name, address, int(count))


def _admin(rows: Sequence[Row], version: int) -> Admin:
    ((name, *bits, database, started),) = rows
    _check_names(name, database, started)
    is_superuser, may_create, is_standby, is_read_only = (bit == "t" for bit in bits)
    return Admin(name, version, database, started, is_superuser, may_create, is_standby, is_read_only)


def _facts(
    admin: Admin,
    names: Sequence[str],
    rows: Sequence[Row],
    all_above: Sequence[Row],
    all_settings: Sequence[Row],
) -> Facts:
    roles = sorted(rows, key=lambda row: names.index(row[0]))
    powers, above = _above(all_above)
    settings: dict[str, Settings] = defaultdict(dict)
    for role, database, name, value in all_settings:
        _check_names(role, database)
        settings[role][database, name] = value
    return Facts(
        admin,
        {row[0]: _role(row, admin, tuple(powers[row[0]]), frozenset(above[row[0]])) for row in roles},
        dict(settings),
    )


def _understood(reading: Callable[[], T]) -> T:
    """Return what is read of an answer."""
    with suppress(ValueError, IndexError):
        return reading()
    # Outside the handler, as an error of Python can show a text of the server.
    raise Unreachable(
        "UnexpectedAnswer", "the server answers a query as no PostgreSQL does; check the host of the target"
    )


def _check_names(*names: str) -> None:
    if any(len(name) > _LONGEST_NAME for name in names):
        raise ValueError("a name is too long")


def _with(query: str, names: Sequence[str]) -> str:
    return query.replace("{names}", ", ".join(f"${n}" for n in range(1, len(names) + 1)))


def _above(rows: Sequence[Row]) -> tuple[dict[str, dict[str, None]], dict[str, set[str]]]:
    """Return the powers of each role, and the roles that it may act as."""
    powers: dict[str, dict[str, None]] = defaultdict(dict)
    above: dict[str, set[str]] = defaultdict(set)
    for name, other, *has in rows:
        _check_names(name, other)
        powers[name].update((power, None) for power, one in zip(_POWERS, has, strict=True) if one == "t")
        if other != name:
            above[name].add(other)
    return powers, above


def _role(row: Row, admin: Admin, powers: tuple[str, ...], above: frozenset[str]) -> Role:
    name, is_open, expired, connections, comment, *bits = row
    has_option, may_act, owns_strays, owns, has_members, acts = (bit == "t" for bit in bits)
    _check_names(expired)
    may_alter = admin.may_create_roles and (has_option or not admin.has_grant_options)
    return Role(
        name=name,
        is_open=is_open == "t",
        expired=expired,
        connections=int(connections),
        powers=powers,
        member_of=above,
        comment=comment,
        may_alter=admin.is_superuser or may_alter,
        may_act=admin.is_superuser or may_act,
        owns_strays=owns_strays,
        owns=owns,
        has_members=has_members,
        may_act_as_owner=acts,
    )
