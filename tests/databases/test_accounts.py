"""What an application notices: objects and settings of the owner, adoption of an account that is in use."""

import secrets
from dataclasses import replace

import psycopg
import pytest

from keyturn.core.spec.references import Capacity
from keyturn.core.value import Value
from keyturn.databases.base import Account, Answer, Login, Template, Verdict
from keyturn.databases.errors import Denied, Forbidden, Missing
from tests.databases.servers import Place, Servers, account, new_login, open_fence, opened, plain


def names_of(session: psycopg.Connection) -> tuple[str, str]:
    found = session.execute("SELECT session_user, current_user").fetchone()
    assert found
    return found


async def test_sessions_act_as_the_owner_also_after_a_pooler_cleaned_them(weak: Place) -> None:
    owned = account()
    (login,) = await opened(weak, owned, owned.logins[0])
    with weak.session(login) as session:
        for cleaning in ("DISCARD ALL", "RESET ROLE", "RESET ALL", "RESET SESSION AUTHORIZATION"):
            session.execute(cleaning.encode())
            assert names_of(session) == (login.name, owned.owner)


@pytest.mark.parametrize("between", [False, True], ids=["directly", "through another role"])
async def test_a_membership_that_may_not_act_as_the_owner_is_not_enough(
    weak: Place, *, between: bool
) -> None:
    """From release 16 on; a login whose setting of the role fails logs in as itself."""
    owned = account()
    (login,) = await opened(weak, owned, owned.logins[0])
    group, has_options = f"group_{owned.owner}", int(weak.server.release) >= 16
    by, options = (f" GRANTED BY {weak.admin.name}", " WITH SET FALSE") if has_options else ("", "")
    weak.server.execute(
        f"REVOKE {owned.owner} FROM {login.name}{by}",
        *(
            [
                f"CREATE ROLE {group}",
                f"GRANT {owned.owner} TO {group}",
                f"GRANT {group} TO {login.name}{options}",
            ]
            if between
            else [f"GRANT {owned.owner} TO {login.name}{options}"]
        ),
    )
    await weak.engine().bring(owned, (login,), open_fence)

    with weak.session(login) as session:
        assert names_of(session) == (login.name, owned.owner)


@pytest.mark.parametrize(
    "loss",
    [
        pytest.param("ALTER ROLE {login} RESET role", id="setting"),
        pytest.param("REVOKE {owner} FROM {login}{by}", id="membership"),
        pytest.param(
            "ALTER ROLE {login} IN DATABASE postgres SET role = 'none'", id="setting of the database"
        ),
    ],
)
async def test_a_login_that_lost_its_role_is_not_proven_until_it_is_brought_again(
    weak: Place, loss: str
) -> None:
    """The server lets it in with a warning, and every table of the owner is closed to it."""
    owned, engine = account(), weak.engine()
    (login,) = await opened(weak, owned, owned.logins[0])
    asked = replace(login, acts_as=owned.owner)
    assert (await engine.prove(asked)).answer is Answer.ACCEPTED
    by = f" GRANTED BY {weak.admin.name}" if int(weak.server.release) >= 16 else ""
    weak.server.execute(loss.format(login=login.name, owner=owned.owner, by=by))

    assert await engine.prove(asked) == Verdict(
        Answer.WRONG_ROLE,
        message=f"sessions of '{login.name}' do not act as role '{owned.owner}', and cannot use what it owns",
    )
    await engine.bring(owned, (login,), open_fence)
    assert (await engine.prove(asked)).answer is Answer.ACCEPTED


async def test_the_first_table_that_the_admin_may_not_grant_is_named(weak: Place) -> None:
    owned, schema = account(), f"s_{secrets.token_hex(4)}"
    weak.server.execute(
        f"CREATE SCHEMA {schema}",
        f"GRANT USAGE ON SCHEMA {schema} TO {weak.admin.name} WITH GRANT OPTION",
        f"CREATE TABLE {schema}.audit (n int)",
        f"CREATE TABLE {schema}.bills (n int)",
    )

    with pytest.raises(Denied) as refusal:
        await weak.engine().create(owned, Template((schema,), ("SELECT",)), open_fence)

    assert refusal.value.message == (
        "the admin may not grant these privileges on 'audit' of role 'postgres'; send as an administrator:"
        f' GRANT SELECT ON ALL TABLES IN SCHEMA "{schema}" TO "{weak.admin.name}" WITH GRANT OPTION;'
    )
    assert not (await weak.engine().find(owned)).owner.exists
    weak.server.execute(refusal.value.statement)
    await weak.engine().create(owned, Template((schema,), ("SELECT",)), open_fence)


