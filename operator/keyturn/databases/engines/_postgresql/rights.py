"""What the admin lacks, and the statement that grants it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from keyturn.databases.base import Lack

from .quoting import identifier, identifiers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .facts import Admin, Facts
    from .settings import Copy

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
