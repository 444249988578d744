"""Nobody has the operator do what he may not do himself: who may write which ManagedSecret, and which SecretStore."""

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from sandbox.harness import Kubectl, eventually
from tests.install.installation import BASE, Installation
from tests.install.user import User

Body = dict[str, Any]

_RBAC = "rbac.authorization.k8s.io"
_HERE = ("-n", "shop")
_OURS = {
    "apiGroups": ["keyturn.dev"],
    "resources": ["managedsecrets", "secretstores", "databasetargets"],
    "verbs": ["*"],
}
_ARGO_CD = "system:serviceaccount:argocd:argocd-application-controller"
_FLUX = "system:serviceaccount:flux-system:kustomize-controller"
_FLUX_TENANT = "system:serviceaccount:shop:shop"


def may(group: str, resource: str, *verbs: str, names: tuple[str, ...] = ()) -> Body:
    rule = {"apiGroups": [group], "resources": [resource], "verbs": list(verbs)}
    return rule | ({"resourceNames": list(names)} if names else {})


_OWN = ("auth", "auth-keyturn")
# What a user may do in the namespace shop, beside writing ManagedSecrets and SecretStores.
USERS: dict[str, list[Body]] = {
    "author": [],
    "getter": [may("", "secrets", "get")],
    "reader": [may("", "secrets", "get", "create")],
    "owner": [may("", "secrets", "get", "create", names=_OWN)],
    "stranger": [may("", "secrets", "get", "create", names=("auth",))],
    "merger": [may("", "secrets", "get", "update", names=_OWN)],
    "writer": [may("", "secrets", "get", "create", "update", names=_OWN)],
    "deleter": [may("", "secrets", "get", "create", "update", "delete", names=_OWN)],
    "picker": [
        may("", "secrets", "get", names=(*_OWN, "theirs", "ca")),
        may("", "secrets", "create", names=("auth",)),
    ],
    "roller": [
        may("", "secrets", "get", "create", names=_OWN),
        may("apps", "deployments", "patch", names=("api", *(f"api-{number}" for number in range(9)))),
        may("apps", "statefulsets", "patch", names=("db",)),
    ],
    "operator-of-all": [may("", "secrets", "get", "create"), may("apps", "deployments", "patch")],
    "issuer": [may("", "secrets", "get"), may("", "serviceaccounts/token", "create", names=("app",))],
}


_DECLARES = may("keyturn.dev", "emergencyrotations", "create")
# What a user may do in the namespace shop who may not write ManagedSecrets.
OTHERS: dict[str, list[Body]] = {
    "alarmist": [_DECLARES, may("", "secrets", "update", names=_OWN)],
    "alarmist-of-secrets": [_DECLARES, may("", "secrets", "update")],
    "alarmist-of-managedsecrets": [
        _DECLARES,
        may("keyturn.dev", "managedsecrets", "patch"),
        may("", "pods/eviction", "create"),
    ],
}


def bound(name: str, user: str, role: str, kind: str = "Role", *, everywhere: bool = False) -> Body:
    metadata = {"name": name} | ({} if everywhere else {"namespace": "shop"})
    return {
        "apiVersion": f"{_RBAC}/v1",
        "kind": "ClusterRoleBinding" if everywhere else "RoleBinding",
        "metadata": metadata,
        "roleRef": {"apiGroup": _RBAC, "kind": kind, "name": role},
        "subjects": [{"apiGroup": _RBAC, "kind": "User", "name": user}],
    }


def rights() -> Iterator[Body]:
    """Give each user its rights, and GitOps tools those that they come with."""
    given = {user: [_OURS, *rules] for user, rules in USERS.items()} | OTHERS
    for user, rules in given.items():
        name = f"authors-{user}"
        metadata = {"name": name, "namespace": "shop"}
        yield {"apiVersion": f"{_RBAC}/v1", "kind": "Role", "metadata": metadata, "rules": rules}
        yield bound(name, user, name)
    yield bound("authors-edit", "editor", "edit", "ClusterRole")
    # As Argo CD's own manifests have it (ClusterRole argocd-application-controller).
    yield {
        "apiVersion": f"{_RBAC}/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "authors-argocd"},
        "rules": [
            {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]},
            {"nonResourceURLs": ["*"], "verbs": ["*"]},
        ],
    }
    yield bound("authors-argocd", _ARGO_CD, "authors-argocd", "ClusterRole", everywhere=True)
    # As `flux bootstrap` binds its controllers, and `flux create tenant` the account that they act as in a namespace.
    yield bound("authors-flux", _FLUX, "cluster-admin", "ClusterRole", everywhere=True)
    yield bound("authors-flux-tenant", _FLUX_TENANT, "cluster-admin", "ClusterRole")