async def test_the_owner_is_not_created_again_once_it_is_renamed(weak: Place) -> None:
    owned, engine = account(), weak.engine()
    (login,) = await opened(weak, owned, owned.logins[0])
    weak.server.execute(f"ALTER ROLE {owned.owner} RENAME TO {owned.owner}_old")

    assert (await engine.prove(replace(login, acts_as=owned.owner))).answer is Answer.WRONG_ROLE
    for doing in (engine.bring(owned, (login,), open_fence), engine.create(owned, None, open_fence)):
        with pytest.raises(Missing, match=f'ALTER ROLE <its name now> RENAME TO "{owned.owner}"'):
            await doing


async def test_a_role_that_an_account_sets_for_itself_is_no_wrong_role(newest: Place) -> None:
    owned = account(lambda name: Capacity((name,)))
    (login,) = await opened(newest, owned, owned.owner)
    newest.server.execute(f"ALTER ROLE {owned.owner} SET role = 'none'")

    assert (await newest.engine().prove(replace(login, acts_as=owned.owner))).answer is Answer.ACCEPTED


async def test_what_one_login_makes_the_other_changes(weak: Place) -> None:
    owned = account()
    one, two = await opened(weak, owned, *owned.logins)
    table = f"made_{secrets.token_hex(4)}"
    with weak.session(one) as session:
        session.execute(f"CREATE TABLE {table} (n int)".encode())
    await weak.engine().bring(owned, (two,), open_fence)
    with weak.session(two) as session:
        session.execute(f"ALTER TABLE {table} ADD COLUMN m int".encode())
        session.execute(f"DROP TABLE {table}".encode())


async def test_what_a_login_made_as_itself_is_the_owners_after_the_next_change(weak: Place) -> None:
    owned = account()
    one, two = await opened(weak, owned, *owned.logins)
    table = f"stray_{secrets.token_hex(4)}"
    weak.server.execute(f"GRANT CREATE ON SCHEMA public TO {one.name}")
    with weak.session(one) as session:
        session.execute(b"SET ROLE NONE")
        session.execute(f"CREATE TABLE {table} (n int)".encode())
    await weak.engine().bring(owned, (two,), open_fence)

    owner = weak.server.execute(f"SELECT tableowner FROM pg_tables WHERE tablename = '{table}'")  # noqa: S608
    assert owner == [(owned.owner,)]


async def test_a_table_in_use_does_not_keep_a_password_from_changing(newest: Place) -> None:
    owned = account()
    one, two = await opened(newest, owned, *owned.logins)
    table = f"stray_{secrets.token_hex(4)}"
    newest.server.execute(f"CREATE TABLE {table} (n int)", f"ALTER TABLE {table} OWNER TO {one.name}")
    with newest.server.connect() as holder:
        holder.execute(b"BEGIN")
        holder.execute(f"LOCK TABLE {table}".encode())
        await newest.engine().bring(owned, (two,), open_fence)

    assert (await newest.engine().prove(two)).answer is Answer.ACCEPTED
    assert newest.powers(one.name) == (False, False)


