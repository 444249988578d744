"""What every engine keeps to, on each release of its server, with a superuser and with the least admin."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from keyturn.core.value import Value
from keyturn.databases.base import NO_CONNECTION_LEFT, Answer, Login, Template, Verdict, prove_refused
from keyturn.databases.engines import engine_for, engines
from keyturn.databases.errors import DatabaseError, Forbidden, Missing, RefusedByPolicy
from tests.databases.servers import Fences, account, new_login, open_fence, opened

if TYPE_CHECKING:
    from keyturn.databases.base import Account
    from tests.databases.servers import Place

TEMPLATE = Template(("public",), ("CREATE",))


async def answers(place: Place, *logins: Login) -> list[Answer]:
    engine = place.engine()
    return [(await engine.prove(login)).answer for login in logins]


def test_an_engine_is_found_by_its_kind_and_loads_no_driver() -> None:
    program = "import sys; from keyturn.databases import engines as e; print([*e.engines()], *sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60
    )

    kinds, *modules = done.stdout.split()
    assert kinds == "['postgresql']"
    assert "psycopg" not in modules
    assert engine_for("postgresql") is engines()["postgresql"]
    assert engine_for("oracle") is None


async def test_check_names_the_release_and_finds_nothing_missing(place: Place) -> None:
    server = await place.engine().check()

    assert server.version.partition(".")[0] == place.server.release
    assert server.lacks == ()
    assert datetime.fromisoformat(server.started) < datetime.now(UTC)


async def test_absent_names_are_found_as_absent(place: Place) -> None:
    found = await place.engine().find(account())

    assert [one.exists for one in found.logins] == [False, False, False]
    assert (found.mark, found.forbidden, found.lacks, found.clients) == ("", None, (), ())
    assert not found.is_complete


async def test_an_account_without_template_is_not_created(place: Place) -> None:
    owned = account()

    with pytest.raises(Missing) as refusal:
        await place.engine().create(owned, None, open_fence)

    assert refusal.value.code == "AccountMissing"
    assert not (await place.engine().find(owned)).owner.exists


async def test_a_created_account_is_marked_and_closed(place: Place) -> None:
    owned = account()

    before = await place.engine().create(owned, TEMPLATE, open_fence)
    after = await place.engine().find(owned)

    assert not before.owner.exists
    assert after.is_complete
    assert after.mark == owned.mark
    assert after.lacks == ()
    assert {place.powers(name) for name in owned.names} == {(False, False)}


async def test_the_second_creation_changes_nothing_and_calls_no_fence(place: Place) -> None:
    owned = account()
    fence = Fences()
    await place.engine().create(owned, TEMPLATE, fence)
    await place.engine().create(owned, TEMPLATE, fence)

    assert fence.calls == 1


async def test_exactly_what_is_brought_logs_in(place: Place) -> None:
    owned = account()
    one, two = await opened(place, owned, *owned.logins)
    engine = place.engine()

    assert await answers(place, one, two) == [Answer.ACCEPTED, Answer.ACCEPTED]
    await engine.bring(owned, (two,), open_fence)
    assert await answers(place, one, two) == [Answer.REFUSED, Answer.ACCEPTED]
    assert place.powers(one.name) == (False, False)
    await engine.bring(owned, (), open_fence)
    assert await answers(place, one, two) == [Answer.REFUSED, Answer.REFUSED]


async def test_the_same_set_again_keeps_logins_and_sessions(place: Place) -> None:
    owned = account()
    live = await opened(place, owned, *owned.logins)
    with place.session(live[0]) as session:
        await place.engine().bring(owned, live, open_fence)

        assert await answers(place, *live) == [Answer.ACCEPTED, Answer.ACCEPTED]
        assert session.execute("SELECT 1").fetchone() == (1,)


async def test_what_is_stored_of_a_recorded_credential_stays_the_same(place: Place) -> None:
    owned = account()
    await opened(place, owned)
    live = tuple(replace(new_login(name), credential="revision 1") for name in owned.logins)
    await place.engine().bring(owned, live, open_fence)
    before = stored(place, owned)
    await place.engine().bring(owned, live, open_fence)

    assert stored(place, owned) == before
    assert all(before[login.name].startswith("SCRAM-SHA-256$4096:") for login in live)
    assert await answers(place, *live) == [Answer.ACCEPTED, Answer.ACCEPTED]
    another = replace(live[0], credential="revision 2")
    await place.engine().bring(owned, (another, live[1]), open_fence)
    assert [name for name, text in stored(place, owned).items() if text != before[name]] == [another.name]


async def test_another_password_replaces_the_one_of_that_name(place: Place) -> None:
    owned = account()
    (old,) = await opened(place, owned, owned.logins[0])
    new = new_login(old.name)
    await place.engine().bring(owned, (new,), open_fence)

    assert await answers(place, old, new) == [Answer.REFUSED, Answer.ACCEPTED]


async def test_a_name_of_another_account_is_never_brought(place: Place) -> None:
    owned, other = account(), account()
    await opened(place, owned)

    with pytest.raises(ValueError, match="is no name of account"):
        await place.engine().bring(owned, (new_login(other.owner),), open_fence)


async def test_an_account_that_is_not_claimed_is_not_brought(place: Place) -> None:
    owned = account()
    await opened(place, owned)
    place.server.execute(*(f"COMMENT ON ROLE {name} IS NULL" for name in owned.names))

    with pytest.raises(Forbidden) as refusal:
        await place.engine().bring(owned, (), open_fence)

    assert refusal.value.code == "AccountNotClaimed"
    assert f"put the line 'keyturn.dev/managed-secret: {owned.mark}' into" in refusal.value.message


async def released(place: Place, owned: Account, *names: str) -> tuple[Login, ...]:
    """Open both logins, and remove the marks of some names, as the message of AccountTaken says."""
    live = await opened(place, owned, *owned.logins)
    place.server.execute(*(f"COMMENT ON ROLE {name} IS NULL" for name in names))
    return live


async def test_an_account_without_marks_is_not_claimed_whatever_logs_in_there(place: Place) -> None:
    owned = account()
    live = await released(place, owned, *owned.names)

    with pytest.raises(Forbidden) as refusal:
        await place.engine().bring(owned, (), open_fence)

    assert refusal.value.code == "AccountNotClaimed"
    assert ", ".join(repr(name) for name in owned.names) in refusal.value.message
    assert [(one.is_open, one.is_marked) for one in (await place.engine().find(owned)).logins[1:]] == [
        (True, False)
    ] * 2
    assert await answers(place, *live) == [Answer.ACCEPTED] * 2


async def test_an_account_without_marks_is_claimed_with_its_proven_logins(place: Place) -> None:
    owned = account()
    live = await released(place, owned, *owned.names)
    engine = place.engine()

    before = await engine.create(owned, None, open_fence, frozenset(owned.logins))

    assert before.unclaimed == before.logins[1:]
    assert (await engine.find(owned)).unclaimed == ()
    assert await answers(place, *live) == [Answer.ACCEPTED] * 2
    await engine.bring(owned, live[:1], open_fence)
    assert await answers(place, *live) == [Answer.ACCEPTED, Answer.REFUSED]


async def test_an_open_login_without_a_mark_that_is_not_proven_is_left_as_it_is(place: Place) -> None:
    owned = account()
    live = await released(place, owned, owned.logins[1])
    engine, fence = place.engine(), Fences()

    for doing in (
        engine.create(owned, None, fence, frozenset(owned.logins[:1])),
        engine.bring(owned, live[:1], fence),
        engine.bring(owned, live, fence),
        engine.end_sessions(owned, owned.logins[1], fence),
    ):
        with pytest.raises(Forbidden) as refusal:
            await doing
        assert refusal.value.code == "AccountInUse"
        assert "NOLOGIN" not in refusal.value.message
    assert fence.calls == 0
    assert await answers(place, *live) == [Answer.ACCEPTED] * 2


async def test_a_proven_login_with_the_mark_of_another_is_not_claimed(place: Place) -> None:
    owned = account()
    live = await released(place, owned, owned.owner)
    place.server.execute(
        f"COMMENT ON ROLE {owned.logins[0]} IS 'keyturn.dev/managed-secret: elsewhere/shop/other'"
    )

    with pytest.raises(Forbidden) as refusal:
        await place.engine().create(owned, None, open_fence, frozenset(owned.logins))

    assert refusal.value.code == "AccountTaken"
    assert await answers(place, *live) == [Answer.ACCEPTED] * 2


async def test_a_login_that_was_dropped_is_not_created_again(place: Place) -> None:
    owned = account()
    await opened(place, owned)
    place.server.execute(f"DROP ROLE {owned.logins[1]}")

    with pytest.raises(Missing) as refusal:
        await place.engine().bring(owned, (new_login(owned.logins[0]),), open_fence)

    assert refusal.value.code == "AccountMissing"
    assert owned.logins[1] in refusal.value.message
    assert place.powers(owned.logins[0]) == (False, False)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"gr\xc3\xbc\xc3\x9fe-gr\xc3\xbc\xc3\x9fe",
        b"tab\tin-between-of-it",
        b"zero\0in-between-of-it",
        b"\xff\xfe" * 16,
    ],
    ids=["empty", "umlauts", "tab", "zero", "no text"],
)
async def test_a_value_that_drivers_read_differently_is_refused(newest: Place, value: bytes) -> None:
    owned = account()
    await opened(newest, owned)

    with pytest.raises(RefusedByPolicy) as refusal:
        await newest.engine().bring(owned, (Login(owned.logins[0], Value(value)),), open_fence)

    assert refusal.value.code == "UnsupportedValue"
    assert refusal.value.__context__ is None


@pytest.mark.parametrize("value", ["' OR '1", 'a"b\\c;--', "$$ %s {x}", " lead and trail ", "~" * 1000])
async def test_any_printable_ascii_is_a_password(newest: Place, value: str) -> None:
    owned = account()
    login = Login(owned.logins[0], Value.of_text(value))
    await opened(newest, owned)
    await newest.engine().bring(owned, (login,), open_fence)

    assert await newest.engine().prove(login) == Verdict(Answer.ACCEPTED)


async def test_a_right_password_of_a_closed_login_is_locked_and_not_refused(place: Place) -> None:
    owned = account()
    (login,) = await opened(place, owned, owned.logins[0])
    place.server.execute(f"ALTER ROLE {login.name} NOLOGIN")

    assert await answers(place, login) == [Answer.LOCKED]
    assert not (await place.engine().find(owned)).login(login.name).is_open


async def test_a_login_that_may_have_no_connection_is_found(place: Place) -> None:
    owned, engine = account(), place.engine()
    (login,) = await opened(place, owned, owned.logins[0])
    place.server.execute(f"ALTER ROLE {login.name} CONNECTION LIMIT 0")

    assert (await engine.prove(login)).reason == NO_CONNECTION_LEFT
    assert (await engine.find(owned)).login(login.name).obstacle == "has CONNECTION LIMIT 0"


async def test_an_expired_password_is_found(place: Place) -> None:
    owned = account()
    (login,) = await opened(place, owned, owned.logins[0])
    place.server.execute(f"ALTER ROLE {login.name} VALID UNTIL '2020-01-01'")

    found = (await place.engine().find(owned)).login(login.name)
    assert (found.is_expired, found.obstacle.startswith("has expired, VALID UNTIL 20")) == (True, True)
    assert await answers(place, login) == [Answer.REFUSED]


async def test_refusal_is_proven_between_two_logins_of_the_current_one(place: Place) -> None:
    owned = account()
    old, current = await opened(place, owned, *owned.logins)
    engine = place.engine()

    assert (await prove_refused(engine, old, current, place.endpoint)).answer is Answer.ACCEPTED
    await engine.bring(owned, (current,), open_fence)
    assert (await prove_refused(engine, old, current, place.endpoint)).answer is Answer.REFUSED
    await engine.bring(owned, (), open_fence)
    verdict = await prove_refused(engine, old, current, place.endpoint)
    assert (verdict.answer, verdict.reason) == (Answer.UNKNOWN, "CurrentNotAccepted")


async def test_sessions_outlive_their_login_until_they_are_ended(place: Place) -> None:
    owned = account()
    old, current = await opened(place, owned, *owned.logins)
    engine = place.engine()
    with place.session(old), place.session(old), place.session(current) as kept:
        await engine.bring(owned, (current,), open_fence)
        clients = (await engine.find(owned)).clients
        assert [(one.login, one.count) for one in clients] == [(old.name, 2), (current.name, 1)]

        assert await engine.end_sessions(owned, old.name, open_fence) == 0
        assert await engine.end_sessions(owned, old.name, open_fence) == 0
        assert kept.execute("SELECT 1").fetchone() == (1,)


async def test_an_administrator_closes_a_login_with_the_statement_of_the_engine(place: Place) -> None:
    owned = account()
    one, two = await opened(place, owned, *owned.logins)
    place.server.execute(place.engine().closing(one.name))

    assert await answers(place, one, two) == [Answer.REFUSED, Answer.ACCEPTED]
    assert place.powers(one.name) == (False, False)


async def test_a_retired_account_is_closed_and_free(place: Place) -> None:
    owned = account()
    live = await opened(place, owned, *owned.logins)
    engine = place.engine()
    await engine.retire(owned, open_fence)
    await engine.retire(owned, open_fence)

    assert await answers(place, *live) == [Answer.REFUSED, Answer.REFUSED]
    found = await engine.find(owned)
    assert (found.is_complete, found.mark) == (True, "")


async def test_retiring_what_is_absent_or_of_another_is_success(place: Place) -> None:
    owned = account()
    engine = place.engine()
    await engine.retire(owned, open_fence)
    (login,) = await opened(place, owned, owned.logins[0])
    other = replace(owned, mark="cluster/other/one")
    await engine.retire(other, open_fence)

    assert await answers(place, login) == [Answer.ACCEPTED]


async def test_a_comment_of_an_administrator_stays(place: Place) -> None:
    owned = account()
    place.server.execute(
        f"CREATE ROLE {owned.owner} NOLOGIN", f"COMMENT ON ROLE {owned.owner} IS 'team: orders'"
    )
    if place.admin.name != "postgres":
        adopt(place, owned)
    engine = place.engine()
    comment = f"SELECT shobj_description('{owned.owner}'::regrole, 'pg_authid')"
    await engine.create(owned, None, open_fence)
    marked = place.server.execute(comment)[0][0]
    await engine.retire(owned, open_fence)

    assert marked == f"team: orders\nkeyturn.dev/managed-secret: {owned.mark}"
    assert place.server.execute(comment)[0][0] == "team: orders"


async def test_two_accounts_of_one_server_do_not_touch_each_other(place: Place) -> None:
    first, second = account(), account()
    (one,) = await opened(place, first, first.logins[0])
    (two,) = await opened(place, second, second.logins[0])
    await place.engine().bring(first, (), open_fence)

    assert await answers(place, one, two) == [Answer.REFUSED, Answer.ACCEPTED]


async def test_an_error_has_a_code_and_a_sentence_and_no_value(place: Place) -> None:
    owned = account()
    login = new_login(owned.owner)

    with pytest.raises(DatabaseError) as refusal:
        await place.engine().bring(owned, (login,), open_fence)

    assert refusal.value.code == "AccountMissing"
    assert login.password.reveal().decode() not in f"{refusal.value!r}{refusal.value.message}"


def stored(place: Place, owned: Account) -> dict[str, str]:
    """Return what the server has of each password."""
    names = ", ".join(f"'{name}'" for name in owned.names)
    query = f"SELECT rolname, coalesce(rolpassword, '') FROM pg_authid WHERE rolname IN ({names})"  # noqa: S608
    return dict(place.server.execute(query))


def adopt(place: Place, owned: Account) -> None:
    """Give the admin the rights that it needs over a role that another made."""
    if int(place.server.release) >= 16:
        place.server.execute(f"GRANT {owned.owner} TO {place.admin.name} WITH ADMIN OPTION")
