"""Which values count as generated, so that their recipe is trusted; all others are estimated."""

import asyncio
import base64
from typing import Any

import pytest

from keyturn import generators
from keyturn.api.managedsecret import ManagedSecret
from keyturn.checklist.cluster import judge_strength
from keyturn.checklist.facts import Declared, Held, held_in
from keyturn.core.spec.desired import resolve_spec
from keyturn.generators import generator_for
from tests.support.cases import case, cases

generators.discover()

STALLED = {
    "type": "Stalled",
    "status": "True",
    "reason": "KeyTaken",
    "message": "",
    "lastTransitionTime": "2026-05-01T12:00:00Z",
}


def declared(**status: Any) -> Declared:
    """Return a ManagedSecret whose Secret was written, unless its status says otherwise."""
    body = {
        "metadata": {"name": "db", "namespace": "shop", "generation": 2},
        "spec": {"data": [{"name": "password", "generate": {"password": {}}}]},
        "status": {"observedGeneration": 2, "revision": 1, **status},
    }
    managed = ManagedSecret.model_validate(body)
    return Declared(managed, None, resolve_spec(managed, None, lambda recipe: generator_for(recipe).outputs))


def secret(owner: str = "db", writer: str = "keyturn", key: str = "password") -> dict[str, Any]:
    metadata = {
        "name": "db",
        "namespace": "shop",
        "uid": "u",
        "resourceVersion": "1",
        "labels": {"keyturn.dev/managed-secret": owner} if owner else {},
        "managedFields": [{"manager": writer}],
    }
    return {"type": "Opaque", "metadata": metadata, "data": {key: base64.b64encode(b"hunter2").decode()}}


class Cluster:
    """Facts of a cluster with one Secret."""

    def __init__(self, body: dict[str, Any], one: Declared) -> None:
        self._held = [*held_in(body, b"k" * 32)]
        self._declared = [one]

    async def list_declared(self) -> list[Declared]:
        return self._declared

    async def list_held(self) -> list[Held]:
        return self._held


def verdict(body: dict[str, Any], one: Declared) -> str:
    (found,) = asyncio.run(judge_strength(Cluster(body, one)))  # type: ignore[arg-type]  # a fake
    return found.verdict


@pytest.mark.parametrize("key", ["password", "password.previous"])
def test_a_value_of_a_secret_that_keyturn_wrote_passes_by_its_recipe(key: str) -> None:
    assert verdict(secret(key=key), declared()) == "Pass"


@cases(
    ("body", "one"),
    case("the Secret is foreign", secret(owner="", writer="kubectl"), declared()),
    case("the Secret is of another ManagedSecret", secret(owner="other"), declared()),
    case("the Secret is a copy with the label", secret(writer="kubectl"), declared()),
    case("nothing was published", secret(), declared(revision=None)),
    case("the spec has changed since", secret(), declared(observedGeneration=1)),
    case("the spec cannot be carried out", secret(), declared(conditions=[STALLED])),
    case("no item has the key", secret(key="given"), declared()),
)
def test_a_weak_value_fails_although_a_spec_names_it_if(body: dict[str, Any], one: Declared) -> None:
    assert verdict(body, one) == "Fail"
