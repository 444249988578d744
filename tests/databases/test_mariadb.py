"""What only MariaDB has: users by their hosts, plugins, a table of marks, and a lock that ends with its session."""

from __future__ import annotations

import asyncio
import hashlib
import struct
import time
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from keyturn.databases.base import Answer, Endpoint, EngineSettings, Limits, Tls
from keyturn.databases.engines.mariadb import Mariadb, operations
from keyturn.databases.errors import (
    Busy,
    DatabaseError,
    Denied,
    Fenced,
    Forbidden,
    ReadOnly,
    RefusedByPolicy,
    Unauthorized,
    Unreachable,
)
from sandbox.databases.mariadb import RELEASES, WITH_PLUGINS, MariadbServer
from sandbox.pki import Authority
from tests.databases.servers import (
    LEAST_OF_MARIADB,
    LOGS_OF_MARIADB,
    MARKS,
    TEMPLATE,
    Fences,
    MariadbPlace,
    answers,
    both,
    new_login,
    open_fence,
    opened,
    plain,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from keyturn.databases.base import Account, Login
    from tests.databases.servers import Servers

_ROTATIONS = 100
_SECONDS = 60.0


@pytest.fixture(params=RELEASES)
def place(request: pytest.FixtureRequest, servers: Servers) -> MariadbPlace:
    return MariadbPlace.of_new_admin(servers.mariadb(request.param))


@pytest.fixture
def shared(servers: Servers) -> MariadbPlace:
    return MariadbPlace.of_new_admin(servers.mariadb(WITH_PLUGINS))


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def own(stack: ExitStack) -> Callable[..., MariadbPlace]:
    """Start a server whose settings a test changes."""

    def start(*settings: str) -> MariadbPlace:
        server = stack.enter_context(MariadbServer(settings=settings))
        server.execute(*MARKS)
        return MariadbPlace.of_new_admin(server)

    return start


def stored(login: Login) -> str:
    """Return what the server keeps of a password."""
    twice = hashlib.sha1(hashlib.sha1(login.password.reveal()).digest()).hexdigest()  # noqa: S324
    return f"*{twice.upper()}"


# The lock and the fence


@pytest.mark.parametrize("change", ["bring", "create", "retire", "end_sessions"])
async def test_what_is_fenced_changes_nothing(place: MariadbPlace, change: str) -> None:
    owned, absent, fence = place.account(), place.account(), Fences(refused_from=1)
    live = await opened(place, owned, *both(owned))
    engine = place.engine()
    changes: dict[str, Callable[[], Awaitable[object]]] = {
        "bring": lambda: engine.bring(owned, (new_login(owned.owner),), fence),
        "create": lambda: engine.create(absent, TEMPLATE, fence),
        "retire": lambda: engine.retire(owned, fence),
        "end_sessions": lambda: engine.end_sessions(owned, owned.owner, fence),
    }
    with place.session(live[0]) as session:
        assert place.is_alive(session)
        with pytest.raises(Fenced):
            await changes[change]()
        assert place.is_alive(session)

    assert fence.calls == 1
    assert (await engine.find(owned)).mark == owned.mark
    found = await engine.find(absent)
    assert (found.owner.exists, found.mark) == (False, "")
    assert await answers(place, *live) == [Answer.ACCEPTED] * 2


async def stopped_in_lock(place: MariadbPlace, owned: Account, live: Login) -> tuple[Any, asyncio.Event]:
    reached, continued = asyncio.Event(), asyncio.Event()

    async def fence() -> None:
        reached.set()
        await continued.wait()

    stopped = asyncio.create_task(place.engine().bring(owned, (live,), fence))
    await asyncio.wait_for(reached.wait(), _SECONDS)
    return stopped, continued


async def test_one_process_at_a_time_changes_an_account(place: MariadbPlace) -> None:
    owned = place.account()
    await opened(place, owned)
    one, two = new_login(owned.owner), new_login(owned.owner)
    stopped, continued = await stopped_in_lock(place, owned, one)

    with pytest.raises(Busy):
        await place.engine().bring(owned, (two,), open_fence)
    continued.set()
    await stopped
    await place.engine().bring(owned, (two,), open_fence)
    assert await answers(place, one, two) == [Answer.REFUSED, Answer.ACCEPTED]


async def test_a_process_that_stops_in_the_lock_loses_it_to_its_successor(place: MariadbPlace) -> None:
    owned = place.account()
    await opened(place, owned)
    stale, current = new_login(owned.owner), new_login(owned.owner)
    stopped, continued = await stopped_in_lock(replace(place, settings={"idle_timeout": 1.0}), owned, stale)
    began = time.monotonic()
    await brought_once_free(place, owned, current)
    assert time.monotonic() - began < _SECONDS / 2

    continued.set()
    with pytest.raises(Unreachable):
        await stopped
    assert await answers(place, stale, current) == [Answer.REFUSED, Answer.ACCEPTED]


async def brought_once_free(place: MariadbPlace, owned: Account, live: Login) -> None:
    async with asyncio.timeout(_SECONDS):
        while True:
            try:
                return await place.engine().bring(owned, (live,), open_fence)
            except Busy:
                await asyncio.sleep(0.05)


async def test_a_cancelled_change_changes_nothing_and_frees_its_lock(place: MariadbPlace) -> None:
    owned = place.account()
    await opened(place, owned)
    one, two = new_login(owned.owner), new_login(owned.owner)
    stopped, _ = await stopped_in_lock(place, owned, one)
    stopped.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stopped

    await brought_once_free(place, owned, two)
    assert await answers(place, one, two) == [Answer.REFUSED, Answer.ACCEPTED]


async def test_who_holds_the_lock_is_named(place: MariadbPlace) -> None:
    owned = place.account()
    await opened(place, owned)
    with place.server.session() as session, session.cursor() as cursor:
        cursor.execute(f"SELECT GET_LOCK('{operations._lock_of(owned)}', 0)")
        with pytest.raises(Busy, match="user 'root' holds the lock"):
            await place.engine().bring(owned, (), open_fence)


@pytest.mark.parametrize("died", ["before the user", "before its privileges"])
async def test_a_creation_that_was_not_finished_is_finished(place: MariadbPlace, died: str) -> None:
    owned, template = place.account(), replace(TEMPLATE, privileges=("CREATE",))
    place.mark(owned, owned.mark)
    place.server.execute("UPDATE keyturn.marks SET is_complete = FALSE")
    if died == "before its privileges":
        place.server.execute(f"CREATE USER {owned.owner} ACCOUNT LOCK")
    await place.engine().create(owned, template, open_fence)
    fence = Fences()
    await place.engine().create(owned, template, fence)

    grants = place.server.execute(f"SHOW GRANTS FOR {owned.owner}")
    assert (f"GRANT CREATE ON `public`.* TO `{owned.owner}`@`%`",) in grants
    assert fence.calls == 0


async def test_a_template_grants_what_it_names_on_no_other_schema(place: MariadbPlace) -> None:
    owned = place.account()
    place.server.execute(f"GRANT SELECT ON `shop\\_a`.* TO {place.admin.name} WITH GRANT OPTION")
    await place.engine().create(
        owned, replace(TEMPLATE, schemas=("shop_a",), privileges=("SELECT",)), open_fence
    )

    grants = place.server.execute(f"SHOW GRANTS FOR {owned.owner}")
    assert (f"GRANT SELECT ON `shop\\_a`.* TO `{owned.owner}`@`%`",) in grants


@pytest.mark.parametrize("schema", ["mysql", "sys", "keyturn", "Information_Schema"])
async def test_a_template_of_a_schema_of_the_server_is_refused(shared: MariadbPlace, schema: str) -> None:
    owned = shared.account()
    with pytest.raises(Forbidden, match=schema):
        await shared.engine().create(owned, replace(TEMPLATE, schemas=(schema,)), open_fence)
    assert not (await shared.engine().find(owned)).owner.exists


# Users


async def test_what_an_administrator_set_for_a_user_stays(place: MariadbPlace) -> None:
    owned = place.account()
    place.server.execute(
        f"CREATE USER {owned.owner} REQUIRE SSL WITH MAX_USER_CONNECTIONS 5 ACCOUNT LOCK",
    )
    live = await opened(place, owned, *both(owned))

    kept = place.kept(owned.owner)
    assert (kept["ssl_type"], kept["max_user_connections"]) == (1, 5)
    assert await answers(place, *live) == [Answer.ACCEPTED] * 2


async def test_an_account_in_use_is_adopted_with_its_password(place: MariadbPlace) -> None:
    owned, old = place.account(), new_login("")
    old, new = replace(old, name=owned.owner), new_login(owned.owner)
    place.server.execute(f"CREATE USER {owned.owner} IDENTIFIED BY '{plain(old)}'")
    engine = place.engine()

    with pytest.raises(Forbidden, match="AccountInUse"):
        await engine.create(owned, None, open_fence)
    await engine.create(owned, None, open_fence, frozenset({owned.owner}))
    assert await answers(place, old) == [Answer.ACCEPTED]
    await engine.bring(owned, (old, new), open_fence)
    assert await answers(place, old, new) == [Answer.ACCEPTED] * 2


@pytest.mark.parametrize(
    ("prepare", "code", "remedy"),
    [
        ("CREATE USER {0}@'10.%'", "AccountForbidden", "RENAME USER '{0}'@'10.%' TO '{0}'@'%'"),
        ("CREATE USER {0}; CREATE USER {0}@'10.%'", "AccountForbidden", "DROP USER '{0}'@'10.%'"),
        ("CREATE USER {0}; CREATE USER ''@'10.0.0.1'", "AccountForbidden", "DROP USER ''@'10.0.0.1'"),
        ("CREATE ROLE {0}", "AccountForbidden", "is a role"),
        ("CREATE USER {0}; GRANT CREATE USER, FILE ON *.* TO {0}", "AccountForbidden", "FILE, CREATE USER"),
        ("CREATE USER {0} REQUIRE X509", "AccountForbidden", "client certificate"),
        ("CREATE USER {0} IDENTIFIED VIA unix_socket", "UnsupportedPlugin", "unix_socket"),
        (
            (
                "CREATE USER {0} IDENTIFIED VIA mysql_native_password USING 'invalid' OR mysql_native_password USING"
                " 'invalid' OR mysql_native_password USING 'invalid'"
            ),
            "UnsupportedPlugin",
            "3 passwords",
        ),
    ],
)
async def test_a_user_that_is_not_one_of_an_application_is_refused(
    shared: MariadbPlace, prepare: str, code: str, remedy: str
) -> None:
    owned = shared.account()
    shared.server.execute(*prepare.format(owned.owner).split("; "))
    try:
        with pytest.raises(Forbidden) as refusal:
            await shared.engine().create(owned, TEMPLATE, open_fence, frozenset({owned.owner}))
        found = await shared.engine().find(owned)
    finally:
        shared.server.execute("DROP USER IF EXISTS ''@'10.0.0.1'")

    assert (refusal.value.code, found.forbidden and found.forbidden[0]) == (code, code)
    assert remedy.format(owned.owner) in refusal.value.message


@pytest.mark.parametrize("name", ["root", "mariadb.sys", "rdsadmin", "PUBLIC"])
async def test_users_of_the_server_are_refused(shared: MariadbPlace, name: str) -> None:
    owned = replace(shared.account(), owner=name)
    with pytest.raises(Forbidden, match="belongs to the server"):
        await shared.engine().create(owned, None, open_fence, frozenset({name}))


async def test_the_admin_is_no_account(shared: MariadbPlace) -> None:
    owned = replace(shared.account(), owner=shared.admin.name)
    with pytest.raises(Forbidden, match="is the admin"):
        await shared.engine().create(owned, None, open_fence, frozenset({owned.owner}))


# Answers to a login


@pytest.mark.parametrize(
    ("change", "right", "wrong"),
    [
        ("ALTER USER {0} ACCOUNT LOCK", "Locked", "Refused"),
        ("ALTER USER {0} PASSWORD EXPIRE", "Locked", "Refused"),
        ("ALTER USER {0} REQUIRE X509", "Refused", "Refused"),
        ("DROP USER {0}", "Refused", "Refused"),
        ("ALTER USER {0} IDENTIFIED VIA unix_socket", "Refused", "Refused"),
        (
            "ALTER USER {0} IDENTIFIED VIA ed25519 USING PASSWORD('x')",
            "UnsupportedPlugin",
            "UnsupportedPlugin",
        ),
        ("ALTER USER {0} WITH MAX_CONNECTIONS_PER_HOUR 1", "TooManyConnections", "Refused"),
        ("CREATE USER {0}@'127.0.0.1' IDENTIFIED BY '{1}'", "WrongRole", "Refused"),
    ],
    ids=["locked", "expired", "certificate", "dropped", "socket", "ed25519", "limit", "other host"],
)
async def test_what_the_server_says_of_a_right_and_of_a_wrong_password(
    own: Callable[..., MariadbPlace], change: str, right: str, wrong: str
) -> None:
    place = own()
    owned = place.account()
    (live,) = await opened_without_template(place, owned, owned.owner)
    place.server.execute("INSTALL SONAME 'auth_ed25519'")
    place.server.execute(change.format(owned.owner, plain(live)))
    engine = place.engine()
    if "HOUR" in change:
        await engine.prove(live)

    found = [await engine.prove(one) for one in (live, new_login(owned.owner))]
    assert [one.reason or one.answer for one in found] == [right, wrong]


async def opened_without_template(place: MariadbPlace, owned: Account, *names: str) -> tuple[Login, ...]:
    place.server.execute(f"CREATE USER {owned.owner} ACCOUNT LOCK")
    return await opened(place, owned, *names)


async def test_a_user_with_too_many_wrong_passwords_says_nothing_of_the_right_one(
    own: Callable[..., MariadbPlace],
) -> None:
    place = own("--max-password-errors=2")
    owned = place.account()
    (live,) = await opened_without_template(place, owned, owned.owner)
    engine = place.engine()
    for _ in range(2):
        assert (await engine.prove(new_login(owned.owner))).answer is Answer.REFUSED

    found = await engine.prove(live)
    assert (found.answer, found.reason, found.is_silence) == (Answer.UNKNOWN, "TooManyErrors", False)


async def test_a_full_server_is_no_refusal(own: Callable[..., MariadbPlace], stack: ExitStack) -> None:
    place = own("--max-connections=10")
    owned = place.account()
    (live,) = await opened_without_template(place, owned, owned.owner)
    for _ in range(10):
        stack.enter_context(place.session(live))

    found = await place.engine().prove(live)
    assert (found.answer, found.reason, found.is_silence) == (Answer.UNKNOWN, "TooManyConnections", True)


async def test_a_wrong_password_of_the_admin_is_tried_once_a_minute(shared: MariadbPlace) -> None:
    wrong = replace(shared, admin=new_login(shared.admin.name))
    engine = wrong.engine(Limits())
    for _ in range(3):
        with pytest.raises(Unauthorized, match="AdminRefused"):
            await engine.check()
    text = shared.server.log.read_text()
    assert text.count(f"Access denied for user '{wrong.admin.name}'") == 1


# Servers


async def test_a_plugin_that_refuses_hashes_is_told_and_nothing_is_changed(
    own: Callable[..., MariadbPlace],
) -> None:
    place = own()
    owned = place.account()
    (live,) = await opened_without_template(place, owned, owned.owner)
    place.server.execute("INSTALL SONAME 'simple_password_check'")
    engine = place.engine()
    for doing in (engine.check(), engine.bring(owned, (live, new_login(owned.owner)), open_fence)):
        with pytest.raises(RefusedByPolicy) as refusal:
            await doing
        assert refusal.value.code == "HashesRefused"
    assert await answers(place, live) == [Answer.ACCEPTED]

    place.server.execute("SET GLOBAL strict_password_validation = OFF")
    await engine.bring(owned, (live, new_login(owned.owner)), open_fence)


async def test_a_plugin_that_is_loaded_after_the_check_refuses_the_value(
    own: Callable[..., MariadbPlace],
) -> None:
    place = own()
    owned = place.account()
    await opened_without_template(place, owned)

    async def fence() -> None:
        place.server.execute("INSTALL SONAME 'simple_password_check'")

    with pytest.raises(RefusedByPolicy, match="HashesRefused"):
        await place.engine().bring(owned, (new_login(owned.owner),), fence)


async def test_a_server_that_is_read_only_is_refused_although_the_admin_could_write(
    own: Callable[..., MariadbPlace],
) -> None:
    place = own()
    owned = place.account()
    await opened_without_template(place, owned)
    place.server.execute("SET GLOBAL read_only = ON", f"GRANT READ_ONLY ADMIN ON *.* TO {place.admin.name}")

    for doing in (place.engine().check(), place.engine().bring(owned, (), open_fence)):
        with pytest.raises(ReadOnly, match="address of the primary"):
            await doing


async def test_a_restart_is_seen_and_keeps_what_was_brought(own: Callable[..., MariadbPlace]) -> None:
    place = own()
    owned, engine = place.account(), place.engine()
    live = await opened_without_template(place, owned, *both(owned))
    started = {(await engine.check()).started for _ in range(3)}
    place.server.kill()
    await asyncio.sleep(1.0)  # the server knows seconds only
    place.server.start()

    assert len(started) == 1
    assert (await engine.check()).started not in started
    assert await answers(place, *live) == [Answer.ACCEPTED] * 2


async def test_a_frozen_server_costs_the_time_limit_and_no_thread(own: Callable[..., MariadbPlace]) -> None:
    place = replace(own(), settings={"connect_timeout": 0.5, "statement_timeout": 0.5})
    login = new_login("app")
    place.server.freeze()
    try:
        began = time.monotonic()
        found = await asyncio.gather(*(place.engine(Limits()).prove(login) for _ in range(70)))
        taken = time.monotonic() - began
    finally:
        place.server.thaw()

    assert {(one.reason, one.is_silence) for one in found} == {("Timeout", True)}
    assert taken < _SECONDS / 2
    assert (await place.engine(Limits()).prove(login)).answer is Answer.REFUSED


@pytest.mark.parametrize("missing", range(3))
async def test_what_the_admin_lacks_is_a_statement_that_grants_it(place: MariadbPlace, missing: int) -> None:
    grants = [one for number, one in enumerate(LEAST_OF_MARIADB) if number != missing]
    weak = MariadbPlace.of_new_admin(place.server, *grants)
    owned = place.account()
    (live,) = await opened(place, owned, owned.owner)
    (lack,) = (await weak.engine().check()).lacks
    if missing:
        with pytest.raises(Denied) as refusal:
            await weak.engine().bring(owned, (live,), open_fence)
        assert lack.statement in refusal.value.message
    else:
        with pytest.raises(Denied, match="GRANT CREATE USER ON"):
            await weak.engine().bring(owned, (live,), open_fence)
    place.server.execute(*lack.statement.split("; "))

    assert (await weak.engine().check()).lacks == ()
    await weak.engine().bring(owned, (live,), open_fence)


async def test_a_server_without_the_table_of_marks_is_given_one_by_the_statement(stack: ExitStack) -> None:
    server = stack.enter_context(MariadbServer())
    place = MariadbPlace.of_new_admin(server, *LEAST_OF_MARIADB[:2])
    (lack,) = (await place.engine().check()).lacks
    with pytest.raises(Denied, match="CREATE TABLE IF NOT EXISTS"):
        await place.engine().find(place.account())
    server.execute(*lack.statement.split("; "))

    assert (await place.engine().check()).lacks == ()
    owned = place.account()
    await opened_without_template(place, owned)
    assert (await place.engine().find(owned)).mark == owned.mark


async def test_sessions_that_the_admin_may_not_end_are_no_success(shared: MariadbPlace) -> None:
    weak = MariadbPlace.of_new_admin(shared.server, "CREATE USER, PROCESS ON *.*", *LEAST_OF_MARIADB[1:])
    owned = shared.account()
    (live,) = await opened(shared, owned, owned.owner)
    with shared.session(live) as session:
        with pytest.raises(Denied, match="GRANT CONNECTION ADMIN"):
            await weak.engine().end_sessions(owned, owned.owner, open_fence)
        assert shared.is_alive(session)
        assert await shared.engine().end_sessions(owned, owned.owner, open_fence) == 0
        assert not shared.is_alive(session)


# TLS, and what nobody learns


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda _: {"tls": Tls(Authority.new("other").pair.certificate)}, "CertificateNotTrusted"),
        (lambda _: {"tls": Tls(b"no certificate")}, "CertificateAuthorityUnreadable"),
        (lambda _: {"endpoint": Endpoint("127.0.0.2", 1)}, "ConnectionRefused"),
    ],
    ids=["another authority", "no authority", "nothing there"],
)
async def test_a_server_that_cannot_be_trusted_gets_no_password(
    place: MariadbPlace, change: Callable[[MariadbPlace], dict[str, Any]], code: str
) -> None:
    engine = Mariadb(replace(place.engine().settings, **change(place)))
    verdict = await engine.prove(new_login("app"))

    assert (verdict.answer, verdict.reason, verdict.is_silence) == (Answer.UNKNOWN, code, True)
    with pytest.raises(Unreachable, match=code):
        await engine.check()


