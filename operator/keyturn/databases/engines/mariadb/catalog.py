"""The queries that show an account, its open sessions, and what the admin lacks."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Final

from keyturn.databases.base import Account, Client, Lack

from . import codes
from .driver import Session, StatementFailed
from .facts import Facts, ServerFacts, quoted, user_of

_SERVER: Final = """
SELECT VERSION(), CURRENT_USER(), @@GLOBAL.read_only, @@GLOBAL.strict_password_validation,
       (SELECT COUNT(*) FROM information_schema.PLUGINS
        WHERE PLUGIN_TYPE = 'PASSWORD VALIDATION' AND PLUGIN_STATUS = 'ACTIVE'),
       (SELECT CONCAT(@@hostname, ' ', @@server_id, ' ', FLOOR(UNIX_TIMESTAMP() - VARIABLE_VALUE))
        FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = 'UPTIME')
"""
"""Both times are that of the beginning of the statement, so that their difference is when the server was started."""
_VERSION: Final = re.compile(r"(\d{1,3})\.(\d{1,3})(\.\d{1,3})?")
_NO_NUMBER: Final = (0, 0)
_GRANT: Final = re.compile(r"GRANT (.+?) ON (\S+) TO ")
_ALL: Final = "ALL PRIVILEGES"
_NEEDED: Final = (
    ("*.*", ("CREATE USER", "PROCESS", "CONNECTION ADMIN")),
    ("`mysql`.`global_priv`", ("SELECT",)),
    ("`keyturn`.`marks`", ("SELECT", "INSERT", "UPDATE", "DELETE")),
)
_TABLE: Final = (
    "CREATE DATABASE IF NOT EXISTS keyturn; CREATE TABLE IF NOT EXISTS keyturn.marks (username VARCHAR(128) PRIMARY"
    " KEY, mark VARCHAR(512) NOT NULL, is_complete BOOLEAN NOT NULL DEFAULT TRUE) CHARACTER SET utf8mb4 COLLATE"
    " utf8mb4_bin"
)


async def server(session: Session) -> ServerFacts:
    """Read what the server is."""
    ((version, admin, read_only, is_strict, plugins, started),) = await session.query(_SERVER)
    found = _VERSION.search(version)
    name, _, host = admin.rpartition("@")
    return ServerFacts(
        version=found[0] if found else "",
        is_mariadb="mariadb" in version.lower(),
        release=(int(found[1]), int(found[2])) if found else _NO_NUMBER,
        admin=name,
        admin_host=host,
        is_read_only=read_only not in {"0", "OFF"},
        refuses_hashes=is_strict not in {"0", "OFF"} and plugins != "0",
        started=started,
        has_tls=session.has_tls,
    )


async def read(session: Session, account: Account) -> Facts:
    """Read what there is of an account.

    Raises:
        Denied: The admin may not read it, or the table of marks does not exist.
    """
    at = await server(session)
    name = quoted(account.owner)
    try:
        rows = await session.query(
            f"SELECT User, Host, Priv FROM mysql.global_priv WHERE User IN ({name}, '')"
        )
        marks = await session.query(f"SELECT mark, is_complete FROM keyturn.marks WHERE username = {name}")
    except StatementFailed as error:
        number = error.number
    else:
        users = tuple(user_of(name, host, privileges) for name, host, privileges in rows)
        mark, is_complete = marks[0] if marks else ("", "1")
        return Facts(at, users, mark, is_complete == "1")
    raise codes.meaning_of(number, "; ".join(one.statement for one in await lacks(session, at)))


async def clients(session: Session, name: str) -> tuple[Client, ...]:
    """Count the open sessions of a user by their address."""
    rows = await session.query(
        f"SELECT HOST FROM information_schema.PROCESSLIST WHERE BINARY USER = {quoted(name)}"
    )
    counts = Counter(address.rpartition(":")[0].strip("[]") or address for (address,) in rows)
    return tuple(Client(name, address, count) for address, count in sorted(counts.items()))


async def lacks(session: Session, at: ServerFacts) -> tuple[Lack, ...]:
    """Return the rights that the admin lacks, if any."""
    lines = [line for (line,) in await session.query("SHOW GRANTS")]
    given = [(found[2], found[1].split(", ")) for line in lines if (found := _GRANT.match(line))]
    missing = [(on, [one for one in wanted if not _is_given(one, on, given)]) for on, wanted in _NEEDED]
    statements = [f"GRANT {', '.join(which)} ON {on} TO {at.admin_name}" for on, which in missing if which]
    (table,) = await session.query(
        "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'keyturn' AND TABLE_NAME = 'marks'"
    )
    if table == ("0",):
        statements.insert(0, _TABLE)
    return (Lack("the admin lacks rights", "; ".join(statements).replace("`", "")),) if statements else ()


def _is_given(privilege: str, on: str, given: Iterable[tuple[str, list[str]]]) -> bool:
    schema = on.partition(".")[0]
    places = {on, f"{schema}.*", "*.*"}
    return any(place in places and not {privilege, _ALL}.isdisjoint(which) for place, which in given)
