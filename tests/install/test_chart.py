"""The Helm chart: the same objects as the kustomizations, and each value at its place."""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from keyturn import __version__
from keyturn.cli.run_command import run_command
from tests.install.helm import BUILD_SECONDS, CHART, IMAGE, ROOT, Refused, helm, render, run
from tests.install.installation import BASE, MANIFESTS, NAMESPACED, NO_LIST, kustomized

pytestmark = pytest.mark.timeout(BUILD_SECONDS)

Body = dict[str, Any]
_VALUES: Body = yaml.safe_load((CHART / "values.yaml").read_text())
_SCHEMA: Body = json.loads((CHART / "values.schema.json").read_text())

_COMPONENTS = MANIFESTS / "components"
_OF_HELM = {
    "app.kubernetes.io/instance",
    "app.kubernetes.io/version",
    "app.kubernetes.io/managed-by",
    "helm.sh/chart",
    "helm.sh/resource-policy",
}


def named(bodies: Iterator[Body] | list[Body]) -> dict[str, Body]:
    """Name each object, without what Helm adds to it."""
    found: dict[str, Body] = {}
    for body in bodies:
        metadata = {**body["metadata"]}
        for field in ("labels", "annotations"):
            left = {key: value for key, value in metadata.pop(field, {}).items() if key not in _OF_HELM}
            metadata |= {field: left} if left else {}
        name = f"{body['kind']} {metadata.get('namespace', '')}/{metadata['name']}"
        assert name not in found
        found[name] = {**body, "metadata": metadata}
    return found


def of_kustomize(*resources: Path, components: Sequence[Path] = ()) -> dict[str, Body]:
    """Name what a kustomization becomes, but for the namespace, which is Helm's to make."""
    bodies = kustomized(*resources, components=components)
    return named([body for body in bodies if body["kind"] != "Namespace"])


def added(*arguments: str) -> dict[str, Body]:
    """Return what these values add to the chart's own."""
    before, after = named(render()), named(render(*arguments))
    assert {name: after.get(name) for name in before} == before
    return {name: body for name, body in after.items() if name not in before}


def one(kind: str, bodies: list[Body]) -> Body:
    (found,) = [body for body in bodies if body["kind"] == kind]
    return found


def pod(*arguments: str) -> Body:
    found: Body = one("Deployment", render(*arguments))["spec"]["template"]
    return found


def container(*arguments: str) -> Body:
    (found,) = pod(*arguments)["spec"]["containers"]
    body: Body = found
    return body


# The same as the kustomizations


def components_of(*names: str) -> list[Path]:
    return [_COMPONENTS / name for name in names]


_SAME = {
    "": ((BASE,), ()),
    "namespaces={shop}": ((NAMESPACED,), ()),
    "rbac.listSecrets=false": ((NO_LIST,), ()),
    "namespaces={shop},rbac.listSecrets=false": ((NAMESPACED,), ("no-list",)),
    "podDeletion.enabled=true": ((BASE,), ("pod-deletion",)),
    "podEviction.enabled=true": ((BASE,), ("pod-eviction",)),
    "argoRollouts.enabled=true": ((BASE,), ("argo-rollouts",)),
    "encryptionProof.enabled=true": ((BASE,), ("encryption-proof",)),
    "metrics.auth=true,monitoring.enabled=true": ((BASE, MANIFESTS / "monitoring"), ("metrics-auth",)),
    "metrics.auth=true,metrics.tlsSecret=keyturn-metrics,monitoring.enabled=true": (
        (BASE, MANIFESTS / "monitoring"),
        ("metrics-https",),
    ),
}


@pytest.mark.parametrize(
    ("values", "resources", "components"),
    [pytest.param(values, *same, id=values or "no value") for values, same in _SAME.items()],
)
def test_it_is_what_the_kustomization_is(
    values: str, resources: tuple[Path, ...], components: tuple[str, ...]
) -> None:
    made = named(render(f"--set={values}") if values else render())

    assert made == of_kustomize(*resources, components=components_of(*components))


def test_each_namespace_gets_the_same_rights() -> None:
    found = named(render("--set=namespaces={shop,bank}"))
    shop, bank = found["Role shop/keyturn"], found["Role bank/keyturn"]

    assert shop["rules"] == bank["rules"]
    assert {"RoleBinding shop/keyturn", "RoleBinding bank/keyturn"} <= found.keys()