async def test_a_certificate_of_another_name_is_refused(shared: MariadbPlace) -> None:
    async def resolve(_: Endpoint) -> tuple[str, ...]:
        return (shared.server.host,)

    other = Endpoint("mariadb.shop.svc", shared.server.port)
    engine = Mariadb(replace(shared.engine().settings, endpoint=other, resolve=resolve))
    assert (await engine.prove(new_login("app"))).reason == "CertificateOtherName"


async def test_a_user_that_requires_tls_is_not_changed_without_it(shared: MariadbPlace) -> None:
    owned = shared.account()
    shared.server.execute(f"CREATE USER {owned.owner} REQUIRE SSL ACCOUNT LOCK")
    engine = Mariadb(replace(shared.engine().settings, tls=None))

    with pytest.raises(Forbidden, match="requires TLS"):
        await engine.create(owned, None, open_fence)


async def test_a_server_without_tls_is_refused_and_accepted_where_the_target_says_so(
    own: Callable[..., MariadbPlace], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain_session = MariadbServer.connect
    monkeypatch.setattr(
        MariadbServer,
        "connect",
        lambda *given, **more: plain_session(
            *given, ssl_ca=None, ssl_verify_identity=None, ssl_disabled=True, **more
        ),
    )
    place = own("--skip-ssl")
    owned = place.account()
    engine = Mariadb(replace(place.engine().settings, tls=None))
    assert (await place.engine().prove(new_login("app"))).reason == "NoTls"
    place.server.execute(f"CREATE USER {owned.owner} ACCOUNT LOCK")
    login = new_login(owned.owner)
    await engine.create(owned, None, open_fence)
    await engine.bring(owned, (login,), open_fence)
    assert (await engine.prove(login)).answer is Answer.ACCEPTED


async def test_no_password_is_in_an_error_or_a_log_and_no_hash_in_an_error(stack: ExitStack) -> None:
    server = stack.enter_context(MariadbServer(settings=LOGS_OF_MARIADB))
    server.execute(*MARKS)
    place = MariadbPlace.of_new_admin(server)
    owned, engine = place.account(), place.engine()
    live = await opened_without_template(place, owned, *both(owned))
    planted = new_login(owned.owner)
    weak = MariadbPlace.of_new_admin(place.server, *LEAST_OF_MARIADB[1:]).engine()
    errors: list[str] = []
    for doing in (
        engine.bring(place.account(), (replace(live[0], name=owned.owner),), open_fence),
        weak.bring(owned, live, open_fence),
        engine.bring(owned, (replace(planted, password=type(planted.password)(b"\xff")),), open_fence),
    ):
        with pytest.raises((DatabaseError, ValueError)) as failure:
            await doing
        errors.append(f"{failure.value!r} {failure.value.__context__!r} {failure.value.__cause__!r}")
    assert (await engine.prove(planted)).answer is Answer.REFUSED
    place.server.execute(f"SET @planted = '{plain(planted)}'")
    logs = [
        place.server.log,
        *(place.server.folder / "data").glob("*.log"),
        *(place.server.folder / "data").glob("binary.0*"),
    ]
    everything = b"".join(one.read_bytes() for one in logs).decode(errors="replace")

    assert plain(planted) in everything  # the scan finds what is there
    assert stored(live[0]) in everything
    for login in live:
        assert plain(login) not in everything
        assert plain(login) not in "".join(errors)
        assert stored(login) not in "".join(errors)


@asynccontextmanager
async def rogue(*packets: bytes) -> AsyncIterator[tuple[int, bytearray]]:
    """Pose as a MariaDB without TLS, which answers each packet with the next of these; keep what a client sends."""
    heard = bytearray()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            for number, packet in enumerate(packets):
                if number:
                    size, sequence = (
                        struct.unpack("<I", await reader.readexactly(3) + b"\0")[0],
                        (await reader.readexactly(1))[0],
                    )
                    heard.extend(await reader.readexactly(size))
                    writer.write(struct.pack("<I", len(packet))[:3] + bytes([sequence + 1]) + packet)
                else:
                    writer.write(struct.pack("<I", len(packet))[:3] + b"\0" + packet)
                await writer.drain()
            heard.extend(await reader.read(4096))
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], heard


