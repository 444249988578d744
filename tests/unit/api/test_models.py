"""The models read what the API server hands out, and never repeat what they refuse."""

from __future__ import annotations

import traceback
from datetime import timedelta
from typing import Any

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyturn import api
from keyturn.api import DatabaseTarget, ManagedSecret, Recipe, SecretClass
from keyturn.api.account import Account
from keyturn.api.base import Schema, rules
from keyturn.api.rotation import Restart
from keyturn.api.secretclass import Priority
from keyturn.api.secretstore import ClusterSecretStore
from keyturn.api.status import ManagedSecretStatus
from keyturn.api.target import TRACKING_ANNOTATIONS, TRACKING_LABELS, SecretType, TemplateMetadata
from tests.support.cases import case, cases

CANARY = "canary-7Qd0"


def managed(**spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "db", "namespace": "shop"},
        "spec": {"data": [{"name": "a", "literal": "x"}]} | spec,
    }


class Leaf(Schema):
    """Model of these tests."""

    plain: str = ""
    some_name: Leaf | None = None
    """The first line,
    and the next.
    """


class Branch(Leaf):
    other: int = 0
    """Of the branch."""
    leaf: Leaf = Leaf()
    """A leaf."""


def test_a_schema_has_the_docstring_of_each_field_also_of_inherited_ones() -> None:
    found = Branch.model_json_schema()["properties"]

    assert {name: one.get("description") for name, one in found.items()} == {
        "plain": None,
        "someName": "The first line,\nand the next.",
        "other": "Of the branch.",
        "leaf": "A leaf.",
    }


def test_the_package_has_the_kinds_and_nothing_else() -> None:
    assert api.ClusterSecretStore is ClusterSecretStore
    with pytest.raises(AttributeError, match="has no attribute 'Pod'"):
        _ = api.Pod


def test_a_managed_secret_is_read_by_the_names_that_users_write() -> None:
    read = ManagedSecret.model_validate(
        managed(
            className="strict",
            target={"type": "kubernetes.io/tls"},
            rotation={"every": "90d", "schedule": None},
            rollout={"restart": "Listed", "maxConcurrent": 2, "debounce": "0s"},
        )
    )
    spec = read.spec
    assert (spec.class_name, spec.target.type, spec.rollout.restart) == (
        "strict",
        SecretType.TLS,
        Restart.LISTED,
    )
    assert (spec.rollout.max_concurrent, spec.rollout.debounce) == (2, timedelta(0))
    assert spec.rotation
    assert spec.rotation.every == timedelta(days=90)
    assert read.status == ManagedSecretStatus()


def test_a_class_is_read_by_the_names_that_users_write() -> None:
    spec = {
        "priority": "High",
        "minLength": 40,
        "minEntropyBits": 200,
        "generate": {"password": {"length": 40}},
    }
    read = SecretClass.model_validate({"metadata": {"name": "strict"}, "spec": spec}).spec
    assert (read.priority, read.min_length, read.min_entropy_bits) == (Priority.HIGH, 40, 200)
    assert read.generate == Recipe({"password": {"length": 40}})


def test_fields_of_a_newer_version_are_passed_over() -> None:
    assert ManagedSecret.model_validate(managed(somethingNew=True)) == ManagedSecret.model_validate(managed())


def test_an_object_cannot_be_changed() -> None:
    read = ManagedSecret.model_validate(managed())
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        read.spec.suspend = True  # type: ignore[misc]


@cases(
    "spec",
    case("a literal in a list", {"data": [{"name": "a", "literal": [CANARY]}]}),
    case("a literal in a map", {"data": [{"name": "a", "literal": {CANARY: 1}}]}),
    case("a literal too long", {"data": [{"name": "a", "literal": CANARY * 20000}]}),
    case("a value where its name belongs", {"data": [{"name": CANARY * 50, "literal": "x"}]}),
    case("a value where the list belongs", {"data": CANARY}),
    case("a value where an item belongs", {"data": [CANARY]}),
    case("a value where the generator belongs", {"data": [{"name": "a", "generate": CANARY}]}),
    case("a value where a duration belongs", {"rotation": {"every": CANARY}}),
    case("a value where a pause belongs", {"rollout": {"debounce": CANARY}}),
    case("a value where a type belongs", {"target": {"type": CANARY}}),
)
def test_what_is_refused_is_never_repeated(spec: dict[str, Any]) -> None:
    with pytest.raises(pydantic.ValidationError) as caught:
        ManagedSecret.model_validate(managed(**spec))
    told = "".join(traceback.format_exception(caught.value.with_traceback(None)))
    assert (CANARY in told) is False


