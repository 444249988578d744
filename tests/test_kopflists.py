"""What kopf is shown of a list: the version from which it watches, and no objects."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest
from aiohttp import web

from keyturn.controllers.kopf_lists import WatchOnlyResponse
from tests.kube.helpers import serving

LIST = {
    "kind": "SecretStoreList",
    "apiVersion": "keyturn.dev/v1alpha1",
    "metadata": {"resourceVersion": "7", "continue": "more", "remainingItemCount": 3},
    "items": [{"metadata": {"name": "vault"}}],
}


async def shown(body: Any) -> Any:
    async def handle(_: web.Request) -> web.StreamResponse:
        return web.json_response(body)

    async with serving(handle) as server, aiohttp.ClientSession(response_class=WatchOnlyResponse) as session:
        return await (await session.get(server)).json()


async def test_a_list_ends_with_its_first_page_and_is_empty() -> None:
    metadata = {"resourceVersion": "7", "continue": "", "remainingItemCount": 3}
    assert await shown(LIST) == LIST | {"items": [], "metadata": metadata}


@pytest.mark.parametrize(
    "body",
    [{"kind": "APIResourceList", "resources": [{"name": "secretstores"}]}, ["a"]],
    ids=["kinds", "no object"],
)
async def test_what_is_no_list_of_objects_is_shown_as_it_is(body: Any) -> None:
    assert await shown(body) == body


async def test_a_kind_that_is_absent_is_asked_for_again() -> None:
    async def handle(_: web.Request) -> web.StreamResponse:
        return web.json_response({"kind": "Status", "code": 404}, status=404)

    async with serving(handle) as server, aiohttp.ClientSession(response_class=WatchOnlyResponse) as session:
        assert (await session.get(server)).status == 503  # which kopf takes for a trouble that passes
