"""How much of a list is in memory at a time: as many objects as are small enough together."""

from __future__ import annotations

from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp
import orjson
import pytest
from aiohttp import web

from keyturn.kube import errors
from keyturn.kube.client import Api
from keyturn.kube.paging import MOST_BYTES
from tests.support.api_servers import answer, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MIB = 1024 * 1024


class PagedCollection:
    """A collection of objects, each with some text."""

    def __init__(self, *sizes: int) -> None:
        self.objects = [
            {"metadata": {"name": str(number)}, "text": "x" * size} for number, size in enumerate(sizes)
        ]
        self.limits: list[int] = []
        """How many objects were asked for."""
        self.gone_at: set[int] = set()
        """The requests whose moment is too old."""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        limit, start = int(request.query["limit"]), int(request.query.get("continue", "0"))
        self.limits.append(limit)
        if len(self.limits) in self.gone_at:
            return answer(410, {"kind": "Status", "reason": "Expired"})
        end = start + limit
        metadata = {"resourceVersion": "7"} | ({"continue": str(end)} if end < len(self.objects) else {})
        return web.Response(
            body=orjson.dumps({"metadata": metadata, "items": self.objects[start:end]}),
            content_type="application/json",
        )


@asynccontextmanager
async def asking(collection: PagedCollection) -> AsyncIterator[Api]:
    async with serving(collection.handle) as server, aiohttp.ClientSession() as session:
        yield Api(session, server)


async def pages_of(collection: PagedCollection, limit: int = 500) -> list[list[str]]:
    async with asking(collection) as api, aclosing(api.pages("/objects", limit=limit)) as pages:
        return [[body["metadata"]["name"] for body in page.items] async for page in pages]


async def test_a_list_of_small_objects_soon_comes_in_large_pages() -> None:
    collection = PagedCollection(*[10] * 2000)
    pages = await pages_of(collection)
    assert [len(page) for page in pages] == [50, 200, 500, 500, 500, 250]
    assert [name for page in pages for name in page] == [str(number) for number in range(2000)]


async def test_twenty_thousand_objects_of_a_kilobyte_come_in_fifteen_pages() -> None:
    collection = PagedCollection(*[1100] * 20_000)
    async with asking(collection) as api, aclosing(api.pages("/objects")) as pages:
        assert sum([len(page.items) async for page in pages]) == 20_000
    assert collection.limits[:5] == [50, 200, 800, 1600, 1600]
    assert len(collection.limits) == 15


async def test_no_answer_of_many_objects_is_larger_than_the_bound_whatever_they_weigh() -> None:
    collection = PagedCollection(*[10] * 60, *[MIB] * 30, *[10] * 60)
    largest = 0
    async with asking(collection) as api, aclosing(api.pages("/objects")) as pages:
        names = []
        async for page in pages:
            names += [body["metadata"]["name"] for body in page.items]
            if len(page.items) > 1:
                largest = max(largest, len(orjson.dumps(page.items)))
    assert names == [str(number) for number in range(150)]
    assert largest <= MOST_BYTES


async def test_an_object_that_is_larger_than_the_bound_comes_alone() -> None:
    assert await pages_of(PagedCollection(10, MOST_BYTES + 1, 10)) == [["0"], ["1"], ["2"]]


async def test_a_list_whose_moment_has_gone_twice_comes_again_in_bounded_pages() -> None:
    collection = PagedCollection(*[10] * 1200)
    collection.gone_at = {2, 4}
    pages = await pages_of(collection)
    assert [len(page) for page in pages] == [50, 200, 500, 500, 200]
    assert 0 not in collection.limits


@pytest.mark.parametrize(
    ("gone_at", "first"), [(set(), [True, False]), ({2}, [True, True, False])], ids=["one snapshot", "two"]
)
async def test_the_first_page_of_each_snapshot_says_so(gone_at: set[int], first: list[bool]) -> None:
    collection = PagedCollection(*[10] * 220)
    collection.gone_at = gone_at
    async with asking(collection) as api, aclosing(api.pages("/objects")) as pages:
        assert [page.first async for page in pages] == first


async def test_a_list_that_takes_longer_than_any_moment_is_kept_is_given_up() -> None:
    collection = PagedCollection(*[10] * 1200)
    collection.gone_at = {2, 4, 6}
    with pytest.raises(errors.Gone):
        await pages_of(collection)