def test_workload_identity_is_the_component(tmp_path: Path) -> None:
    (tmp_path / "tokens.yaml").write_text((_COMPONENTS / "workload-identity" / "tokens.yaml").read_text())
    (tmp_path / "kustomization.yaml").write_text("resources: [tokens.yaml]")

    assert added("--set=workloadIdentity.serviceAccounts={*}") == of_kustomize(tmp_path)


@pytest.mark.parametrize(
    ("value", "resource", "verb"),
    [
        ("workloadIdentity.serviceAccounts={*}", "serviceaccounts/token", "create"),
        ("podDeletion.enabled=true", "pods", "delete"),
    ],
)
def test_an_optional_right_is_given_in_chosen_namespaces_only(value: str, resource: str, verb: str) -> None:
    given = [
        (body["kind"], body["metadata"].get("namespace"))
        for body in render(f"--set=namespaces={{shop}},{value}")
        for rule in body.get("rules") or ()
        if resource in rule.get("resources", ()) and verb in rule["verbs"]
    ]

    assert given == [("Role", "shop")]


def test_tokens_can_be_for_few_accounts() -> None:
    rules = added("--set=workloadIdentity.serviceAccounts={reads-vault,reads-aws}")[
        "ClusterRole /keyturn-tokens"
    ]["rules"]

    assert [rule["resourceNames"] for rule in rules] == 2 * [["reads-vault", "reads-aws"]]


def test_the_audit_endpoint_is_the_component() -> None:
    made = named(render("--set=audit.enabled=true"))
    desired = of_kustomize(BASE, components=[MANIFESTS / "monitoring" / "audit"])

    for objects in (made, desired):
        template = objects["Deployment keyturn-system/keyturn"]["spec"]["template"]
        template["spec"]["containers"][0]["ports"].sort(key=lambda port: port["containerPort"])
    assert made == desired


def test_names_that_yaml_reads_as_something_else_stay_names() -> None:
    names = ["no", "on", "2024", "true"]
    made = named(render(*(f"--set-string=namespaces[{number}]={name}" for number, name in enumerate(names))))

    (container,) = made["Deployment keyturn-system/keyturn"]["spec"]["template"]["spec"]["containers"]
    assert [one for one in container["args"] if one in names] == names
    assert {one.partition("/")[0] for one in made if one.startswith("Role ")} >= {
        f"Role {name}" for name in names
    }


def test_metrics_can_come_by_https_without_a_login() -> None:
    values = "monitoring.enabled=true,metrics.tlsSecret=web"
    objects = render("--namespace=ops", f"--set={values}")
    (endpoint,) = one("ServiceMonitor", objects)["spec"]["endpoints"]

    assert endpoint["tlsConfig"] == {
        "ca": {"secret": {"name": "web", "key": "ca.crt"}},
        "serverName": "keyturn-metrics.ops.svc",
    }
    assert (endpoint["scheme"], "bearerTokenFile" in endpoint) == ("https", False)
    assert [body for body in objects if body["metadata"]["name"].startswith("keyturn-metrics-")] == []


@pytest.mark.parametrize("folder", ["classes", "monitoring"])
def test_a_folder_of_manifests_is_added(folder: str) -> None:
    assert added(f"--set={folder}.enabled=true") == of_kustomize(MANIFESTS / folder)


def test_contacts_are_mounted_for_the_operator() -> None:
    config = one("ConfigMap", render("--set=contacts.On-Call=112-x", "--set=contacts.Team=team@shop.test"))
    assert yaml.safe_load(config["data"]["contacts.yaml"]) == {"On-Call": "112-x", "Team": "team@shop.test"}

    spec = pod("--set=contacts.Team=a")["spec"]
    container = spec["containers"][0]
    assert "--contacts=/etc/keyturn/contacts/contacts.yaml" in container["args"]
    assert spec["volumes"] == [{"name": "contacts", "configMap": {"name": "keyturn-contacts"}}]
    assert [mount["mountPath"] for mount in container["volumeMounts"]] == ["/etc/keyturn/contacts"]


def test_every_alert_names_the_contacts() -> None:
    values = ("--set=monitoring.enabled=true", "--set=contacts.Team=a {{ b", "--set=contacts.On-Call=112-x")
    groups = one("PrometheusRule", render(*values))["spec"]["groups"]
    alerts = [rule for group in groups for rule in group["rules"] if "alert" in rule]

    assert {rule["annotations"]["contacts"] for rule in alerts} == {'On-Call: 112-x; Team: a {{ "{{" }} b'}


