"""Secrets of another cluster: which kubeconfigs are followed, what is written there, and what is left alone."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from keyturn.core.value import Value
from keyturn.stores.providers import Policy, Provider, WriteResult, properties
from keyturn.stores.providers.errors import Denied, NotFound, Refused, Unauthorized
from sandbox.harness import Kubectl
from tests.conftest import Cluster
from tests.unit.stores.providers.provider_fixtures import LOOPBACK, guarded
from tests.unit.stores.providers.test_kubernetes import CANARY, PEM, TOKEN, kubeconfig, refusal_of, store_of
from tests.unit.stores.providers.test_kubernetes import failing_elsewhere as failing


@pytest.mark.parametrize(
    ("cluster", "word"),
    [
        ({"certificate-authority": "/etc/ssl/ca.crt"}, "says more"),
        ({"insecure-skip-tls-verify": True}, "says more"),
        ({"proxy-url": f"http://{CANARY}"}, "says more"),
        ({"tls-server-name": CANARY}, "says more"),
        ({"certificate-authority-data": PEM}, "cannot be used"),
        ({"certificate-authority-data": CANARY}, "base64"),
        ({"certificate-authority-data": [CANARY]}, "no text"),
        ({CANARY: 1}, "says more"),
        ({"server": f"https://user:{CANARY}@api"}, "no server"),
        ({"server": "unix:///run/docker.sock"}, "no server"),
        ({"server": "https://api/?a=b"}, "no server"),
        ({"server": 7}, "no server"),
    ],
    ids=range(12),
)
async def test_a_cluster_that_weakens_the_check_is_refused_with_a_sentence(
    cluster: dict[str, Any], word: str
) -> None:
    refusal = await refusal_of(json.dumps(kubeconfig(**cluster)))
    assert (type(refusal), refusal.code) == (Refused, "InvalidKubeconfig")
    assert word in refusal.hint


# A real cluster


@pytest.fixture
async def there(cluster: Cluster, namespace: str) -> AsyncIterator[Provider[Any]]:
    async with guarded(LOOPBACK) as guard:
        yield store_of(cluster.kubeconfig.read_bytes(), guard, namespace)


def labels_of(kubectl: Kubectl, namespace: str, name: str) -> dict[str, str]:
    found: dict[str, str] = kubectl.json("get", "secret", name, "-n", namespace)["metadata"].get("labels", {})
    return found


async def test_what_is_pushed_says_who_made_it_and_keeps_what_others_wrote_on_it(
    there: Provider[Any], namespace: str, kubectl: Kubectl
) -> None:
    await there.write("login", {"a": Value(b"\xff\x00"), "b": Value(b"x")})
    kubectl("label", "secret", "login", "-n", namespace, "team=shop")
    written = await there.write("login", {"a": Value(b"y")})
    assert written.outcome is WriteResult.REPLACED
    assert labels_of(kubectl, namespace, "login") == {
        "app.kubernetes.io/managed-by": "keyturn",
        "team": "shop",
    }
    assert kubectl.json("get", "secret", "login", "-n", namespace)["data"] == {"a": "eQ=="}


@pytest.mark.parametrize(
    "labels",
    [
        [],
        ["app.kubernetes.io/managed-by=helm"],
        ["app.kubernetes.io/managed-by=keyturn", "keyturn.dev/managed-secret=x"],
    ],
)
async def test_a_secret_that_no_push_has_made_is_left_alone(
    there: Provider[Any], namespace: str, kubectl: Kubectl, labels: list[str]
) -> None:
    kubectl("create", "secret", "generic", "login", "-n", namespace, "--from-literal=a=theirs")
    if labels:
        kubectl("label", "secret", "login", "-n", namespace, *labels)
    for doing in (there.write("login", {"a": Value(b"ours")}), there.delete("login")):
        assert (await failing(doing)).code == "NotOurs"
    kept = await there.write("login", {"a": Value(b"ours")}, Policy.IF_NOT_EXISTS)
    assert kept.outcome is WriteResult.KEPT
    assert properties.take((await there.read("login")).content, "a") == Value(b"theirs")


async def test_a_record_of_an_operator_there_is_neither_read_nor_written(
    there: Provider[Any], namespace: str, kubectl: Kubectl
) -> None:
    kubectl("create", "secret", "generic", "login-keyturn", "-n", namespace, "--type=keyturn.dev/state")
    for doing in (
        there.read("login-keyturn"),
        there.write("login-keyturn", {"a": Value(b"x")}),
        there.delete("login-keyturn"),
    ):
        assert (await failing(doing)).code == "NotForReading"


async def test_a_lone_value_has_no_key_there(there: Provider[Any]) -> None:
    assert (await failing(there.write("login", Value(b"text")))).code == "NoProperties"


async def test_a_lone_object_is_written_as_its_properties(there: Provider[Any]) -> None:
    await there.write("login", Value(b'{"a": "x"}'))
    assert (await there.write("login", {"a": Value(b"x")})).outcome is WriteResult.UNCHANGED


async def test_an_account_without_rights_is_known_and_denied(
    cluster: Cluster, namespace: str, kubectl: Kubectl, tmp_path: Path
) -> None:
    kubectl("create", "serviceaccount", "nobody", "-n", namespace)
    file = cluster.account(namespace, "nobody", tmp_path / "kubeconfig")
    async with guarded(LOOPBACK) as guard:
        store = store_of(file.read_bytes(), guard, namespace)
        assert type(await failing(store.read("a"))) is Denied
        await store.check()


async def test_no_other_client_uses_the_connection_that_a_certificate_has_opened(
    cluster: Cluster, namespace: str
) -> None:
    admin = cluster.kubeconfig.read_bytes()
    nobody = yaml.safe_load(admin)
    nobody["users"][0]["user"] = {"token": TOKEN}
    async with guarded(LOOPBACK) as guard:
        assert type(await failing(store_of(admin, guard, namespace).read("nothing"))) is NotFound
        stranger = store_of(yaml.safe_dump(nobody), guard, namespace)
        assert type(await failing(stranger.read("nothing"))) is Unauthorized