async def test_settings_and_limit_of_the_owner_hold_for_its_logins(weak: Place) -> None:
    owned = account()
    (login,) = await opened(weak, owned, owned.logins[0])
    owner = owned.owner
    weak.server.execute(
        f"ALTER ROLE {owner} SET search_path = '$user', 'a,b', 'c\"d', public",
        f"ALTER ROLE {owner} IN DATABASE postgres SET statement_timeout = '7min'",
        f"ALTER ROLE {owner} SET temp_tablespaces = ''",
        f"ALTER ROLE {owner} SET application_name = 'o''hara \\ co'",
        f"ALTER ROLE {owner} CONNECTION LIMIT 7",
        f"ALTER ROLE {login.name} SET work_mem = '1MB'",
    )
    await weak.engine().bring(owned, (login,), open_fence)

    settings = (
        "SELECT setdatabase, setconfig FROM pg_db_role_setting WHERE setrole = '{}'::regrole ORDER BY 1"
    )
    of_owner = {place: set(config) for place, config in weak.server.execute(settings.format(owner))}
    of_login = {place: set(config) for place, config in weak.server.execute(settings.format(login.name))}
    assert of_login.pop(0) == of_owner.pop(0) | {f"role={owner}"}
    assert of_login == of_owner
    with weak.session(login) as session:
        shown = session.execute(
            "SELECT current_setting('search_path'), current_setting('application_name')"
        ).fetchone()
    assert shown == ('"$user", "a,b", "c""d", public', "o'hara \\ co")
    limit = weak.server.execute(f"SELECT rolconnlimit FROM pg_roles WHERE rolname = '{login.name}'")  # noqa: S608
    assert limit == [(7,)]


async def test_a_setting_that_only_superusers_set_is_denied_with_the_statement_and_no_value(
    weak: Place,
) -> None:
    owned = account()
    (login,) = await opened(weak, owned, owned.logins[0])
    weak.server.execute(f"ALTER ROLE {owned.owner} SET app.tenant = 'confidential'")

    with pytest.raises(Denied) as refusal:
        await weak.engine().bring(owned, (login,), open_fence)

    assert "confidential" not in refusal.value.message
    assert '"app"."tenant"' in refusal.value.statement
    weak.server.execute(refusal.value.statement.replace("<the value of the owner>", "'confidential'"))
    await weak.engine().bring(owned, (login,), open_fence)
    with weak.session(login) as session:
        assert session.execute("SELECT current_setting('app.tenant')").fetchone() == ("confidential",)


async def test_a_setting_that_a_superuser_gave_to_a_login_alone_does_not_keep_it_closed(weak: Place) -> None:
    owned = account()
    (login,) = await opened(weak, owned, owned.logins[0])
    weak.server.execute(
        f"ALTER ROLE {login.name} SET log_statement = 'all'", f"ALTER ROLE {login.name} SET work_mem = '1MB'"
    )

    await weak.engine().bring(owned, (), open_fence)
    await weak.engine().bring(owned, (login,), open_fence)

    with weak.session(login) as session:
        shown = session.execute("SELECT current_setting('log_statement'), current_user").fetchone()
    assert shown == ("all", owned.owner)
    settings = f"SELECT setconfig::text FROM pg_db_role_setting WHERE setrole = '{login.name}'::regrole"  # noqa: S608
    assert "work_mem" not in str(weak.server.execute(settings))


async def test_an_account_in_use_is_adopted_without_a_change_of_owners(weak: Place) -> None:
    owned = account()
    old = new_login(owned.owner)
    table = f"adopted_{secrets.token_hex(4)}"
    weak.server.execute(
        f"CREATE ROLE {old.name} LOGIN PASSWORD '{plain(old)}'",
        f"GRANT CREATE ON SCHEMA public TO {old.name}",
    )
    if int(weak.server.release) >= 16:
        weak.server.execute(f"GRANT {old.name} TO {weak.admin.name} WITH ADMIN OPTION")
    with weak.session(old) as session:
        session.execute(f"CREATE TABLE {table} (n int)".encode())
    engine = weak.engine()
    before = await engine.create(owned, None, open_fence, frozenset({old.name}))
    assert before.owner.is_open
    assert (await engine.prove(old)).answer is Answer.ACCEPTED

    new = new_login(owned.logins[0])
    await engine.bring(owned, (old, new), open_fence)
    assert [(await engine.prove(one)).answer for one in (old, new)] == [Answer.ACCEPTED] * 2
    await engine.bring(owned, (new,), open_fence)

    assert weak.powers(old.name) == (False, False)
    with weak.session(new) as session:
        session.execute(f"ALTER TABLE {table} ADD COLUMN m int".encode())
        session.execute(f"DROP TABLE {table}".encode())


