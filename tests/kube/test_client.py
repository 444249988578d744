from __future__ import annotations

import asyncio
import traceback
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import pytest

from keyturn import __version__
from keyturn.kube import client, config, errors, paths
from keyturn.kube.client import Api, Change, Page, Patch
from keyturn.runtime import build
from tests.kube.helpers import Scripted, answer, forgotten, refused, scripted, secret

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    import aiohttp

    from keyturn.kube.connection import Connection
    from sandbox import ControlPlane

CANARY = "canary-5f1c0e"
SECRET = paths.secret("shop", "a")
SECRETS = paths.secrets("shop")
WITH_VERSION = {"metadata": {"resourceVersion": "7"}}


async def pages_of(api: Api, path: str, **settings: Any) -> list[Page]:
    async with aclosing(api.pages(path, **settings)) as pages:
        return [page async for page in pages]


async def changes_of(api: Api, path: str, version: str, **settings: Any) -> list[Change]:
    async with aclosing(api.watch(path, version, **settings)) as changes:
        return [change async for change in changes]


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
    async with config.session(connection) as session:
        with pytest.raises(errors.Forbidden):
            await Api(session, connection.server).get(paths.secret(namespace, "a"))


# What must never be in an error


def everything_in(error: BaseException) -> str:
    """Write all that a log, a debugger or a careless `repr` could show of an error and what led to it."""
    context = error.__cause__ or error.__context__
    own = [repr(error), str(error), repr(vars(error)), *map(repr, error.args)]
    own += traceback.format_exception(error)
    return "\n".join([*own, everything_in(context) if context else ""])


async def test_an_error_of_a_malformed_patch_has_no_word_of_the_secret(api: Api, namespace: str) -> None:
    created = await api.create(paths.secrets(namespace), secret("a", x=CANARY))
    with pytest.raises(errors.Invalid) as refusal:
        await api.patch(paths.secret(namespace, "a"), {"data": {"y": 5}}, Patch.MERGE)
    told = everything_in(refusal.value)
    assert CANARY not in told
    assert created["data"]["x"] not in told


@pytest.mark.parametrize(
    "given",
    [
        answer(200, f"no json: {CANARY}"),
        answer(200, f'["{CANARY}"]'),
        answer(422, f"no json: {CANARY}"),
        refused(422, f"The value {CANARY} is bad"),
        refused(500, CANARY),
        answer(422, {"reason": {"x": CANARY}}),
    ],
    ids=["no json", "no object", "no status", "reason of a webhook", "one word", "reason of a fool"],
)
async def test_an_error_of_a_strange_answer_has_no_word_of_it(given: Any) -> None:
    async with scripted(Scripted(given)) as api:
        with pytest.raises(errors.ApiError) as refusal:
            await api.create(SECRETS, {})
    assert CANARY not in everything_in(refusal.value)


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


async def test_a_list_that_became_too_old_starts_again(
    troubled: ControlPlane, troubled_api: Api, troubled_namespace: str
) -> None:
    path = paths.secrets(troubled_namespace)
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


# Watches


async def test_a_watch_tells_what_happens_after_a_version(api: Api, namespace: str) -> None:
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


async def test_a_watch_from_a_forgotten_version_is_gone(
    troubled: ControlPlane, troubled_api: Api, troubled_namespace: str
) -> None:
    path = paths.secrets(troubled_namespace)
    version = await version_of(troubled_api, path)
    await troubled_api.create(path, secret("a"))
    await forgotten(troubled)
    with pytest.raises(errors.Gone):
        await changes_of(troubled_api, path, version)


async def test_a_watch_that_says_nothing_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "STREAM_GRACE", 0.1)
    async with scripted(Scripted(30.0)) as api, asyncio.timeout(5):
        with pytest.raises(errors.Unavailable):
            await changes_of(api, SECRETS, "1", timeout_seconds=0)


async def test_a_refused_watch_is_its_error() -> None:
    async with scripted(Scripted(refused(403, "Forbidden"))) as api:
        with pytest.raises(errors.Forbidden):
            await changes_of(api, SECRETS, "1")


async def test_watches_leave_the_connections_of_calls_alone(
    session: aiohttp.ClientSession, connection: Connection, namespace: str
) -> None:
    api = Api(session, connection.server, connections=1)
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        version = await version_of(api, paths.secrets(namespace))
        watches = [group.create_task(changes_of(api, paths.secrets(namespace), version)) for _ in range(3)]
        await api.create(paths.secrets(namespace), secret("a"))
        for watch in watches:
            watch.cancel()


# Tries

READ = ("get", SECRET)


async def called(api: Api, verb: str) -> None:
    match verb:
        case "get":
            await api.get(SECRET)
        case "list":
            await pages_of(api, SECRETS)
        case "create":
            await api.create(SECRETS, {})
        case "replace with version":
            await api.replace(SECRET, WITH_VERSION)
        case "replace":
            await api.replace(SECRET, {"metadata": {}})
        case "patch":
            await api.patch(SECRET, {}, Patch.MERGE)
        case "delete":
            await api.delete(SECRET)


