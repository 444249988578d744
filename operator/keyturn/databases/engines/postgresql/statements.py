"""Statements of each change, of facts that were read in the same transaction, and what the admin lacks for them.

A password is only here as a SCRAM verifier, which is computed on our side.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from types import MappingProxyType
from typing import Final

from keyturn.databases.base import Account, Lack, Template

from .facts import Admin, Copy, Facts, Role, copied, identifier, identifiers, literal, mark_of, marked

_PARAMETERS: Final = 150_000
"""The first release with grants of settings."""


def server_lacks(admin: Admin) -> tuple[Lack, ...]:
    """Return what every account needs."""
    if admin.is_superuser or admin.may_create_roles:
        return ()
    return (Lack(f"admin {admin.name!r} may not change roles", _create_role(admin)),)


def lacks(facts: Facts) -> tuple[Lack, ...]:
    """Return what the roles of an account need."""
    return server_lacks(facts.admin) or tuple(_lacks(facts))


def altering(admin: Admin, names: Sequence[str]) -> str:
    """Return the statement after which the admin may open and close these roles, each of which exists.

    Without a role it is the one after which the admin may create them.
    """
    if not admin.has_grant_options or not admin.may_create_roles or not names:
        return _create_role(admin)
    options = "ADMIN OPTION, INHERIT TRUE, SET TRUE"
    return f"GRANT {identifiers(*names)} TO {identifier(admin.name)} WITH {options};"


def using(admin: Admin, names: Sequence[str]) -> str:
    """Return the statement after which the admin may end their sessions and reassign what they own."""
    options = " WITH INHERIT TRUE, SET TRUE" if admin.has_grant_options else ""
    return f"GRANT {identifiers(*names)} TO {identifier(admin.name)}{options};"


def setting(admin: Admin, copy: Copy) -> str:
    """Return the statement after which a setting of the owner is the login's too, such as one that superusers set."""
    if admin.version >= _PARAMETERS and admin.may_create_roles:
        return f"GRANT SET ON PARAMETER {copy.name} TO {identifier(admin.name)};"
    return copy.shown


def own_grants(admin: Admin, names: Sequence[str]) -> Iterator[str]:
    """Yield the grants that an admin gives to itself, which it may for roles that it may change."""
    if not admin.is_superuser:
        yield from (using(admin, [name]) for name in names)


def _create_role(admin: Admin) -> str:
    return f"ALTER ROLE {identifier(admin.name)} CREATEROLE;"


def _lacks(facts: Facts) -> Iterator[Lack]:
    closed = [role.name for role in facts.roles.values() if not role.may_alter]
    if closed:
        yield Lack(
            f"admin {facts.admin.name!r} may not change role {closed[0]!r}", altering(facts.admin, closed)
        )
    foreign = [role.name for role in facts.roles.values() if role.may_alter and not role.may_act]
    if foreign:
        yield Lack(
            f"admin {facts.admin.name!r} may not end sessions of role {foreign[0]!r}",
            using(facts.admin, foreign),
        )


_SEQUENCES: Final = {"SELECT": "SELECT", "INSERT": "USAGE", "UPDATE": "UPDATE"}
_PLACES: Final = MappingProxyType(
    {
        "SCHEMA": ("has_schema_privilege", ""),
        "ALL TABLES IN SCHEMA": ("has_table_privilege", "relkind IN ('r', 'p', 'v', 'm', 'f')"),
        "ALL SEQUENCES IN SCHEMA": ("has_sequence_privilege", "relkind = 'S'"),
    }
)
"""The function that tells a privilege, and the condition of what has it; a schema has its own catalog."""
_CHECK_OF_SCHEMA: Final = "SELECT {has} FROM pg_namespace WHERE nspname = {schema}"
_CHECK: Final = (
    "SELECT coalesce(bool_and({has}), true) FROM pg_class"
    " WHERE {kind} AND relnamespace = quote_ident({schema})::regnamespace"
)
_BLOCKER: Final = (
    "SELECT relname, pg_get_userbyid(relowner) FROM pg_class WHERE {kind}"
    " AND relnamespace = quote_ident({schema})::regnamespace AND NOT ({may_grant}) ORDER BY 1 LIMIT 1"
)
_ON_SCHEMAS: Final = frozenset({"CREATE", "USAGE"})


