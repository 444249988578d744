"""What the process answers over HTTP."""

import asyncio
import base64
import json
import secrets
import socket
import threading
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from structlog.testing import capture_logs

from keyturn.endpoints.exposition import ObjectFacts
from keyturn.endpoints.server import AUDIENCE, CannotListen, Ports, Scrapers, Site, serve
from keyturn.kube import errors, paths
from keyturn.runtime import metrics
from tests.unit.stores.fast_clock import in_no_time

ANY = Ports(0, 0)
OPENMETRICS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"

AUTH = ObjectFacts(
    namespace="shop",
    name="auth",
    class_name="jwt-secret",
    priority="High",
    revision=3,
    last_rotation=datetime(2026, 11, 24, tzinfo=UTC),
    next_rotation=datetime(2027, 2, 22, tzinfo=UTC),
    is_overdue=True,
    conditions={"Ready": True, "Stalled": False},
    violations=("maxInterval", "minLength"),
)
NEW = ObjectFacts(namespace="shop", name="new", violations=("minLength",))


def site(
    objects: Callable[[], Iterable[ObjectFacts]] = tuple,
    unhealthy: Iterable[str] = (),
    unready: Iterable[str] = (),
) -> Site:
    return Site(objects=objects, unhealthy=lambda: list(unhealthy), unready=lambda: list(unready))


@asynccontextmanager
async def client_of(served: Site) -> AsyncIterator[tuple[aiohttp.ClientSession, Ports]]:
    async with serve(served, ANY) as ports, aiohttp.ClientSession() as session:
        yield session, ports


async def get(served: Site, path: str, host: str = "127.0.0.1") -> tuple[int, str]:
    async with client_of(served) as (session, ports):
        port = ports.metrics if path == "/metrics" else ports.health
        async with session.get(f"http://{host}:{port}{path}") as response:
            return response.status, await response.text()


async def scrape(served: Site, accept: str = "") -> tuple[str, str]:
    async with (
        client_of(served) as (session, ports),
        session.get(f"http://127.0.0.1:{ports.metrics}/metrics", headers={"Accept": accept}) as response,
    ):
        return response.headers["Content-Type"], await response.text()


async def series(*objects: ObjectFacts) -> set[str]:
    _, text = await scrape(site(lambda: objects))
    return {line for line in text.splitlines() if line.startswith("keyturn_")}


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
async def test_a_process_without_problems_is_well(path: str) -> None:
    assert await get(site(), path) == (200, "ok\n")


async def test_a_process_with_problems_names_each_of_them() -> None:
    ailing = site(unhealthy=["watch of Secrets is silent", "queue does not move"])
    assert await get(ailing, "/livez") == (503, "watch of Secrets is silent\nqueue does not move\n")


async def test_a_process_that_is_not_ready_lives() -> None:
    starting = site(unready=["objects are still being listed"])
    assert (await get(starting, "/livez"), await get(starting, "/readyz")) == (
        (200, "ok\n"),
        (503, "objects are still being listed\n"),
    )


async def test_there_is_nothing_else_to_see() -> None:
    assert (await get(site(), "/"))[0] == 404


async def test_probes_may_come_by_ipv6_where_the_machine_has_it() -> None:
    host = "[::1]" if socket.has_dualstack_ipv6() else "127.0.0.1"
    assert await get(site(), "/livez", host) == (200, "ok\n")


async def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CannotListen) as refusal:
            async with serve(site(), Ports(metrics=0, health=port)):
                pass
    assert str(refusal.value) == f"cannot listen on port {port} for health: address already in use"


async def test_the_ports_are_free_again_afterwards() -> None:
    async with serve(site(), ANY) as ports:
        pass
    async with serve(site(), ports) as again:
        assert again == ports


