import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp.web import Request

from keyturn.controllers.cache_sync import is_stuck
from keyturn.core.keys import ObjectKey
from keyturn.core.labels import OWNER_LABEL
from keyturn.kube import secret_informer as secretwatch
from keyturn.kube.cache.cache import InformerCache
from keyturn.kube.client import STREAM_GRACE, Api
from keyturn.kube.secret_informer import SecretInformer, SecretMeta
from sandbox.harness import until
from tests.support.api_servers import Answer, Responding, Scripted, answer, refused, scripted


class World:
    """What a watch has told so far."""

    def __init__(self) -> None:
        self.there: dict[str, SecretMeta] = {}
        self.gone: list[str] = []
        self.absent_at: list[int] = []
        self.puts = 0
        self.cache = InformerCache()

    def put(self, meta: SecretMeta) -> None:
        self.there[meta.name] = meta
        self.cache.put_secret(meta)
        self.puts += 1

    def lose(self, namespace: str, name: str, version: int) -> None:
        self.there.pop(name, None)
        self.cache.drop_secret(ObjectKey(namespace, name), version)
        self.gone.append(name)
        self.absent_at.append(version)


@asynccontextmanager
async def watching(
    api: Api, namespaces: Iterable[str] | None, world: World | None = None
) -> AsyncIterator[tuple[World, SecretInformer]]:
    context = world or World()
    chosen = None if namespaces is None else list(namespaces)
    watch = SecretInformer(api, chosen, context.put, context.lose, context.cache.labelled_secrets)
    task = asyncio.create_task(watch.run())
    try:
        yield context, watch
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


_LISTED = answer(200, {"metadata": {"resourceVersion": "1"}, "items": []})


def test_what_others_scribble_on_a_secret_is_nothing() -> None:
    numbers = [secretwatch.number_of(text) for text in (None, "", "x", "-1", "²", "1" * 5000)]
    assert {*numbers} == {None}


async def test_what_the_first_half_of_a_list_reported_is_gone_when_the_second_try_lacks_it() -> None:
    one = {"metadata": {"namespace": "shop", "name": "a", "uid": "u", "resourceVersion": "1"}}
    script = Scripted(
        answer(200, {"metadata": {"resourceVersion": "1", "continue": "more"}, "items": [one]}),
        refused(410, "Expired"),
        answer(200, {"metadata": {"resourceVersion": "2"}, "items": None}),
        30.0,
    )
    async with scripted(script) as api, watching(api, ["shop"]) as (context, watch):
        await watch.synced.wait()
    assert (context.gone, context.absent_at) == (["a"], [2])


@pytest.mark.parametrize("kind", ["ADDED", "MODIFIED", "DELETED", "BOOKMARK"])
async def test_a_stream_that_ends_is_followed_by_one_from_where_it_was(kind: str) -> None:
    labels = {OWNER_LABEL: "a"}
    metadata = {"namespace": "shop", "name": "a", "uid": "u", "resourceVersion": "1", "labels": labels}
    changed = {"type": kind, "object": {"metadata": {**metadata, "resourceVersion": "5"}}}
    script = Scripted(
        answer(200, {"metadata": {"resourceVersion": "1"}, "items": [{"metadata": metadata}]}),
        answer(200, f"{json.dumps(changed)}\n"),
        30.0,
    )
    async with scripted(script) as api, watching(api, ["shop"]):
        await until(lambda: len(script.asked) == 3)
    assert [request.query.get("resourceVersion") for request in script.asked] == [None, "1", "5"]


async def test_a_deletion_is_reported_with_its_version() -> None:
    metadata = {"namespace": "shop", "name": "a", "uid": "u", "resourceVersion": "1"}
    deleted = {"type": "DELETED", "object": {"metadata": {**metadata, "resourceVersion": "5"}}}
    script = Scripted(
        answer(200, {"metadata": {"resourceVersion": "1"}, "items": [{"metadata": metadata}]}),
        answer(200, f"{json.dumps(deleted)}\n"),
        30.0,
    )
    async with scripted(script) as api, watching(api, ["shop"]) as (context, _):
        await until(lambda: bool(context.gone))
    assert (context.gone, context.absent_at) == (["a"], [5])


def _written(name: str, version: int, namespace: str = "shop", **labels: str) -> SecretMeta:
    """Return the metadata in the answer to a write of the operator."""
    metadata = {"namespace": namespace, "name": name, "uid": f"uid-{name}", "resourceVersion": str(version)}
    return secretwatch.meta_of({"metadata": {**metadata, "labels": labels or {OWNER_LABEL: "db"}}})


