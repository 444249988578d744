"""What the process answers over HTTP."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import aiohttp
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from keyturn.endpoints.exposition import ObjectFacts
from keyturn.endpoints.server import CannotListen, Ports, Site, serve
from keyturn.runtime import metrics

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator

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
