"""Shipped classes and examples on a cluster: the schedule breaks no login, and the guide's intervals are rules."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from keyturn.core.value import Value

if TYPE_CHECKING:
    from tests.cluster.namespace import Space

_EXAMPLES = Path(__file__).parents[4] / "manifests" / "examples"
_CLASSES = ("database-password", "redis-password", "two-factor-key")


def example(name: str) -> dict[str, Any]:
    """Return the name and the spec of the ManagedSecret of an example."""
    bodies = yaml.safe_load_all((_EXAMPLES / f"{name}.yaml").read_text())
    body = next(one for one in bodies if one["kind"] == "ManagedSecret")
    return {"name": body["metadata"]["name"], **body["spec"]}


def managed(space: Space, name: str) -> str:
    """Create the ManagedSecret of an example; return its name."""
    spec = example(name)
    space.managed(*spec.pop("data"), **spec)
    return str(spec["name"])


@pytest.mark.parametrize("class_name", _CLASSES)
def test_a_value_that_a_server_must_learn_is_due_and_waits(class_name: str, space: Space) -> None:
    space.managed({"name": "value"}, className=class_name)
    before = space.values()

    space.age(days=200)

    space.until_condition("Rotating", "False", "Due")
    space.until_condition("PolicyCompliant", "False", "overdue")
    assert (space.values(), space.revision()) == (before, "1")
    assert space.status()["overdue"] is False


def test_the_example_of_a_database_password_is_due_after_its_interval(space: Space) -> None:
    name = managed(space, "database-password")

    space.age(91, name)

    space.until_condition("Rotating", "False", "Due", name)


def test_the_first_example_rotates_by_schedule(space: Space) -> None:
    name = managed(space, "auth-secrets")

    space.age(91, name)

    space.until_revision("2", name)


def test_the_example_with_previous_values_has_both_keys_during_the_overlap(space: Space) -> None:
    name = managed(space, "previous")
    first = space.values(name)["JWT_KEYS"].reveal()

    space.rotate(name)
    space.until_revision("2", name)

    found = space.values(name)
    assert found["JWT_KEYS"] == Value(found["jwt"].reveal() + b"," + first)
