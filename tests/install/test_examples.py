"""That what users copy is right: the examples and the shipped classes."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from keyturn import generators
from keyturn.api import ManagedSecret, SecretClass
from keyturn.core.policy.rules import Evidence, violations_of
from keyturn.core.spec.desired import resolve_spec
from tests.install.installation import MANIFESTS, Installation, kustomized

_EXAMPLES = MANIFESTS / "examples"
_FILES = sorted(_EXAMPLES.glob("*.yaml"))
_CLASSES = sorted(path for path in (MANIFESTS / "classes").glob("*.yaml") if path.stem != "kustomization")

# Name, priority, every (also the maximum), appliedBy, generate: the figures of the guide's rotation schedule.
SHIPPED = {
    "jwt-secret": ("High", "180d", None, {"bytes": {"length": 32, "encoding": "base64"}}),
    "two-factor-key": ("High", "180d", "Nobody", {"bytes": {"length": 32, "encoding": "base64"}}),
    "session-secret": ("High", "180d", None, {"bytes": {"length": 32, "encoding": "base64"}}),
    "database-password": ("Critical", "90d", "Nobody", {"password": {"length": 40}}),
    "redis-password": ("Medium", "90d", "Nobody", {"bytes": {"length": 24, "encoding": "base64"}}),
    "api-key": ("High", "30d", None, {"bytes": {"length": 32, "encoding": "base64url"}}),
}


def documents(*paths: Path) -> Iterator[dict[str, Any]]:
    for path in paths:
        yield from yaml.load_all(path.read_text(), Loader=yaml.CSafeLoader)


@pytest.mark.parametrize("path", _FILES, ids=lambda path: path.stem)
def test_an_example_is_taken_without_a_warning(path: Path, cluster_wide: Installation) -> None:
    done = cluster_wide.kubectl.run("apply", "--dry-run=server", "-f", str(path))

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("path", _FILES, ids=lambda path: path.stem)
def test_an_example_says_first_what_it_shows(path: Path) -> None:
    assert re.match(r"# \S.*[.:]$", path.read_text().splitlines()[0]), "a comment, as a sentence"


def test_one_value_is_pushed_to_stores_that_keep_single_values() -> None:
    """Vault and Kubernetes keep properties, and refuse a value that is no JSON object."""
    bodies = list(documents(*_FILES))
    kinds = {
        (body["metadata"]["namespace"], body["metadata"]["name"]): next(iter(body["spec"]["provider"]))
        for body in bodies
        if body["kind"] == "SecretStore"
    }
    pushed = {
        kinds[body["metadata"]["namespace"], push["storeRef"]["name"]]
        for body in bodies
        if body["kind"] == "ManagedSecret"
        for push in body["spec"].get("pushTo", ())
        if "secretKey" in push
    }

    assert pushed == {"awsSecretsManager"}


def test_no_two_examples_have_an_object_in_common() -> None:
    named = Counter(
        (body["kind"], body["metadata"].get("namespace"), body["metadata"]["name"])
        for body in documents(*_FILES)
    )

    assert [name for name, times in named.items() if times > 1] == []


def test_the_table_lists_every_example() -> None:
    listed = re.findall(r"^\| \[(\S+)\]\((\S+)\)", (_EXAMPLES / "README.md").read_text(), re.MULTILINE)

    assert sorted(listed) == [(path.name, path.name) for path in _FILES]


@pytest.mark.parametrize("kind", ["ManagedSecret", "SecretClass"])
def test_every_field_stands_in_some_example(kind: str) -> None:
    """But for the generators of a class, which are those of an item."""
    (spec,) = (schema["properties"]["spec"] for name, schema in schemas() if name == kind)
    shown = {
        path
        for body in documents(*_FILES, *_CLASSES)
        if body["kind"] == kind
        for path in written(body["spec"], spec)
    }

    of_class = "generate." if kind == "SecretClass" else "-"
    assert {path for path in fields(spec) if not path.startswith(of_class)} - shown == set()


_CONNECTIONS = {
    "SecretStore",
    "ClusterSecretStore",
    "DatabaseTarget",
    "ClusterDatabaseTarget",
    "EmergencyRotation",
}
_SETTINGS = {
    *(".keyPrefix", ".allowedNamespaces.names", ".allowedNamespaces.selector", ".refresh.minInterval"),
    *(".refresh.ratePerSecond", ".provider.vault.caRef", ".provider.webhook.caRef"),
    *(".provider.webhook.method", ".provider.webhook.body", ".provider.awsParameterStore.endpoint"),
    *(".provider.awsParameterStore.kmsKeyId", ".postgresql.port", ".postgresql.tls.mode"),
    *(".postgresql.tls.caRef", ".postgresql.alsoAt", ".adminCredentials.secretRef.usernameKey"),
    *(".allowedUsernames", ".allowedSchemas", ".maxConnections", ".names", ".selector"),
}
"""Settings of stores, database targets and emergencies of which a user looks for an example."""


def paths_of(part: Any, name: str = "") -> Iterator[str]:
    """Name every field of an object by its path, without places in lists."""
    match part:
        case dict():
            for key, below in part.items():
                yield f"{name}.{key}"
                yield from paths_of(below, f"{name}.{key}")
        case list():
            for below in part:
                yield from paths_of(below, name)


def test_some_example_shows_each_setting_and_either_way_to_revoke() -> None:
    specs = [body["spec"] for body in documents(*_FILES) if body["kind"] in _CONNECTIONS]

    assert _SETTINGS - {path for spec in specs for path in paths_of(spec)} == set()
    assert {"Immediately", "AfterRollout"} <= {spec.get("revoke") for spec in specs}


def schemas() -> Iterator[tuple[str, Any]]:
    for crd in documents(*sorted((MANIFESTS.parent / "crds").glob("keyturn.dev_*.yaml"))):
        yield crd["spec"]["names"]["kind"], crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


def fields(schema: Any, path: str = "") -> Iterator[str]:
    """Name every field that can be written; whatever a map has under names of the user's is one of its fields."""
    if "items" in schema:
        yield from fields(schema["items"], path)
    for name, inner in schema.get("properties", {}).items():
        yield path + name
        yield from fields(inner, f"{path}{name}.")