async def test_names_with_quotes_are_quoted(newest: Place) -> None:
    odd = f'o\'dd "na;me" \\{secrets.token_hex(4)}'
    owned = Account(odd, Capacity.alternating(odd), "cluster/shop/odd")
    (login,) = await opened(newest, owned, owned.logins[0])

    assert (await newest.engine().prove(login)).answer is Answer.ACCEPTED
    assert (await newest.engine().find(owned)).is_complete


async def test_a_template_grants_what_it_names(weak: Place) -> None:
    owned, schema = account(), f"shop_{secrets.token_hex(4)}"
    weak.server.execute(
        f"CREATE SCHEMA {schema} AUTHORIZATION {weak.admin.name}",
        f"CREATE TABLE {schema}.orders (n serial)",
        f"ALTER TABLE {schema}.orders OWNER TO {weak.admin.name}",
    )
    engine = weak.engine()
    await engine.create(owned, Template((schema,), ("SELECT", "INSERT")), open_fence)
    login = new_login(owned.logins[0])
    await engine.bring(owned, (login,), open_fence)
    with weak.session(login) as session:
        session.execute(f"INSERT INTO {schema}.orders DEFAULT VALUES".encode())
        assert session.execute(f"TABLE {schema}.orders".encode()).fetchall() == [(1,)]
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            session.execute(f"TRUNCATE {schema}.orders".encode())


async def test_a_schema_that_does_not_exist_is_named(newest: Place) -> None:
    owned = account()

    with pytest.raises(Missing) as refusal:
        await newest.engine().create(owned, Template(("no_such_schema",)), open_fence)

    assert refusal.value.code == "SchemaMissing"
    assert not (await newest.engine().find(owned)).owner.exists


async def test_a_schema_of_another_role_is_denied_with_the_statement(weak: Place) -> None:
    owned, schema = account(), f"shop_{secrets.token_hex(4)}"
    weak.server.execute(f"CREATE SCHEMA {schema}")

    with pytest.raises(Denied) as refusal:
        await weak.engine().create(owned, Template((schema,), ("SELECT",)), open_fence)

    grant = f'GRANT USAGE ON SCHEMA "{schema}" TO "{weak.admin.name}" WITH GRANT OPTION;'
    assert refusal.value.statement == grant
    assert grant in refusal.value.message
    assert not (await weak.engine().find(owned)).owner.exists
    weak.server.execute(grant)
    assert await created(weak, owned, Template((schema,), ("SELECT",)))


async def test_a_grant_that_the_server_only_warns_about_is_denied(newest: Place) -> None:
    owned, schema = account(), f"shop_{secrets.token_hex(4)}"
    newest.server.execute(f"CREATE SCHEMA {schema}", f"GRANT USAGE ON SCHEMA {schema} TO PUBLIC")

    with pytest.raises(Denied) as refusal:
        await newest.engine().create(owned, Template((schema,), ("CREATE",)), open_fence)

    grant = f'GRANT USAGE, CREATE ON SCHEMA "{schema}" TO "{newest.admin.name}" WITH GRANT OPTION;'
    assert refusal.value.statement == grant
    newest.server.execute(grant)
    assert await created(newest, owned, Template((schema,), ("CREATE",)))


async def created(place: Place, owned: Account, template: Template) -> bool:
    await place.engine().create(owned, template, open_fence)
    return (await place.engine().find(owned)).is_complete


@pytest.mark.parametrize("power", ["SUPERUSER", "REPLICATION", "BYPASSRLS", "CREATEROLE"])
async def test_an_account_with_power_is_refused(newest: Place, power: str) -> None:
    owned = account()
    newest.server.execute(f"CREATE ROLE {owned.owner} {power}")

    await assert_refused(newest, owned, "AccountForbidden", power)


async def test_an_account_that_can_become_powerful_is_refused(newest: Place) -> None:
    owned, between, mighty = account(), account().owner, account().owner
    newest.server.execute(
        f"CREATE ROLE {mighty} SUPERUSER",
        f"CREATE ROLE {between} IN ROLE {mighty}",
        f"CREATE ROLE {owned.owner} IN ROLE {between}",
    )

    await assert_refused(newest, owned, "AccountForbidden", "SUPERUSER")