def greeting(method: bytes, flags: int = 0x81FFF7FF) -> bytes:
    """Return the first packet of a server, which has no TLS."""
    low, high = flags & 0xFFFF, flags >> 16
    begin = b"\x0a5.5.5-11.4.5-MariaDB\0" + struct.pack("<I", 7) + b"saltsalt\0" + struct.pack("<H", low)
    return begin + struct.pack("<BHHB", 45, 2, high, 21) + b"\0" * 10 + b"saltsaltsalt\0" + method + b"\0"


@pytest.mark.parametrize(
    ("packets", "tls", "reason"),
    [
        ([greeting(b"mysql_native_password")], True, "NoTls"),
        ([greeting(b"mysql_native_password"), b"\xfemysql_clear_password\0"], False, "UnsupportedPlugin"),
        ([greeting(b"mysql_clear_password"), b"\xfedialog\0\x02Password: "], False, "UnsupportedPlugin"),
        ([greeting(b"sha256_password"), b"\xfesha256_password\0salt"], False, "UnsupportedPlugin"),
        (
            [greeting(b"caching_sha2_password"), b"\xfecaching_sha2_password\0salt"],
            False,
            "UnsupportedPlugin",
        ),
        (
            [greeting(b"mysql_native_password"), b"\xfemysql_old_password\0saltsalt"],
            False,
            "UnsupportedPlugin",
        ),
        ([greeting(b"caching_sha2_password"), b"\x01\x04", b"\x01" + b"key"], False, "NoAnswer"),
        ([b"\xff" * 40], False, "NoAnswer"),
        ([b""], False, "NoAnswer"),
        ([b"\x0a"], False, "NoAnswer"),
        (
            [greeting(b"mysql_native_password"), b"\xff" + struct.pack("<h", 1045) + b"#28000canary"],
            False,
            "Refused",
        ),
        (
            [greeting(b"mysql_native_password"), b"\xff" + struct.pack("<h", 1999) + b"#28000canary"],
            False,
            "Error1999",
        ),
    ],
    ids=[
        "no tls",
        "clear",
        "dialog",
        "sha256",
        "caching",
        "old",
        "full caching",
        "error",
        "empty",
        "short",
        "refused",
        "other",
    ],
)
async def test_a_rogue_server_learns_no_password(packets: list[bytes], tls: bool, reason: str) -> None:
    login = new_login("app")
    async with rogue(*packets) as (port, heard):
        place = Endpoint("127.0.0.1", port)
        settings = EngineSettings(
            place, "", new_login("admin"), Tls(Authority.new("ours").pair.certificate) if tls else None
        )
        verdict = await Mariadb(settings).prove(login)

    assert (verdict.reason or verdict.answer) == reason
    assert "canary" not in repr(verdict)
    assert plain(login).encode() not in heard
    if tls:
        assert heard == b""


