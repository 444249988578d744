"""What a stolen token of the operator's account is refused, though its rights would allow it."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from sandbox.harness import Kubectl, eventually
from tests.install.installation import BASE, Installation
from tests.install.user import User
from tests.support.objects import deployment, path_of

_PAGE = BASE.parents[1] / "docs" / "stores" / "vault.md"
_OURS = {"keyturn.dev/managed-secret": "auth"}
_MARKER = "keyturn.dev/secret-versions"
_HERE = ("-n", "shop")
_TEXT = base64.b64encode(b"text").decode()
_POD = {"containers": [{"name": "main", "image": "example.org/none"}]}

Body = dict[str, Any]


def secret(name: str = "auth", type_: str = "Opaque", namespace: str = "shop", **metadata: Any) -> Body:
    """Build a Secret that the operator could have written, but for what the arguments say."""
    head = {"name": name, "namespace": namespace, "labels": _OURS} | metadata
    data = {"tls.crt": _TEXT, "tls.key": _TEXT} if type_ == "kubernetes.io/tls" else {"key": _TEXT}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": head, "type": type_, "data": data}


def owner(kind: str = "ManagedSecret") -> Body:
    return {"apiVersion": "keyturn.dev/v1alpha1", "kind": kind, "name": "auth", "uid": "1"}


def of_account(account: str) -> Body:
    """Build the Secret that Kubernetes fills with a token of a ServiceAccount."""
    body = secret("minted", "kubernetes.io/service-account-token", "kube-system")
    return body | {
        "metadata": body["metadata"] | {"annotations": {"kubernetes.io/service-account.name": account}}
    }


@pytest.fixture(scope="module")
def kubectl(cluster_wide: Installation) -> Kubectl:
    """kubectl for a cluster on which the policies are in force, which is a moment after they were made."""
    kubectl = cluster_wide.kubectl
    bare = secret(labels={})
    eventually(lambda: of_operator(kubectl).creation(bare) != "", "the policies")
    return kubectl


def of_operator(kubectl: Kubectl) -> User:
    """Return the operator's account with every right besides, so that what is refused is refused by a policy."""
    return User.of(kubectl, "system:serviceaccount:keyturn-system:keyturn", "system:masters")


@pytest.fixture(scope="module")
def operator(kubectl: Kubectl) -> User:
    return of_operator(kubectl)


# Secrets

NO_LABEL = "Keyturn writes only Secrets with its label, or removes the label"
NO_TYPE = "Keyturn creates no Secret of this type"
NO_LOGIN = "Keyturn writes no Secret with credentials or state of another program"
NO_RELEASE = "Keyturn writes no Secret that Helm reads as a release"
NO_SYSTEM = "Keyturn writes no Secret in a namespace of Kubernetes"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(secret(), id="a value"),
        pytest.param(secret(type_="kubernetes.io/tls"), id="a certificate"),
        pytest.param(secret(ownerReferences=[owner()]), id="one that goes with its object"),
        pytest.param(secret("auth-keyturn", "keyturn.dev/state"), id="its record"),
        pytest.param(
            secret("s", "keyturn.dev/session", labels={"app.kubernetes.io/managed-by": "keyturn"}),
            id="a session",
        ),
    ],
)
def test_it_makes_what_is_its_own(body: Body, operator: User) -> None:
    assert operator.creation(body) == ""