class About(Enum):
    """What a statement is about, which decides what its failure means."""

    ROLE = auto()
    PASSWORD = auto()
    """Its refusal means that the server takes no verifier."""
    EXTRA = auto()
    """Its failure is no failure of the change: the statement alone is undone."""


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement, and the statement that grants the right to send it."""

    text: str
    grant: str
    about: About = About.ROLE
    check: str = ""
    """A query that answers whether the statement had its effect."""
    blocker: str = ""
    """A query of the first object, with its owner, that the admin may not grant."""


def creating(account: Account, template: Template | None, facts: Facts) -> Iterator[Statement]:
    """Create what is missing, closed, and mark it; a name that exists keeps its password."""
    grant = altering(facts.admin, list(facts.roles))
    for name in account.names:
        role = facts.roles.get(name)
        if role is None:
            yield Statement(f"CREATE ROLE {identifier(name)} NOLOGIN PASSWORD NULL", grant)
        if role is None or not role.may_act:
            yield from (Statement(text, grant) for text in own_grants(facts.admin, [name]))
        if role is None or mark_of(role.comment) != account.mark:
            yield _comment(name, marked(role.comment if role else "", account.mark), grant)
    for login in _members(account):
        yield from _membership(account.owner, login, facts, grant)
    if template is not None and account.owner not in facts.roles:
        # Every role may connect unless that was revoked; then only the owner of the database may grant it.
        connect = (
            f"GRANT CONNECT ON DATABASE {identifier(facts.admin.database)} TO {identifier(account.owner)}"
        )
        yield Statement(connect, grant, About.EXTRA)
        yield from _privileges(account.owner, template, facts.admin)


def bringing(account: Account, verifiers: Mapping[str, str], facts: Facts) -> Iterator[Statement]:
    """Open exactly the names that have a verifier, and close every other."""
    grant = altering(facts.admin, account.names)
    for login in _members(account):
        if login in verifiers:
            yield from _membership(account.owner, login, facts, grant)
            yield from _alike(facts.roles[account.owner], facts.roles[login], facts, grant)
    for name in account.names:
        verifier = verifiers.get(name)
        if verifier is None:
            yield _closed(name, grant)
        else:
            opened = f"ALTER ROLE {identifier(name)} LOGIN PASSWORD {literal(verifier)}"
            yield Statement(opened, grant, About.PASSWORD)
    for login in _members(account):
        if facts.roles[login].owns_strays:
            reassigned = f"REASSIGN OWNED BY {identifier(login)} TO {identifier(account.owner)}"
            yield Statement(reassigned, using(facts.admin, account.names), About.EXTRA)


def retiring(account: Account, facts: Facts) -> Iterator[Statement]:
    """Close the names that have the account's mark, and remove the mark."""
    ours = [role for role in facts.roles.values() if mark_of(role.comment) == account.mark]
    grant = altering(facts.admin, list(facts.roles))
    for role in ours:
        yield _closed(role.name, grant)
        yield _comment(role.name, marked(role.comment, ""), grant)


def _members(account: Account) -> Iterator[str]:
    return (name for name in account.logins if name != account.owner)


def closing(name: str) -> str:
    """Return the statement that closes a login, without its password as well, which a pooler may read and accept."""
    return f"ALTER ROLE {identifier(name)} NOLOGIN PASSWORD NULL"


def _closed(name: str, grant: str) -> Statement:
    return Statement(closing(name), grant)


def _comment(name: str, comment: str, grant: str) -> Statement:
    text = literal(comment) if comment else "NULL"
    return Statement(f"COMMENT ON ROLE {identifier(name)} IS {text}", grant)


def _membership(owner: str, login: str, facts: Facts, grant: str) -> Iterator[Statement]:
    role = facts.roles.get(login)
    if role is None or not role.may_act_as_owner:
        options = " WITH INHERIT TRUE, SET TRUE" if facts.admin.has_grant_options else ""
        yield Statement(f"GRANT {identifier(owner)} TO {identifier(login)}{options}", grant)


def _alike(owner: Role, login: Role, facts: Facts, grant: str) -> Iterator[Statement]:
    """Give a login what its sessions do not inherit from the owner."""
    if owner.connections != login.connections:
        limit = f"ALTER ROLE {identifier(login.name)} CONNECTION LIMIT {owner.connections}"
        yield Statement(limit, grant)
    for copy in copied(owner.name, login.name, facts.settings):
        # A right on the setting is of no use to an admin that may not change the login.
        needed = setting(facts.admin, copy) if login.may_alter else grant
        yield Statement(copy.text, needed, About.EXTRA if copy.is_reset else About.ROLE)


def _privileges(owner: str, template: Template, admin: Admin) -> Iterator[Statement]:
    tables = [word for word in template.privileges if word not in _ON_SCHEMAS]
    on_schema = ["USAGE", *(word for word in template.privileges if word == "CREATE")]
    sequences = [_SEQUENCES[word] for word in tables if word in _SEQUENCES]
    for schema in template.schemas:
        yield _granted(on_schema, "SCHEMA", schema, owner, admin)
        if tables:
            yield _granted(tables, "ALL TABLES IN SCHEMA", schema, owner, admin)
        if sequences:
            yield _granted(sequences, "ALL SEQUENCES IN SCHEMA", schema, owner, admin)


def _granted(words: Sequence[str], place: str, schema: str, owner: str, admin: Admin) -> Statement:
    """Grant, and check that it was granted: a server may only warn that it granted nothing."""
    granted = f"GRANT {', '.join(words)} ON {place} {identifier(schema)} TO "
    is_granted, kind = _PLACES[place]
    has = " AND ".join(f"{is_granted}({literal(owner)}, oid, {literal(word)})" for word in words)
    may_grant = " AND ".join(f"{is_granted}(oid, {literal(word + ' WITH GRANT OPTION')})" for word in words)
    return Statement(
        granted + identifier(owner),
        f"{granted}{identifier(admin.name)} WITH GRANT OPTION;",
        check=(_CHECK if kind else _CHECK_OF_SCHEMA).format(has=has, kind=kind, schema=literal(schema)),
        blocker=_BLOCKER.format(kind=kind, schema=literal(schema), may_grant=may_grant) if kind else "",
    )
