"""What every engine keeps to, on each release of its servers, with a superuser and with the least admin."""

import subprocess
import sys
from dataclasses import replace

import pytest

from keyturn.core.value import Value
from keyturn.databases.base import Account, Answer, Login, Verdict, prove_refused
from keyturn.databases.engines import engine_for, engines
from keyturn.databases.errors import DatabaseError, Forbidden, Missing, RefusedByPolicy
from sandbox.databases import RELEASES, mariadb, redis
from tests.databases.conftest import NEWEST
from tests.databases.servers import (
    TEMPLATE,
    AnyPlace,
    Fences,
    MariadbPlace,
    Place,
    RedisPlace,
    Servers,
    answers,
    both,
    new_login,
    open_fence,
    opened,
)
from tests.support.soak import some

_POSTGRESQL = [*some(RELEASES, 0, -1), "as superuser"]


@pytest.fixture(
    params=[
        *(f"PostgreSQL {one}" for one in _POSTGRESQL),
        *(f"Redis {one}" for one in redis.RELEASES),
        *(f"MariaDB {one}" for one in mariadb.RELEASES),
    ]
)
def place(request: pytest.FixtureRequest, servers: Servers) -> AnyPlace:
    """Each release with the least admin, and the newest PostgreSQL with a superuser."""
    engine, _, release = request.param.partition(" ")
    if engine == "Redis":
        return RedisPlace.of_new_admin(servers.redis(release))
    if engine == "MariaDB":
        return MariadbPlace.of_new_admin(servers.mariadb(release))
    if release == "as superuser":
        return Place.of_superuser(servers.of(NEWEST))
    return Place.of_new_admin(servers.of(release))


@pytest.fixture(params=["PostgreSQL", "Redis", "MariaDB"])
def newest(request: pytest.FixtureRequest, servers: Servers) -> AnyPlace:
    if request.param == "Redis":
        return RedisPlace.of_new_admin(servers.redis(redis.WITH_TLS))
    if request.param == "MariaDB":
        return MariadbPlace.of_new_admin(servers.mariadb(mariadb.RELEASES[-1]))
    return Place.of_new_admin(servers.of(NEWEST))


def test_an_engine_is_found_by_its_kind_and_loads_no_driver() -> None:
    program = (
        "import sys; from keyturn.databases import engines as e; print(','.join(e.engines()), *sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60
    )

    kinds, *modules = done.stdout.split()
    assert kinds == "mariadb,postgresql,redis"
    assert {"psycopg", "pymysql", "redis"}.isdisjoint(modules)
    assert engine_for("postgresql") is engines()["postgresql"]
    assert engine_for("oracle") is None


async def test_check_names_the_release_and_finds_nothing_missing(place: AnyPlace) -> None:
    server = await place.engine().check()

    assert f"{server.version}.".startswith(f"{place.server.release}.")
    assert server.lacks == ()
    assert server.started == (await place.engine().check()).started


async def test_absent_names_are_found_as_absent(place: AnyPlace) -> None:
    owned = place.account()
    found = await place.engine().find(owned)

    assert [one.exists for one in found.logins] == [False] * len(owned.names)
    assert (found.mark, found.forbidden, found.lacks, found.clients) == ("", None, (), ())
    assert not found.is_complete


async def test_an_account_without_template_is_not_created(place: AnyPlace) -> None:
    owned = place.account()

    with pytest.raises(Missing) as refusal:
        await place.engine().create(owned, None, open_fence)

    assert refusal.value.code == "AccountMissing"
    assert not (await place.engine().find(owned)).owner.exists


async def test_a_created_account_is_marked_and_closed(place: AnyPlace) -> None:
    owned = place.account()

    before = await place.engine().create(owned, TEMPLATE, open_fence)
    after = await place.engine().find(owned)

    assert not before.owner.exists
    assert after.is_complete
    assert after.mark == owned.mark
    assert after.lacks == ()
    assert {place.powers(name) for name in owned.names} == {(False, False)}


async def test_the_second_creation_changes_nothing_and_calls_no_fence(place: AnyPlace) -> None:
    owned = place.account()
    fence = Fences()
    await place.engine().create(owned, TEMPLATE, fence)
    await place.engine().create(owned, TEMPLATE, fence)

    assert fence.calls == 1


