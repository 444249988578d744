from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from keyturn.core.labels import OWNER_LABEL, PUBLISHED_ANNOTATION, REVISION_ANNOTATION
from keyturn.kube import paths
from keyturn.kube import secret_informer as secretwatch
from keyturn.kube.secret_informer import SecretMeta, SecretWatch
from tests.kube.helpers import Scripted, answer, forgotten, kubectl, refused, scripted, secret, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from pathlib import Path

    from keyturn.kube.client import Api
    from sandbox import ControlPlane

CANARY = "canary-5f1c0e"


class World:
    """What a watch has told so far."""

    def __init__(self) -> None:
        self.there: dict[str, SecretMeta] = {}
        self.gone: list[str] = []
        self.puts = 0

    def put(self, meta: SecretMeta) -> None:
        self.there[meta.name] = meta
        self.puts += 1

    def lose(self, _namespace: str, name: str) -> None:
        del self.there[name]
        self.gone.append(name)


@asynccontextmanager
async def watching(api: Api, namespaces: Iterable[str] | None) -> AsyncIterator[tuple[World, SecretWatch]]:
    context = World()
    watch = SecretWatch(api, None if namespaces is None else list(namespaces), context.put, context.lose)
    task = asyncio.create_task(watch.run())
    try:
        yield context, watch
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_what_is_there_is_told_before_it_is_synced(api: Api, namespace: str) -> None:
    made = await api.create(paths.secrets(namespace), secret("a", owner="b", x=CANARY))
    await api.create(paths.secrets(namespace), secret("foreign"))
    async with watching(api, [namespace]) as (context, watch):
        await asyncio.wait_for(watch.synced.wait(), 5)
        told = dict(context.there)
    metadata = made["metadata"]
    assert told == {
        "a": SecretMeta(namespace, "a", metadata["resourceVersion"], metadata["uid"], "b", None, None)
    }
    assert CANARY not in repr(told)


async def test_what_we_noted_on_a_secret_is_told(api: Api, namespace: str) -> None:
    body = secret("a", owner="a")
    body["metadata"]["annotations"] = {
        REVISION_ANNOTATION: "3",
        PUBLISHED_ANNOTATION: "2026-11-24T03:00:00Z",
    }
    await api.create(paths.secrets(namespace), body)
    async with watching(api, [namespace]) as (context, _):
        await until(lambda: "a" in context.there)
    noted = context.there["a"]
    assert (noted.revision, noted.published) == (3, datetime(2026, 11, 24, 3, tzinfo=UTC))


def test_what_others_scribble_on_a_secret_is_nothing() -> None:
    numbers = [secretwatch.number_of(text) for text in (None, "", "x", "-1", "²", "1" * 5000)]
    times = [
        secretwatch.time_of(text) for text in (None, "", "yesterday", "2026-11-24", "2026-11-24T03:00:00")
    ]
    assert {*numbers, *times} == {None}


async def test_an_empty_namespace_is_synced(api: Api, namespace: str) -> None:
    async with watching(api, [namespace]) as (context, watch):
        await asyncio.wait_for(watch.synced.wait(), 5)
    assert context.puts == 0


async def test_changes_are_told_as_they_happen(api: Api, namespace: str) -> None:
    async with watching(api, [namespace]) as (context, watch):
        await watch.synced.wait()
        made = await api.create(paths.secrets(namespace), secret("a", owner="a"))
        await until(lambda: "a" in context.there)
        changed = await api.replace(paths.secret(namespace, "a"), {**made, "data": {"x": ""}})
        version = changed["metadata"]["resourceVersion"]
        await until(lambda: context.there["a"].resource_version == version)
        await api.delete(paths.secret(namespace, "a"))
        await until(lambda: context.gone == ["a"])


