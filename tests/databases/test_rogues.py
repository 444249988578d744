"""A server that is not the one that was meant gets no password, in no form."""

import asyncio
import base64
import hashlib
import resource
import struct
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from keyturn.databases.base import Answer, Endpoint, EngineSettings, Login, Tls
from keyturn.databases.engines.postgresql import Postgresql, connecting
from keyturn.databases.errors import DatabaseError, Unreachable
from sandbox.pki import Authority
from tests.databases import rogues
from tests.databases.rogues import Rogue
from tests.databases.servers import PATIENT, new_login, plain, prove_patiently

OURS, OTHER = Authority.new("ours"), Authority.new("other")
APP = new_login("app")
ELSEWHERE = ("elsewhere.test",)
LOGIN_SECONDS = 3.0
A_MINUTE = 60.0
MUCH = 128 * 1024 * 1024
"""Bytes that a server sends at most, so that an engine without a limit takes no more of the machine's memory."""

FORMS = [
    pytest.param(Rogue(rogues.ask_clear_text), "NoTls", id="without TLS"),
    pytest.param(Rogue(rogues.ask_scram, OTHER), "CertificateNotTrusted", id="another authority"),
    pytest.param(Rogue(rogues.ask_scram, OURS, ELSEWHERE), "CertificateOtherName", id="another name"),
    pytest.param(Rogue(rogues.ask_clear_text, OURS), "NoScram", id="asks for clear text"),
    pytest.param(Rogue(rogues.ask_md5, OURS), "NoScram", id="asks for MD5"),
    pytest.param(Rogue(rogues.trust, OURS), "NoScram", id="asks for nothing"),
    pytest.param(Rogue(rogues.ask_scram, OURS), "NoAnswer", id="does not know the verifier"),
]


def engine_at(rogue: Rogue, admin: Login) -> Postgresql:
    endpoint = Endpoint("127.0.0.1", rogue.port)
    settings = EngineSettings(endpoint, "postgres", admin, Tls(OURS.pair.certificate), **PATIENT)  # type: ignore[arg-type]
    return Postgresql(settings)


def forms(login: Login) -> list[bytes]:
    """Return the forms in which PostgreSQL's clients send a password, and others that reveal it."""
    password, name = plain(login).encode(), login.name.encode()
    md5 = hashlib.md5(password + name).hexdigest().encode()  # noqa: S324  # what the protocol has
    salted = hashlib.md5(md5 + b"salt").hexdigest().encode()  # noqa: S324
    return [password, base64.b64encode(password).rstrip(b"="), md5, salted, password[:8], password[-8:]]


@pytest.mark.parametrize(("rogue", "reason"), FORMS)
async def test_a_rogue_server_gets_no_password(rogue: Rogue, reason: str) -> None:
    app, admin = new_login("app"), new_login("admin")
    async with rogue:
        verdict = await engine_at(rogue, admin).prove(app)
        with pytest.raises(Unreachable) as refusal:
            await engine_at(rogue, admin).check()

    assert (verdict.answer, verdict.reason) == (Answer.UNKNOWN, reason)
    assert refusal.value.code == reason
    assert rogue.received
    assert [form for login in (app, admin) for form in forms(login) if form in rogue.received] == []


async def test_the_search_finds_a_password_that_is_sent() -> None:
    """The control of the test above."""
    login = new_login("app")
    rogue = Rogue(rogues.ask_clear_text)
    async with rogue:
        import psycopg  # noqa: PLC0415

        with pytest.raises(psycopg.OperationalError):
            await psycopg.AsyncConnection.connect(
                host="127.0.0.1", port=rogue.port, user=login.name, password=plain(login), sslmode="disable"
            )

    assert forms(login)[0] in rogue.received