async def test_a_rogue_server_that_sends_without_end_is_left() -> None:
    async def flood(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with ExitStack() as stack:
            stack.callback(writer.close)
            try:
                for sequence in range(200):
                    writer.write(b"\xff\xff\xff" + bytes([sequence]) + b"x" * 0xFFFFFF)
                    await writer.drain()
            except ConnectionError:
                pass

    server = await asyncio.start_server(flood, "127.0.0.1", 0)
    async with server:
        place = Endpoint("127.0.0.1", server.sockets[0].getsockname()[1])
        began = time.monotonic()
        verdict = await Mariadb(EngineSettings(place, "", new_login("admin"), None)).prove(new_login("app"))

    assert (verdict.answer, verdict.is_silence) == (Answer.UNKNOWN, True)
    assert time.monotonic() - began < 4.0


async def test_many_rotations_at_once_take_few_connections(place: MariadbPlace) -> None:
    engine = place.engine(Limits())
    accounts = [place.account() for _ in range(_ROTATIONS)]
    place.server.execute("FLUSH STATUS")

    async def rotate(owned: Account) -> Answer:
        await engine.create(owned, TEMPLATE, open_fence)
        old, new = new_login(owned.owner), new_login(owned.owner)
        await engine.bring(owned, (old,), open_fence)
        await engine.bring(owned, (old, new), open_fence)
        assert (await engine.prove(new)).answer is Answer.ACCEPTED
        await engine.bring(owned, (new,), open_fence)
        return (await engine.prove(old)).answer

    assert set(await asyncio.gather(*map(rotate, accounts))) == {Answer.REFUSED}
    ((_, most),) = place.server.execute("SHOW GLOBAL STATUS LIKE 'Max_used_connections'")
    assert int(most) <= 13  # ten of the engine, that of the query, and those that the server is ending