async def test_an_own_secret_that_is_deleted_in_a_gap_of_the_watch_is_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(secretwatch, "_LONGEST_PAUSE", 0.05)
    world = World()
    listed_again = answer(200, {"metadata": {"resourceVersion": "900"}, "items": []})
    script = Scripted(_LISTED, refused(410, "Expired"), listed_again, 30.0)
    # No list and no event has one of these.
    for written in (
        _written("deleted", 20),
        _written("newer", 901),
        _written("released", 20, unrelated="x"),
        _written("elsewhere", 20, namespace="office"),
    ):
        world.cache.put_secret(written)

    async with scripted(script) as api, watching(api, ["shop"], world):
        await until(lambda: len(script.asked) == 4)

    assert world.cache.secret("shop", "deleted") is None
    assert world.cache.secret("shop", "newer") is not None
    assert world.cache.secret("shop", "released") is not None
    assert world.cache.secret("office", "elsewhere") is not None
    assert set(world.gone) == {"deleted", "newer"}  # the cache decides


async def test_a_watch_ends_before_it_counts_as_stuck() -> None:
    listed = answer(200, {"metadata": {"resourceVersion": "1"}, "items": []})
    script = Scripted(listed, 30.0)
    async with scripted(script) as api, watching(api, ["shop"]):
        await until(lambda: len(script.asked) == 2)
    seconds = float(script.asked[1].query["timeoutSeconds"])
    now = asyncio.get_running_loop().time()
    assert not is_stuck(now - seconds - STREAM_GRACE)


async def test_a_watch_continues_until_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secretwatch, "_LONGEST_PAUSE", 0.05)
    script = Scripted(refused(403, "Forbidden"))
    async with scripted(script) as api, watching(api, ["shop"]) as (_, watch):
        before = watch.last_alive
        await until(lambda: len(script.asked) > 5)
        assert not watch.synced.is_set()
        assert watch.last_alive > before  # it is refused, and does not hang


def test_the_names_of_many_secrets_are_kept_once() -> None:
    def parsed(namespace: str, name: str) -> dict[str, Any]:
        """Make new strings each time, as a parser does."""
        metadata = {
            "namespace": "".join(list(namespace)),
            "name": "".join(list(name)),
            "uid": "u",
            "resourceVersion": "1",
            "labels": {OWNER_LABEL: "".join(list(name))},
        }
        return {"metadata": metadata}

    one, two = secretwatch.meta_of(parsed("shop", "one")), secretwatch.meta_of(parsed("shop", "two"))
    assert one.namespace is two.namespace
    assert one.owner is one.name


async def test_a_namespace_that_may_not_be_listed_keeps_no_other_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(secretwatch, "_LONGEST_PAUSE", 0.05)
    may_list = False

    def respond(request: Request) -> Answer:
        if "watch" in request.query:
            return 30.0
        return _LISTED if may_list or "/namespaces/shop/" in request.path else refused(403, "Forbidden")

    async with scripted(Responding(respond)) as api, watching(api, ["shop", "gone"]) as (_, watch):
        async with asyncio.timeout(10):
            await watch.fresh()
        assert (watch.covers("shop"), watch.covers("gone"), watch.covers("other")) == (True, False, False)

        may_list = True
        await until(lambda: watch.covers("gone"))


async def test_lists_do_not_follow_each_other_without_a_pause_while_the_watch_is_forbidden(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failures: list[int] = []

    def backoff(_first: float, times: int, _most: float) -> float:
        failures.append(times)
        return 0.0

    monkeypatch.setattr(secretwatch, "backoff", backoff)

    def respond(request: Request) -> Answer:
        return refused(403, "Forbidden") if "watch" in request.query else _LISTED

    async with scripted(Responding(respond)) as api, watching(api, None):
        await until(lambda: len(failures) >= 5)
    assert failures[:5] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("status", "listed"), [(429, 1), (503, 1), (403, 2), (410, 2), (500, 2), (504, 2)], ids=str
)
async def test_an_overloaded_server_is_not_asked_for_another_list(
    status: int, listed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secretwatch, "_LONGEST_PAUSE", 0.05)
    script = Scripted(_LISTED, refused(status, "Reason"), *[_LISTED] * (listed - 1), 30.0)
    async with scripted(script) as api, watching(api, None):
        await until(lambda: len(script.asked) == 2 + listed)
    assert ["watch" in request.query for request in script.asked].count(False) == listed


async def test_a_watch_is_asked_for_again_when_the_server_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secretwatch, "jittered", lambda *_, **__: 0.0)
    script = Scripted(_LISTED, refused(429, "TooManyRequests", Retry_After="1"), 30.0)
    async with scripted(script) as api, watching(api, None):
        await until(lambda: len(script.asked) == 3)
    assert script.times[2] - script.times[1] >= 1.0
