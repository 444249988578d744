"""What is added to an installation by a line under components."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from keyturn.cli.run_command import run_command
from tests.install.installation import BASE, MANIFESTS, NAMESPACED, kustomized

_COMPONENTS = MANIFESTS / "components"
TOKENS = _COMPONENTS / "workload-identity"


def makers_of_tokens(objects: list[dict[str, Any]]) -> list[tuple[str, str, str | None]]:
    """Name the roles that may make tokens."""
    return [
        (one["kind"], one["metadata"]["name"], one["metadata"].get("namespace"))
        for one in objects
        for rule in one.get("rules") or ()
        if "serviceaccounts/token" in rule["resources"]
    ]


def test_tokens_are_made_with_the_component_only() -> None:
    with_it, without = kustomized(BASE, components=[TOKENS]), kustomized(BASE)

    assert makers_of_tokens(with_it) == [("ClusterRole", "keyturn-tokens", None)]
    assert makers_of_tokens(without) == []


@pytest.mark.parametrize("name", ["workload-identity", "pod-deletion", "pod-eviction", "argo-rollouts"])
def test_a_component_can_be_listed_for_one_namespace_only(name: str) -> None:
    """The folder of a namespace in the overlay turns the ClusterRoles of its components into Roles."""
    shop = yaml.load((NAMESPACED / "shop" / "kustomization.yaml").read_text(), Loader=yaml.CSafeLoader)
    here = {"namespace": "shop", "patches": shop["patches"]}
    without = kustomized(BASE / "access", **here)
    objects = kustomized(BASE / "access", components=[_COMPONENTS / name], **here)

    added = [one for one in objects if one not in without]
    assert sorted(one["kind"] for one in added) == ["Role", "RoleBinding"]
    assert {one["metadata"]["namespace"] for one in added} == {"shop"}
    assert {one["roleRef"]["kind"] for one in added if "roleRef" in one} == {"Role"}


# Secrets that are read by their names alone


@pytest.mark.parametrize("installation", [BASE, NAMESPACED], ids=["cluster", "namespaced"])
def test_no_role_lists_secrets_with_the_component(installation: Path) -> None:
    without = kustomized(installation)
    with_it = kustomized(installation, components=[_COMPONENTS / "no-list"])

    assert verbs_on_secrets(without) - verbs_on_secrets(with_it) == {"list", "watch"}
    assert verbs_on_secrets(with_it) == {"get", "create", "update"}
    others = [
        [rule for rule in rules_of(some) if "secrets" not in rule.get("resources", ())]
        for some in (without, with_it)
    ]
    assert others[0] == others[1]


def test_an_operator_of_the_component_lists_no_secrets() -> None:
    (container,) = one("Deployment", kustomized(BASE, components=[_COMPONENTS / "no-list"]))["spec"][
        "template"
    ]["spec"]["containers"]
    word, *arguments = container["args"]

    assert word == "run"
    assert run_command.make_context("run", arguments).params["secrets"] == "by-name"


def verbs_on_secrets(objects: list[dict[str, Any]]) -> set[str]:
    return {
        verb for rule in rules_of(objects) if "secrets" in rule.get("resources", ()) for verb in rule["verbs"]
    }


# Contacts


def test_the_contacts_of_a_config_map_are_the_operators_and_each_alerts() -> None:
    text = "Security Team: security@shop.test\nOn-Call: +1-555-0100\n"
    made = {"name": "keyturn-contacts", "namespace": "keyturn-system", "literals": [f"contacts.yaml={text}"]}
    monitored = (BASE, MANIFESTS / "monitoring")
    objects = kustomized(*monitored, components=[_COMPONENTS / "contacts"], configMapGenerator=[made])

    pod = one("Deployment", objects)["spec"]["template"]["spec"]
    (container,), (volume,) = pod["containers"], pod["volumes"]
    (mount,) = container["volumeMounts"]
    contacts = one("ConfigMap", objects, volume["configMap"]["name"])["data"]
    assert f"--contacts={mount['mountPath']}/{next(iter(contacts))}" in container["args"]
    rules = [rule for group in one("PrometheusRule", objects)["spec"]["groups"] for rule in group["rules"]]
    told = [rule["annotations"].get("contacts") for rule in rules if "alert" in rule]
    assert (contacts, set(told)) == ({"contacts.yaml": text}, {text})
    assert [rule for rule in rules if "record" in rule and "annotations" in rule] == []


def test_contacts_need_no_alerts() -> None:
    made = {"name": "keyturn-contacts", "namespace": "keyturn-system", "literals": ["contacts.yaml="]}
    objects = kustomized(BASE, components=[_COMPONENTS / "contacts"], configMapGenerator=[made])

    assert [body for body in objects if body["metadata"]["name"].startswith("keyturn-contacts")] != []


# Optional rights

_OPTIONAL = {
    "pod-eviction": [{"apiGroups": [""], "resources": ["pods/eviction"], "verbs": ["create"]}],
    "argo-rollouts": [
        {"apiGroups": ["argoproj.io"], "resources": ["rollouts"], "verbs": ["list", "watch", "patch"]}
    ],
    "pod-deletion": [
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["delete"]},
        {"apiGroups": ["apps"], "resources": ["statefulsets"], "verbs": ["get"]},
    ],
}


@pytest.mark.parametrize(("name", "rules"), _OPTIONAL.items())
def test_a_component_adds_one_role_with_these_rights(name: str, rules: list[dict[str, Any]]) -> None:
    without, with_it = kustomized(BASE), kustomized(BASE, components=[_COMPONENTS / name])

    (added,) = (one for one in with_it if one["kind"].endswith("Role") and one not in without)
    assert (added["kind"], added["metadata"]["name"]) == ("ClusterRole", f"keyturn-{name}")
    assert added["rules"] == rules


def rules_of(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [rule for one in objects for rule in one.get("rules") or ()]


def one(kind: str, objects: list[dict[str, Any]], name: str = "keyturn") -> dict[str, Any]:
    (found,) = [one for one in objects if (one["kind"], one["metadata"]["name"]) == (kind, name)]
    return found


# Metrics for who logs in


_METRICS_OPTIONS = {
    "metrics-auth": ["--metrics-auth"],
    "metrics-https": [
        "--metrics-auth",
        "--metrics-cert=/etc/keyturn/metrics/tls.crt",
        "--metrics-key=/etc/keyturn/metrics/tls.key",
    ],
}


@pytest.mark.parametrize("installation", [BASE, NAMESPACED], ids=["cluster", "namespaced"])
@pytest.mark.parametrize(("component", "options"), _METRICS_OPTIONS.items())
def test_metrics_ask_for_a_login_with_the_component(
    component: str, options: list[str], installation: Path
) -> None:
    objects = kustomized(installation, components=[_COMPONENTS / component])
    (container,) = one("Deployment", objects)["spec"]["template"]["spec"]["containers"]

    known = {option for parameter in run_command.params for option in parameter.opts}
    assert [option for option in container["args"] if option.startswith("--metrics")] == options
    assert {option.partition("=")[0] for option in options} <= known
    reader = one("ClusterRole", objects, "keyturn-metrics-reader")
    assert reader["rules"] == [{"nonResourceURLs": ["/metrics"], "verbs": ["get"]}]
    asks = one("ClusterRole", objects, "keyturn-metrics-auth")
    assert [(rule["resources"], rule["verbs"]) for rule in asks["rules"]] == [
        (["tokenreviews"], ["create"]),
        (["subjectaccessreviews"], ["create"]),
    ]
    bound = [one for one in objects if one.get("roleRef", {}).get("name", "").startswith("keyturn-metrics")]
    assert [(one["roleRef"]["name"], one["subjects"][0]["name"]) for one in bound] == [
        ("keyturn-metrics-auth", "keyturn")
    ]


def test_the_certificate_of_the_metrics_is_mounted() -> None:
    parts = [_COMPONENTS / "metrics-https", MANIFESTS / "monitoring" / "audit"]
    for order in (parts, parts[::-1]):
        pod = one("Deployment", kustomized(BASE, components=order))["spec"]["template"]["spec"]
        mounts = {one["name"]: one["mountPath"] for one in pod["containers"][0]["volumeMounts"]}
        volumes = {one["name"]: one["secret"]["secretName"] for one in pod["volumes"]}

        assert mounts["metrics"] == "/etc/keyturn/metrics"
        assert volumes == {"metrics": "keyturn-metrics", "audit": "keyturn-audit"}


@pytest.mark.parametrize(
    ("component", "scraped"),
    [
        ("metrics-auth", {"bearerTokenFile": "/var/run/secrets/keyturn-metrics/token"}),
        (
            "metrics-https",
            {
                "bearerTokenFile": "/var/run/secrets/kubernetes.io/serviceaccount/token",
                "scheme": "https",
                "tlsConfig": {
                    "ca": {"secret": {"name": "keyturn-metrics", "key": "ca.crt"}},
                    "serverName": "keyturn-metrics.keyturn-system.svc",
                },
            },
        ),
    ],
)
def test_the_monitor_shows_the_token_that_is_taken(component: str, scraped: dict[str, Any]) -> None:
    monitoring = MANIFESTS / "monitoring"
    (before,) = one("ServiceMonitor", kustomized(monitoring, components=[_COMPONENTS / "pod-deletion"]))[
        "spec"
    ]["endpoints"]
    (after,) = one("ServiceMonitor", kustomized(monitoring, components=[_COMPONENTS / component]))["spec"][
        "endpoints"
    ]

    assert after == before | scraped


def test_whatever_is_installed_carries_the_label_that_uninstalling_goes_by() -> None:
    folders = (BASE, _COMPONENTS, MANIFESTS / "monitoring", NAMESPACED)
    paths = [path for folder in folders for path in folder.rglob("*.yaml") if path.parent.name != "apiserver"]
    bodies = [
        body
        for path in paths
        for body in yaml.load_all(path.read_text(), Loader=yaml.CSafeLoader)
        if is_object(body)
    ]

    assert len(bodies) > 30
    assert [
        (body["kind"], body["metadata"]["name"])
        for body in bodies
        if body["metadata"].get("labels", {}).get("app.kubernetes.io/name") != "keyturn"
    ] == []


def is_object(body: Any) -> bool:
    """Leave out kustomizations and patches, which have no labels of their own."""
    return isinstance(body, dict) and "metadata" in body and not is_patch(body)


def is_patch(body: dict[str, Any]) -> bool:
    return body["kind"] == "Deployment" and "selector" not in body["spec"]


@pytest.mark.parametrize("installation", [BASE, NAMESPACED], ids=["cluster", "namespaced"])
def test_metrics_are_for_namespaces_with_a_label_and_probes_for_the_node(installation: Path) -> None:
    policy = one("NetworkPolicy", kustomized(installation))

    labelled = {"namespaceSelector": {"matchLabels": {"keyturn.dev/metrics": "enabled"}}}
    assert policy["spec"]["ingress"] == [
        {"from": [labelled], "ports": [{"port": 8080}]},
        {"ports": [{"port": 8081}]},
    ]