@pytest.fixture(scope="module")
def kubectl(cluster_wide: Installation) -> Iterator[Kubectl]:
    """kubectl for a cluster on which these users have their rights, and the policies are in force."""
    kubectl, given = cluster_wide.kubectl, {"apiVersion": "v1", "kind": "List", "items": list(rights())}
    kubectl("apply", "-f", "-", given=given)
    eventually(lambda: refusal(kubectl, "author", managed()) != "", "the policies")
    eventually(lambda: refusal(kubectl, "alarmist", emergency()) != "", "the policy for emergencies")
    eventually(lambda: refusal(kubectl, "editor", managed()) == "", "the rights")
    eventually(lambda: refusal(kubectl, "issuer", store(VAULT)) == "", "the other rights")
    eventually(
        lambda: refusal(kubectl, "alarmist-of-managedsecrets", emergency(evict=True)) == "", "the last rights"
    )
    yield kubectl
    kubectl("delete", "-f", "-", given=given)


def managed(*data: Body, name: str = "auth", **spec: Any) -> Body:
    items = list(data) or [{"name": "token", "generate": {"bytes": {}}}]
    return {
        "apiVersion": "keyturn.dev/v1alpha1",
        "kind": "ManagedSecret",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"data": items, **spec},
    }


def store(provider: Body) -> Body:
    return {
        "apiVersion": "keyturn.dev/v1alpha1",
        "kind": "SecretStore",
        "metadata": {"name": "store", "namespace": "shop"},
        "spec": {"provider": provider},
    }


def pulled(key: str, name: str = "pulled") -> Body:
    return {"name": name, "from": {"storeRef": {"name": "store"}, "remoteRef": {"key": key}}}


def listed(*names: str, kind: str = "Deployment") -> Body:
    return {"targets": [{"kind": kind, "name": name} for name in names]}


def refusal(kubectl: Kubectl, user: str, body: Body, verb: str = "create") -> str:
    """Say why a policy denies a user to write something; nothing where it does not."""
    of = User.of(kubectl, user)
    return of.creation(body) if verb == "create" else of.replacement(body)


GET = "the author of a ManagedSecret must be allowed to get the Secret auth"
CREATE = "a ManagedSecret writes the whole Secret auth: the author must be allowed to create it"
UPDATE = "Merge and adopt write into the Secret auth: the author must be allowed to update it"
DELETE = "deletionPolicy: Delete deletes the Secret auth: the author must be allowed to delete it"
RECORD = (
    "a new ManagedSecret continues with the values that an earlier one of its name left in the Secret auth-keyturn:"
    " the author must be allowed to get it"
)
ALONG = "a changed target.name keeps the values: the author must be allowed to get the Secret shared"
READ = (
    "the author must be allowed to get each Secret that a ManagedSecret reads by from, dataFrom or an issuer"
)
READ_MANY = (
    "the author of a ManagedSecret that reads more than 8 keys or issuers must be allowed to get every Secret of the"
    " namespace"
)
PATCH = "the author must be allowed to patch each workload in rollout.targets"
PATCH_MANY = "more than 8 rollout.targets: the author must be allowed to patch every workload of their kinds"
MERGE = {"creationPolicy": "Merge"}
ADOPT = {"adopt": "IfUnowned"}
SIGNED = {
    "name": "web",
    "generate": {"certificate": {"commonName": "web", "issuer": {"secretRef": {"name": "ca"}}}},
}
EIGHT = [f"api-{number}" for number in range(8)]