async def test_every_fact_of_an_object_is_a_series() -> None:
    assert await series(AUTH) >= {
        'keyturn_secret_info{namespace="shop",name="auth",class="jwt-secret",priority="High",owner=""} 1',
        'keyturn_secret_revision{namespace="shop",name="auth"} 3',
        'keyturn_last_rotation_timestamp_seconds{namespace="shop",name="auth"} 1795478400.0',
        'keyturn_next_rotation_timestamp_seconds{namespace="shop",name="auth"} 1803254400.0',
        'keyturn_rotation_overdue{namespace="shop",name="auth"} 1',
        'keyturn_condition{namespace="shop",name="auth",type="Ready"} 1',
        'keyturn_condition{namespace="shop",name="auth",type="Stalled"} 0',
    }


async def test_what_is_not_known_of_an_object_is_no_series() -> None:
    assert {line for line in await series(NEW) if 'name="new"' in line} == {
        'keyturn_secret_info{namespace="shop",name="new",class="",priority="",owner=""} 1',
        'keyturn_secret_revision{namespace="shop",name="new"} 0',
        'keyturn_rotation_overdue{namespace="shop",name="new"} 0',
    }


async def test_violations_are_counted_by_rule() -> None:
    assert {line for line in await series(AUTH, NEW) if "violations" in line} == {
        'keyturn_policy_violations{rule="maxInterval",point="schedule"} 1',
        'keyturn_policy_violations{rule="minLength",point="strength"} 2',
    }


async def test_series_go_with_their_object() -> None:
    objects = [AUTH]
    async with client_of(site(lambda: objects)) as (session, ports):
        counts = []
        for _ in range(2):
            async with session.get(f"http://127.0.0.1:{ports.metrics}/metrics") as response:
                counts.append((await response.text()).count('name="auth"'))
            objects.clear()
    assert counts == [7, 0]


@pytest.mark.parametrize(
    ("accept", "content_type", "parse"),
    [
        ("", "text/plain; version=0.0.4; charset=utf-8", parse_text),
        (OPENMETRICS, "application/openmetrics-text; version=1.0.0; charset=utf-8", parse_openmetrics),
    ],
    ids=["text", "OpenMetrics"],
)
async def test_prometheus_gets_the_format_it_asks_for(
    accept: str, content_type: str, parse: Callable[[str], Iterator[object]]
) -> None:
    given, text = await scrape(site(lambda: [AUTH, NEW]), accept)
    assert (given.startswith(content_type), len(list(parse(text))) > 15) == (True, True)


@pytest.mark.parametrize(
    "name",
    [
        "build_info",
        "leader",
        "queue_depth",
        "loop_held_seconds_bucket",
        "reconcile_seconds_bucket",
        "drift_repaired_total",
        "events_dropped_total",
        "rotations_total",
        "rotation_step_seconds_bucket",
        "workload_restarts_total",
        "api_requests_total",
    ],
)
async def test_the_process_counts_what_it_does(name: str) -> None:
    metrics.ROTATIONS.labels(reason="RotationDue", result="Succeeded").inc()
    metrics.ROTATION_STEP_SECONDS.labels(step="Publish").observe(1)
    metrics.WORKLOAD_RESTARTS.labels(kind="Deployment", result="Succeeded").inc()
    metrics.API_REQUESTS.labels(verb="get", resource="secrets", code="200").inc()
    assert any(line.startswith(f"keyturn_{name}") for line in await series())


async def test_a_scrape_leaves_the_event_loop_free() -> None:
    release = threading.Event()

    def slow() -> list[ObjectFacts]:
        release.wait(10)
        return []

    async with client_of(site(slow)) as (session, ports):
        scraping = asyncio.ensure_future(session.get(f"http://127.0.0.1:{ports.metrics}/metrics"))
        async with session.get(f"http://127.0.0.1:{ports.health}/livez") as response:
            alive = response.status
        release.set()
        async with await scraping as response:
            assert (alive, response.status) == (200, 200)


async def test_an_error_in_the_facts_is_answered_without_its_words() -> None:
    def fail() -> list[ObjectFacts]:
        raise KeyError("canary")

    status, text = await get(site(fail), "/metrics")
    assert (status, "canary" in text) == (500, False)