@pytest.mark.parametrize(
    ("body", "why"),
    [
        pytest.param(
            of_account("clusterrole-aggregation-controller"), NO_SYSTEM, id="a token of the cluster's"
        ),
        pytest.param(
            secret(
                "minted",
                "kubernetes.io/service-account-token",
                annotations={"kubernetes.io/service-account.name": "default"},
            ),
            NO_TYPE,
            id="a token of a tenant's account",
        ),
        pytest.param(
            secret("b", "bootstrap.kubernetes.io/token", "kube-system"), NO_SYSTEM, id="a token of a node"
        ),
        pytest.param(secret("h", "helm.sh/release.v1"), NO_TYPE, id="a release of Helm by its type"),
        pytest.param(secret("sh.helm.release.v1.shop.v1"), NO_RELEASE, id="a release of Helm by its name"),
        pytest.param(
            secret(labels=_OURS | {"owner": "helm"}), NO_RELEASE, id="a release of Helm by its label"
        ),
        pytest.param(secret("d", "example.com/other"), NO_TYPE, id="a type that it never writes"),
        pytest.param(secret(namespace="kube-public"), NO_SYSTEM, id="anything beside the cluster's"),
        pytest.param(secret(labels={}), NO_LABEL, id="one without its label"),
        pytest.param(
            secret(ownerReferences=[{"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "1"}]),
            "Keyturn adds only its own objects as owners",
            id="one that goes with another object",
        ),
        pytest.param(
            secret(ownerReferences=[owner("EmergencyRotation")]),
            "Keyturn adds only its own objects as owners",
            id="one that goes with an object that owns none",
        ),
        pytest.param(
            secret(finalizers=["example.com/stays"]),
            "Keyturn adds no finalizer to a Secret",
            id="one that cannot go",
        ),
    ],
)
@pytest.mark.parametrize("owners", [[], [owner()]], ids=["alone", "of a ManagedSecret"])
def test_it_makes_no_other_secret(body: Body, why: str, owners: list[Body], operator: User) -> None:
    """A ManagedSecret as owner makes it nearly a usual write, which one expression permits."""
    there = body["metadata"].get("ownerReferences", [])
    owned = body | {"metadata": body["metadata"] | {"ownerReferences": there + owners}}
    assert operator.creation(owned) == why


@pytest.fixture
def theirs(kubectl: Kubectl, request: pytest.FixtureRequest) -> Iterator[Body]:
    """A Secret that somebody else made."""
    body: Body = getattr(request, "param", secret("theirs", labels={}))
    yield kubectl.json("create", "-f", "-", given=body)
    kubectl("delete", "secret", "theirs", *_HERE)


def relabelled(body: Body, labels: Body | None, **changes: Any) -> Body:
    return body | {"metadata": body["metadata"] | {"labels": labels}} | changes


def test_a_secret_that_is_taken_over_gets_its_label(theirs: Body, operator: User) -> None:
    assert operator.replacement(relabelled(theirs, _OURS)) == ""
    assert operator.replacement(relabelled(theirs, None, data={"key": "b3RoZXI="})) == NO_LABEL


@pytest.mark.parametrize("theirs", [secret("theirs")], indirect=True)
def test_it_may_let_a_secret_go(theirs: Body, operator: User) -> None:
    assert operator.replacement(relabelled(theirs, None)) == ""


@pytest.mark.parametrize("theirs", [secret("theirs", "example.com/own", labels={})], indirect=True)
def test_it_merges_into_a_secret_of_any_type(theirs: Body, operator: User) -> None:
    assert operator.replacement(relabelled(theirs, _OURS)) == ""


@pytest.mark.parametrize("theirs", [secret("theirs", "helm.sh/release.v1", labels={})], indirect=True)
def test_it_writes_into_no_record_of_another_program(theirs: Body, operator: User) -> None:
    assert operator.replacement(relabelled(theirs, _OURS)) == NO_LOGIN


def test_what_others_put_on_a_secret_may_stay(kubectl: Kubectl, operator: User) -> None:
    account = kubectl.json("get", "serviceaccount", "default", *_HERE)["metadata"]
    theirs = {"apiVersion": "v1", "kind": "ServiceAccount", "name": "default", "uid": account["uid"]}
    held = secret("held", labels={}, finalizers=["example.com/stays"], ownerReferences=[theirs])
    there = kubectl.json("create", "-f", "-", given=held)
    try:
        assert operator.replacement(relabelled(there, _OURS)) == ""
        there["metadata"]["ownerReferences"][0]["name"] = "gone"  # with whom Kubernetes would delete it
        assert operator.replacement(relabelled(there, _OURS)) == "Keyturn adds only its own objects as owners"
    finally:
        kubectl("patch", "secret", "held", *_HERE, "-p", '{"metadata":{"finalizers":null}}')
        kubectl("delete", "secret", "held", *_HERE)


# Workloads

_SELECTOR = {"matchLabels": {"app": "api"}}
_TEMPLATE = {"metadata": {"labels": {"app": "api"}, "annotations": {"a": "1"}}, "spec": _POD}
_KINDS = {kind.lower(): kind for kind in ("Deployment", "StatefulSet", "DaemonSet", "ManagedSecret")}
WORKLOADS: dict[str, Body] = {
    "Deployment": {"selector": _SELECTOR, "template": _TEMPLATE},
    "StatefulSet": {"selector": _SELECTOR, "template": _TEMPLATE, "serviceName": "api"},
    "DaemonSet": {"selector": _SELECTOR, "template": _TEMPLATE},
}


@pytest.fixture(scope="module", params=WORKLOADS)
def workload(request: pytest.FixtureRequest, kubectl: Kubectl) -> Iterator[str]:
    """A workload of a tenant, of each kind, as kubectl names it."""
    kind, name = request.param, f"{request.param.lower()}/api"
    body = {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "api", "namespace": "shop"}}
    kubectl("create", "-f", "-", given=body | {"spec": WORKLOADS[kind]})
    yield name
    kubectl("delete", name, *_HERE, "--wait=false")


def patched(operator: User, name: str, patch: Body) -> str:
    kind, _, name = name.partition("/")
    return operator.patch(path_of(_KINDS[kind], "shop", name), patch)


def template(part: Body) -> Body:
    return {"spec": {"template": part}}


def test_it_sets_and_removes_its_marker(workload: str, operator: User) -> None:
    for marker in ("auth=2", None):
        assert patched(operator, workload, template({"metadata": {"annotations": {_MARKER: marker}}})) == ""


def marked(length: int) -> Body:
    return template({"metadata": {"annotations": {_MARKER: "a" * length}}})


def test_its_marker_has_a_bound(workload: str, operator: User) -> None:
    assert patched(operator, workload, marked(32768)) == ""
    assert patched(operator, workload, marked(32769)) == (
        "Keyturn sets keyturn.dev/secret-versions of at most 32768 characters"
    )


@pytest.mark.parametrize("kind", WORKLOADS)
def test_it_restarts_nothing_of_the_cluster(kind: str, kubectl: Kubectl, operator: User) -> None:
    metadata = {"name": "api", "namespace": "kube-system"}
    body = {"apiVersion": "apps/v1", "kind": kind, "metadata": metadata, "spec": WORKLOADS[kind]}
    kubectl("create", "-f", "-", given=body)
    try:
        assert operator.patch(path_of(kind, "kube-system", "api"), marked(1)) == (
            "Keyturn restarts no workload in a namespace of Kubernetes"
        )
    finally:
        kubectl("delete", "-f", "-", "--wait=false", given=body)


@pytest.mark.parametrize(
    ("patch", "why"),
    [
        pytest.param(
            template({"spec": {"containers": [{"name": "main", "image": "example.org/evil"}]}}),
            "Keyturn changes no pod",
            id="another image",
        ),
        pytest.param(
            template({"spec": {"serviceAccountName": "admin"}}), "Keyturn changes no pod", id="an account"
        ),
        pytest.param(
            template({"metadata": {"annotations": {"a": "2"}}}),
            "Keyturn changes one annotation of a pod template, keyturn.dev/secret-versions",
            id="another annotation",
        ),
        pytest.param(
            template({"metadata": {"annotations": {"a": None}}}),
            "Keyturn changes one annotation of a pod template, keyturn.dev/secret-versions",
            id="an annotation less",
        ),
        pytest.param(
            template({"metadata": {"labels": {"b": "2"}}}),
            "Keyturn changes no label and no finalizer of pods",
            id="a label of pods",
        ),
        pytest.param(
            {"spec": {"revisionHistoryLimit": 1}},
            "Keyturn changes neither the number of pods nor how they are replaced",
            id="a field of its spec",
        ),
        pytest.param(
            {"spec": {"minReadySeconds": 5}},
            "Keyturn changes neither the number of pods nor how they are replaced",
            id="a field that its spec did not have",
        ),
        pytest.param(
            {"metadata": {"labels": {"b": "2"}}},
            "Keyturn changes no label, owner or finalizer of a workload",
            id="its labels",
        ),
        pytest.param(
            {"metadata": {"annotations": {"keyturn.dev/restart": "allow"}}},
            "Keyturn changes no annotation of a workload",
            id="its annotations",
        ),
        pytest.param(
            {"metadata": {"finalizers": ["example.com/stays"]}},
            "Keyturn changes no label, owner or finalizer of a workload",
            id="its finalizers",
        ),
    ],
)
def test_it_changes_nothing_else_of_a_workload(patch: Body, why: str, workload: str, operator: User) -> None:
    assert patched(operator, workload, patch) == why


def test_it_does_not_scale(kubectl: Kubectl, operator: User) -> None:
    kubectl("create", *_HERE, "-f", "-", given=deployment("scaled"))
    try:
        assert patched(operator, "deployment/scaled", {"spec": {"replicas": 0}}) == (
            "Keyturn changes neither the number of pods nor how they are replaced"
        )
    finally:
        kubectl("delete", "deployment", "scaled", *_HERE, "--wait=false")


# ManagedSecrets


@pytest.fixture(scope="module")
def managed(kubectl: Kubectl) -> Iterator[str]:
    """A ManagedSecret of a tenant, as kubectl names it."""
    body = {
        "apiVersion": "keyturn.dev/v1alpha1",
        "kind": "ManagedSecret",
        "metadata": {"name": "held", "namespace": "shop", "finalizers": ["example.com/theirs"]},
        "spec": {"data": [{"name": "token", "generate": {"bytes": {}}}]},
    }
    kubectl("create", "-f", "-", given=body)
    yield "managedsecret/held"
    kubectl(
        "patch", "managedsecret", "held", *_HERE, "--type=merge", "-p", '{"metadata":{"finalizers":null}}'
    )
    kubectl("delete", "managedsecret", "held", *_HERE)


def finalizers(*names: str) -> Body:
    return {"metadata": {"finalizers": list(names)}}


def test_it_adds_its_finalizer(managed: str, operator: User) -> None:
    assert patched(operator, managed, finalizers("example.com/theirs", "keyturn.dev/pushed")) == ""


@pytest.mark.parametrize(
    ("patch", "why"),
    [
        pytest.param({"spec": {"suspend": True}}, "Keyturn never writes a spec", id="its spec"),
        pytest.param(
            {"metadata": {"annotations": {"keyturn.dev/rotate": "now"}}},
            "Keyturn changes the finalizer of a ManagedSecret and no other metadata",
            id="a trigger",
        ),
        pytest.param(
            finalizers("keyturn.dev/pushed"), "Keyturn does not change foreign finalizers", id="theirs"
        ),
        pytest.param(
            finalizers("example.com/theirs", "keyturn.dev/evil"),
            "Keyturn does not change foreign finalizers",
            id="one that it never removes",
        ),
    ],
)
def test_it_changes_nothing_else_of_a_managed_secret(
    patch: Body, why: str, managed: str, operator: User
) -> None:
    assert patched(operator, managed, patch) == why


# Pods and tokens, on which components give rights


_NOWHERE = {"nodeSelector": {"there": "is-none"}}
"""A pod that asks for such a node does not get ready."""
OWNERS: dict[str, tuple[str, Body, Body]] = {
    "hanging": ("StatefulSet", {_MARKER: "auth=2"}, _NOWHERE),
    "ready": ("StatefulSet", {_MARKER: "auth=2"}, {}),
    "unmarked": ("StatefulSet", {}, _NOWHERE),
    "stateless": ("Deployment", {_MARKER: "auth=2"}, _NOWHERE),
}


def owner_of_pods(name: str) -> Body:
    kind, annotations, more = OWNERS[name]
    labels = {"app": name}
    template = {"metadata": {"labels": labels, "annotations": annotations}, "spec": _POD | more}
    metadata = {"name": name, "namespace": "shop"}
    service = {"serviceName": name} if kind == "StatefulSet" else {}
    spec = {"selector": {"matchLabels": labels}, "template": template, **service}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": metadata, "spec": spec}


@pytest.fixture(scope="module")
def pods(kubectl: Kubectl) -> Iterator[dict[str, str]]:
    """The name of a pod of each owner."""
    given = {"apiVersion": "v1", "kind": "List", "items": [owner_of_pods(name) for name in OWNERS]}
    kubectl("create", "-f", "-", given=given)

    def names(owner: str) -> list[str]:
        return str(kubectl("get", "pods", *_HERE, "-l", f"app={owner}", "-o", "name")).split()

    eventually(lambda: all(names(owner) for owner in OWNERS), "a pod of each")
    kubectl("wait", "--for=condition=Ready", names("ready")[0], *_HERE, "--timeout=50s")
    yield {owner: names(owner)[0] for owner in OWNERS}
    kubectl("delete", "--wait=false", "-f", "-", given=given)


@pytest.mark.parametrize(
    ("owner", "why"),
    [
        ("hanging", ""),
        ("ready", "Keyturn deletes no pod that is ready"),
        ("unmarked", "Keyturn deletes only pods of its own restarts"),
        ("stateless", "Keyturn deletes only pods of StatefulSets"),
    ],
)
def test_it_deletes_a_pod_that_hangs_after_its_restart_only(
    owner: str, why: str, pods: dict[str, str], operator: User
) -> None:
    assert operator.deletion(path_of("Pod", "shop", pods[owner].removeprefix("pod/"))) == why


def eviction(name: str, namespace: str = "shop", **options: Any) -> Body:
    metadata = {"name": name, "namespace": namespace}
    return {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": metadata,
        "deleteOptions": {"dryRun": ["All"], **options},
    }


def test_it_evicts_with_the_time_that_a_pod_has(pods: dict[str, str], operator: User) -> None:
    name = pods["ready"].removeprefix("pod/")
    path = f"{path_of('Pod', 'shop', name)}/eviction"

    assert operator.post(path, eviction(name)) == ""
    assert operator.post(path, eviction(name, gracePeriodSeconds=0)) == (
        "Keyturn does not shorten the time that a pod has to end"
    )


def test_it_harms_no_pod_of_the_cluster(kubectl: Kubectl, operator: User) -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "dns", "namespace": "kube-system"}}
    kubectl("create", "-f", "-", given=pod | {"spec": _POD | _NOWHERE})
    path = path_of("Pod", "kube-system", "dns")
    try:
        assert operator.deletion(path) == "Keyturn deletes no pod in a namespace of Kubernetes"
        assert operator.post(f"{path}/eviction", eviction("dns", "kube-system")) == (
            "Keyturn evicts no pod in a namespace of Kubernetes"
        )
    finally:
        kubectl("delete", "pod", "dns", "-n", "kube-system", "--wait=false")


