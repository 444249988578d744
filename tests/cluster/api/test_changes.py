"""What of a ManagedSecret may change once it exists."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import pytest
from kubernetes.client import ApiException

from tests.cluster.api.causes import causes
from tests.cluster.api.objects import managed_secret

if TYPE_CHECKING:
    from tests.cluster.api.objects import Body, Objects

_LOGIN = "kubernetes.io/basic-auth"
_DATA = {"name": "username", "literal": "shop"}
_REFUSED = [
    (
        "spec.target.type: Invalid value: Kubernetes does not let the type of a Secret change; give"
        " target.name a new"
        " name as well"
    )
]


def with_target(name: str, target: Body | None) -> Body:
    spec: dict[str, Any] = {} if target is None else {"target": target}
    return managed_secret(_DATA, name=name, **spec)


def change(objects: Objects, before: Body | None, after: Body | None) -> list[str]:
    """Create with one target, go over to another, and say what is against it; OWN stands for the"
    " object's name."""
    name = f"changing-{secrets.token_hex(4)}"
    stored = objects.create(with_target(name, _naming(before, name)))
    desired = with_target(name, _naming(after, name))
    body = {**stored, "spec": desired["spec"]}
    try:
        objects.replace(body)
    except ApiException as refused:
        return causes(refused, body)
    return []


def _naming(target: Body | None, name: str) -> Body | None:
    return {**target, "name": name} if target and target.get("name") == OWN else target


OWN = "OWN"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param({"type": "Opaque"}, {"type": _LOGIN}, id="another type"),
        pytest.param(None, {"type": _LOGIN}, id="a target that comes"),
        pytest.param({"type": _LOGIN}, None, id="a target that goes"),
        pytest.param({"name": "login", "type": _LOGIN}, {"name": "login"}, id="a type that goes"),
        pytest.param({"type": _LOGIN}, {"name": OWN}, id="a name that was meant before"),
    ],
)
def test_the_type_of_a_secret_stays(before: Body | None, after: Body | None, objects: Objects) -> None:
    assert change(objects, before, after) == _REFUSED


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(None, {"type": "Opaque"}, id="the default in words"),
        pytest.param(
            {"type": "Opaque"}, {"name": "login", "type": _LOGIN}, id="another type of another Secret"
        ),
        pytest.param({"name": "login"}, {"name": "access"}, id="another Secret"),
    ],
)
def test_what_keeps_the_type_may_change(before: Body | None, after: Body | None, objects: Objects) -> None:
    assert change(objects, before, after) == []