# Recipes


settings = st.dictionaries(
    st.text(max_size=5), st.booleans() | st.integers(0, 99) | st.text(max_size=5), max_size=4
)


@given(settings, st.randoms())
def test_a_recipe_is_written_the_same_whatever_the_order(given: dict[str, Any], random: Any) -> None:
    shuffled = list(given.items())
    random.shuffle(shuffled)
    recipe, other = Recipe({"password": given}), Recipe({"password": dict(shuffled)})
    assert recipe.text == other.text
    assert Recipe.model_validate_json(recipe.text) == recipe
    assert (recipe.kind, recipe.settings) == ("password", given)


def test_another_setting_is_another_text() -> None:
    assert Recipe({"password": {"length": 32}}).text == '{"password":{"length":32}}'
    assert Recipe({"password": {"length": 33}}).text != Recipe({"password": {"length": 32}}).text


# Rules


def test_a_rule_may_blame_a_field_below() -> None:
    assert rules(("a", "write b"), ("c", "write d", ".e")) == {
        "x-kubernetes-validations": [
            {"rule": "a", "message": "write b"},
            {"rule": "c", "message": "write d", "fieldPath": ".e"},
        ]
    }


def test_a_rule_may_compute_its_message() -> None:
    assert rules(("a", "write b", ".c", "'write ' + self.d")) == {
        "x-kubernetes-validations": [
            {"rule": "a", "message": "write b", "fieldPath": ".c", "messageExpression": "'write ' + self.d"}
        ]
    }


@pytest.mark.parametrize(
    ("field", "names"),
    [("labels", TRACKING_LABELS), ("annotations", TRACKING_ANNOTATIONS)],
    ids=["labels", "annotations"],
)
def test_a_rule_names_each_key_by_which_a_gitops_tool_would_prune_the_secret(
    field: str, names: tuple[str, ...]
) -> None:
    rules_ = TemplateMetadata.model_json_schema()["properties"][field]["x-kubernetes-validations"]

    (rule,) = [one["rule"] for one in rules_ if names[0] in one["rule"]]
    assert [name for name in names if f"!('{name}' in self)" in rule] == list(names)


def test_no_secret_gets_the_annotation_in_which_kubectl_keeps_a_manifest() -> None:
    rules_ = TemplateMetadata.model_json_schema()["properties"]["annotations"]["x-kubernetes-validations"]

    assert "!('kubectl.kubernetes.io/last-applied-configuration' in self)" in [one["rule"] for one in rules_]


@pytest.mark.parametrize(
    ("engine", "settings", "own"),
    [
        ("postgresql", {"database": "orders"}, {}),
        ("redis", {}, {}),
        ("redis", {"persistence": "None"}, {"persistence": "None"}),
        ("mysql", {}, None),
    ],
)
def test_a_target_names_its_engine_and_its_settings(
    engine: str, settings: dict[str, str], own: dict[str, str] | None
) -> None:
    spec = {
        engine: {"host": "db.example.com", **settings},
        "adminCredentials": {"secretRef": {"name": "admin"}},
    }
    target = DatabaseTarget.model_validate({"metadata": managed()["metadata"], "spec": spec})

    server = target.spec.server
    assert (server and (server[0], server[1].own)) == ((engine, own) if own is not None else None)


@pytest.mark.parametrize("engine", ["postgresql", "redis"])
def test_an_account_names_the_engine_whose_settings_it_has(engine: str) -> None:
    of_engine = {"postgresql": {}, "redis": {"rules": ["~orders:*"]}}[engine]
    account = {"targetRef": {"name": "orders"}, "username": "app"}

    assert Account.model_validate(account).engines == set()
    assert Account.model_validate({**account, engine: of_engine}).engines == {engine}
