import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path

import aiohttp
import pytest

from keyturn.kube import config, errors, paths
from keyturn.kube.client import Api, Page
from keyturn.kube.config import Connection
from keyturn.kube.session import SessionTransport, open_session
from keyturn.kube.wire import Patch
from sandbox import ControlPlane
from tests.support.api_servers import forgotten, secret
from tests.unit.kube.test_client import CANARY, SECRETS, changes_of, everything_in, pages_of


async def version_of(api: Api, path: str) -> str:
    return (await pages_of(api, path))[-1].resource_version


# What a real API server makes of our calls


async def test_an_object_is_created_read_replaced_and_deleted(api: Api, namespace: str) -> None:
    created = await api.create(paths.secrets(namespace), secret("a", x="1"))
    await api.replace(paths.secret(namespace, "a"), {**created, "data": {"x": "Mg=="}})
    assert (await api.get(paths.secret(namespace, "a")))["data"] == {"x": "Mg=="}
    await api.delete(paths.secret(namespace, "a"))
    with pytest.raises(errors.NotFound):
        await api.get(paths.secret(namespace, "a"))


async def test_what_is_absent_is_deleted(api: Api, namespace: str) -> None:
    await api.delete(paths.secret(namespace, "never-there"))


async def test_a_delete_holds_to_its_preconditions(api: Api, namespace: str) -> None:
    created = await api.create(paths.secrets(namespace), secret("a"))
    with pytest.raises(errors.Conflict):
        await api.delete(paths.secret(namespace, "a"), {"uid": "another"})
    await api.delete(paths.secret(namespace, "a"), {"uid": created["metadata"]["uid"]})


@pytest.mark.parametrize("kind", Patch)
async def test_a_patch_changes_a_part(api: Api, namespace: str, kind: Patch) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    await api.create(path, {"metadata": {"name": "a"}, "data": {"kept": "1"}})
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"new": "2"}}
    patched = await api.patch(f"{path}/a", body, kind, {"fieldManager": "test"})
    assert patched["data"] == {"kept": "1", "new": "2"}


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda api, ns: api.get(paths.secret(ns, "b")), errors.NotFound),
        (lambda api, ns: api.get(f"/apis/nobody.test/v1/namespaces/{ns}/things/a"), errors.Unavailable),
        (lambda api, ns: api.create(paths.secrets(ns), secret("a")), errors.AlreadyExists),
        (lambda api, _: api.create(paths.secrets("no-such-namespace"), secret("a")), errors.NotFound),
        (lambda api, ns: api.create(paths.secrets(ns), secret("Not A Name")), errors.Invalid),
        (lambda api, ns: api.create(paths.secrets(ns), {"data": 1}), errors.BadRequest),
        (
            lambda api, ns: api.replace(
                paths.secret(ns, "a"), {"metadata": {"name": "a", "resourceVersion": "1"}}
            ),
            errors.Conflict,
        ),
    ],
    ids=["absent", "unserved", "there", "no namespace", "bad name", "bad body", "outdated"],
)
async def test_a_refusal_becomes_its_error(
    api: Api, namespace: str, call: Callable[[Api, str], Awaitable[object]], error: type[errors.ApiError]
) -> None:
    await api.create(paths.secrets(namespace), secret("a"))
    with pytest.raises(error) as refusal:
        await call(api, namespace)
    assert type(refusal.value) is error


async def test_without_the_right_it_is_forbidden(
    plane: ControlPlane, api: Api, namespace: str, tmp_path: Path
) -> None:
    account = {"metadata": {"name": "nobody"}}
    await api.create(f"/api/v1/namespaces/{namespace}/serviceaccounts", account)
    kubeconfig = await asyncio.to_thread(
        plane.service_account_kubeconfig, namespace, "nobody", tmp_path / "kubeconfig"
    )
    connection = await config.load(str(kubeconfig))
    async with open_session(connection) as session:
        with pytest.raises(errors.Forbidden):
            await Api(SessionTransport(session), connection.server).get(paths.secret(namespace, "a"))


async def test_an_error_of_a_malformed_patch_has_no_word_of_the_secret(api: Api, namespace: str) -> None:
    created = await api.create(paths.secrets(namespace), secret("a", x=CANARY))
    with pytest.raises(errors.Invalid) as refusal:
        await api.patch(paths.secret(namespace, "a"), {"data": {"y": 5}}, Patch.MERGE)
    told = everything_in(refusal.value)
    assert CANARY not in told
    assert created["data"]["x"] not in told


async def test_an_error_of_the_connection_has_no_context(api: Api) -> None:
    api._server = "https://127.0.0.1:1"
    with pytest.raises(errors.Unavailable) as refusal:
        await api.create(SECRETS, {})
    assert str(refusal.value) == f"create {SECRETS}: ClientConnectorError"
    assert refusal.value.__context__ is None