ONE_AUDIENCE = "Keyturn creates tokens with one audience"
NO_ACCOUNT = "Keyturn creates no token of an account of Kubernetes, or of an account in its own namespace"


_TEN_MINUTES = 600


@pytest.mark.parametrize(
    ("namespace", "audiences", "seconds", "why"),
    [
        ("shop", (), _TEN_MINUTES, ONE_AUDIENCE),
        ("shop", ("vault", "sts.amazonaws.com"), _TEN_MINUTES, ONE_AUDIENCE),
        ("shop", ("vault",), 3600, "Keyturn creates tokens with a lifetime of at most ten minutes"),
        ("kube-system", ("vault",), _TEN_MINUTES, NO_ACCOUNT),
        ("keyturn-system", ("vault",), _TEN_MINUTES, NO_ACCOUNT),
    ],
    ids=["for the API server", "for two", "long", "of kube-system", "beside its own"],
)
def test_it_makes_short_tokens_of_accounts_of_tenants(
    namespace: str, audiences: tuple[str, ...], seconds: int, why: str, operator: User
) -> None:
    assert operator.token(namespace, "default", audiences, seconds) == why


@pytest.mark.parametrize(
    "audience",
    [
        "vault",
        "sts.amazonaws.com",
        "api://AzureADTokenExchange",
        "https://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/k",
        "shop-1.svc.id.goog",
    ],
)
def test_it_makes_tokens_for_stores(audience: str, operator: User) -> None:
    assert operator.token("shop", "default", (audience,), _TEN_MINUTES) == ""


