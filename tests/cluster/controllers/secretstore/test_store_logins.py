"""What leaves the cluster when a store logs in as a ServiceAccount: never what the operator itself has."""

import base64
import json
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
import yaml

from sandbox.harness import Kubectl, eventually
from tests.cluster.hostile_vault import Hostile, hostile, hung
from tests.cluster.namespace import Space
from tests.cluster.store_objects import Stores
from tests.conftest import Cluster
from tests.support.operator import Operator


@pytest.fixture
def stores(space: Space, files_root: Path) -> Iterator[Stores]:
    stores = Stores(space, files_root)
    yield stores
    stores.delete()


@pytest.fixture
def server() -> Iterator[Hostile]:
    with hostile() as server:
        yield server


@pytest.fixture
def may_make_tokens(kubectl: Kubectl, namespace: str) -> None:
    """Give the operator the right of manifests/components/workload-identity, in the test's namespace."""
    here = ("-n", namespace)
    rules = next(yaml.safe_load_all(_COMPONENT.read_text()))["rules"]
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "tokens"}}
    kubectl("create", "-f", "-", *here, given=role | {"rules": rules})
    account = "--serviceaccount=keyturn-system:keyturn"
    kubectl("create", "rolebinding", "tokens", "--role=tokens", account, *here)


_COMPONENT = Path(__file__).parents[4] / "manifests" / "components" / "workload-identity" / "tokens.yaml"


def vault(server: str, **kubernetes: str) -> dict[str, Any]:
    account = {"role": "shop", "serviceAccountRef": {"name": "app"}, **kubernetes}
    return {"vault": {"server": server, "auth": {"kubernetes": account}}}


def account(space: Space, agrees_to: str = "store") -> None:
    """Make the account; it agrees to the store of the test where nothing else is said."""
    annotations = {"keyturn.dev/stores": agrees_to}
    space.create({"kind": "ServiceAccount", "metadata": {"name": "app", "annotations": annotations}})


def claims(token: str) -> dict[str, Any]:
    part = token.split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found


def is_taken_by_api_server(token: str, kubeconfig: Path) -> bool:
    """Ask the API server who one is with a token."""
    (cluster, *_) = yaml.safe_load(kubeconfig.read_text())["clusters"]
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    request = Request(  # noqa: S310  # our own server
        f"{cluster['cluster']['server']}/apis/authentication.k8s.io/v1/selfsubjectreviews",
        json.dumps(body).encode(),
        {"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    try:
        with urlopen(request, timeout=20, context=_trusting(cluster["cluster"])):  # noqa: S310
            return True
    except HTTPError as refusal:
        with refusal:
            if refusal.code != HTTPStatus.UNAUTHORIZED:
                raise
        return False


def _trusting(cluster: dict[str, str]) -> Any:
    import ssl  # noqa: PLC0415

    authorities = base64.b64decode(cluster["certificate-authority-data"]).decode()
    context = ssl.create_default_context(cadata=authorities)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


@pytest.mark.usefixtures("may_make_tokens")
def test_a_server_gets_a_token_of_the_account_that_is_named_for_vault_only(
    space: Space, stores: Stores, server: Hostile, cluster: Cluster, operator_kubeconfig: Path
) -> None:
    account(space)
    stores.write(vault(server.address))
    stores.until("Valid")

    (token,) = set(server.logins)
    said = claims(token)
    assert said["sub"] == f"system:serviceaccount:{space.namespace}:app"
    assert said["aud"] == ["vault"]
    assert said["exp"] - said["iat"] <= 600
    assert not is_taken_by_api_server(token, cluster.kubeconfig)
    (user, *_) = yaml.safe_load(operator_kubeconfig.read_text())["users"]
    operators_own = user["user"]["token"]
    assert is_taken_by_api_server(operators_own, cluster.kubeconfig), "the question can be answered yes"
    everything = b"\n".join(server.heard)
    assert operators_own.encode() not in everything
    assert b"keyturn-system" not in everything


@pytest.mark.usefixtures("may_make_tokens")
def test_no_server_gets_a_token_that_is_good_somewhere_else(
    space: Space, stores: Stores, server: Hostile
) -> None:
    account(space)
    stores.write(vault(server.address, audience="https://kubernetes.default.svc"))

    said = stores.until("InvalidSettings")

    assert "write no audience but vault or the server's address, and ask for it in the role" in said
    assert server.logins == []


@pytest.mark.usefixtures("may_make_tokens")
def test_an_account_that_does_not_agree_is_named_until_it_does(
    space: Space, stores: Stores, server: Hostile
) -> None:
    account(space, agrees_to="another")
    stores.write(vault(server.address))
    said = stores.until("AuthenticationFailed")
    assert "the ServiceAccount 'app'" in said
    assert "does not consent to this store; annotate it with keyturn.dev/stores: store" in said
    assert server.logins == []

    space.annotate("ServiceAccount", "app", stores="another, store")
    stores.write(
        vault(server.address), refresh={"minInterval": "5s"}
    )  # a change is looked at without waiting

    stores.until("Valid")


def test_without_the_component_it_is_named(space: Space, stores: Stores, server: Hostile) -> None:
    account(space)
    stores.write(vault(server.address))
    said = stores.until("AuthenticationFailed")
    assert "enable the component workload-identity" in said
    assert server.heard == []


def test_an_end_waits_for_no_server_that_hangs(space: Space, stores: Stores, operator: Operator) -> None:
    login = base64.b64encode(b"canary").decode()
    space.create({"kind": "Secret", "metadata": {"name": "login"}, "data": {"id": login, "secret": login}})
    keys = {"name": "login", "accessKeyIdKey": "id", "secretAccessKeyKey": "secret"}
    with hung() as secrets_manager, hung() as vault_server:
        access_key = {"accessKey": {"secretRef": keys}}
        aws = {"region": "eu-central-1", "endpoint": secrets_manager.address, "auth": access_key}
        stores.write({"awsSecretsManager": aws}, "aws")
        token = {"token": {"secretRef": {"name": "login", "key": "secret"}}}
        stores.write({"vault": {"server": vault_server.address, "auth": token}}, "vault")
        eventually(
            lambda: bool(secrets_manager.connections and vault_server.connections),
            "a check of each that hangs",
        )
        space.managed()  # others are served meanwhile

        with operator.away():  # which gives it less time than a call to a store has
            assert operator.returncode == 0
