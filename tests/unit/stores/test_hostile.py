"""Stores that are made to keep us busy: they hold up neither the loop nor the stores of others."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from keyturn.runtime.reach import AllowedHost, Reach
from keyturn.stores.providers.errors import Refused, Unreachable
from tests.support.api_servers import serving
from tests.support.cases import case
from tests.support.timedcalls import holds_no_loop
from tests.unit.stores.fake_stores import OPERATOR, FakeStores, ref


@pytest.fixture
async def fake() -> AsyncIterator[FakeStores]:
    fake = FakeStores(Reach(OPERATOR, None, [AllowedHost("127.0.0.1")]))
    yield fake
    await fake.stores.close()


def headers(*outputs: str) -> dict[str, str]:
    """Fill twenty headers with these, as often as they fit."""
    each = len(outputs) // 20 or 1
    parts = [outputs[start : start + each] for start in range(0, len(outputs), each)]
    return {f"X-{number}": "".join(part) for number, part in enumerate(parts)}


MANY: dict[str, Any] = {
    "the same output 16,000 times": headers(*(["{{a}}"] * 16000)),
    "8,000 outputs": headers(*(f"{{{{a{number:05}}}}}" for number in range(8000))),
    "100 outputs that are hard to read": headers(
        *(f"{{{{ a{'[b' * 80}[{number}{']' * 81} }}}}" for number in range(100))
    ),
}


@pytest.mark.parametrize("written", [case(name, one) for name, one in MANY.items()])
async def test_a_webhook_with_a_page_of_templates_blocks_no_other(
    written: dict[str, str], fake: FakeStores
) -> None:
    fake.secret("hook", a="x")
    key = fake.store(
        "hook",
        provider="webhook",
        url="https://hook.invalid/{{ key }}",
        headers=written,
        secretRef={"name": "hook"},
    )
    await fake.refusal("warm up", ref("hook"))  # Liquid is loaded once
    fake.stores.forget(key)

    @holds_no_loop
    async def use() -> None:
        fake.stores.health(key)
        for number in range(3):
            assert isinstance(await fake.refusal(f"key {number}", ref("hook")), Refused | Unreachable)

    await use()


async def test_the_same_output_as_often_as_it_fits_is_one(fake: FakeStores) -> None:
    async def handle(request: web.Request) -> web.Response:
        return web.Response(text=str(len(request.headers["X-0"])))

    fake.secret("hook", a="x")
    async with serving(handle) as server:
        fake.store(
            "hook",
            provider="webhook",
            url=f"{server}/{{{{ key }}}}",
            headers={"X-0": 500 * "{{a}}"},
            secretRef={"name": "hook"},
        )
        assert await fake.read("db", ref("hook")) == "500"
