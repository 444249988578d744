"""Who may read the metrics, and how often the API server is asked for it."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from keyturn.endpoints.scrape_authorization import AUDIENCE, Scrapers
from keyturn.kube import errors, paths
from keyturn.runtime import metrics
from tests.unit.stores.fast_clock import in_no_time

if TYPE_CHECKING:
    from collections.abc import Collection

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
        if path == paths.access_reviews():
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
    assert answer.text == "metrics require a token: send the header Authorization: Bearer TOKEN\n"
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
    answer = await ask(Server(allows=False).scrapers())

    assert answer == (
        403,
        f"{NAME} may not get /metrics: bind the ClusterRole keyturn-metrics-reader to it\n",
    )
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