def written(part: Any, schema: Any, path: str = "") -> Iterator[str]:
    """Name the fields that a manifest has."""
    if isinstance(part, list):
        for one in part:
            yield from written(one, schema["items"], path)
    elif isinstance(part, dict):
        for name in part.keys() & schema.get("properties", {}).keys():
            yield path + name
            yield from written(part[name], schema["properties"][name], f"{path}{name}.")


def test_every_generator_of_the_examples_reaches_the_floor() -> None:
    recipes = [
        item.generate
        for body in documents(*_FILES)
        if body["kind"] == "ManagedSecret"
        for item in ManagedSecret.model_validate(body).spec.data
        if item.generate is not None
    ]

    assert {generators.make(recipe).kind for recipe in recipes} == generators.discover().keys()


_LOGINS = {"password", "passphrase", "basicAuth", "dockerConfig"}
"""Kinds whose values a server checks, so that it has to learn a new one."""


def unapplied(bodies: Iterator[dict[str, Any]]) -> set[str]:
    """Name the ManagedSecrets whose schedule rotates a login without a word on what applies it."""
    managed = [ManagedSecret.model_validate(body) for body in bodies if body["kind"] == "ManagedSecret"]
    return {
        one.metadata.name
        for one in managed
        if one.spec.rotation and (one.spec.rotation.every or one.spec.rotation.schedule)
        if any(
            item.generate and item.generate.kind in _LOGINS
            for item in one.spec.data
            if item.rotation is None or item.rotation.applied_by is None
        )
        if one.spec.rotation.applied_by is None and one.spec.account is None
    }