REFUSED = {
    "who may not get the Secret": ("author", managed(), GET),
    "who may get another one only": (
        "owner",
        managed(target={"name": "theirs"}),
        GET.replace("Secret auth", "Secret theirs"),
    ),
    "who may not get the record of an earlier one of that name": ("stranger", managed(), RECORD),
    "who may get the Secret only": ("getter", managed(), CREATE),
    "an adoption of who may not create": ("merger", managed(target=ADOPT), CREATE),
    "a merge of who may not update": ("owner", managed(target=MERGE), UPDATE),
    "an adoption of who may not update": ("owner", managed(target=ADOPT), UPDATE),
    "a deletion of who may not delete": ("writer", managed(target={"deletionPolicy": "Delete"}), DELETE),
    "an adoption that deletes": ("writer", managed(target=ADOPT | {"deletionPolicy": "Delete"}), DELETE),
    "a Secret of others by a store": ("owner", managed(pulled("theirs")), READ),
    "all of a Secret of others": (
        "owner",
        managed(dataFrom=[{"storeRef": {"name": "store"}, "remoteRef": {"key": "theirs"}}]),
        READ,
    ),
    "one of several": ("picker", managed(pulled("theirs"), pulled("other", "second")), READ),
    "a CA of others": ("owner", managed(SIGNED), READ),
    "more keys than are asked for": (
        "picker",
        managed(*(pulled("theirs", f"item-{number}") for number in range(9))),
        READ_MANY,
    ),
    "a workload of others": ("owner", managed(rollout=listed("api")), PATCH),
    "a workload of another kind": ("roller", managed(rollout=listed("api", kind="DaemonSet")), PATCH),
    "one of several workloads": ("roller", managed(rollout=listed(*EIGHT[:7], "other")), PATCH),
    "more workloads than are asked for": ("roller", managed(rollout=listed(*EIGHT, "api-8")), PATCH_MANY),
}
ALLOWED = {
    "a Secret that they may get": ("owner", managed()),
    "a merge": ("merger", managed(target=MERGE)),
    "an adoption": ("writer", managed(target=ADOPT)),
    "a deletion": ("deleter", managed(target={"deletionPolicy": "Delete"})),
    "Secrets that they may get by a store": ("picker", managed(pulled("theirs"), pulled("auth", "second"))),
    "a CA that they may get": ("picker", managed(SIGNED)),
    "a key that can be no Secret's name": ("owner", managed(pulled("prod/payments"))),
    "any number of keys": ("reader", managed(*(pulled("theirs", f"item-{number}") for number in range(60)))),
    "a workload that they may patch": ("roller", managed(rollout=listed("db", kind="StatefulSet"))),
    "as many workloads as are asked for": ("roller", managed(rollout=listed(*EIGHT))),
    "any number of workloads": (
        "operator-of-all",
        managed(rollout=listed(*(f"any-{number}" for number in range(200)))),
    ),
}


@pytest.mark.parametrize(
    ("user", "body", "why"), [pytest.param(*case, id=name) for name, case in REFUSED.items()]
)
def test_it_is_refused(user: str, body: Body, why: str, kubectl: Kubectl) -> None:
    assert refusal(kubectl, user, body) == why


@pytest.mark.parametrize(("user", "body"), [pytest.param(*case, id=name) for name, case in ALLOWED.items()])
def test_it_is_taken(user: str, body: Body, kubectl: Kubectl) -> None:
    assert refusal(kubectl, user, body) == ""


def generated(name: str, **more: Any) -> Body:
    return {"name": name, "generate": {"password": {}}, **more}


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (managed(generated("db-password"), generated("jwt"), rotation={"every": "90d"}), ["db-password"]),
        (managed(generated("redis_pass", rotation={"every": "90d"})), ["redis_pass"]),
        (managed(generated("db-password"), rotation={"every": "90d", "appliedBy": "Application"}), []),
        (managed(generated("db-password", rotation={"appliedBy": "Nobody"}), rotation={"every": "90d"}), []),
        (managed(generated("db-password"), generated("jwt"), rotation={"every": "90d", "only": ["jwt"]}), []),
        (managed(generated("db-password", className="database-password"), rotation={"every": "90d"}), []),
        (managed(generated("db-password")), []),
    ],
)
def test_a_schedule_for_the_password_of_a_server_is_warned_of(
    body: Body, named: list[str], kubectl: Kubectl
) -> None:
    user = User.of(kubectl, "owner")
    first = managed(generated("db-password"), rotation={"every": "90d"})
    eventually(lambda: user.warnings(first) != [], "the policy that warns")

    assert [
        name
        for text in user.warnings(body)
        for name in ("db-password", "redis_pass", "jwt")
        if f"{name}:" in text
    ] == named


# Stores