def test_other_contacts_restart_the_operator() -> None:
    templates = [pod(f"--set=contacts.Team={team}")["metadata"] for team in ("a", "b", "a")]

    assert templates[0] == templates[2] != templates[1]


def test_prometheus_selects_by_labels_of_its_own() -> None:
    made = added("--set=monitoring.enabled=true,monitoring.labels.release=prometheus")
    labelled = {
        body["kind"] for body in made.values() if body["metadata"]["labels"].get("release") == "prometheus"
    }

    assert labelled == {"ServiceMonitor", "PrometheusRule"}


def test_the_templates_alone_are_refused() -> None:
    done = run("template", "keyturn", str(ROOT / "charts" / "keyturn"), IMAGE)

    assert done.returncode != 0
    assert "make chart" in done.stderr


def test_it_brings_the_crds() -> None:
    crds = {path.name: path.read_text() for path in (ROOT / "crds").glob("keyturn.dev_*.yaml")}

    assert {path.name: path.read_text() for path in (CHART / "crds").iterdir()} == crds


def test_the_chart_has_the_version_of_the_code() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())

    assert (chart["version"], chart["appVersion"]) == (__version__, __version__)


def test_another_namespace_is_set_in_every_object() -> None:
    elsewhere = render("--namespace=ops")
    mentions = [body for body in elsewhere if "keyturn-system" in json.dumps(body)]

    assert [body for body in mentions if body["kind"] != "CustomResourceDefinition"] == []
    assert {body["metadata"].get("namespace") for body in elsewhere} == {None, "ops"}


# Each value at its place


_DIGEST = f"sha256:{'a' * 64}"
_CONTAINER = "spec.template.spec.containers.0"
_RULE = {"to": [{"ipBlock": {"cidr": "10.1.0.0/16"}}], "ports": [{"port": 9443, "protocol": "TCP"}]}
_METRICS = {"ports": [{"port": 8080}]}
FACTS: dict[str, tuple[str, str, Any]] = {
    "Deployment --set=image.repository=registry.example.com/k": (
        *("an image of this version", f"{_CONTAINER}.image"),
        f"registry.example.com/k:{__version__}",
    ),
    "Deployment --set=image.tag=1.2.3": (
        *("an image by its tag", f"{_CONTAINER}.image"),
        "keyturn.invalid/keyturn:1.2.3",
    ),
    f"Deployment --set=image.tag=1.2.3,image.digest={_DIGEST}": (
        *("a digest before a tag", f"{_CONTAINER}.image"),
        f"keyturn.invalid/keyturn@{_DIGEST}",
    ),
    "NetworkPolicy --set=networkPolicy.apiServerPorts={443,7443}": (
        *("ports of the API server", "spec.egress.1"),
        {"ports": [{"port": 443}, {"port": 7443}]},
    ),
    f"NetworkPolicy --set-json=networkPolicy.extraEgress={json.dumps([_RULE])}": (
        *("a rule behind the chart's", "spec.egress.-1"),
        _RULE,
    ),
    'NetworkPolicy --set-json=networkPolicy.metricsFrom=[{"podSelector":{}}]': (
        *("metrics for some", "spec.ingress.0"),
        {"from": [{"podSelector": {}}], **_METRICS},
    ),
    "NetworkPolicy --set-json=networkPolicy.metricsFrom=[]": (
        *("metrics for all", "spec.ingress.0"),
        _METRICS,
    ),
    "PodDisruptionBudget": (
        *("a drain that pods without readiness do not block", "spec.unhealthyPodEvictionPolicy"),
        "AlwaysAllow",
    ),
    "PodDisruptionBudget --set=replicas=3": ("a drain of one pod at a time", "spec.maxUnavailable", 1),
}


@pytest.mark.parametrize(
    ("given", "path", "fact"),
    [pytest.param(given, path, fact, id=name) for given, (name, path, fact) in FACTS.items()],
)
def test_a_value_stands_at_its_place(given: str, path: str, fact: Any) -> None:
    kind, *values = given.split(" ", maxsplit=1)
    at: Any = one(kind, render(*values))
    for part in path.split("."):
        at = at[int(part)] if isinstance(at, list) else at[part]

    assert at == fact


def test_an_image_has_to_be_named() -> None:
    with pytest.raises(Refused) as refusal:
        render("--set=image.repository=")

    assert "write --set image.repository=registry.example.com/keyturn" in str(refusal.value)


