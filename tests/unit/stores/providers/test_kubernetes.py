"""Which Secrets a store of Kubernetes reads, and what its settings look like to the API server."""

import asyncio
import base64
import json
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from structlog.testing import capture_logs

from keyturn.core.labels import KEYTURN, MANAGED_BY
from keyturn.core.value import Value
from keyturn.kube import errors as api_errors
from keyturn.stores.client import memory_of
from keyturn.stores.providers import (
    Provider,
    Reference,
    RemoteValue,
    _kubeconfig,
    discover,
    errors,
    properties,
)
from keyturn.stores.providers.errors import Refused, StoreError
from keyturn.stores.providers.guard import Guard
from tests.support.api_servers import Scripted, answer, refused, scripted, serving
from tests.unit.stores.providers.provider_fixtures import LOOPBACK, failing_without, guarded, opened
from tests.unit.stores.providers.recording_server import Recording
from tests.unit.stores.providers.tls_server import authority


def secret(kind: str = "Opaque", **data: bytes) -> dict[str, Any]:
    written = {name: base64.b64encode(content).decode() for name, content in data.items()}
    return {"type": kind, "metadata": {"name": "a", "resourceVersion": "7"}, "data": written}


async def read(*answers: Any, key: str = "a", namespace: str = "shop") -> Any:
    script = Scripted(*answers)
    async with scripted(script) as api:
        return await opened("kubernetes", {}, api=api, namespace=namespace).read(key), script.asked


async def failing(*answers: Any, **asked: str) -> StoreError:
    with pytest.raises(StoreError) as refusal:
        await read(*answers, **asked)
    return refusal.value


async def test_its_own_namespace_is_the_only_one_it_asks() -> None:
    _, asked = await read(answer(body=secret()), key="a.b")
    assert [request.path for request in asked] == ["/api/v1/namespaces/shop/secrets/a.b"]


async def test_a_binary_part_comes_through() -> None:
    found, _ = await read(answer(body=secret(key=b"\xff\x00")))
    assert properties.take(found.content, "key") == Value(b"\xff\x00")


async def test_a_secret_with_more_keys_than_a_document_may_have_is_refused() -> None:
    def body(number: int) -> dict[str, Any]:
        return {"metadata": {"resourceVersion": "1"}, "data": {str(key): "" for key in range(number)}}

    found, _ = await read(answer(body=body(1000)))
    assert memory_of(found.content) > 1000 * 200, "what Python needs for each counts in the cache"
    refusal = await failing(answer(body=body(1001)))
    assert (refusal.code, "1000" in str(refusal)) == ("TooManyProperties", True)
    assert (await failing(answer(body={"metadata": {"resourceVersion": "1"}, "data": 7}))).code == (
        "MalformedAnswer"
    )


@pytest.mark.parametrize("kind", ["keyturn.dev/state", "kubernetes.io/service-account-token"])
async def test_records_of_ours_and_tokens_of_accounts_are_not_read(kind: str) -> None:
    assert (await failing(answer(body=secret(kind, token=b"x")))).code == "NotForReading"


async def test_without_a_namespace_nothing_is_read() -> None:
    assert isinstance(await failing(answer(), namespace=""), Refused)


# Secrets of another cluster: which kubeconfigs are followed, what is written there, and what is left alone


CANARY = "canary-in-a-kubeconfig-or-answer"
TOKEN = "canary-token-of-another-cluster"  # noqa: S105  # of nobody
FORM = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8)
IN_SECRET = Reference("Secret", "other", "kubeconfig")


def kubeconfig(
    server: str = "https://api.example.com:6443", user: object = None, **cluster: object
) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "there",
        "contexts": [{"name": "there", "context": {"cluster": "c", "user": "u", "namespace": "ignored"}}],
        "clusters": [{"name": "c", "cluster": {"server": server, **cluster}}],
        "users": [{"name": "u", "user": {"token": TOKEN} if user is None else user}],
    }


def store_of(content: str | bytes, guard: Guard | None, namespace: str = "shop") -> Provider[Any]:
    text = content.encode() if isinstance(content, str) else content
    settings = {"kubeconfigRef": {"name": "other", "key": "kubeconfig"}, "namespace": namespace}
    known = {"referred": {IN_SECRET: RemoteValue(Value(text))}, "namespace": "here", "patience": 15.0}
    return opened("kubernetes", settings, guard=guard, **known)


failing_elsewhere = failing_without(CANARY, TOKEN)


async def refusal_of(content: str | bytes) -> errors.StoreError:
    async with guarded(LOOPBACK) as guard:
        return await failing_elsewhere(store_of(content, guard).read("a"))


# Which kubeconfigs are followed


PEM = base64.b64encode(b"-----BEGIN CERTIFICATE-----").decode()