@pytest.mark.parametrize(
    ("behaviour", "answer", "reason"),
    [
        (rogues.refusing("28P01"), Answer.UNKNOWN, "State28P01"),
        (rogues.refusing("28000"), Answer.UNKNOWN, "NotAdmitted"),
        (rogues.refusing("57P03"), Answer.UNKNOWN, "StartingUp"),
        (rogues.refusing("08P01"), Answer.UNKNOWN, "State08P01"),
        (rogues.refusing_after_scram("28P01"), Answer.REFUSED, ""),
        (rogues.refusing_after_scram("28000"), Answer.LOCKED, ""),
        (rogues.refusing_after_scram("53300"), Answer.UNKNOWN, "TooManyConnections"),
        (rogues.refusing_after_scram("08P01"), Answer.REFUSED, "ByPooler"),
        (rogues.refusing_after_scram("XX000"), Answer.UNKNOWN, "StateXX000"),
        (rogues.accepting(plain(APP), rogues.refusing("08P01")), Answer.UNKNOWN, "NoServerBehind"),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
async def test_the_code_decides_whatever_language_a_server_has(
    behaviour: Callable[[rogues.Talk], Awaitable[None]], answer: Answer, reason: str
) -> None:
    async with Rogue(behaviour, OURS) as rogue:
        verdict = await engine_at(rogue, new_login("admin")).prove(APP)

    assert (verdict.answer, verdict.reason) == (answer, reason)
    assert rogue.asked == 1


async def test_the_text_of_a_server_is_in_no_error() -> None:
    text = "password was 'correct-horse-battery-staple'"
    async with Rogue(rogues.refusing("57P03", text), OURS) as rogue:
        engine = engine_at(rogue, new_login("admin"))
        verdict = await engine.prove(new_login("app"))
        with pytest.raises(DatabaseError) as refusal:
            await engine.check()

    error: BaseException | None = refusal.value
    while error is not None:
        assert "staple" not in f"{error!r}{error}"
        error = error.__context__
    assert "staple" not in f"{verdict!r}{refusal.value.message}"


async def test_a_server_that_says_nothing_is_left_in_time() -> None:
    async def wait(talk: rogues.Talk) -> None:
        await talk.message()

    async with Rogue(wait, OURS) as rogue:
        settings = replace(engine_at(rogue, new_login("admin")).settings, connect_timeout=0.5)
        verdict = await prove_patiently(settings, new_login("app"))

    assert (verdict.answer, verdict.reason) == (Answer.UNKNOWN, "Timeout")


@pytest.mark.parametrize("authority", [OURS, None], ids=["TLS", "plain"])
@pytest.mark.parametrize(
    "behaviour",
    [
        rogues.hiding_iterations(b"2147483647"),
        rogues.hiding_iterations(b"2147483647", at=5),
        rogues.hiding_iterations(b"2147483647", at=12),
        rogues.hiding_iterations(b" +002147483647"),
        rogues.hiding_iterations(b"9" * 100),
        rogues.hiding_iterations(b"2147483647", decoy=b",i=4096\0"),
    ],
)
async def test_a_proof_that_takes_long_is_not_computed(
    behaviour: Callable[[rogues.Talk], Awaitable[None]], authority: Authority | None
) -> None:
    """It would take many minutes of processor; a thread that an earlier test left takes seconds."""
    async with Rogue(behaviour, authority) as rogue:
        engine = engine_at(rogue, new_login("admin"))
        tls = engine.settings.tls if authority else None
        began = time.process_time()
        verdict = await Postgresql(replace(engine.settings, tls=tls)).prove(new_login("app"))

    assert (verdict.answer, verdict.reason) == (Answer.UNKNOWN, "TooManyIterations")
    assert time.process_time() - began < A_MINUTE


def hashes_in(seconds: float) -> int:
    """Return how many iterations a proof on this machine needs for at least so many seconds of processor."""
    iterations = 200_000
    began = time.thread_time()
    hashlib.pbkdf2_hmac("sha256", b"password", b"s" * 16, iterations)  # not slower than libpq's
    return int(iterations * seconds / (time.thread_time() - began))


async def test_a_server_that_wants_a_long_proof_does_not_hold_the_event_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The proof takes seconds longer than the login may; the loop ends it in time."""
    iterations = hashes_in(2 * LOGIN_SECONDS)
    monkeypatch.setattr(connecting, "MOST_ITERATIONS", iterations)
    asked = asyncio.Event()
    async with Rogue(rogues.asking_for_long(asked, iterations), OURS) as rogue:
        settings = EngineSettings(
            Endpoint("127.0.0.1", rogue.port),
            "postgres",
            new_login("admin"),
            Tls(OURS.pair.certificate),
            connect_timeout=LOGIN_SECONDS,
            owner=f"rogue {rogue.port}",
        )
        proving = asyncio.create_task(Postgresql(settings).prove(new_login("app")))
        await asyncio.wait_for(asked.wait(), 60)
        await asyncio.sleep(0.01)
        assert not proving.done(), "the event loop waits for the proof"
        verdict = await proving

    assert (verdict.answer, verdict.reason) == (Answer.UNKNOWN, "Timeout")


# More than an answer.


async def endless_notices(talk: rogues.Talk) -> None:
    for _ in range(MUCH // 8000):
        await talk.send(b"N", b"SNOTICE\0C00000\0M" + b"x" * 8000 + b"\0\0")


async def endless_settings(talk: rogues.Talk) -> None:
    for number in range(MUCH // 8000):
        await talk.send(b"S", b"setting%d\0%s\0" % (number, b"x" * 8000))


async def ready(talk: rogues.Talk) -> None:
    await talk.send(b"S", b"server_version\x0018.1\0")
    await talk.send(b"Z", b"I")
    await talk.message()


async def endless_rows(talk: rogues.Talk) -> None:
    await ready(talk)
    await talk.send(
        b"T", struct.pack("!H", 1) + b"name\0" + struct.pack("!IHIHIH", 0, 0, 25, 65535, 4294967295, 0)
    )
    rows = (b"D" + struct.pack("!IHI", 14, 1, 4) + b"rows") * 1000
    for _ in range(MUCH // len(rows)):
        talk.writer.write(rows)
        await talk.writer.drain()


async def one_huge_row(talk: rogues.Talk) -> None:
    await ready(talk)
    await talk.send(
        b"T", struct.pack("!H", 1) + b"name\0" + struct.pack("!IHIHIH", 0, 0, 25, 65535, 4294967295, 0)
    )
    talk.writer.write(b"D" + struct.pack("!IHI", 1_000_000_000, 1, 1_000_000_000 - 10))
    for _ in range(MUCH // 65_536):
        talk.writer.write(b"x" * 65_536)
        await talk.writer.drain()


@pytest.mark.parametrize("then", [endless_notices, endless_settings, endless_rows, one_huge_row])
async def test_a_server_that_sends_without_an_end_is_left(
    then: Callable[[rogues.Talk], Awaitable[None]],
) -> None:
    admin, peak = new_login("admin"), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    async with Rogue(rogues.accepting(plain(admin), then), OURS) as rogue:
        with pytest.raises(Unreachable) as refusal:
            await engine_at(rogue, admin).check()

    assert refusal.value.code == "TooMuch"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 64 * 1024  # KiB


async def test_a_code_of_a_server_that_is_a_text_is_in_no_error() -> None:
    async def refuse(talk: rogues.Talk) -> None:
        await ready(talk)
        await talk.refuse("canary" * 1000, "canary")
        await talk.send(b"Z", b"I")
        await talk.message()

    admin = new_login("admin")
    async with Rogue(rogues.accepting(plain(admin), refuse), OURS) as rogue:
        with pytest.raises(DatabaseError) as refusal:
            await engine_at(rogue, admin).check()

    assert refusal.value.code == "StateXXXXX"
    assert "canary" not in f"{refusal.value!r} {refusal.value.__context__!r}"