def test_no_image_of_a_public_registry_is_named_anywhere() -> None:
    """A name of a public registry that is not this project's belongs to whoever takes it first."""
    named = re.compile(
        r"""(?:image|repository): *["']?(keyturn(?:/keyturn)?(?:[:@].*)?)["']?$""", re.MULTILINE
    )
    folders = ("manifests", "charts", "docs", "demo", "release")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]
    texts = {path: path.read_text() for path in [*files, ROOT / "README.md"] if path.suffix != ".pyc"}

    assert [str(path) for path, text in texts.items() if named.search(text)] == []


_FULL: Body = {
    "image": {"repository": "registry.example.com/keyturn"},
    "imagePullSecrets": [{"name": "registry"}],
    "replicas": 3,
    "extraArgs": ["--metrics-port=9090", "--workers=8", "--verbose"],
    "commonLabels": {"cost-center": "7", "team": "platform", "helm.sh/chart": "another"},
    "networkPolicy": {"egressPorts": [5432, 8200]},
    "stores": {
        "allowHosts": ["vault.vault:8200", "[::1]"],
        "clusterCIDRs": ["100.64.0.0/10"],
        "filesRoot": "/etc",
    },
    "resources": {"requests": {"cpu": 1, "memory": "256Mi"}, "limits": {"memory": "1Gi"}},
    "podAnnotations": {"example.com/note": "7"},
    "priorityClassName": "system-cluster-critical",
    "nodeSelector": {"kubernetes.io/os": "linux"},
    "tolerations": [{"key": "ops", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
    "env": [{"name": "SSL_CERT_FILE", "value": "/files/ca.crt"}],
    "volumes": [{"name": "files", "emptyDir": {}}],
    "volumeMounts": [{"name": "files", "mountPath": "/files"}],
}


@pytest.fixture(scope="module")
def full_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("values") / "values.yaml"
    file.write_text(yaml.safe_dump(_FULL))
    return file


@pytest.fixture(scope="module")
def full(full_file: Path) -> list[Body]:
    return render(f"--values={full_file}")


def test_every_value_about_pods_arrives(full: list[Body]) -> None:
    template = one("Deployment", full)["spec"]["template"]
    (main,) = template["spec"]["containers"]
    names = [*("imagePullSecrets", "priorityClassName", "nodeSelector", "tolerations", "affinity", "volumes")]

    assert {name: template["spec"][name] for name in names} == {name: _FULL[name] for name in names}
    assert {name: main[name] for name in ("env", "resources", "volumeMounts")} == {
        name: _FULL[name] for name in ("env", "resources", "volumeMounts")
    }
    assert one("Deployment", full)["spec"]["replicas"] == 3
    assert template["metadata"]["annotations"] == _FULL["podAnnotations"]


_OPENSHIFT: Body = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}


@pytest.mark.parametrize(
    "more",
    [
        pytest.param({}, id="as OpenShift takes it, which gives each namespace UIDs of its own"),
        pytest.param(
            {"seccompProfile": {"type": "Localhost", "localhostProfile": "keyturn.json"}},
            id="a profile of the node",
        ),
        pytest.param({"fsGroup": 2000, "fsGroupChangePolicy": "OnRootMismatch"}, id="a policy of volumes"),
        pytest.param({"supplementalGroups": [2000], "supplementalGroupsPolicy": "Strict"}, id="groups"),
        pytest.param({"appArmorProfile": {"type": "RuntimeDefault"}}, id="AppArmor"),
        pytest.param(
            {"appArmorProfile": {"type": "Localhost", "localhostProfile": "keyturn"}},
            id="a profile of AppArmor",
        ),
        pytest.param({"seLinuxOptions": {"type": "container_t", "level": "s0:c123,c456"}}, id="SELinux"),
    ],
)
def test_a_security_context_replaces_the_one_of_the_chart(more: Body) -> None:
    chosen = _OPENSHIFT | more

    assert pod(f"--set-json=podSecurityContext={json.dumps(chosen)}")["spec"]["securityContext"] == chosen


@pytest.mark.parametrize(
    "value",
    [
        {"runAsUser": 1000},
        _OPENSHIFT | {"runAsNonRoot": False},
        _OPENSHIFT | {"runAsUser": 0},
        _OPENSHIFT | {"seccompProfile": {"type": "Unconfined"}},
        _OPENSHIFT | {"seccompProfile": {"type": "Localhost"}},
        _OPENSHIFT | {"seccompProfile": {"type": "RuntimeDefault", "localhostProfile": "keyturn.json"}},
        _OPENSHIFT | {"appArmorProfile": {"type": "Unconfined"}},
        _OPENSHIFT | {"appArmorProfile": {"type": "Localhost"}},
        _OPENSHIFT | {"seLinuxOptions": {"type": "spc_t"}},
        _OPENSHIFT | {"seLinuxOptions": {"user": "system_u"}},
        _OPENSHIFT | {"fsGroupChangePolicy": "Never"},
        _OPENSHIFT | {"sysctls": [{"name": "kernel.msgmax", "value": "1"}]},
    ],
    ids=[
        *("a part of one", "perhaps root", "root", "every system call", "a profile without its name"),
        *("a name of no use", "no AppArmor", "AppArmor without a name", "no SELinux", "a user of SELinux"),
        *("no policy of volumes", "another field"),
    ],
)
def test_a_security_context_that_is_not_restricted_is_refused(value: Body) -> None:
    with pytest.raises(Refused, match="podSecurityContext"):
        render(f"--set-json=podSecurityContext={json.dumps(value)}")


def test_no_label_of_a_person_takes_the_pods_from_their_selector(full: list[Body]) -> None:
    spec = one("Deployment", full)["spec"]

    labels = spec["template"]["metadata"]["labels"]
    assert {key: labels[key] for key in ("team", "app.kubernetes.io/name")} == {
        "team": "platform",
        "app.kubernetes.io/name": "keyturn",
    }
    assert spec["selector"]["matchLabels"] == {"app.kubernetes.io/name": "keyturn"}


def test_labels_for_all_are_on_every_object_and_on_the_pods(full: list[Body]) -> None:
    labelled = [body["metadata"]["labels"] for body in full if body["kind"] != "CustomResourceDefinition"]
    labelled.append(one("Deployment", full)["spec"]["template"]["metadata"]["labels"])

    assert {labels["cost-center"] for labels in labelled} == {"7"}
    assert {labels["app.kubernetes.io/name"] for labels in labelled} == {"keyturn"}
    assert {labels["helm.sh/chart"] for labels in labelled[:-1]} == {f"keyturn-{__version__}"}


@pytest.mark.parametrize(
    ("value", "gone"),
    [
        (
            "rbac.aggregateClusterRoles",
            {f"ClusterRole /keyturn-{role}" for role in ("view", "edit", "admin")},
        ),
        (
            "rbac.classReader",
            {f"{kind} /keyturn-class-reader" for kind in ("ClusterRole", "ClusterRoleBinding")},
        ),
    ],
)
def test_rights_of_users_can_be_left_out(value: str, gone: set[str]) -> None:
    assert {*named(render())} - {*named(render(f"--set={value}=false"))} == gone


_ADMISSION = ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")


@pytest.mark.parametrize("served", [(), ("--set=namespaces={shop}",)], ids=["everywhere", "in one namespace"])
@pytest.mark.parametrize(
    ("value", "gone"),
    [
        (
            "ownAccount",
            {
                f"keyturn-own-{what}"
                for what in ("secrets", "workloads", "rollouts", "objects", "pods", "evictions", "tokens")
            },
        ),
        (
            "authors",
            {
                "keyturn-authors",
                "keyturn-emergency-authors",
                "keyturn-author-sources",
                "keyturn-author-rollouts",
                "keyturn-author-warnings",
                "keyturn-store-authors",
                "keyturn-target-authors",
            },
        ),
    ],
)
def test_admission_policies_can_be_left_out(value: str, gone: set[str], served: tuple[str, ...]) -> None:
    before, after = named(render(*served)), named(render(*served, f"--set=admissionPolicies.{value}=false"))

    assert {*before} - {*after} == {f"{kind} /{name}" for kind in _ADMISSION for name in gone}


def test_the_policies_speak_of_the_account_of_the_release() -> None:
    policies = [body for body in render("--namespace=ops") if body["kind"] == _ADMISSION[0]]
    own = [body for body in policies if body["metadata"]["name"].startswith("keyturn-own-")]

    assert len(own) == 7
    assert {body["spec"]["matchConditions"][0]["expression"] for body in own} == {
        "request.userInfo.username == 'system:serviceaccount:ops:keyturn'"
    }


def test_the_chart_lists_audiences_of_tokens_in_the_policy() -> None:
    audience = "https://vault.shop.test:8200"
    made = render(f"--set=workloadIdentity.audiences={{{audience}}}")
    (policy,) = [body for body in made if body["metadata"]["name"] == "keyturn-own-tokens"][:1]

    assert policy["spec"]["variables"] == [{"name": "audiences", "expression": f'["{audience}"]'}]


def test_the_operator_takes_the_arguments_as_they_are_meant(full: list[Body]) -> None:
    (main,) = one("Deployment", full)["spec"]["template"]["spec"]["containers"]
    taken = parsed(main["args"])

    assert {name: taken[name] for name in ("workers", "verbose", "all_namespaces", "metrics_port")} == {
        "metrics_port": 9090,
        "workers": 8,
        "verbose": True,
        "all_namespaces": True,
    }
    assert (str(taken["files_root"]), taken["cluster_cidrs"]) == ("/etc", ("100.64.0.0/10",))
    assert taken["allowed_hosts"] == ("vault.vault:8200", "[::1]")
    assert parsed(container("--set=namespaces={shop,bank}")["args"])["namespaces"] == ("shop", "bank")


def parsed(arguments: list[str]) -> Body:
    word, *options = arguments
    assert word == "run"
    return dict(run_command.make_context("run", options).params)


def test_every_value_about_audit_events_arrives() -> None:
    values = (
        "--set=audit.enabled=true,audit.clusterIP=10.96.0.50,audit.secretName=hook",
        "--set=audit.allow={system:serviceaccount:argocd:*}",
    )
    service = named(render(*values))["Service keyturn-system/keyturn-audit"]["spec"]

    assert service["clusterIP"] == "10.96.0.50"
    assert pod(*values)["spec"]["volumes"] == [{"name": "audit", "secret": {"secretName": "hook"}}]
    assert container(*values)["args"][-1] == "--audit-allow=system:serviceaccount:argocd:*"


def test_the_operator_knows_the_options_of_the_endpoint() -> None:
    values = "audit.enabled=true,audit.allow={b}"
    given = {
        one.partition("=")[0] for one in container(f"--set={values},encryptionProof.enabled=true")["args"]
    }
    known = {name for one in run_command.params for name in one.opts}

    assert given - known == {"run"}


def test_volumes_of_a_person_stand_beside_the_one_of_the_endpoint(full_file: Path) -> None:
    values = (f"--values={full_file}", "--set=audit.enabled=true")

    assert [one["name"] for one in pod(*values)["spec"]["volumes"]] == ["files", "audit"]
    assert [one["name"] for one in container(*values)["volumeMounts"]] == ["files", "audit"]


def test_without_network_policies_the_endpoint_has_none_either() -> None:
    made = render("--set=audit.enabled=true,networkPolicy.enabled=false")

    assert [body for body in made if body["kind"] == "NetworkPolicy"] == []


def test_the_network_policy_opens_what_stores_need(full: list[Body]) -> None:
    rules = one("NetworkPolicy", full)["spec"]["egress"]

    assert [rule["port"] for rule in rules[-2]["ports"]] == [443, 6443, 8443, 16443]
    assert [rule["port"] for rule in rules[-1]["ports"]] == [5432, 8200]


def test_the_network_policy_opens_names_at_the_service_and_at_its_pods() -> None:
    names = one("NetworkPolicy", render())["spec"]["egress"][0]["ports"]

    assert {(rule["port"], rule["protocol"]) for rule in names} == {
        (port, protocol) for port in (53, 5353) for protocol in ("UDP", "TCP")
    }


@pytest.mark.parametrize(
    ("ports", "said"),
    [
        ("[]", "networkPolicy/apiServerPorts"),
        ("null", "apiServerPorts is missing.* upgrade with --reset-then-reuse-values"),
    ],
    ids=["none", "values of an older chart"],
)
def test_without_a_port_of_the_api_server_nothing_is_opened(ports: str, said: str) -> None:
    """To Kubernetes an empty list of ports is every port."""
    with pytest.raises(Refused, match=said):
        render(f"--set-json=networkPolicy.apiServerPorts={ports}")


@pytest.mark.parametrize(
    "rule",
    [
        *({}, {"to": []}, {"to": [{}]}, {"ports": []}, {"ports": [{}]}, {"ports": [{"port": None}]}),
        *({"ports": [{"protocol": "TCP"}]}, {"port": 443}),
    ],
    ids=[
        *("everything", "to everywhere", "to no address", "at every port", "at a port without a number"),
        *("at a port that is null", "at every port of a protocol", "a port without its list"),
    ],
)
def test_a_rule_that_would_open_everything_is_refused(rule: Body) -> None:
    with pytest.raises(Refused, match="networkPolicy/extraEgress"):
        render(f"--set-json=networkPolicy.extraEgress={json.dumps([rule])}")


def test_helm_finds_nothing_to_complain_about() -> None:
    assert "0 chart(s) failed" in helm("lint", "--strict", str(CHART))


# Values are documented, and wrong ones refused


def leaves(schema: Body, path: str = "") -> Iterator[tuple[str, Body]]:
    """Walk every value that the schema knows of, down to where Kubernetes' own fields begin."""
    for name, inner in schema["properties"].items():
        if name in {"global", "resources", "podSecurityContext"} or "properties" not in inner:
            yield f"{path}{name}", inner
        else:
            assert inner["additionalProperties"] is False
            yield from leaves(inner, f"{path}{name}.")


def comments() -> dict[str, str]:
    """Return the comment above each value of values.yaml."""
    found: dict[str, str] = {}
    path: list[str] = []
    said: list[str] = []
    for line in (CHART / "values.yaml").read_text().splitlines():
        comment, key = re.match(r" *# (.*)", line), re.match(r"( *)(\w+):", line)
        if key:
            path = [*path[: len(key[1]) // 2], key[2]]
            found |= {".".join(path): " ".join(said)} if said else {}
        said = [*said, comment[1]] if comment else []
    return found


def test_every_value_is_explained_in_one_sentence_or_more_and_the_same_in_both_places() -> None:
    known = {name: schema["description"] for name, schema in leaves(_SCHEMA) if name != "global"}

    assert known == comments()
    assert [text for text in known.values() if not text.endswith((".", "{name: …}."))] == []


def test_every_value_has_a_default() -> None:
    for name, _ in leaves(_SCHEMA):
        at = _VALUES
        for part in name.split(".") if name != "global" else ():
            at = at[part]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        pytest.param(
            "replica=3", "additional properties 'replica' not allowed", id="a name that there is not"
        ),
        pytest.param("image.name=x", "additional properties 'name' not allowed", id="one that lies deeper"),
        pytest.param("replicas=many", "got string, want integer", id="a word for a number"),
        pytest.param("replicas=0", "minimum: got 0, want 1", id="no pod at all"),
        pytest.param("replicas=17", "maximum: got 17, want 16", id="too many pods"),
        pytest.param("extraArgs={metrics}", "does not match pattern", id="an argument that is no option"),
        pytest.param(
            r"commonLabels.rbac\.authorization\.k8s\.io/aggregate-to-view=true",
            "commonLabels",
            id="a label that would give users the operator's rights",
        ),
        pytest.param("namespaces={Shop}", "'Shop' does not match pattern", id="no name of a namespace"),
        pytest.param("namespaces={a,a}", "items at 0 and 1 are equal", id="a namespace twice"),
        pytest.param("namespaces=shop", "got string, want array", id="a namespace that is no list"),
        pytest.param("image.digest=sha256:12", "does not match pattern", id="half a digest"),
        pytest.param("stores.allowHosts={https://a}", "does not match pattern", id="a URL for a host"),
        pytest.param("audit.clusterIP=keyturn", "does not match pattern", id="a name for an address"),
        pytest.param("audit.secretName=", "audit/secretName", id="no Secret for the endpoint"),
        pytest.param("networkPolicy.egressPorts={0}", "minimum: got 0, want 1", id="no port"),
        pytest.param("networkPolicy.apiServerPorts={0}", "minimum: got 0, want 1", id="no port either"),
        pytest.param("metrics.tlsSecret=Web_TLS", "does not match pattern", id="no name of another Secret"),
        pytest.param("stores.filesRoot=files", "does not match pattern", id="a folder from nowhere"),
    ],
)
def test_a_value_that_cannot_work_is_refused(value: str, said: str) -> None:
    with pytest.raises(Refused) as refusal:
        render(f"--set={value}")

    assert said in str(refusal.value)


def test_a_parent_chart_can_have_it() -> None:
    assert named(render("--set=global.imageRegistry=registry.example.com")) == named(render())
