"""What of an object may change once it exists."""

import secrets
from typing import Any

import pytest

from keyturn.api.managedsecret import NAME_STAYS
from tests.cluster.api.objects import Body, Objects, body, managed_secret, refusals

_LOGIN = "kubernetes.io/basic-auth"
_LITERAL = {"name": "username", "literal": "shop"}
_ACCOUNT = {"targetRef": {"name": "orders"}, "username": "orders_app"}
OWN = "OWN"
"""Stands for the object's name."""


def new_name() -> str:
    return f"changing-{secrets.token_hex(4)}"


def changed(objects: Objects, stored: Body, spec: Body) -> list[tuple[str, str]]:
    """Replace the spec of what is stored, and return what is against it."""
    return refusals(lambda: objects.replace({**stored, "spec": spec}))


def retargeted(objects: Objects, before: Body | None, after: Body | None) -> list[tuple[str, str]]:
    name = new_name()
    return changed(objects, objects.create(targeting(name, before)), targeting(name, after)["spec"])


def targeting(name: str, target: Body | None) -> Body:
    """Return a ManagedSecret with a target, whose name OWN is that of the object."""
    if target is None:
        return managed_secret(_LITERAL, name=name)
    named = {**target, "name": name} if target.get("name") == OWN else target
    return managed_secret(_LITERAL, name=name, target=named)


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
    [(field, message)] = retargeted(objects, before, after)

    assert field == "spec.target.type"
    assert "Kubernetes does not let the type of a Secret change" in message


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(None, {"type": "Opaque"}, id="the default in words"),
        pytest.param({"type": "Opaque"}, {"name": "login", "type": _LOGIN}, id="another type of another one"),
        pytest.param({"name": "login"}, {"name": "access"}, id="another Secret"),
    ],
)
def test_what_keeps_the_type_may_change(before: Body | None, after: Body | None, objects: Objects) -> None:
    assert retargeted(objects, before, after) == []


@pytest.mark.parametrize(
    ("before", "after", "is_refused"),
    [
        pytest.param(None, {"name": OWN}, False, id="the default in words"),
        pytest.param({"name": OWN}, None, False, id="the default without words"),
        pytest.param(None, {"name": "login"}, True, id="a name that comes"),
        pytest.param({"name": "login"}, None, True, id="a name that goes"),
        pytest.param({"name": "login"}, {"name": "access"}, True, id="another name"),
    ],
)
def test_the_name_of_a_secret_stays_once_it_is_written(
    before: Body | None, after: Body | None, *, is_refused: bool, objects: Objects
) -> None:
    name = new_name()
    stored = objects.create(targeting(name, before))
    stored = objects.write_status(stored, {"secretName": name})

    refused = changed(objects, stored, targeting(name, after)["spec"])

    assert [field for field, _ in refused] == (["spec.target.name"] if is_refused else [])
    assert all(NAME_STAYS in message for _, message in refused)


def with_account(objects: Objects) -> Body:
    passwords: list[Body] = [{"name": name, "generate": {"password": {}}} for name in ("password", "other")]
    return objects.create(managed_secret(*passwords, name=new_name(), account=_ACCOUNT))


@pytest.mark.parametrize(
    "change",
    [
        {"username": "other"},
        {"targetRef": {"name": "other"}},
        {"targetRef": {"kind": "ClusterDatabaseTarget", "name": "orders"}},
        {"postgresql": {"strategy": "SingleUser"}},
        {"passwordValue": "other"},
    ],
    ids=str,
)
def test_the_account_of_an_object_cannot_change(change: Body, objects: Objects) -> None:
    stored = with_account(objects)

    [(field, message)] = changed(objects, stored, stored["spec"] | {"account": _ACCOUNT | change})

    assert field == "spec.account"
    assert "username, targetRef, postgresql.strategy and passwordValue stay as they are" in message


def test_a_default_that_is_written_is_no_change(objects: Objects) -> None:
    stored = with_account(objects)
    account = {"postgresql": {"strategy": "AlternatingUsers"}, "passwordValue": "password"}
    account |= _ACCOUNT | {"targetRef": {"kind": "DatabaseTarget", "name": "orders"}}
    assert changed(objects, stored, stored["spec"] | {"account": account}) == []


def declared(objects: Objects) -> Body:
    spec = {"reason": "a laptop was stolen", "names": ["auth"]}
    return objects.create(body("EmergencyRotation", new_name(), spec))


@pytest.mark.parametrize(
    "change",
    [
        {"reason": "nothing has happened"},
        {"incident": "INC-1"},
        {"names": ["auth", "mail"]},
        {"items": ["jwt-secret"]},
        {"revoke": "AfterRollout"},
    ],
    ids=str,
)
def test_what_was_declared_is_not_changed(change: dict[str, Any], objects: Objects) -> None:
    stored = declared(objects)

    [(field, message)] = changed(objects, stored, stored["spec"] | change)

    assert field == "spec"
    assert "an emergency is a record and cannot be changed" in message


def test_an_emergency_can_be_acknowledged_by_annotation(objects: Objects) -> None:
    stored = declared(objects)
    acknowledged = {"keyturn.dev/acknowledge-audit": "ada"}

    objects.replace({**stored, "metadata": stored["metadata"] | {"annotations": acknowledged}})
