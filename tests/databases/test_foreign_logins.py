"""A closed role with the name of a login, which others use: nothing of it is given to the account."""

import secrets
from collections.abc import Callable

import pytest

from keyturn.databases.base import Account, Answer, Template
from keyturn.databases.errors import Forbidden
from tests.databases.servers import Place, account, new_login, open_fence, opened


def owns_a_table(place: Place, role: str) -> None:
    table = f"foreign_{secrets.token_hex(4)}"
    place.server.execute(f"CREATE TABLE {table} (n int)", f"ALTER TABLE {table} OWNER TO {role}")


def owns_a_database(place: Place, role: str) -> None:
    place.server.execute(f"CREATE DATABASE foreign_{secrets.token_hex(4)} OWNER {role}")


def has_a_member(place: Place, role: str) -> None:
    place.server.execute(f"CREATE ROLE member_{secrets.token_hex(4)} IN ROLE {role}")


def is_a_member(place: Place, role: str) -> None:
    place.server.execute(f"CREATE ROLE group_{secrets.token_hex(4)} ROLE {role}")


def has_a_setting(place: Place, role: str) -> None:
    place.server.execute(f"ALTER ROLE {role} SET search_path = tenant_b")


USES = {
    "owns objects": owns_a_table,
    "owns objects (a database)": owns_a_database,
    "has members": has_a_member,
    "is a member of others": is_a_member,
    "has settings": has_a_setting,
}


@pytest.mark.parametrize("use", USES.items(), ids=lambda use: use[0])
async def test_a_closed_role_that_others_use_is_not_claimed(
    weak: Place, use: tuple[str, Callable[[Place, str], None]]
) -> None:
    owned, (word, doing) = account(), use
    login = owned.logins[1]
    weak.server.execute(f"CREATE ROLE {owned.owner}", f"CREATE ROLE {login}")
    doing(weak, login)
    before = state_of(weak, owned)

    with pytest.raises(Forbidden) as refusal:
        await weak.engine().create(owned, Template(), open_fence)

    assert (refusal.value.code, refusal.value.message) == (await weak.engine().find(owned)).forbidden
    assert refusal.value.code == "AccountInUse"
    assert f"role {login!r} exists, has no mark and {word.partition(' (')[0]}" in refusal.value.message
    assert state_of(weak, owned) == before


async def test_a_role_that_took_the_place_of_a_login_is_not_opened(weak: Place) -> None:
    owned = account()
    (live,) = await opened(weak, owned, owned.logins[0])
    login = owned.logins[1]
    weak.server.execute(f"DROP ROLE {login}", f"CREATE ROLE {login}")
    owns_a_table(weak, login)
    before = state_of(weak, owned)

    with pytest.raises(Forbidden) as refusal:
        await weak.engine().bring(owned, (live, new_login(login)), open_fence)

    assert refusal.value.code == "AccountInUse"
    assert state_of(weak, owned) == before


async def test_a_closed_role_that_nothing_uses_becomes_a_login(weak: Place) -> None:
    owned = account()
    weak.server.execute(f"CREATE ROLE {owned.owner}")
    weak.server.execute(*(f"CREATE ROLE {login} IN ROLE {owned.owner}" for login in owned.logins))
    if int(weak.server.release) >= 16:
        weak.server.execute(*(f"GRANT {name} TO {weak.admin.name} WITH ADMIN OPTION" for name in owned.names))

    (live,) = await opened(weak, owned, owned.logins[1])

    assert (await weak.engine().prove(live)).answer is Answer.ACCEPTED


async def test_logins_of_an_account_that_lost_their_marks_are_claimed_again(weak: Place) -> None:
    owned = account()
    await opened(weak, owned, *owned.logins)
    await weak.engine().bring(owned, (), open_fence)
    weak.server.execute(*(f"COMMENT ON ROLE {name} IS NULL" for name in owned.names))
    # A closed login keeps its settings: those that the owner had then, and those of superusers.
    weak.server.execute(*(f"ALTER ROLE {login} SET statement_timeout = '7min'" for login in owned.logins))
    weak.server.execute(f"ALTER ROLE {owned.logins[1]} SET log_statement = 'none'")

    (live,) = await opened(weak, owned, owned.logins[1])

    assert (await weak.engine().prove(live)).answer is Answer.ACCEPTED


def state_of(place: Place, owned: Account) -> list[tuple[object, ...]]:
    """Return members, owners, settings and comments of the account's roles."""
    query = (
        "SELECT rolname, rolcanlogin, shobj_description(oid, 'pg_authid'),"
        " ARRAY(SELECT member::regrole::text FROM pg_auth_members WHERE roleid = pg_roles.oid ORDER BY 1),"
        " ARRAY(SELECT roleid::regrole::text FROM pg_auth_members WHERE member = pg_roles.oid ORDER BY 1),"
        " ARRAY(SELECT relname FROM pg_class WHERE relowner = pg_roles.oid),"
        " ARRAY(SELECT setconfig::text FROM pg_db_role_setting WHERE setrole = pg_roles.oid)"
        " FROM pg_roles WHERE rolname = ANY ('{names}') ORDER BY 1"
    )
    return place.server.execute(query.replace("names", ", ".join(owned.names)))