@pytest.mark.parametrize(
    "audience",
    [
        "k3s",
        "kubernetes",
        "elsewhere",
        "https://127.0.0.1:6443",
        "https://api.cluster.shop.test:6443",
        "https://vault.shop.test:8200",
        "https://kubernetes.default.svc",
        "http://kubernetes.default.svc",
        "https://kubernetes.default.svc.cluster.local:443/",
        "https://shop-dns-1.hcp.westeurope.azmk8s.io:443",
        "https://oidc.eks.eu-central-1.amazonaws.com/id/1",
        "https://container.googleapis.com/v1/projects/p/locations/l/clusters/c",
    ],
)
def test_it_makes_no_token_for_an_api_server(audience: str, operator: User) -> None:
    assert operator.token("shop", "default", (audience,), _TEN_MINUTES) == (
        "Keyturn creates tokens for stores only, not for the API server"
    )


def test_an_administrator_lists_the_address_of_a_vault(kubectl: Kubectl, operator: User) -> None:
    """As docs/stores/vault.md says."""
    patch = _PAGE.read_text().partition("\n```text\n")[2].partition("```")[0]
    operation = yaml.safe_load(yaml.safe_load(patch)["patches"][0]["patch"])
    policy = ("validatingadmissionpolicy", "keyturn-own-tokens", "--type=json", "-p")
    audience = ("https://vault.example.com:8200",)
    kubectl("patch", *policy, json.dumps(operation))
    try:
        eventually(lambda: operator.token("shop", "default", audience, _TEN_MINUTES) == "", "the audience")
        assert operator.token("shop", "default", ("https://127.0.0.1:6443",), _TEN_MINUTES) != ""
    finally:
        kubectl("patch", *policy, json.dumps([operation[0] | {"value": "[]"}]))


def test_others_are_not_concerned(kubectl: Kubectl) -> None:
    body = secret(namespace="kube-public", labels={})

    assert kubectl.run("create", "--dry-run=server", "-f", "-", given=body).returncode == 0