@pytest.mark.parametrize(
    ("user", "word"),
    [
        ({"exec": {"command": CANARY}}, "says more"),
        ({"token": TOKEN, "exec": {"command": "touch", "args": [CANARY]}}, "says more"),
        ({"auth-provider": {"name": CANARY}}, "says more"),
        ({"tokenFile": "/var/run/secrets/kubernetes.io/serviceaccount/token"}, "says more"),
        ({"client-certificate": "/etc/passwd"}, "says more"),
        ({"client-certificate-data": PEM, "client-key": "/etc/passwd"}, "says more"),
        ({"username": "a", "password": CANARY}, "says more"),
        ({"token": TOKEN, "as": "system:admin"}, "says more"),
        ({"token": TOKEN, "as-groups": ["system:masters"]}, "says more"),
        ({"token": TOKEN, CANARY: True}, "says more"),
        ({"token": f"{TOKEN}\r\nX-Evil: 1"}, "no token"),
        ({"token": 7}, "no token"),
        ({}, "no login"),
        ({"client-key-data": PEM}, "no login"),
        ({"client-certificate-data": PEM}, "belong together"),
        ({"client-certificate-data": "?", "client-key-data": PEM}, "base64"),
        ({"client-certificate-data": PEM, "client-key-data": PEM}, "cannot be used"),
        ([CANARY], "empty"),
    ],
    ids=range(18),
)
async def test_a_login_that_runs_or_opens_something_is_refused_with_a_sentence(user: Any, word: str) -> None:
    refusal = await refusal_of(json.dumps(kubeconfig(user=user)))
    assert (type(refusal), refusal.code) == (errors.Refused, "InvalidKubeconfig")
    assert word in refusal.hint


BOMB = "\n".join(
    ["a0: &a0 {x: y}", *(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, 12))]
)


@pytest.mark.parametrize(
    "content",
    [
        "",
        CANARY,
        f"[{CANARY}",
        f"a: {CANARY}: b",
        "[" * 20_000,
        BOMB,
        "x" * 70_000,
        b"\xff\xfe\x00",
        "a\0b",
        "!!python/object/apply:os.system [touch /tmp/evil]",
        json.dumps({**kubeconfig(), "current-context": CANARY}),
        json.dumps({**kubeconfig(), "contexts": None}),
        json.dumps({**kubeconfig(), "clusters": [CANARY, {"name": "c"}]}),
        json.dumps({**kubeconfig(), "users": {"u": CANARY}}),
    ],
    ids=range(14),
)
@pytest.mark.timeout(20)
async def test_what_is_no_kubeconfig_is_refused_without_being_quoted(content: str | bytes) -> None:
    refusal = await refusal_of(content)
    assert (type(refusal), refusal.code) == (errors.Refused, "InvalidKubeconfig")


def test_a_flag_that_is_off_is_no_reason_to_refuse() -> None:
    off: dict[str, Any] = {"insecure-skip-tls-verify": False, "proxy-url": ""}
    content = json.dumps(kubeconfig(**off)).encode()
    assert _kubeconfig.parsed(content).server == "https://api.example.com:6443"


@pytest.mark.parametrize(
    ("server", "code"), [("https://10.0.0.1:6443", "InsideAddress"), ("http://api.example.com", "PlainHttp")]
)
async def test_a_server_inside_is_asked_only_if_an_administrator_allows_it(server: str, code: str) -> None:
    assert (await refusal_of(json.dumps(kubeconfig(server)))).code == code


async def test_an_error_does_not_name_the_server_which_a_secret_holds() -> None:
    error = await refusal_of(json.dumps(kubeconfig("https://127.0.0.1:1")))
    assert (type(error), error.host) == (errors.Unreachable, "")
    assert "127.0.0.1" not in errors.detail_of(error)


async def test_without_its_secret_or_the_network_nothing_is_read() -> None:
    async with guarded() as guard:
        store = store_of("", guard)
        object.__setattr__(store.given, "referred", {})
        assert type(await failing_elsewhere(store.read("a"))) is errors.Unauthorized
    assert type(await failing_elsewhere(store_of(json.dumps(kubeconfig()), None).read("a"))) is errors.Refused


# What the other cluster hears and says


def secret_there(**data: bytes) -> dict[str, Any]:
    written = {name: base64.b64encode(content).decode() for name, content in data.items()}
    return {"type": "Opaque", "metadata": {"name": "a", "resourceVersion": "7"}, "data": written}


class ChangedSecret:
    """Client of another cluster, whose Secret another writer changes after each read."""

    async def get(self, _: str) -> dict[str, Any]:
        body = secret_there(a=b"ours")
        return body | {"metadata": body["metadata"] | {"uid": "u", "labels": {MANAGED_BY: KEYTURN}}}

    async def delete(self, path: str, preconditions: Mapping[str, str]) -> None:
        if preconditions.get("resourceVersion", "8") != "8":
            raise api_errors.Conflict("delete", path, 409, "Conflict")