NOW = datetime(2026, 11, 27, tzinfo=UTC)
NAME = "system:serviceaccount:monitoring:prometheus"
TOKEN = secrets.token_urlsafe(32)
OF_THE_SERVER = "https://kubernetes.default.svc"


class Clock:
    @staticmethod
    def now() -> datetime:
        return NOW


@dataclass
class Server:
    """An API server that knows whose tokens there are, for whom they are good, and who may get /metrics."""

    tokens: dict[str, str] = field(default_factory=lambda: {TOKEN: AUDIENCE})
    """For whom each is good; all are Prometheus's."""
    allows: bool = True
    trouble: errors.ApiError | None = None
    delay: float = 0.0
    asked: list[str] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0
    clock: Clock = field(default_factory=Clock)

    async def request(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(path)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(self.delay)
        finally:
            self.at_once -= 1
        if self.trouble:
            raise self.trouble
        spec = body["spec"]
        if path == paths.ACCESS_REVIEWS:
            asked = {"user": NAME, "nonResourceAttributes": {"verb": "get", "path": "/metrics"}}
            return {"status": {"allowed": self.allows and asked.items() <= spec.items()}}
        audience = self.tokens.get(spec["token"])
        if audience not in spec["audiences"]:
            return {"status": {}}
        return {"status": {"authenticated": True, "audiences": [audience], "user": {"username": NAME}}}

    def scrapers(self, *also: str) -> Scrapers:
        def audiences() -> Collection[str]:
            return also

        return Scrapers(self, audiences)  # type: ignore[arg-type]  # a fake


async def ask(scrapers: Scrapers, token: str = TOKEN) -> tuple[int, str]:
    answer = await scrapers.refusal(f"Bearer {token}", "10.0.0.7")
    return (answer.status, str(answer.text)) if answer else (200, "")


def failures() -> float:
    return float(metrics.AUTHENTICATION_FAILURES.labels("metrics")._value.get())  # its only way


@in_no_time
async def test_who_may_get_metrics_gets_them() -> None:
    assert await ask(Server().scrapers()) == (200, "")


@pytest.mark.parametrize(
    "shown",
    ["", "Bearer", "Bearer ", f"Basic {TOKEN}", TOKEN],
    ids=["nothing", "no token", "an empty token", "another scheme", "no scheme"],
)
@in_no_time
async def test_without_a_token_it_is_said_what_to_send(shown: str) -> None:
    server, before = Server(), failures()
    answer = await server.scrapers().refusal(shown, None)

    assert answer
    assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert "Authorization: Bearer TOKEN" in str(answer.text)
    assert (server.asked, failures() - before) == ([], 1)


@pytest.mark.parametrize(
    "token",
    [secrets.token_urlsafe(32), "short", "a b" * 20, "é" * 40, "a" * 9000],
    ids=["unknown", "short", "with spaces", "with other letters", "long"],
)
@in_no_time
async def test_an_unknown_token_is_refused_with_the_audience_to_write(token: str) -> None:
    before = failures()
    status, said = await ask(Server().scrapers(), token)

    assert (status, failures() - before) == (401, 1)
    assert "lacks the audience keyturn-metrics" in said
    assert token not in said


@in_no_time
async def test_a_token_for_the_api_server_is_taken_over_https_only() -> None:
    server = Server({TOKEN: OF_THE_SERVER})

    in_plain, by_https = await ask(server.scrapers()), await ask(server.scrapers(OF_THE_SERVER))
    assert (in_plain[0], by_https) == (401, (200, ""))
    assert "or serve metrics by https" in in_plain[1]


@in_no_time
async def test_who_may_not_gets_the_role_in_the_message() -> None:
    before = failures()
    status, said = await ask(Server(allows=False).scrapers())

    assert (status, "ClusterRole keyturn-metrics-reader" in said) == (403, True)
    assert failures() == before


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        (errors.Unavailable("request", "", 0, "Timeout"), "the API server could not check the token"),
        (errors.Throttled("request", "", 429, "TooMany"), "the API server could not check the token"),
        (errors.Forbidden("request", "", 403, "Forbidden"), "apply manifests/components/metrics-auth"),
    ],
    ids=["away", "busy", "forbidden"],
)
@in_no_time
async def test_what_is_not_known_is_no_yes_and_is_asked_again(trouble: errors.ApiError, said: str) -> None:
    server = Server(trouble=trouble)
    scrapers = server.scrapers()
    refused = await scrapers.refusal(f"Bearer {TOKEN}", None)
    server.trouble = None

    assert refused
    assert (refused.status, said in str(refused.text)) == (503, True)
    assert int(refused.headers["Retry-After"]) > 0
    assert await ask(scrapers) == (200, "")