async def test_exactly_what_is_brought_logs_in(place: AnyPlace) -> None:
    owned = place.account()
    one, two = await opened(place, owned, *both(owned))
    engine = place.engine()

    assert await answers(place, one, two) == [Answer.ACCEPTED, Answer.ACCEPTED]
    await engine.bring(owned, (two,), open_fence)
    assert await answers(place, one, two) == [Answer.REFUSED, Answer.ACCEPTED]
    await engine.bring(owned, (), open_fence)
    assert await answers(place, one, two) == [Answer.REFUSED, Answer.REFUSED]
    assert {place.powers(name) for name in owned.names} == {(False, False)}


async def test_the_same_set_again_keeps_logins_and_sessions(place: AnyPlace) -> None:
    owned = place.account()
    live = await opened(place, owned, *both(owned))
    with place.session(live[0]) as session:
        await place.engine().bring(owned, live, open_fence)

        assert await answers(place, *live) == [Answer.ACCEPTED, Answer.ACCEPTED]
        assert place.is_alive(session)


async def test_another_password_replaces_the_one_of_that_name(place: AnyPlace) -> None:
    owned = place.account()
    (old,) = await opened(place, owned, owned.logins[0])
    new = new_login(old.name)
    await place.engine().bring(owned, (new,), open_fence)

    assert await answers(place, old, new) == [Answer.REFUSED, Answer.ACCEPTED]


async def test_a_name_of_another_account_is_never_brought(place: AnyPlace) -> None:
    owned, other = place.account(), place.account()
    await opened(place, owned)

    with pytest.raises(ValueError, match="is no name of account"):
        await place.engine().bring(owned, (new_login(other.owner),), open_fence)


async def test_an_account_that_is_not_claimed_is_not_brought(place: AnyPlace) -> None:
    owned = place.account()
    await opened(place, owned)
    place.mark(owned)

    with pytest.raises(Forbidden) as refusal:
        await place.engine().bring(owned, (), open_fence)

    assert refusal.value.code == "AccountNotClaimed"
    assert engine_says(place, owned) in refusal.value.message


def engine_says(place: AnyPlace, owned: Account) -> str:
    return place.engine().marking(owned)


async def released(place: AnyPlace, owned: Account) -> tuple[Login, ...]:
    """Open both logins, and remove the marks, as the message of AccountTaken says."""
    live = await opened(place, owned, *both(owned))
    place.mark(owned)
    return live


async def test_an_account_without_marks_is_not_claimed_whatever_logs_in_there(place: AnyPlace) -> None:
    owned = place.account()
    live = await released(place, owned)

    with pytest.raises(Forbidden) as refusal:
        await place.engine().bring(owned, (), open_fence)

    assert refusal.value.code == "AccountNotClaimed"
    found = await place.engine().find(owned)
    assert {(one.is_open, one.is_marked) for one in found.logins if one.name in owned.logins} == {
        (True, False)
    }
    assert await answers(place, *live) == [Answer.ACCEPTED] * 2


async def test_an_account_without_marks_is_claimed_with_its_proven_logins(place: AnyPlace) -> None:
    owned = place.account()
    live = await released(place, owned)
    engine = place.engine()

    before = await engine.create(owned, None, open_fence, frozenset(owned.logins))

    assert {one.name for one in before.unclaimed} == set(owned.logins)
    assert (await engine.find(owned)).unclaimed == ()
    assert await answers(place, *live) == [Answer.ACCEPTED] * 2
    await engine.bring(owned, live[:1], open_fence)
    assert await answers(place, *live) == [Answer.ACCEPTED, Answer.REFUSED]


async def test_a_proven_login_with_the_mark_of_another_is_not_claimed(place: AnyPlace) -> None:
    owned = place.account()
    live = await opened(place, owned, *both(owned))
    place.mark(owned, "elsewhere/shop/other", owned.logins[0])

    with pytest.raises(Forbidden) as refusal:
        await place.engine().create(owned, None, open_fence, frozenset(owned.logins))

    assert refusal.value.code == "AccountTaken"
    assert await answers(place, *live) == [Answer.ACCEPTED] * 2


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
async def test_a_value_that_drivers_read_differently_is_refused(newest: AnyPlace, value: bytes) -> None:
    owned = newest.account()
    await opened(newest, owned)

    with pytest.raises(RefusedByPolicy) as refusal:
        await newest.engine().bring(owned, (Login(owned.logins[0], Value(value)),), open_fence)

    assert refusal.value.code == "UnsupportedValue"
    assert refusal.value.__context__ is None