async def test_a_secret_that_loses_our_label_is_gone(api: Api, namespace: str) -> None:
    made = await api.create(paths.secrets(namespace), secret("a", owner="a"))
    async with watching(api, [namespace]) as (context, watch):
        await watch.synced.wait()
        metadata = {**made["metadata"], "labels": {}}
        await api.replace(paths.secret(namespace, "a"), {**made, "metadata": metadata})
        await until(lambda: context.gone == ["a"])


async def test_only_the_namespaces_asked_for_are_watched(api: Api, namespace: str) -> None:
    await api.create(paths.secrets("default"), secret(f"{namespace}-a", owner="a"))
    await api.create(paths.secrets(namespace), secret("a", owner="a"))
    async with watching(api, [namespace, "kube-system"]) as (context, watch):
        await watch.synced.wait()
        assert list(context.there) == ["a"]
    async with watching(api, None) as (context, watch):
        await watch.synced.wait()
        assert {"a", f"{namespace}-a"} <= set(context.there)


async def test_what_changed_while_nobody_could_see_it_is_told_after_the_next_list(
    troubled: ControlPlane, troubled_api: Api, troubled_namespace: str
) -> None:
    path = paths.secrets(troubled_namespace)
    for name in ("kept", "lost"):
        await troubled_api.create(path, secret(name, owner=name))

    def change(kubeconfig: Path) -> None:
        kubectl(kubeconfig, "delete", "secret", "lost", "-n", troubled_namespace)
        kubectl(kubeconfig, "create", "secret", "generic", "new", "-n", troubled_namespace)
        label = f"{OWNER_LABEL}=new"
        kubectl(kubeconfig, "label", "secret", "new", label, "-n", troubled_namespace)

    async with watching(troubled_api, [troubled_namespace]) as (context, watch):
        await watch.synced.wait()
        await forgotten(troubled, change)
        await until(lambda: set(context.there) == {"kept", "new"})
        assert context.gone == ["lost"]


async def test_a_restart_of_the_api_server_loses_nothing(
    troubled: ControlPlane, troubled_api: Api, troubled_namespace: str
) -> None:
    path = paths.secrets(troubled_namespace)
    await troubled_api.create(path, secret("a", owner="a"))
    async with watching(troubled_api, [troubled_namespace]) as (context, watch):
        await watch.synced.wait()
        await asyncio.to_thread(troubled.stop_apiserver)
        await asyncio.to_thread(troubled.start_apiserver)
        await troubled_api.create(path, secret("b", owner="b"))
        await until(lambda: "b" in context.there, seconds=40)
    assert context.gone == []


async def test_what_the_first_half_of_a_list_told_is_gone_when_the_second_try_lacks_it() -> None:
    one = {"metadata": {"namespace": "shop", "name": "a", "uid": "u", "resourceVersion": "1"}}
    script = Scripted(
        answer(200, {"metadata": {"resourceVersion": "1", "continue": "more"}, "items": [one]}),
        refused(410, "Expired"),
        answer(200, {"metadata": {"resourceVersion": "2"}, "items": None}),
        30.0,
    )
    async with scripted(script) as api, watching(api, ["shop"]) as (context, watch):
        await watch.synced.wait()
    assert context.gone == ["a"]


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


async def test_a_watch_goes_on_until_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secretwatch, "_LONGEST_PAUSE", 0.05)
    script = Scripted(refused(403, "Forbidden"))
    async with scripted(script) as api, watching(api, ["shop"]) as (_, watch):
        before = watch.last_alive
        await until(lambda: len(script.asked) > 5)
        assert not watch.synced.is_set()
        assert watch.last_alive > before  # it is refused, and does not hang


async def test_it_is_as_alive_as_its_namespace_that_waits_longest(api: Api, namespace: str) -> None:
    async with watching(api, [namespace, "kube-system"]) as (_, watch):
        await watch.synced.wait()
        before = watch.last_alive
        await api.create(paths.secrets(namespace), secret("a", owner="a"))
        await until(lambda: max(stream.last_alive for stream in watch._streams) > before)
        assert watch.last_alive == min(stream.last_alive for stream in watch._streams)


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