@pytest.mark.parametrize(
    ("verb", "tries"),
    [
        ("get", 3),
        ("list", 3),
        ("replace with version", 3),
        ("replace", 1),
        ("create", 1),
        ("patch", 1),
        ("delete", 1),
    ],
)
async def test_only_what_can_be_repeated_is_tried_again_without_an_answer(verb: str, tries: int) -> None:
    script = Scripted(refused(503, "ServiceUnavailable"))
    async with scripted(script) as api:
        with pytest.raises(errors.Unavailable):
            await called(api, verb)
    assert len(script.asked) == tries


@pytest.mark.parametrize("verb", ["get", "create", "replace", "patch", "delete"])
async def test_everything_is_tried_again_when_the_server_protects_itself(verb: str) -> None:
    throttled = refused(429, "TooManyRequests", Retry_After="0")
    script = Scripted(throttled, throttled, answer())
    async with scripted(script) as api:
        await called(api, verb)
    assert len(script.asked) == 3


async def test_a_retry_waits_as_long_as_the_server_wants() -> None:
    script = Scripted(refused(429, "TooManyRequests", Retry_After="1"), answer())
    async with scripted(script) as api:
        await api.get(SECRET)
    first, second = script.times
    assert second - first >= 1


async def test_a_long_wish_of_the_server_goes_to_the_caller() -> None:
    script = Scripted(refused(429, "TooManyRequests", Retry_After="60"))
    async with scripted(script) as api:
        with pytest.raises(errors.Throttled) as refusal:
            await api.get(SECRET)
    assert refusal.value.retry_after == 60
    assert len(script.asked) == 1


async def test_a_server_that_throttles_for_ever_is_not_asked_for_ever() -> None:
    script = Scripted(refused(429, "TooManyRequests"))
    async with scripted(script) as api:
        with pytest.raises(errors.Throttled):
            await api.create(SECRETS, {})
    assert len(script.asked) == 3


async def test_a_call_without_an_answer_ends() -> None:
    async with scripted(Scripted(30.0), timeout=0.1) as api, asyncio.timeout(5):
        with pytest.raises(errors.Unavailable, match="Timeout"):
            await api.create(SECRETS, {})


async def test_a_redirect_is_not_followed() -> None:
    script = Scripted(answer(307, {}, Location="/elsewhere"))
    async with scripted(script) as api:
        with pytest.raises(errors.ApiError):
            await api.get(SECRET)
    assert len(script.asked) == 1


# The fence


@pytest.mark.parametrize("verb", ["create", "replace", "replace with version", "patch", "delete"])
async def test_a_write_is_not_sent_after_the_fence(verb: str) -> None:
    script = Scripted(answer())
    async with scripted(script, fence=lambda: asyncio.get_running_loop().time() - 0.001) as api:
        with pytest.raises(errors.NotLeading):
            await called(api, verb)
    assert script.asked == []


async def test_a_write_under_way_ends_at_the_fence() -> None:
    start = asyncio.get_running_loop().time()
    async with scripted(Scripted(10.0), fence=lambda: start + 0.3, timeout=60.0) as api:
        with pytest.raises(errors.Unavailable):  # the server would answer after a while
            await api.create(SECRETS, {})
        assert asyncio.get_running_loop().time() - start >= 0.3


async def test_a_write_is_not_tried_again_after_the_fence() -> None:
    start = asyncio.get_running_loop().time()
    script = Scripted(0.2)
    async with scripted(script, fence=lambda: start + 0.1) as api:
        with pytest.raises(errors.NotLeading):
            await api.replace(SECRET, WITH_VERSION)
    assert len(script.asked) == 1


async def test_reading_needs_no_leadership() -> None:
    async with scripted(Scripted(answer()), fence=lambda: 0.0) as api:
        assert await api.get(SECRET) == {}


# Counting


async def test_each_try_is_counted_with_its_resource_and_status() -> None:
    told: list[tuple[str, str, int]] = []

    def count(verb: str, resource: str, status: int, seconds: float) -> None:
        assert seconds >= 0
        told.append((verb, resource, status))

    script = Scripted(refused(503, "ServiceUnavailable"), answer())
    async with scripted(script, on_response=count) as api:
        await api.get(SECRET)
        await api.patch(paths.managed_secret_status("shop", "a"), {}, Patch.MERGE)
    assert told == [
        ("get", "secrets", 503),
        ("get", "secrets", 200),
        ("patch", "managedsecrets/status", 200),
    ]


async def test_a_try_without_an_answer_counts_as_status_0() -> None:
    told: list[int] = []
    async with scripted(
        Scripted(30.0), timeout=0.05, on_response=lambda *observed: told.append(observed[2])
    ) as api:
        with pytest.raises(errors.Unavailable):
            await api.create(SECRETS, {})
    assert told == [0]


async def test_every_request_says_which_keyturn_sends_it() -> None:
    server = Scripted(answer())
    async with scripted(server) as api:
        await api.get(SECRETS)
        await api.create(SECRETS, {})

    assert {one.headers["User-Agent"] for one in server.asked} == {
        f"keyturn/{__version__} ({build.commit()})"
    }