@pytest.mark.parametrize("value", ["' OR '1", 'a"b\\c;--', "$$ %s {x}", " lead and trail ", "~" * 1000])
async def test_any_printable_ascii_is_a_password(newest: AnyPlace, value: str) -> None:
    owned = newest.account()
    login = Login(owned.logins[0], Value.of_text(value))
    await opened(newest, owned)
    await newest.engine().bring(owned, (login,), open_fence)

    assert await newest.engine().prove(login) == Verdict(Answer.ACCEPTED)


async def test_a_right_password_of_a_closed_login_is_locked_and_not_refused(place: AnyPlace) -> None:
    owned = place.account()
    (login,) = await opened(place, owned, owned.logins[0])
    place.lock(login.name)

    assert await answers(place, login) == [Answer.LOCKED]
    assert not (await place.engine().find(owned)).login(login.name).is_open


async def test_refusal_is_proven_between_two_logins_of_the_current_one(place: AnyPlace) -> None:
    owned = place.account()
    old, current = await opened(place, owned, *both(owned))
    engine = place.engine()

    assert (await prove_refused(engine, old, current, place.endpoint)).answer is Answer.ACCEPTED
    await engine.bring(owned, (current,), open_fence)
    assert (await prove_refused(engine, old, current, place.endpoint)).answer is Answer.REFUSED
    await engine.bring(owned, (), open_fence)
    verdict = await prove_refused(engine, old, current, place.endpoint)
    assert (verdict.answer, verdict.reason) == (Answer.UNKNOWN, "CurrentNotAccepted")


async def test_sessions_outlive_their_login_until_they_are_ended(place: AnyPlace) -> None:
    owned = place.account()
    old, current = await opened(place, owned, *both(owned))
    engine = place.engine()
    with place.session(old) as one, place.session(old) as two, place.session(current) as kept:
        assert all(map(place.is_alive, (one, two, kept)))
        await engine.bring(owned, (current,), open_fence)
        clients = (await engine.find(owned)).clients
        counts = [(old.name, 2), (current.name, 1)] if owned.capacity.renames else [(old.name, 3)]
        assert [(one.login, one.count) for one in clients] == counts

        assert await engine.end_sessions(owned, old.name, open_fence) == 0
        assert await engine.end_sessions(owned, old.name, open_fence) == 0
        # Sessions of two passwords of one name are alike at the server.
        assert not owned.capacity.renames or place.is_alive(kept)


async def test_an_administrator_closes_a_login_with_the_statement_of_the_engine(place: AnyPlace) -> None:
    owned = place.account()
    one, two = await opened(place, owned, *both(owned))
    place.server.execute(place.engine().closing(one.name))

    others = Answer.ACCEPTED if owned.capacity.renames else Answer.REFUSED
    assert await answers(place, one, two) == [Answer.REFUSED, others]
    assert place.powers(one.name) == (False, False)


async def test_a_retired_account_is_closed_and_free(place: AnyPlace) -> None:
    owned = place.account()
    live = await opened(place, owned, *both(owned))
    engine = place.engine()
    await engine.retire(owned, open_fence)
    await engine.retire(owned, open_fence)

    assert await answers(place, *live) == [Answer.REFUSED, Answer.REFUSED]
    found = await engine.find(owned)
    assert (found.is_complete, found.mark) == (True, "")


async def test_retiring_what_is_absent_or_of_another_is_success(place: AnyPlace) -> None:
    owned = place.account()
    engine = place.engine()
    await engine.retire(owned, open_fence)
    (login,) = await opened(place, owned, owned.logins[0])
    other = replace(owned, mark="cluster/other/one")
    await engine.retire(other, open_fence)

    assert await answers(place, login) == [Answer.ACCEPTED]


async def test_two_accounts_of_one_server_do_not_touch_each_other(place: AnyPlace) -> None:
    first, second = place.account(), place.account()
    (one,) = await opened(place, first, first.logins[0])
    (two,) = await opened(place, second, second.logins[0])
    await place.engine().bring(first, (), open_fence)

    assert await answers(place, one, two) == [Answer.REFUSED, Answer.ACCEPTED]


async def test_an_error_has_a_code_and_a_sentence_and_no_value(place: AnyPlace) -> None:
    owned = place.account()
    login = new_login(owned.owner)

    with pytest.raises(DatabaseError) as refusal:
        await place.engine().bring(owned, (login,), open_fence)

    assert refusal.value.code == "AccountMissing"
    assert login.password.reveal().decode() not in f"{refusal.value!r}{refusal.value.message}"