async def test_a_secret_that_another_writer_has_changed_is_not_deleted() -> None:
    store: Any = store_of("", None)
    store._other = ChangedSecret()
    assert type(await failing_elsewhere(store.delete("a"))) is errors.Conflict


async def heard_by(*answers: web.Response) -> tuple[Any, Recording]:
    left = list(answers)
    recording = Recording(lambda _: left.pop(0) if len(left) > 1 else left[0])
    async with serving(recording.handle) as server, guarded(LOOPBACK) as guard:
        store = store_of(yaml.safe_dump(kubeconfig(server)), guard)
        found = (await asyncio.gather(store.read("a"), return_exceptions=True))[0]
    if isinstance(found, BaseException):
        assert CANARY not in "".join(traceback.format_exception(found)) + repr(vars(found))
    return found, recording


async def test_the_login_of_the_kubeconfig_is_all_that_is_shown() -> None:
    found, recording = await heard_by(answer(body=secret_there(x=b"\xff")))
    assert properties.take(found.content, "x") == Value(b"\xff")
    (heard,) = recording.heard
    assert (heard.method, heard.path) == ("GET", "/api/v1/namespaces/shop/secrets/a")
    assert {name: text for name, text in heard.headers.items() if name not in {"Host", "User-Agent"}} == {
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "Authorization": f"Bearer {TOKEN}",
    }


@pytest.mark.parametrize(
    ("response", "meaning"),
    [
        (refused(401, "Unauthorized"), errors.Unauthorized),
        (refused(403, "Forbidden"), errors.Denied),
        (refused(404, "NotFound"), errors.NotFound),
        (refused(404, CANARY), errors.Unreachable),
        (refused(429, "TooManyRequests", Retry_After="30"), errors.Throttled),
        (refused(422, "Invalid"), errors.Refused),
        (refused(500, "InternalError"), errors.Unreachable),
        (answer(302, {}, Location="http://127.0.0.1:1/"), errors.Refused),
        (answer(200, CANARY), errors.Unreachable),
        (answer(200, "[]"), errors.Unreachable),
        (answer(200, {"metadata": CANARY}), errors.Unreachable),
        (answer(200, {"metadata": {"resourceVersion": "7"}, "data": [CANARY]}), errors.Unreachable),
        (
            answer(200, {"metadata": {"resourceVersion": "7"}, "data": {"x": f"!{CANARY}"}}),
            errors.Unreachable,
        ),
        (answer(200, {"metadata": {"resourceVersion": "7"}, "data": {"x": 7}}), errors.Unreachable),
        (answer(200, {**secret_there(), "type": "kubernetes.io/service-account-token"}), errors.Refused),
        (answer(200, {**secret_there(), "type": "keyturn.dev/state"}), errors.Refused),
    ],
    ids=range(16),
)
async def test_an_answer_means_what_its_status_says(
    response: web.Response, meaning: type[errors.StoreError]
) -> None:
    error, recording = await heard_by(response)
    assert (type(error), len(recording.heard)) == (meaning, 1)
    assert error.retry_after == (30.0 if meaning is errors.Throttled else None)


async def test_the_clock_of_another_cluster_is_not_compared_with_ours() -> None:
    with capture_logs() as logged:
        await heard_by(answer(body=secret_there(), Date="Sat, 01 Jan 2000 00:00:00 GMT"))
    assert logged == []


async def test_an_encrypted_key_is_refused_and_its_password_is_not_asked_for(tmp_path: Path) -> None:
    authority(tmp_path, "client")
    key = serialization.load_pem_private_key((tmp_path / "tls.key").read_bytes(), None)
    how = serialization.BestAvailableEncryption(CANARY.encode())
    for file, pem in {
        "open": key.private_bytes(*FORM, serialization.NoEncryption()),
        "encrypted": key.private_bytes(*FORM, how),
    }.items():
        user = {
            "client-certificate-data": base64.b64encode((tmp_path / "tls.crt").read_bytes()).decode(),
            "client-key-data": base64.b64encode(pem).decode(),
        }
        refusal = await refusal_of(json.dumps(kubeconfig("https://10.0.0.1", user=user)))
        assert refusal.code == {"open": "InsideAddress", "encrypted": "InvalidKubeconfig"}[file]


def test_settings_ask_for_the_kubeconfig() -> None:
    provider = discover()["kubernetes"]
    settings = {"kubeconfigRef": {"name": "other", "key": "kubeconfig"}, "namespace": "shop"}
    assert provider.needs(provider.Config.model_validate(settings)) == (IN_SECRET,)
    assert provider.needs(provider.Config.model_validate({})) == ()
