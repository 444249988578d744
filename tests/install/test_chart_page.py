"""What the page on installing says of the chart and of the kustomizations is so."""

import json
import re
import textwrap
from pathlib import Path
from typing import Any

import pytest
import yaml

from keyturn import __version__
from keyturn.installation.checks import schemas
from tests.install.helm import BUILD_SECONDS, CHART, IMAGE, ROOT, run
from tests.install.installation import BASE, MANIFESTS, kustomized

_CHART_LAYER = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
_PAGE = (ROOT / "docs" / "install" / "helm.md").read_text()


def test_each_value_that_is_named_exists() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    rows = re.findall(r"^\| (`\w[\w.]*`.*?) \|", _PAGE, re.MULTILINE)
    names = [name for row in rows for name in written_out(re.findall(r"`([^`]+)`", row))]

    assert len(names) > 10
    assert [name for name in names if not knows(schema, name.split("."))] == []


def written_out(names: list[str]) -> list[str]:
    """Write `.labels` after `monitoring.enabled` as `monitoring.labels`."""
    group = names[0].split(".")[0]
    return [f"{group}{name}" if name.startswith(".") else name for name in names]


def knows(schema: dict[str, Any], path: list[str]) -> bool:
    for part in path:
        if part not in schema.get("properties", {}):
            return False
        schema = schema["properties"][part]
    return True


def test_the_support_matrix_says_what_is_tested() -> None:
    page = (ROOT / "docs" / "install" / "index.md").read_text()
    rows = dict(re.findall(r"^\| (Helm|kubectl) \| ([\d.]+) \|", page, re.MULTILINE))

    assert rows == {
        "Helm": pinned("tests/install/helm-go", "helm.sh/helm/v4"),
        "kubectl": pinned("sandbox/modules/kubernetes", "k8s.io/kubernetes"),
    }


def pinned(module: str, name: str) -> str:
    """Return the minor version of a Go module that the tests build."""
    text = (ROOT / module / "go.mod").read_text()
    (version,) = re.findall(rf"{re.escape(name)} v(\d+\.\d+)\.", text)
    return str(version)


@pytest.mark.parametrize(
    ("page", "hint"),
    [
        ("kustomize", ": {} ("),
        ("helm", "(with Helm, which does not upgrade CRDs: helm show crds CHART | {})"),
    ],
)
def test_crds_are_upgraded_by_one_command_wherever_it_is_named(page: str, hint: str) -> None:
    (command,) = upgrades_of_crds(page)

    assert f"{command}\n" in (ROOT / "docs" / "alerts" / "index.md").read_text()
    assert hint.format(command) in schemas.APPLY


def test_the_notes_upgrade_the_crds_as_the_page_does() -> None:
    (command,) = upgrades_of_crds("helm")

    assert f"  helm show crds CHART | {command}\n" in (CHART / "templates" / "NOTES.txt").read_text()


def upgrades_of_crds(page: str) -> set[str]:
    """Return the commands that apply CRDs in the section of a page on upgrades, without those that print them."""
    _, _, upgrade = (ROOT / "docs" / "install" / f"{page}.md").read_text().partition("\n## Upgrade\n")
    section, _, _ = upgrade.partition("\n## ")
    return set(
        re.findall(r"^\$ (?:helm show crds .* \| )?(kubectl apply .*-f (?:crds/|-))$", section, re.MULTILINE)
    )


_LABEL = "kubectl label namespace NAMESPACE keyturn.dev/metrics=enabled"


@pytest.mark.timeout(BUILD_SECONDS)
@pytest.mark.parametrize(
    ("values", "is_said"),
    [
        ("monitoring.enabled=true", True),
        ("monitoring.enabled=false", False),
        ("monitoring.enabled=true,networkPolicy.enabled=false", False),
        ("monitoring.enabled=true,networkPolicy.metricsFrom=null", False),
    ],
    ids=["monitored", "not monitored", "without a policy", "admitted from everywhere"],
)
def test_the_notes_name_the_label_that_prometheus_needs(
    values: str,
    is_said: bool,
) -> None:
    done = run("install", "keyturn", str(CHART), "--dry-run=client", IMAGE, f"--set={values}")

    assert done.returncode == 0, done.stderr
    assert (_LABEL in done.stdout.partition("\nNOTES:\n")[2]) is is_said


# Argo CD and Flux


def application() -> dict[str, Any]:
    return dict(
        yaml.load((MANIFESTS / "gitops" / "argocd" / "application.yaml").read_text(), Loader=yaml.CSafeLoader)
    )


def flux() -> dict[str, dict[str, Any]]:
    bodies = yaml.load_all(
        (MANIFESTS / "gitops" / "flux" / "keyturn.yaml").read_text(), Loader=yaml.CSafeLoader
    )
    return {body["kind"]: body for body in bodies}


def test_both_find_the_chart_where_it_is_pushed_to() -> None:
    source, repository = application()["spec"]["source"], flux()["OCIRepository"]["spec"]
    (registry,) = re.findall(r"helm push keyturn-([\d.]+)\.tgz oci://(\S+)", _PAGE)

    assert (source["targetRevision"], source["repoURL"]) == registry
    assert (repository["ref"]["tag"], repository["url"]) == (registry[0], f"oci://{registry[1]}/keyturn")
    assert (source["chart"], registry[0]) == ("keyturn", __version__)