ACCOUNT = {"serviceAccountRef": {"name": "app"}}
VAULT = {
    "vault": {
        "server": "https://vault.example.com",
        "mount": "secret",
        "auth": {"kubernetes": {"role": "shop", **ACCOUNT}},
    }
}
POOL = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/k"
ACCOUNTS: dict[str, Body] = {
    "vault": VAULT,
    "awsSecretsManager": {
        "awsSecretsManager": {
            "region": "eu-central-1",
            "roleArn": "arn:aws:iam::123456789012:role/shop",
            "auth": {"webIdentity": ACCOUNT},
        }
    },
    "awsParameterStore": {
        "awsParameterStore": {
            "region": "eu-central-1",
            "roleArn": "arn:aws:iam::123456789012:role/shop",
            "auth": {"webIdentity": ACCOUNT},
        }
    },
    "azureKeyVault": {
        "azureKeyVault": {
            "vaultUrl": "https://shop.vault.azure.net",
            "tenantId": "12345678-1234-1234-1234-123456789012",
            "auth": {"workloadIdentity": {"clientId": "12345678-1234-1234-1234-123456789012", **ACCOUNT}},
        }
    },
    "gcpSecretManager": {
        "gcpSecretManager": {
            "projectId": "shop-1",
            "auth": {"workloadIdentity": {"audience": POOL, **ACCOUNT}},
        }
    },
}
STORE = (
    "a SecretStore sends values of the namespace's Secrets to its provider: the author must be allowed to get every"
    " Secret of the namespace"
)
LOGIN = (
    "a SecretStore authenticates as its ServiceAccount: the author must be allowed to create tokens of app"
)


@pytest.mark.parametrize("user", ["author", "owner"])
def test_a_store_is_for_who_may_get_every_secret(user: str, kubectl: Kubectl) -> None:
    assert refusal(kubectl, user, store({"kubernetes": {}})) == STORE
    assert refusal(kubectl, "reader", store({"kubernetes": {}})) == ""


@pytest.mark.parametrize("provider", ACCOUNTS)
def test_a_login_as_an_account_is_for_who_may_make_its_tokens(provider: str, kubectl: Kubectl) -> None:
    body = store(ACCOUNTS[provider])

    assert (refusal(kubectl, "reader", body), refusal(kubectl, "issuer", body)) == (LOGIN, "")


def test_every_way_to_log_in_as_an_account_is_known(kubectl: Kubectl) -> None:
    crd = kubectl.json("get", "crd", "secretstores.keyturn.dev")
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"][
        "provider"
    ]

    assert {path.split(".")[0] for path in references(schema, "")} == ACCOUNTS.keys()
    text = (BASE / "authors" / "stores.yaml").read_text()
    assert [path for path in references(schema, "") if f".?{path.replace('.', '.?')}.?name" not in text] == []


def references(schema: Body, path: str) -> Iterator[str]:
    """Name every place where a ServiceAccount is referred to."""
    for name, part in schema.get("properties", {}).items():
        below = f"{path}.{name}".lstrip(".")
        if name == "serviceAccountRef":
            yield below
        yield from references(part, below)


# Database targets


def target(admin: str, authority: str = "") -> Body:
    server: Body = {"host": "db", "database": "orders"}
    if authority:
        server["tls"] = {"caRef": {"name": authority}}
    return {
        "apiVersion": "keyturn.dev/v1alpha1",
        "kind": "DatabaseTarget",
        "metadata": {"name": "orders", "namespace": "shop"},
        "spec": {"postgresql": server, "adminCredentials": {"secretRef": {"name": admin}}},
    }


def test_a_database_target_is_for_who_may_get_its_secrets(kubectl: Kubectl) -> None:
    admin = "a DatabaseTarget logs in with the Secret theirs: the author must be allowed to get it"
    ca = "a DatabaseTarget reads the Secret db-ca: the author must be allowed to get it"

    assert refusal(kubectl, "author", target("theirs")) == admin
    assert refusal(kubectl, "picker", target("theirs")) == ""
    assert refusal(kubectl, "picker", target("theirs", "db-ca")) == ca
    assert refusal(kubectl, "picker", target("theirs", "ca")) == ""


# Emergencies


def emergency(*, evict: bool = False) -> Body:
    return {
        "apiVersion": "keyturn.dev/v1alpha1",
        "kind": "EmergencyRotation",
        "metadata": {"name": "inc-1", "namespace": "shop"},
        "spec": {"reason": "a leak", "selector": {}, **({"evict": True} if evict else {})},
    }


def test_an_emergency_is_for_who_may_rotate_without_it(kubectl: Kubectl) -> None:
    rotates = (
        "an EmergencyRotation replaces values: the author must be allowed to patch every ManagedSecret, or to update"
        " every Secret, of the namespace"
    )

    assert refusal(kubectl, "alarmist", emergency()) == rotates
    assert refusal(kubectl, "alarmist-of-secrets", emergency()) == ""
    assert refusal(kubectl, "alarmist-of-managedsecrets", emergency()) == ""
    assert refusal(kubectl, "editor", emergency(evict=True)) == ""