@pytest.mark.parametrize("group", ["pg_read_all_data", "rds_password", "cloudsqliamuser", "azure_pg_admin"])
async def test_a_member_of_a_role_of_the_server_is_refused(newest: Place, group: str) -> None:
    owned = account()
    if not group.startswith("pg_"):
        newest.server.execute(f"CREATE ROLE {group}")
    newest.server.execute(f"CREATE ROLE {owned.owner} IN ROLE {group}")
    try:
        await assert_refused(newest, owned, "AccountForbidden", group)
    finally:
        newest.server.execute(f"DROP ROLE {owned.owner}")
        if not group.startswith("pg_"):
            newest.server.execute(f"DROP ROLE {group}")


@pytest.mark.parametrize(
    "name",
    ["rdsadmin", "cloudsqladmin", "azure_superuser", "pg_monitor", "streaming_replica", "Postgres", "root"],
)
async def test_a_name_of_the_server_is_refused(newest: Place, name: str) -> None:
    owned = Account(name, Capacity.alternating(name), "cluster/shop/one")
    reason = "AccountManagedElsewhere" if name == "streaming_replica" else "AccountForbidden"

    await assert_refused(newest, owned, reason, name)


async def test_the_admin_itself_is_refused(weak: Place) -> None:
    name = weak.admin.name
    owned = Account(name, Capacity((name,)), "cluster/shop/one")

    await assert_refused(weak, owned, "AccountForbidden", "admin of the target")


async def test_the_account_of_another_managed_secret_is_refused(weak: Place) -> None:
    owned = account()
    await opened(weak, owned)
    other = Account(owned.owner, owned.capacity, "elsewhere/shop/other")

    await assert_refused(weak, other, "AccountTaken", owned.mark)


async def test_a_login_that_others_use_is_not_taken(weak: Place) -> None:
    owned = account()
    await opened(weak, owned)
    login = owned.logins[0]
    weak.server.execute(f"COMMENT ON ROLE {login} IS NULL", f"ALTER ROLE {login} LOGIN")

    await assert_refused(weak, owned, "AccountInUse", owned.logins[0])
    assert weak.powers(owned.logins[0])[0]


@pytest.mark.parametrize("schema", ["pg_catalog", "information_schema"])
async def test_no_account_is_created_with_privileges_in_a_schema_of_the_server(
    servers: Servers, schema: str
) -> None:
    """A superuser may grant them, and pg_catalog has the verifiers of all passwords."""
    owned, engine = account(), Place.of_superuser(servers.of("18")).engine()

    with pytest.raises(Forbidden, match=f"schema '{schema}' is the server's"):
        await engine.create(owned, Template(("public", schema), ("SELECT",)), open_fence)

    assert not (await engine.find(owned)).owner.exists
    assert (await engine.check()).is_admin_unlimited


async def test_a_login_that_others_use_is_no_reason_to_create_its_owner(weak: Place) -> None:
    owned = account()
    weak.server.execute(f"CREATE ROLE {owned.logins[0]} LOGIN")

    with pytest.raises(Forbidden) as refusal:
        await weak.engine().create(owned, Template(), open_fence)

    assert refusal.value.code == "AccountInUse"
    assert not (await weak.engine().find(owned)).owner.exists


async def assert_refused(place: Place, owned: Account, reason: str, word: str) -> None:
    """Assert that each method refuses the account and leaves it as it is, and that the sentence has a word."""
    engine = place.engine()
    forbidden = (await engine.find(owned)).forbidden
    login = Login(owned.logins[0], Value.of_text(secrets.token_urlsafe(24)))
    for doing in (
        engine.create(owned, Template(), open_fence),
        engine.bring(owned, (login,), open_fence),
        engine.end_sessions(owned, login.name, open_fence),
    ):
        with pytest.raises(Forbidden) as refusal:
            await doing
        assert (refusal.value.code, refusal.value.message) == forbidden
    assert forbidden
    assert forbidden[0] == reason
    assert word in forbidden[1]
    assert (await engine.prove(login)).answer is Answer.REFUSED