def test_no_example_rotates_a_login_that_its_server_does_not_learn() -> None:
    pages = [MANIFESTS.parent / "README.md", *sorted((MANIFESTS.parent / "docs").rglob("*.md"))]
    blocks = [
        block for page in pages for block in re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL)
    ]
    shown = (
        {"metadata": {}} | body
        for block in blocks
        if "kind: ManagedSecret" in block and "data:" in block
        for body in yaml.safe_load_all(block)
        if body and body.get("kind") == "ManagedSecret"
    )

    assert unapplied(documents(*_FILES)) == set()
    assert unapplied(shown) == set()


def test_the_shipped_classes_are_taken(cluster_wide: Installation) -> None:
    done = cluster_wide.kubectl.run("apply", "--dry-run=server", "-k", str(MANIFESTS / "classes"))

    assert (done.stderr, len(done.stdout.splitlines())) == ("", len(SHIPPED))


def test_the_shipped_classes_have_the_figures_of_the_guide() -> None:
    figures = {
        body["metadata"]["name"]: (
            body["spec"]["priority"],
            body["spec"]["rotation"]["every"],
            body["spec"]["rotation"].get("appliedBy"),
            body["spec"]["generate"],
        )
        for body in documents(*_CLASSES)
    }

    assert figures == SHIPPED


def test_the_example_of_a_default_class_rotates_no_existing_object() -> None:
    (body,) = documents(_EXAMPLES / "default-class.yaml")
    managed = {"metadata": {"name": "old", "namespace": "shop", "resourceVersion": "1"}}
    spec = {"data": [{"name": "password", "generate": {"password": {}}}]}

    desired = resolve_spec(
        ManagedSecret.model_validate(managed | {"spec": spec}), SecretClass.model_validate(body)
    )

    assert desired.on_request


@pytest.mark.parametrize("path", _CLASSES, ids=lambda path: path.stem)
def test_a_shipped_class_has_every_rule_of_the_guide_and_warns(path: Path) -> None:
    (body,) = documents(path)
    spec = body["spec"]

    assert (spec["maxInterval"], spec["minLength"]) == (spec["rotation"]["every"], 32)
    assert (spec["distinctAcrossEnvironments"], spec["enforcement"]) == (True, "Warn")


@pytest.mark.parametrize(
    ("every", "broken"), [("90d", set()), ("91d", {"maxInterval"}), ("365d", {"maxInterval"})]
)
def test_a_longer_interval_than_that_of_the_class_is_a_violation(every: str, broken: set[str]) -> None:
    (body,) = documents(MANIFESTS / "classes" / "database-password.yaml")
    secret_class = SecretClass.model_validate(body)
    managed = {"metadata": {"name": "db", "namespace": "shop", "resourceVersion": "1"}}
    spec = {"className": "database-password", "data": [{"name": "password"}], "rotation": {"every": every}}
    desired = resolve_spec(ManagedSecret.model_validate(managed | {"spec": spec}), secret_class)
    assert secret_class.spec.generate is not None
    strength = generators.make(secret_class.spec.generate).strength()
    assert strength is not None

    found = violations_of(secret_class, Evidence({"password": strength}, desired.cadence, desired.rotates))

    assert {violation.rule for violation in found} == broken


def test_the_component_enforce_denies_what_violates_a_rule() -> None:
    made = kustomized(MANIFESTS / "classes", components=[MANIFESTS / "components" / "enforce"])

    assert {(one["kind"], one["spec"]["enforcement"]) for one in made} == {("SecretClass", "Deny")}
    assert len(made) == len(SHIPPED)


@pytest.mark.parametrize("path", _CLASSES, ids=lambda path: path.stem)
def test_a_shipped_class_generates_what_its_own_minimums_allow(path: Path) -> None:
    (body,) = documents(path)
    spec = SecretClass.model_validate(body).spec
    assert spec.generate is not None

    strength = generators.make(spec.generate).strength()

    assert strength is not None
    assert strength.length >= (spec.min_length or 0)
    assert strength.bits >= (spec.min_entropy_bits or 0)