def test_an_emergency_that_evicts_is_for_who_may_evict(kubectl: Kubectl) -> None:
    evicts = "evict: true evicts pods: the author must be allowed to create pods/eviction in the namespace"

    assert refusal(kubectl, "alarmist-of-secrets", emergency(evict=True)) == evicts
    assert refusal(kubectl, "alarmist-of-managedsecrets", emergency(evict=True)) == ""


# Changes


@pytest.fixture
def there(kubectl: Kubectl) -> Iterator[Body]:
    """A ManagedSecret that an administrator made, and that its authors may not have made."""
    yield kubectl.json("create", "-f", "-", given=managed(target=MERGE | {"name": "shared"}))
    kubectl("delete", "managedsecret", "auth", *_HERE)


def test_a_spec_that_stays_asks_for_no_right(there: Body, kubectl: Kubectl) -> None:
    annotated = there | {"metadata": there["metadata"] | {"annotations": {"keyturn.dev/rotate": "now"}}}

    assert refusal(kubectl, "author", annotated, "replace") == ""


def test_a_spec_that_changes_asks_for_every_right(there: Body, kubectl: Kubectl) -> None:
    changed = there | {"spec": there["spec"] | {"suspend": True}}

    assert refusal(kubectl, "owner", changed, "replace") == GET.replace("Secret auth", "Secret shared")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        pytest.param({"suspend": True}, "", id="its suspension"),
        pytest.param(
            {"target": {"name": "auth", "template": {"metadata": {"labels": {"a": "b"}}}}},
            CREATE,
            id="a label",
        ),
        pytest.param({"data": [{"name": "token", "literal": "text"}]}, CREATE, id="a value"),
    ],
)
def test_a_change_of_the_content_is_for_who_may_create_the_secret(
    changes: Body, why: str, kubectl: Kubectl
) -> None:
    there = kubectl.json("create", "-f", "-", given=managed())
    try:
        assert refusal(kubectl, "getter", there | {"spec": there["spec"] | changes}, "replace") == why
    finally:
        kubectl("delete", "managedsecret", "auth", *_HERE)


def renamed(there: Body) -> Body:
    return there | {"spec": there["spec"] | {"target": {"name": "auth"}}}


def test_values_go_along_only_for_who_may_get_them(there: Body, kubectl: Kubectl) -> None:
    assert refusal(kubectl, "writer", renamed(there), "replace") == ALONG


# Tools that apply what is in Git

EVERYTHING = managed(
    pulled("theirs"),
    SIGNED,
    target=ADOPT | {"deletionPolicy": "Delete"},
    rollout={
        "targets": [{"kind": kind, "name": "any"} for kind in ("Deployment", "StatefulSet", "DaemonSet")]
    },
)


@pytest.mark.parametrize(
    "user",
    [
        pytest.param("editor", id="the role edit"),
        pytest.param(_ARGO_CD, id="Argo CD"),
        pytest.param(_FLUX, id="Flux"),
        pytest.param(_FLUX_TENANT, id="a tenant of Flux"),
    ],
)
def test_who_has_the_usual_rights_notices_nothing(user: str, kubectl: Kubectl) -> None:
    assert refusal(kubectl, user, EVERYTHING) == ""
    assert refusal(kubectl, user, store(VAULT)) == ""


def test_an_argo_cd_of_namespaces_needs_what_the_page_says(kubectl: Kubectl) -> None:
    """The rules on the page about GitOps are enough, and less is not."""
    page = (BASE.parents[1] / "docs" / "gitops.md").read_text()
    role = yaml.load(
        page.partition("<!-- rights -->\n\n```yaml\n")[2].partition("```")[0], Loader=yaml.CSafeLoader
    )
    metadata = {"name": "authors-narrow", "namespace": "shop"}
    rules = role["rules"]
    given = [role | {"metadata": metadata}, bound("authors-narrow", "narrow", "authors-narrow")]
    kubectl("apply", "-f", "-", given={"apiVersion": "v1", "kind": "List", "items": given})
    try:
        eventually(lambda: refusal(kubectl, "narrow", EVERYTHING) == "", "the rights")
        assert refusal(kubectl, "narrow", store(VAULT)) == ""
        kubectl(
            "apply",
            "-f",
            "-",
            given=given[0] | {"rules": [rule for rule in rules if "secrets" not in rule["resources"]]},
        )
        eventually(lambda: refusal(kubectl, "narrow", EVERYTHING) != "", "the end of rights")
    finally:
        kubectl("delete", "role,rolebinding", "authors-narrow", *_HERE)