@in_no_time
async def test_a_server_that_hangs_is_waited_for_less_long_than_a_scrape_takes() -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()

    assert (await ask(Server(delay=600).scrapers()))[0] == 503
    assert loop.time() - began < 10


# What is remembered


@in_no_time
async def test_a_good_answer_counts_for_a_minute() -> None:
    server = Server()
    scrapers = server.scrapers()
    for _ in range(3):
        await ask(scrapers)
        await asyncio.sleep(15)
    assert len(server.asked) == 2

    server.allows = False
    await asyncio.sleep(20)
    assert (await ask(scrapers))[0] == 403


@in_no_time
async def test_a_right_that_is_given_counts_after_ten_seconds() -> None:
    server = Server(allows=False)
    scrapers = server.scrapers()
    for _ in range(5):
        assert (await ask(scrapers))[0] == 403
    assert len(server.asked) == 2

    server.allows = True
    await asyncio.sleep(11)
    assert await ask(scrapers) == (200, "")


@in_no_time
async def test_a_token_that_ends_sooner_counts_until_then() -> None:
    claims = json.dumps({"exp": int((NOW + timedelta(seconds=5)).timestamp())}).encode()
    token = f"{'a' * 20}.{base64.urlsafe_b64encode(claims).decode().rstrip('=')}.{'b' * 20}"
    server = Server({token: AUDIENCE})
    scrapers = server.scrapers()
    await ask(scrapers, token)
    server.tokens.clear()

    assert (await ask(scrapers, token))[0] == 200
    await asyncio.sleep(6)
    assert (await ask(scrapers, token))[0] == 401


@in_no_time
async def test_who_asks_at_the_same_moment_is_asked_about_once() -> None:
    server = Server(delay=0.1)
    scrapers = server.scrapers()
    answers = await asyncio.gather(*(ask(scrapers) for _ in range(10)))

    assert answers == [(200, "")] * 10
    assert len(server.asked) <= 4


@in_no_time
async def test_a_flood_of_tokens_is_asked_about_two_at_a_time_and_not_remembered() -> None:
    server = Server()
    scrapers = server.scrapers()
    await ask(scrapers)
    await asyncio.gather(*(ask(scrapers, secrets.token_urlsafe(32)) for _ in range(1000)))

    assert server.most_at_once <= 2
    assert len(scrapers._known) == 256  # what a flood leaves in memory
    assert await ask(scrapers) == (200, "")


# What is told


@in_no_time
async def test_the_log_has_no_token_and_a_line_a_minute() -> None:
    server = Server()
    tokens = [secrets.token_urlsafe(32) for _ in range(20)]
    scrapers = server.scrapers()
    with capture_logs() as told:
        for token in tokens:
            await ask(scrapers, token)
        server.allows = False
        await ask(scrapers)
        await asyncio.sleep(61)
        await ask(scrapers, tokens[0])

    assert told == [
        {"event": "metrics login refused", "log_level": "warning", "address": "10.0.0.7"},
        {"event": "metrics permission missing", "log_level": "warning", "user": NAME},
        {"event": "metrics login refused", "log_level": "warning", "address": "10.0.0.7"},
    ]


@in_no_time
async def test_no_token_is_kept() -> None:
    scrapers = Server().scrapers()
    await ask(scrapers)

    assert TOKEN not in repr(scrapers._known)  # what a crash report could show
    assert all(TOKEN.encode() not in key for key in scrapers._known)
