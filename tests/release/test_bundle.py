"""The bundle for OperatorHub is what manifests/base installs, and its own tools take it."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from release import olm
from release.errors import ReleaseError
from tests.conftest import ROOT
from tests.release.bundle import BUILD_SECONDS, verdict
from tests.release.installed import release

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_IMAGE = "--image=registry.example.com/keyturn:0.1.0"
pytestmark = pytest.mark.timeout(BUILD_SECONDS)


@pytest.fixture(scope="module")
def bodies() -> list[olm.Body]:
    """What manifests/base installs."""
    return olm.installation()


@pytest.fixture(scope="module")
def page() -> str:
    return (ROOT / "docs" / "install" / "olm.md").read_text()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle, for tests that read it."""
    dist = tmp_path_factory.mktemp("bundle")
    done = release(dist, "bundle", _IMAGE)
    assert done.returncode == 0, done.stderr
    return dist / "bundle"


@pytest.fixture
def csv(folder: Path) -> Any:
    text = (folder / "manifests" / "keyturn.clusterserviceversion.yaml").read_text()
    return yaml.load(text, Loader=yaml.CSafeLoader)


def of(bodies: list[olm.Body], *kinds: str) -> list[olm.Body]:
    return [body for body in bodies if body["kind"] in kinds]


def test_the_tools_of_the_operator_framework_take_it(folder: Path) -> None:
    said = verdict(folder)

    assert said["errors"] == []
    # There is no picture of it yet.
    assert [one.rpartition(") ")[2] for one in said["warnings"]] == ["csv.Spec.Icon not specified"]


def test_the_tools_would_not_take_it_without_a_crd(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "bundle")
    next(copy.glob("manifests/managedsecrets.*")).unlink()

    assert any("Kind=ManagedSecret" in one for one in verdict(copy)["errors"])


def test_the_deployment_is_that_of_the_base_without_ids(csv: Any, bodies: list[olm.Body]) -> None:
    (deployment,) = of(bodies, "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    pod["containers"][0]["image"] = _IMAGE.partition("=")[2]
    pod["securityContext"] = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}

    assert csv["spec"]["install"]["spec"]["deployments"] == [
        {"name": "keyturn", "label": deployment["metadata"]["labels"], "spec": deployment["spec"]}
    ]


@pytest.mark.parametrize(("kind", "place"), [("Role", "permissions"), ("ClusterRole", "clusterPermissions")])
def test_the_rights_are_those_of_the_base(kind: str, place: str, csv: Any, bodies: list[olm.Body]) -> None:
    (given,) = csv["spec"]["install"]["spec"][place]
    users = olm.for_users(bodies)
    rules = [rule for role in of(bodies, kind) if role not in users for rule in role["rules"]]

    assert given["serviceAccountName"] == "keyturn"
    assert sorted(map(json.dumps, given["rules"])) == sorted(map(json.dumps, rules))
    assert rules


def test_every_other_object_stands_beside_or_is_named_for_people(
    folder: Path, bodies: list[olm.Body], page: str
) -> None:
    texts = (path.read_text() for path in (folder / "manifests").glob("*.yaml"))
    there = [yaml.load(text, Loader=yaml.CSafeLoader) for text in texts]
    beside = [*of(bodies, *olm.BESIDE), *olm.for_users(bodies)]

    for body in beside:
        body["metadata"].pop("namespace", None)
    found = [body for body in there if body["kind"] != "ClusterServiceVersion"]
    assert sorted(map(json.dumps, found)) == sorted(map(json.dumps, beside))
    assert [kind for kind in olm.BY_HAND if f"`{kind}`" not in page] == []


def test_each_kind_has_an_example(csv: Any, bodies: list[olm.Body]) -> None:
    kinds = {crd["spec"]["names"]["kind"] for crd in of(bodies, "CustomResourceDefinition")}

    examples = json.loads(csv["metadata"]["annotations"]["alm-examples"])

    assert {one["kind"] for one in examples} == kinds
    assert {one["kind"] for one in csv["spec"]["customresourcedefinitions"]["owned"]} == kinds


def test_the_rights_of_users_are_no_rights_of_the_operator(bodies: list[olm.Body]) -> None:
    assert [body["metadata"]["name"] for body in olm.for_users(bodies)] == [
        *("keyturn-admin", "keyturn-class-reader", "keyturn-edit", "keyturn-view"),
        "keyturn-class-reader",
    ]


def test_the_image_is_in_every_place(folder: Path) -> None:
    text = (folder / "manifests" / "keyturn.clusterserviceversion.yaml").read_text()

    assert (text.count(_IMAGE.partition("=")[2]), text.count("keyturn.invalid")) == (2, 0)


def test_an_image_has_to_be_named(dist: Path) -> None:
    done = release(dist, "bundle")

    assert (done.returncode, done.stderr) == (
        1,
        "Error: name the operator's image: make bundle IMAGE=registry.example.com/keyturn:0.1.0\n",
    )
    assert not (dist / "bundle").exists()


def test_what_an_older_bundle_had_is_gone(dist: Path) -> None:
    stray = dist / "bundle" / "manifests" / "stray.yaml"
    stray.parent.mkdir(parents=True)
    stray.write_text("kind: ConfigMap\n")

    release(dist, "bundle", _IMAGE)

    assert not stray.exists()


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda bodies: bodies.append({"kind": "Ingress"}), "the bundle has no place for Ingress"),
        (
            lambda bodies: bodies.remove(of(bodies, "RoleBinding")[0]),
            "a Role of manifests/base is not bound once",
        ),
    ],
    ids=["a new kind", "a role that nobody has"],
)
def test_what_it_cannot_express_is_refused(
    spoil: Callable[[list[olm.Body]], None],
    sentence: str,
    bodies: list[olm.Body],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spoilt = list(bodies)
    spoil(spoilt)
    monkeypatch.setattr(olm, "installation", lambda: spoilt)

    with pytest.raises(ReleaseError, match=sentence):
        olm.bundle("registry.example.com/keyturn:0.1.0")
