"""What only Redis and Valkey have: nodes, files of users, keys that are lost, and texts that repeat what was sent."""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from redis.exceptions import NoPermissionError

from keyturn.core.spec.references import Capacity
from keyturn.databases.base import Answer, Endpoint, Limits, Tls
from keyturn.databases.engines.redis import Redis, guards, operations
from keyturn.databases.errors import (
    Busy,
    DatabaseError,
    Denied,
    Fenced,
    Forbidden,
    Missing,
    ReadOnly,
    Unreachable,
)
from sandbox.databases.redis import RELEASES, WITH_TLS, Keeps, RedisServer
from sandbox.pki import Authority
from tests.databases.servers import (
    TEMPLATE,
    Fences,
    RedisPlace,
    answers,
    both,
    new_login,
    open_fence,
    opened,
    plain,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from keyturn.databases.base import Account
    from tests.databases.servers import Servers

_ROTATIONS = 100


@pytest.fixture(params=RELEASES)
def place(request: pytest.FixtureRequest, servers: Servers) -> RedisPlace:
    return RedisPlace.of_new_admin(servers.redis(request.param))


@pytest.fixture
def shared(servers: Servers) -> RedisPlace:
    return RedisPlace.of_new_admin(servers.redis(WITH_TLS))


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def lossy(account: Account) -> Account:
    """Return an account that is created again when its server has lost it."""
    return replace(account, template=TEMPLATE)


# The fence


@pytest.mark.parametrize("change", ["bring", "create", "retire", "end_sessions"])
async def test_what_is_fenced_changes_nothing(place: RedisPlace, change: str) -> None:
    owned, fence = place.account(), Fences(refused_from=1)
    live = await opened(place, owned, *both(owned))
    engine = place.engine()
    changes: dict[str, Callable[[], Awaitable[object]]] = {
        "bring": lambda: engine.bring(owned, (new_login(owned.owner),), fence),
        "create": lambda: engine.create(place.account(), TEMPLATE, fence),
        "retire": lambda: engine.retire(owned, fence),
        "end_sessions": lambda: engine.end_sessions(owned, owned.owner, fence),
    }
    with place.session(live[0]) as session:
        assert place.is_alive(session)
        with pytest.raises(Fenced):
            await changes[change]()
        assert place.is_alive(session)

    assert fence.calls == 1
    assert await answers(place, *live) == [Answer.ACCEPTED] * 2


async def test_a_process_that_stops_behind_the_fence_undoes_nothing_of_its_successor(
    place: RedisPlace,
) -> None:
    owned = place.account()
    await opened(place, owned)
    stale, current = new_login(owned.owner), new_login(owned.owner)
    reached, continued = asyncio.Event(), asyncio.Event()

    async def fence() -> None:
        reached.set()
        await continued.wait()

    stopped = asyncio.create_task(place.engine().bring(owned, (stale,), fence))
    await reached.wait()
    await place.engine().bring(owned, (current,), open_fence)
    continued.set()

    with pytest.raises(Busy):
        await stopped
    assert await answers(place, stale, current) == [Answer.REFUSED, Answer.ACCEPTED]


# Keys and memory that are lost


async def test_a_mark_that_was_flushed_is_claimed_again_with_a_proven_password(place: RedisPlace) -> None:
    owned = place.account()
    (live,) = await opened(place, owned, owned.owner)
    place.server.execute("FLUSHALL")
    engine = place.engine()

    found = await engine.find(owned)
    assert (found.mark, found.forbidden and found.forbidden[0]) == ("", "AccountInUse")
    with pytest.raises(Forbidden, match="AccountNotClaimed"):
        await engine.bring(owned, (live,), open_fence)
    await engine.create(owned, None, open_fence, frozenset({owned.owner}))
    await engine.bring(owned, (live,), open_fence)
    assert (await engine.find(owned)).mark == owned.mark


@pytest.mark.parametrize("keeps", Keeps)
@pytest.mark.parametrize("release", RELEASES)
async def test_a_restart_keeps_what_was_brought_or_it_is_brought_again(
    stack: ExitStack, release: str, keeps: Keeps
) -> None:
    server = stack.enter_context(RedisServer(release, keeps=keeps))
    place = RedisPlace.of_default(server) if keeps is Keeps.NOTHING else RedisPlace.of_new_admin(server)
    owned, engine = lossy(place.account()), place.engine()
    live = await opened(place, owned, *both(owned))
    started = (await engine.check()).started
    server.kill()
    server.start()

    assert (await engine.check()).started != started
    found = (await engine.find(owned)).owner
    if keeps is Keeps.NOTHING:
        assert (found.exists, found.is_lost) == (False, True)
        await engine.bring(owned, live, open_fence)
        with place.session(live[0]) as session:
            assert place.is_alive(session)
    else:
        assert (found.exists, found.is_lost) == (True, False)
    assert await answers(place, *live) == [Answer.ACCEPTED] * 2


async def test_a_user_that_somebody_deleted_is_not_created_again(place: RedisPlace) -> None:
    owned = lossy(place.account())
    (live,) = await opened(place, owned, owned.owner)
    place.drop(owned.owner)

    assert not (await place.engine().find(owned)).owner.is_lost
    with pytest.raises(Missing) as refusal:
        await place.engine().bring(owned, (live,), open_fence)
    assert refusal.value.code == "AccountMissing"


async def test_a_server_that_keeps_no_users_is_refused_unless_the_target_says_so(stack: ExitStack) -> None:
    server = stack.enter_context(RedisServer(keeps=Keeps.NOTHING))
    place = RedisPlace.of_new_admin(server)
    owned = place.account()

    for doing in (place.engine().check(), place.engine().create(owned, TEMPLATE, open_fence)):
        with pytest.raises(ReadOnly) as refusal:
            await doing
        assert refusal.value.code == "NotPersistable"
    tolerant = replace(place, own={"persistence": "None"}).engine()
    assert (await tolerant.check()).lacks == ()
    await tolerant.create(owned, TEMPLATE, open_fence)


async def test_a_file_of_users_that_cannot_be_written_is_told(stack: ExitStack) -> None:
    server = stack.enter_context(RedisServer())
    place = RedisPlace.of_new_admin(server)
    owned = place.account()
    (live,) = await opened(place, owned, owned.owner)
    server.folder.chmod(0o555)

    with pytest.raises(ReadOnly) as refusal:
        await place.engine().bring(owned, (live, new_login(owned.owner)), open_fence)
    assert refusal.value.code == "NotPersistable"
    assert await answers(place, live) == [Answer.ACCEPTED]


# Nodes


@pytest.fixture(params=RELEASES)
def pair(request: pytest.FixtureRequest, stack: ExitStack) -> RedisPlace:
    """A primary with a replica, which has users of its own."""
    primary = stack.enter_context(RedisServer(request.param))
    replica = stack.enter_context(RedisServer(request.param, replica_of=primary))
    return RedisPlace.of_new_admin(primary, replica)


async def test_users_are_brought_to_each_node_and_proven_there(pair: RedisPlace) -> None:
    owned, engine = pair.account(), pair.engine()
    old, new = await opened(pair, owned, *both(owned))

    for endpoint in engine.settings.endpoints:
        assert [(await engine.prove(one, endpoint)).answer for one in (old, new)] == [Answer.ACCEPTED] * 2
    await engine.bring(owned, (new,), open_fence)
    for endpoint in engine.settings.endpoints:
        assert (await engine.prove(old, endpoint)).answer is Answer.REFUSED
    await engine.retire(owned, open_fence)
    for endpoint in engine.settings.endpoints:
        assert (await engine.prove(new, endpoint)).answer is Answer.REFUSED


async def test_a_replica_that_lost_its_users_is_found_and_gets_them_with_their_rules(
    pair: RedisPlace,
) -> None:
    owned, engine = pair.account(), pair.engine()
    (live,) = await opened(pair, owned, owned.owner)
    pair.replicas[0].execute(f"ACL DELUSER {owned.owner}")
    found = await engine.prove(live)

    assert (found.answer, (await engine.find(owned)).owner.exists) == (Answer.REFUSED, True)
    await engine.bring(owned, (live,), open_fence)
    assert (await engine.prove(live)).answer is Answer.ACCEPTED
    with pair.replicas[0].session(owned.owner, plain(live)) as session:
        assert pair.is_alive(session)
        with pytest.raises(NoPermissionError):
            session.get("invoices:1")


async def test_a_node_that_is_down_stops_a_change_and_is_no_failure_of_a_probe(stack: ExitStack) -> None:
    primary = stack.enter_context(RedisServer())
    replica = stack.enter_context(RedisServer(replica_of=primary))
    place = RedisPlace.of_new_admin(primary, replica)
    owned, engine = place.account(), place.engine()
    (live,) = await opened(place, owned, owned.owner)
    started = (await engine.check()).started
    replica.stop()

    with pytest.raises(Unreachable):
        await engine.bring(owned, (live,), open_fence)
    assert (await engine.prove(live)).answer is Answer.ACCEPTED
    assert (await engine.prove(live, engine.settings.also_at[0])).is_silence
    assert (await engine.check()).started == started
    replica.start()
    await engine.bring(owned, (live,), open_fence)
    assert (await engine.check()).started != started


async def test_a_replica_is_no_primary(pair: RedisPlace) -> None:
    replica = replace(pair, server=pair.replicas[0], replicas=())

    for doing in (replica.engine().check(), replica.engine().create(pair.account(), TEMPLATE, open_fence)):
        with pytest.raises(ReadOnly) as refusal:
            await doing
        assert refusal.value.code == "Standby"


async def test_a_server_that_receives_no_keys_of_the_primary_is_no_node(
    stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operations, "_ARRIVES_WITHIN", 0.2)
    primary, other = (stack.enter_context(RedisServer(RELEASES[0])) for _ in range(2))
    place = RedisPlace.of_new_admin(primary, other)

    with pytest.raises(Unreachable, match="NotReplicated"):
        await opened(place, place.account())


# Guards


async def test_users_of_the_admin_and_of_replicas_are_refused(pair: RedisPlace) -> None:
    engine = pair.engine()
    for name, why in ((pair.admin.name, "is the admin"), ("replica", "masteruser")):
        owned = replace(pair.account(), owner=name)
        with pytest.raises(Forbidden, match="AccountForbidden") as refusal:
            await engine.create(owned, TEMPLATE, open_fence)
        assert why in refusal.value.message


async def test_the_default_user_has_two_passwords_too(stack: ExitStack) -> None:
    server = stack.enter_context(RedisServer())
    place = RedisPlace.of_new_admin(server)
    owned = replace(place.account(), owner="default", capacity=Capacity(("default",), 2))
    old = replace(new_login("default"), password=type(place.admin.password).of_text(server.password))
    new = new_login("default")
    await place.engine().create(owned, None, open_fence, frozenset({"default"}))
    await place.engine().bring(owned, (old, new), open_fence)
    assert await answers(place, old, new) == [Answer.ACCEPTED] * 2
    await place.engine().bring(owned, (new,), open_fence)
    assert await answers(place, old, new) == [Answer.REFUSED, Answer.ACCEPTED]


@pytest.mark.parametrize("rule", ["+@all", "+@ADMIN", "+acl", "+acl|setuser", "+config|set", "+shutdown"])
def test_rules_with_which_a_user_could_administer_the_server_are_refused(rule: str) -> None:
    with pytest.raises(Forbidden, match="AccountForbidden"):
        guards.check_rules(("~orders:*", rule))


async def test_what_the_admin_lacks_is_a_statement_that_grants_it(place: RedisPlace) -> None:
    weak = RedisPlace.of_new_admin(place.server, rules="+info +config|get +client|list +multi +exec +discard")
    for _ in range(2):
        (lack,) = (await weak.engine().check()).lacks
        assert lack.statement.startswith(f"ACL SETUSER {weak.admin.name} +acl|setuser")
        with pytest.raises(Denied):
            await weak.engine().create(place.account(), TEMPLATE, open_fence)
    place.server.execute(lack.statement)
    assert (await weak.engine().check()).lacks == ()
    assert place.server.execute("ACL LIST")  # and nothing of it was executed
    assert "keyturn" not in place.server.execute("ACL USERS")


# TLS, and what nobody learns


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda _: {"tls": Tls(Authority.new("other").pair.certificate)}, "CertificateNotTrusted"),
        (lambda _: {"tls": Tls(b"no certificate")}, "CertificateAuthorityUnreadable"),
        (lambda _: {"tls": None}, "ConnectionLost"),
        (lambda _: {"endpoint": Endpoint("127.0.0.2", 1)}, "ConnectionRefused"),
    ],
    ids=["another authority", "no authority", "without TLS", "nothing there"],
)
async def test_a_server_that_cannot_be_trusted_gets_no_password(
    shared: RedisPlace, change: Callable[[RedisPlace], dict[str, Any]], code: str
) -> None:
    engine = Redis(replace(shared.engine().settings, **change(shared)))
    verdict = await engine.prove(new_login("app"))

    assert (verdict.answer, verdict.reason, verdict.is_silence) == (Answer.UNKNOWN, code, True)
    with pytest.raises(Unreachable, match=code):
        await engine.check()


