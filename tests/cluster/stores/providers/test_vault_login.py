"""How stores of Vault log in: tokens, AppRoles and ServiceAccounts, each kept alive and shown to its server only."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from keyturn.core.value import Value
from keyturn.stores.providers.errors import Denied, Unauthorized
from keyturn.stores.providers.guard import Guard
from sandbox import ControlPlane
from sandbox.harness import Kubectl
from tests.conftest import Cluster
from tests.support import vault as vaults
from tests.support.vault import VaultServer
from tests.unit.stores.providers.provider_fixtures import LOOPBACK, guarded
from tests.unit.stores.providers.vault.test_auth import failing, store_of

pytestmark = pytest.mark.timeout(vaults.BUILD_SECONDS)


@pytest.fixture
async def guard() -> AsyncIterator[Guard]:
    async with guarded(LOOPBACK) as guard:
        yield guard


# A real API server reviews the tokens of ServiceAccounts


@pytest.fixture(scope="module")
def reviewed(cluster: Cluster, plane: ControlPlane, vault: VaultServer) -> str:
    """The mount of an auth method that asks the cluster, by a login of its own."""
    kubectl = _kubectl(cluster)
    mount = f"k8s-{secrets.token_hex(4)}"
    kubectl("create", "serviceaccount", "vault-reviewer", "-n", "default")
    granted = ("--clusterrole=system:auth-delegator", "--serviceaccount=default:vault-reviewer")
    kubectl("create", "clusterrolebinding", "vault-reviewer", *granted)
    reviewer = kubectl("create", "token", "vault-reviewer", "-n", "default").strip()
    vault.call("POST", f"sys/auth/{mount}", {"type": "kubernetes"})
    vault.call(
        "POST",
        f"auth/{mount}/config",
        {
            "kubernetes_host": kubectl("config", "view", "-o", "jsonpath={.clusters[0].cluster.server}"),
            "kubernetes_ca_cert": plane.ca_file.read_text(),
            "token_reviewer_jwt": reviewer,
            "disable_local_ca_jwt": True,
        },
    )
    return mount


def _kubectl(cluster: Cluster) -> Callable[..., str]:
    from sandbox.harness import Kubectl  # noqa: PLC0415

    return Kubectl(cluster.kubeconfig)


@pytest.fixture
def binding(vault: VaultServer, reviewed: str, namespace: str, kubectl: Kubectl) -> dict[str, Any]:
    """Settings that log in as the ServiceAccount `reader`, which a role of Vault is bound to."""
    kubectl("create", "serviceaccount", "reader", "-n", namespace)
    kubectl("create", "serviceaccount", "other", "-n", namespace)
    vault.call(
        "PUT", f"sys/policies/acl/{namespace}", {"policy": 'path "secret/*" { capabilities = ["read"] }'}
    )
    vault.call(
        "POST",
        f"auth/{reviewed}/role/{namespace}",
        {
            "bound_service_account_names": "reader",
            "bound_service_account_namespaces": namespace,
            "audience": "vault",
            "token_policies": namespace,
            "token_ttl": "10m",
        },
    )
    return {"mountPath": reviewed, "role": namespace, "serviceAccountRef": {"name": "reader"}}


def tokens(kubectl: Kubectl, namespace: str) -> Callable[[str, str], Awaitable[Value]]:
    async def token_of(account: str, audience: str) -> Value:
        asked = ("create", "token", account, "-n", namespace, f"--audience={audience}", "--duration=600s")
        return Value.of_text((await asyncio.to_thread(kubectl, *asked)).strip())

    return token_of


async def test_a_service_account_logs_in_where_the_api_server_vouches_for_it(
    vault: VaultServer, guard: Guard, binding: dict[str, Any], namespace: str, kubectl: Kubectl, prefix: str
) -> None:
    vault.call("POST", f"secret/data/{prefix}a", {"data": {"x": "y"}})
    token_of = tokens(kubectl, namespace)
    store = store_of(vault.address, guard, {"kubernetes": binding}, token_of=token_of)
    await store.check()
    assert (await store.read(f"{prefix}a")).version == "1"
    assert type(await failing(store.write(f"{prefix}a", {"x": Value(b"z")}))) is Denied


@pytest.mark.parametrize("change", [{"serviceAccountRef": {"name": "other"}}, {"role": "nobody"}], ids=str)
async def test_another_account_or_role_is_a_refused_login(
    vault: VaultServer,
    guard: Guard,
    binding: dict[str, Any],
    namespace: str,
    kubectl: Kubectl,
    change: dict[str, Any],
) -> None:
    token_of = tokens(kubectl, namespace)
    store = store_of(vault.address, guard, {"kubernetes": {**binding, **change}}, token_of=token_of)
    assert type(await failing(store.check())) is Unauthorized
