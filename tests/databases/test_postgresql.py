"""What only PostgreSQL has of an account: verifiers, marks of each login, limits, dates and comments."""

from __future__ import annotations

from dataclasses import replace

import pytest

from keyturn.databases.base import NO_CONNECTION_LEFT, Account, Answer
from keyturn.databases.errors import Forbidden, Missing
from tests.databases.servers import Fences, Place, account, answers, new_login, open_fence, opened


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


async def test_an_open_login_without_a_mark_that_is_not_proven_is_left_as_it_is(place: Place) -> None:
    owned = account()
    live = await opened(place, owned, *owned.logins)
    place.mark(owned, "", owned.logins[1])
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


async def test_a_login_that_was_dropped_is_not_created_again(place: Place) -> None:
    owned = account()
    await opened(place, owned)
    place.drop(owned.logins[1])

    with pytest.raises(Missing) as refusal:
        await place.engine().bring(owned, (new_login(owned.logins[0]),), open_fence)

    assert refusal.value.code == "AccountMissing"
    assert owned.logins[1] in refusal.value.message
    assert place.powers(owned.logins[0]) == (False, False)


def stored(place: Place, owned: Account) -> dict[str, str]:
    """Return what the server has of each password."""
    names = ", ".join(f"'{name}'" for name in owned.names)
    query = f"SELECT rolname, coalesce(rolpassword, '') FROM pg_authid WHERE rolname IN ({names})"  # noqa: S608
    return dict(place.server.execute(query))


def adopt(place: Place, owned: Account) -> None:
    """Give the admin the rights that it needs over a role that another made."""
    if int(place.server.release) >= 16:
        place.server.execute(f"GRANT {owned.owner} TO {place.admin.name} WITH ADMIN OPTION")