async def test_a_certificate_of_another_name_is_refused(shared: RedisPlace) -> None:
    async def resolve(_: Endpoint) -> tuple[str, ...]:
        return (shared.server.host,)

    other = Endpoint("redis.shop.svc", shared.server.port)
    engine = Redis(replace(shared.engine().settings, endpoint=other, resolve=resolve))
    assert (await engine.prove(new_login("app"))).reason == "CertificateOtherName"


async def test_a_server_without_tls_learns_nothing(servers: Servers) -> None:
    plain_server = servers.redis(RELEASES[0])
    place = RedisPlace.of_new_admin(plain_server)
    trusting = replace(
        place.engine().settings, tls=Tls(Authority.new("ours").pair.certificate), connect_timeout=1.0
    )
    assert (await Redis(trusting).prove(new_login("app"))).answer is Answer.UNKNOWN


async def test_no_password_and_no_hash_is_in_an_error_or_a_log(place: RedisPlace) -> None:
    owned, engine = place.account(), place.engine()
    live = await opened(place, owned, *both(owned))
    planted = new_login(owned.owner)
    found: list[str] = []
    weak = RedisPlace.of_new_admin(place.server, rules="+acl|getuser").engine()
    for doing in (
        engine.bring(place.account(), (replace(live[0], name=owned.owner),), open_fence),
        weak.bring(owned, live, open_fence),
        engine.bring(owned, (replace(planted, password=type(planted.password)(b"\xff")),), open_fence),
    ):
        with pytest.raises((DatabaseError, ValueError)) as failure:
            await doing
        found.append(f"{failure.value!r} {failure.value.__context__!r} {failure.value.__cause__!r}")
    assert (await engine.prove(planted)).answer is Answer.REFUSED
    found += [
        place.server.log.read_text(),
        str(place.server.execute("ACL LOG")),
        str(place.server.execute("SLOWLOG GET")),
    ]

    everything = "".join(found)
    assert owned.owner in everything
    for login in (*live, planted):
        assert plain(login) not in everything
        assert hashlib.sha256(login.password.reveal()).hexdigest() not in everything


async def test_a_user_that_is_off_is_locked_and_one_without_rights_is_accepted(place: RedisPlace) -> None:
    owned = place.account()
    live = await opened(place, owned, *both(owned))
    place.lock(owned.owner)
    assert await answers(place, live[0], new_login(owned.owner)) == [Answer.LOCKED, Answer.REFUSED]
    place.server.execute(f"ACL SETUSER {owned.owner} on nocommands")
    assert await answers(place, *live) == [Answer.ACCEPTED] * 2


async def test_many_rotations_at_once_take_few_connections(shared: RedisPlace) -> None:
    engine = shared.engine(Limits())
    accounts = [shared.account() for _ in range(_ROTATIONS)]

    async def rotate(owned: Account) -> Answer:
        await engine.create(owned, TEMPLATE, open_fence)
        old, new = new_login(owned.owner), new_login(owned.owner)
        await engine.bring(owned, (old,), open_fence)
        await engine.bring(owned, (old, new), open_fence)
        assert (await engine.prove(new)).answer is Answer.ACCEPTED
        await engine.bring(owned, (new,), open_fence)
        return (await engine.prove(old)).answer

    assert set(await asyncio.gather(*map(rotate, accounts))) == {Answer.REFUSED}