# Metadata only


async def test_metadata_only_leaves_the_data_on_the_server(api: Api, namespace: str) -> None:
    path = paths.secrets(namespace)
    version = await version_of(api, path)
    created = await api.create(path, secret("a", x=CANARY))
    one = await api.get(paths.secret(namespace, "a"), metadata_only=True)
    (page,) = await pages_of(api, path, metadata_only=True)
    (change, *_) = await changes_of(api, path, version, metadata_only=True, timeout_seconds=1)
    assert [body["metadata"]["uid"] for body in (one, *page.items, change.body)] == (
        [created["metadata"]["uid"]] * 3
    )
    assert "data" not in {*one, *page.items[0], *change.body}


async def test_an_empty_list_of_metadata_is_empty(api: Api, namespace: str) -> None:
    (page,) = await pages_of(api, paths.secrets(namespace), metadata_only=True)
    assert page.items == []


# Lists


async def test_a_list_comes_in_pages_of_one_moment(api: Api, namespace: str) -> None:
    names = [f"s{number}" for number in range(7)]
    for name in names:
        await api.create(paths.secrets(namespace), secret(name))
    pages = await pages_of(api, paths.secrets(namespace), limit=3)
    assert [[body["metadata"]["name"] for body in page.items] for page in pages] == [
        ["s0", "s1", "s2"],
        ["s3", "s4", "s5"],
        ["s6"],
    ]
    assert [page.first for page in pages] == [True, False, False]
    assert len({page.resource_version for page in pages}) == 1


async def test_a_list_from_a_forgotten_version_starts_again_and_a_watch_is_gone(
    troubled: ControlPlane, troubled_api: Api, troubled_namespace: str
) -> None:
    path = paths.secrets(troubled_namespace)
    version = await version_of(troubled_api, path)
    for number in range(4):
        await troubled_api.create(path, secret(f"s{number}"))
    pages: list[Page] = []
    async with aclosing(troubled_api.pages(path, limit=3)) as coming:
        pages.append(await anext(coming))
        await troubled_api.delete(paths.secret(troubled_namespace, "s0"))
        await forgotten(troubled)
        pages += [page async for page in coming]
    assert [page.first for page in pages] == [True, True]
    assert [body["metadata"]["name"] for body in pages[-1].items] == ["s1", "s2", "s3"]
    with pytest.raises(errors.Gone):
        await changes_of(troubled_api, path, version)


# Watches


async def test_a_watch_reports_what_happens_after_a_version(api: Api, namespace: str) -> None:
    await api.create(paths.secrets(namespace), secret("before"))
    version = await version_of(api, paths.secrets(namespace))
    created = await api.create(paths.secrets(namespace), secret("a"))
    await api.replace(paths.secret(namespace, "a"), {**created, "stringData": {"x": "1"}})
    await api.delete(paths.secret(namespace, "a"))
    changes = await changes_of(api, paths.secrets(namespace), version, timeout_seconds=1)
    told = [(kind, body["metadata"]["name"]) for kind, body in changes if kind != "BOOKMARK"]
    assert told == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]


async def test_a_watch_of_one_namespace_is_kept_up_to_date_by_bookmarks(api: Api, namespace: str) -> None:
    version = await version_of(api, paths.secrets(namespace))
    opened = asyncio.Event()
    api.on_response = lambda *_: opened.set()
    async with asyncio.TaskGroup() as group:
        watch = group.create_task(changes_of(api, paths.secrets(namespace), version, timeout_seconds=4))
        await opened.wait()
        elsewhere = await api.create(paths.secrets("default"), secret(f"{namespace}-elsewhere"))
    changes = watch.result()
    assert {kind for kind, _ in changes} == {"BOOKMARK"}
    newest = changes[-1].body["metadata"]["resourceVersion"]
    assert int(newest) >= int(elsewhere["metadata"]["resourceVersion"])


async def test_an_object_larger_than_any_buffer_comes_through_a_watch(api: Api, namespace: str) -> None:
    version = await version_of(api, paths.secrets(namespace))
    created = await api.create(paths.secrets(namespace), secret("a", x="y" * 700_000))
    changes = await changes_of(api, paths.secrets(namespace), version, timeout_seconds=1)
    assert changes[0].body["data"] == created["data"]


async def test_watches_leave_the_connections_of_calls_alone(
    session: aiohttp.ClientSession, connection: Connection, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keyturn.kube.client._MAX_CALLS", 1)
    api = Api(SessionTransport(session), connection.server)
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        version = await version_of(api, paths.secrets(namespace))
        watches = [group.create_task(changes_of(api, paths.secrets(namespace), version)) for _ in range(3)]
        await api.create(paths.secrets(namespace), secret("a"))
        for watch in watches:
            watch.cancel()
