"""What the admin lacks is named with the statement after which it works, on each release."""

import pytest

from keyturn.databases.base import Account, Answer, Template
from keyturn.databases.engines.postgresql.operations import _lock_of as lock_of
from keyturn.databases.errors import Busy, Denied
from sandbox.databases import PostgresServer
from tests.databases.servers import Place, account, new_login, open_fence, opened, plain

TEMPLATE = Template()


async def test_an_admin_that_may_not_change_roles_is_found_by_check(any_server: PostgresServer) -> None:
    place = Place.of_new_admin(any_server, "")
    (lack,) = (await place.engine().check()).lacks

    assert lack.statement == f'ALTER ROLE "{place.admin.name}" CREATEROLE;'
    with pytest.raises(Denied) as refusal:
        await place.engine().create(account(), TEMPLATE, open_fence)
    assert refusal.value.statement == lack.statement
    any_server.execute(lack.statement)
    assert (await place.engine().check()).lacks == ()
    assert await works(place, account())


async def test_an_account_of_another_admin_works_after_the_statement(any_server: PostgresServer) -> None:
    """Before release 16 an admin may change each role, and the test passes without a statement."""
    owned = account()
    (login,) = await opened(Place.of_superuser(any_server), owned, owned.logins[0])
    place = Place.of_new_admin(any_server)
    if int(any_server.release) >= 16:
        with pytest.raises(Denied) as refusal:
            await place.engine().bring(owned, (), open_fence)
        assert (await place.engine().prove(login)).answer is Answer.ACCEPTED
        assert "ADMIN OPTION" in refusal.value.statement
        assert refusal.value.statement in {
            lack.statement for lack in (await place.engine().find(owned)).lacks
        }
        any_server.execute(refusal.value.statement)

    assert await works(place, owned)


async def test_an_account_that_another_role_created_is_adopted_after_the_statement(
    any_server: PostgresServer,
) -> None:
    """Its logins do not exist yet. Before release 16 an admin may change each role."""
    place, owned = Place.of_new_admin(any_server), account()
    old = new_login(owned.owner)
    any_server.execute(f"CREATE ROLE {old.name} LOGIN PASSWORD '{plain(old)}'")
    adopting = frozenset({old.name})
    if int(any_server.release) >= 16:
        with pytest.raises(Denied) as refusal:
            await place.engine().create(owned, None, open_fence, adopting)
        any_server.execute(refusal.value.statement)

    await place.engine().create(owned, None, open_fence, adopting)
    assert (await place.engine().prove(old)).answer is Answer.ACCEPTED
    assert await works(place, owned)


async def test_sessions_of_a_role_that_the_admin_is_no_member_of_end_after_the_statement(
    any_server: PostgresServer,
) -> None:
    owned = account()
    (login,) = await opened(Place.of_superuser(any_server), owned, owned.logins[0])
    place = Place.of_new_admin(any_server)
    if int(any_server.release) >= 16:
        any_server.execute(
            *(f"GRANT {name} TO {place.admin.name} WITH ADMIN OPTION, INHERIT FALSE" for name in owned.names)
        )
    (lack,) = (await place.engine().find(owned)).lacks
    with place.session(login):
        with pytest.raises(Denied) as refusal:
            await place.engine().end_sessions(owned, login.name, open_fence)
        assert refusal.value.statement == lack.statement
        any_server.execute(lack.statement)

        assert await place.engine().end_sessions(owned, login.name, open_fence) == 0
    assert (await place.engine().find(owned)).lacks == ()


async def test_an_admin_as_managed_services_have_it_works(any_server: PostgresServer) -> None:
    """A member of a group with the rights of the server, no superuser, as rds_superuser is."""
    place = Place.of_new_admin(any_server, "CREATEROLE CREATEDB")
    group = f"service_{account().owner}"
    any_server.execute(
        f"CREATE ROLE {group} NOLOGIN",
        f"GRANT pg_monitor, pg_signal_backend TO {group}",
        f"GRANT {group} TO {place.admin.name}",
    )

    assert (await place.engine().check()).lacks == ()
    assert await works(place, account())


async def test_rights_that_were_taken_away_are_named_and_nothing_is_changed(
    any_server: PostgresServer,
) -> None:
    place, owned = Place.of_new_admin(any_server), account()
    old, new = await opened(place, owned, *owned.logins)
    any_server.execute(f"ALTER ROLE {place.admin.name} NOCREATEROLE")

    with pytest.raises(Denied) as refusal:
        await place.engine().bring(owned, (new,), open_fence)

    assert (await place.engine().prove(old)).answer is Answer.ACCEPTED
    any_server.execute(refusal.value.statement)
    await place.engine().bring(owned, (new,), open_fence)
    assert (await place.engine().prove(old)).answer is Answer.REFUSED


async def test_logins_that_the_admin_may_no_longer_change_are_named_with_their_grant(
    any_server: PostgresServer,
) -> None:
    """Before release 16 an admin may change each role, and the revocation takes nothing."""
    place, owned = Place.of_new_admin(any_server), account()
    await place.engine().create(owned, TEMPLATE, open_fence)
    if int(any_server.release) >= 16:
        any_server.execute(*(f"REVOKE {name} FROM {place.admin.name} CASCADE" for name in owned.logins))
        with pytest.raises(Denied) as refusal:
            await place.engine().bring(owned, (new_login(owned.logins[0]),), open_fence)
        assert "ADMIN OPTION" in refusal.value.statement
        any_server.execute(refusal.value.statement)

    assert await works(place, owned)


async def works(place: Place, owned: Account) -> bool:
    """Whether an account can be created and brought, and sessions of it ended."""
    engine = place.engine()
    await engine.create(owned, TEMPLATE, open_fence)
    login = new_login(owned.logins[0])
    await engine.bring(owned, (login,), open_fence)
    with place.session(login):
        left = await engine.end_sessions(owned, login.name, open_fence)
    found = await engine.find(owned)
    return left == 0 and found.lacks == () and (await engine.prove(login)).answer is Answer.ACCEPTED


async def test_a_function_of_an_application_is_not_executed_by_the_admin(weak: Place) -> None:
    """For the argument text[], a function of the schema public is a better match than that of the catalog."""
    owned = account()
    (login,) = await opened(weak, owned, owned.logins[0])
    with weak.session(login) as connection:
        connection.execute(
            "CREATE FUNCTION public.unnest(text[]) RETURNS SETOF text LANGUAGE plpgsql"
            " AS $$ BEGIN RAISE EXCEPTION 'executed by %', current_user; END $$"
        )
    try:
        found = await weak.engine().find(owned)
        await weak.engine().bring(owned, (login,), open_fence)
    finally:
        weak.server.execute("DROP FUNCTION public.unnest(text[])")

    assert found.mark == owned.mark


async def test_a_role_that_keeps_the_lock_of_an_account_is_named_at_the_server(weak: Place) -> None:
    owned, other = account(), account()
    (login,) = await opened(weak, other, other.logins[0])
    await weak.engine().create(owned, TEMPLATE, open_fence)
    with weak.session(login) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", [lock_of(owned)])
        with pytest.raises(Busy, match=f"role '{login.name}' holds the advisory lock"):
            await weak.engine().bring(owned, (), open_fence)
        # The end of a session frees its locks as well, but later.
        connection.execute("SELECT pg_advisory_unlock(%s)", [lock_of(owned)])

    await weak.engine().bring(owned, (), open_fence)
