"""What a spec says of the Secret's keys and life."""

from typing import Any

import pytest

from keyturn.api.target import Adopt, CreationPolicy, DeletionPolicy
from keyturn.core.errors import Stalled
from keyturn.core.rotation.triggers import reason_for_revision
from keyturn.core.spec.desired import TargetPolicy, resolve_spec
from keyturn.core.spec.schedule import Every
from tests.unit.core.builders import USERNAME, managed, observed, secret_class, state

PAIR = ("privateKey", "publicKey")


def item(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "literal": "x", **more}


def of_type(type_: str, *items: dict[str, Any], **target: Any) -> dict[str, Any]:
    return {"data": list(items), "target": {"type": f"kubernetes.io/{type_}", **target}}


def test_by_default_the_secret_is_ours_and_stays() -> None:
    shape = resolve_spec(managed(), None).target_policy

    assert shape == TargetPolicy()
    assert (shape.merges, shape.adopts, shape.deletes) == (False, False, False)


@pytest.mark.parametrize(("written", "keeps"), [(None, True), ("Keep", True), ("Remove", False)])
def test_what_an_adopted_secret_holds_beside_the_items_stays_unless_asked(
    written: str | None, keeps: bool
) -> None:
    target = {"otherKeys": written} if written else {}

    assert resolve_spec(managed({"target": target}), None).target_policy.keeps_others is keeps


def test_what_is_written_of_its_life_counts() -> None:
    target = {"adopt": "IfUnowned", "deletionPolicy": "Delete", "immutable": True}

    shape = resolve_spec(managed({"target": target}), None).target_policy

    assert shape == TargetPolicy(adopt=Adopt.IF_UNOWNED, deletion=DeletionPolicy.DELETE, immutable=True)
    assert (shape.adopts, shape.deletes) == (True, True)


@pytest.mark.parametrize(("type_", "any_type"), [(None, True), ("Opaque", False)])
def test_the_type_of_a_secret_of_others_is_theirs(type_: str | None, any_type: bool) -> None:
    target = {"creationPolicy": "Merge"} | ({"type": type_} if type_ else {})

    shape = resolve_spec(managed({"target": target}), None).target_policy

    assert (shape.creation, shape.merges, shape.any_type) == (CreationPolicy.MERGE, True, any_type)


def test_an_immutable_secret_does_not_turn_by_the_interval_of_its_class() -> None:
    given = secret_class(rotation={"every": "90d"})

    assert isinstance(resolve_spec(managed(), given).cadence, Every)
    desired = resolve_spec(managed({"target": {"immutable": True}}), given)
    assert (desired.cadence, desired.rotates) == (None, frozenset())


COMPLETE = {
    "tls by items": of_type("tls", item("tls.crt"), item("tls.key")),
    "tls by a renamed key": of_type("tls", item("tls.crt"), item("key", keys={"value": "tls.key"})),
    "tls by a template": of_type("tls", item("tls.crt"), template={"data": {"tls.key": "x"}}),
    "ssh-auth by a renamed output": of_type(
        "ssh-auth", {"name": "key", "generate": {"pair": {}}, "keys": {"privateKey": "ssh-privatekey"}}
    ),
    "basic-auth by one of two": of_type("basic-auth", item("password")),
    "dockerconfigjson": of_type("dockerconfigjson", item(".dockerconfigjson")),
    "keys that are there in a Secret of others": of_type("tls", item("x"), creationPolicy="Merge"),
}
MISSING = {
    "tls without anything": (of_type("tls", item("x")), "tls", "keys tls.crt and tls.key"),
    "tls without its key": (of_type("tls", item("tls.crt")), "tls", "key tls.key"),
    "tls whose key was renamed": (
        of_type("tls", item("tls.crt"), item("tls.key", keys={"value": "key"})),
        "tls",
        "key tls.key",
    ),
    "ssh-auth under the output's own name": (
        of_type("ssh-auth", {"name": "key", "generate": {"pair": {}}}),
        "ssh-auth",
        "key ssh-privatekey",
    ),
    "basic-auth without either": (of_type("basic-auth", item("x")), "basic-auth", "key username or password"),
}


def outputs_of(recipe: object) -> tuple[str, ...]:
    del recipe
    return PAIR


@pytest.mark.parametrize("spec", [pytest.param(spec, id=name) for name, spec in COMPLETE.items()])
def test_a_type_has_its_keys(spec: dict[str, Any]) -> None:
    resolve_spec(managed(spec), None, outputs_of)


@pytest.mark.parametrize(
    ("spec", "type_", "key"), [pytest.param(*case, id=name) for name, case in MISSING.items()]
)
def test_a_key_that_the_type_needs_is_missing(spec: dict[str, Any], type_: str, key: str) -> None:
    with pytest.raises(Stalled) as refused:
        resolve_spec(managed(spec), None, outputs_of)

    assert (refused.value.reason, refused.value.message) == (
        "MissingKey",
        (
            f"type kubernetes.io/{type_} needs the {key}; name an item so,"
            " or write an output under it by keys, or a template"
        ),
    )


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        pytest.param(
            {"data": [{**USERNAME, "keys": {"value": "user"}}]},
            "keys of data changed: username",
            id="a renamed key",
        ),
        pytest.param(
            {"data": [USERNAME], "target": {"template": {"data": {"url": "x"}}}},
            "target.template.data changed",
            id="a template",
        ),
    ],
)
def test_another_shape_is_a_revision_without_new_values(spec: dict[str, Any], message: str) -> None:
    reason = reason_for_revision(observed(spec, state=state(names=["username"])))

    assert reason
    assert (reason.name, reason.message, reason.fresh, reason.rotates) == (
        "SpecChanged",
        message,
        frozenset(),
        False,
    )