def test_flux_installs_the_chart_of_its_repository() -> None:
    (name,) = {flux()[kind]["metadata"]["name"] for kind in ("OCIRepository", "HelmRelease")}
    selector = flux()["OCIRepository"]["spec"]["layerSelector"]

    assert flux()["HelmRelease"]["spec"]["chartRef"] == {"kind": "OCIRepository", "name": name}
    assert selector == {"mediaType": _CHART_LAYER, "operation": "copy"}


def test_both_namespaces_are_restricted_as_that_of_the_base() -> None:
    base = yaml.load((BASE / "operator" / "namespace.yaml").read_text(), Loader=yaml.CSafeLoader)
    enforced = {key: text for key, text in base["metadata"]["labels"].items() if key.endswith("/enforce")}

    assert flux()["Namespace"]["metadata"]["labels"] == enforced
    assert application()["spec"]["syncPolicy"]["managedNamespaceMetadata"]["labels"] == enforced
    assert application()["spec"]["destination"]["namespace"] == base["metadata"]["name"]


@pytest.mark.timeout(BUILD_SECONDS)
@pytest.mark.parametrize("tool", ["argocd", "flux"])
def test_the_chart_takes_the_values_of_both(tool: str, tmp_path: Path) -> None:
    values = {
        "argocd": application()["spec"]["source"]["helm"]["valuesObject"],
        "flux": flux()["HelmRelease"]["spec"]["values"],
    }[tool]
    (tmp_path / "values.yaml").write_text(yaml.safe_dump(values))

    done = run("template", "keyturn", str(CHART), f"--values={tmp_path / 'values.yaml'}")

    assert (done.returncode, done.stderr) == (0, "")
    assert f'image: "registry.example.com/keyturn:{__version__}"' in done.stdout


def without_resources(block: str) -> dict[str, Any]:
    """Read a kustomization of a page, without the places that it has in the repository of a user."""
    fields: dict[str, Any] = yaml.load(block, Loader=yaml.CSafeLoader)
    return {name: part for name, part in fields.items() if name != "resources"}


def test_a_part_of_the_rights_of_users_can_be_left_out_with_kustomize() -> None:
    page = (ROOT / "docs" / "install" / "index.md").read_text()
    (block,) = re.findall(r"^    ```text\n(.*?)^    ```$", page, re.MULTILINE | re.DOTALL)
    made = kustomized(BASE / "users", **without_resources(textwrap.dedent(block)))

    assert [one["metadata"]["name"] for one in made] == [*("keyturn-admin", "keyturn-edit", "keyturn-view")]


def test_the_image_is_taken_by_its_digest_with_kustomize() -> None:
    page = (ROOT / "docs" / "install" / "index.md").read_text()
    (block,) = re.findall(r"^```text\n(images:\n.*?)^```$", page, re.MULTILINE | re.DOTALL)
    made = kustomized(BASE, **without_resources(block))

    images = re.findall(r'"image": "(.*?)"', json.dumps(made))
    assert images == [f"registry.example.com/keyturn@sha256:{'0' * 64}"]


def test_a_port_is_added_to_the_network_policy_with_kustomize() -> None:
    page = (ROOT / "docs" / "install" / "kustomize.md").read_text()
    (block,) = re.findall(r"^```text\n(patches:\n.*?)^```$", page, re.MULTILINE | re.DOTALL)
    bodies = kustomized(BASE, **without_resources(block))

    before = yaml.load((BASE / "operator" / "networkpolicy.yaml").read_text(), Loader=yaml.CSafeLoader)
    (after,) = [one for one in bodies if one["kind"] == "NetworkPolicy"]
    assert after["spec"]["egress"] == [*before["spec"]["egress"], {"ports": [{"port": 8200}]}]


@pytest.mark.timeout(BUILD_SECONDS)
def test_the_values_for_openshift_name_no_id(tmp_path: Path) -> None:
    (block,) = re.findall(r"^```text\n(podSecurityContext:\n.*?)^```$", _PAGE, re.MULTILINE | re.DOTALL)
    (tmp_path / "values.yaml").write_text(block)

    done = run("template", "keyturn", str(CHART), IMAGE, f"--values={tmp_path / 'values.yaml'}")

    assert (done.returncode, done.stderr) == (0, "")
    assert re.findall(r"runAsNonRoot: .*|runAsUser|runAsGroup|fsGroup", done.stdout) == ["runAsNonRoot: true"]


@pytest.mark.timeout(BUILD_SECONDS)
def test_the_image_is_taken_by_its_digest_with_helm() -> None:
    digest = f"sha256:{'0' * 64}"
    chosen = (f"--set=image.digest={digest}", "--set=image.repository=registry.example.com/keyturn")

    done = run("template", "keyturn", str(CHART), *chosen)

    assert (done.returncode, done.stderr) == (0, "")
    images = re.findall(r"^ +-? ?image: (.*)$", done.stdout, re.MULTILINE)
    assert images == [f'"registry.example.com/keyturn@{digest}"']
