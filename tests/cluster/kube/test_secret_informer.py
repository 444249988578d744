import asyncio
from datetime import UTC, datetime
from pathlib import Path

from keyturn.core.labels import OWNER_LABEL, PUBLISHED_ANNOTATION, REVISION_ANNOTATION
from keyturn.kube import paths
from keyturn.kube.client import Api
from keyturn.kube.secret_informer import SecretMeta
from sandbox import ControlPlane
from sandbox.harness import Kubectl, until
from tests.support.api_servers import forgotten, secret
from tests.unit.kube.test_secret_informer import watching

CANARY = "canary-5f1c0e"


async def test_what_is_there_is_reported_before_it_is_synced(api: Api, namespace: str) -> None:
    made = await api.create(paths.secrets(namespace), secret("a", owner="b", x=CANARY))
    await api.create(paths.secrets(namespace), secret("foreign"))
    async with watching(api, [namespace]) as (context, watch):
        await asyncio.wait_for(watch.synced.wait(), 60)
        told = dict(context.there)
    metadata = made["metadata"]
    assert told == {
        "a": SecretMeta(namespace, "a", metadata["resourceVersion"], metadata["uid"], "b", None, None)
    }
    assert CANARY not in repr(told)


async def test_what_we_noted_on_a_secret_is_reported(api: Api, namespace: str) -> None:
    body = secret("a", owner="a")
    body["metadata"]["annotations"] = {REVISION_ANNOTATION: "3", PUBLISHED_ANNOTATION: "2026-11-24T03:00:00Z"}
    await api.create(paths.secrets(namespace), body)
    async with watching(api, [namespace]) as (context, _):
        await until(lambda: "a" in context.there)
    noted = context.there["a"]
    assert (noted.revision, noted.published) == (3, datetime(2026, 11, 24, 3, tzinfo=UTC))


async def test_an_empty_namespace_is_synced(api: Api, namespace: str) -> None:
    async with watching(api, [namespace]) as (context, watch):
        await asyncio.wait_for(watch.synced.wait(), 60)
    assert context.puts == 0


async def test_changes_are_reported_as_they_happen(api: Api, namespace: str) -> None:
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


async def test_what_changed_without_a_watch_is_reported_after_the_next_list(
    troubled: ControlPlane, troubled_api: Api, troubled_namespace: str
) -> None:
    path = paths.secrets(troubled_namespace)
    for name in ("kept", "lost"):
        await troubled_api.create(path, secret(name, owner=name))

    def change(kubeconfig: Path) -> None:
        Kubectl(kubeconfig)("delete", "secret", "lost", "-n", troubled_namespace)
        Kubectl(kubeconfig)("create", "secret", "generic", "new", "-n", troubled_namespace)
        label = f"{OWNER_LABEL}=new"
        Kubectl(kubeconfig)("label", "secret", "new", label, "-n", troubled_namespace)

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
        await until(lambda: "b" in context.there, timeout=40)
    assert context.gone == []


async def test_it_is_as_alive_as_its_namespace_that_waits_longest(api: Api, namespace: str) -> None:
    async with watching(api, [namespace, "kube-system"]) as (_, watch):
        await watch.synced.wait()
        before = watch.last_alive
        await api.create(paths.secrets(namespace), secret("a", owner="a"))
        await until(lambda: max(stream.last_alive for stream in watch._streams.values()) > before)
        assert watch.last_alive == min(stream.last_alive for stream in watch._streams.values())
