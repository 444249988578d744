"""What the operator says of the checklist: of each ManagedSecret with or without a class, and of them all."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from sandbox.harness import eventually
from tests.cluster.namespace import Space, literal, password

if TYPE_CHECKING:
    from sandbox.harness import Kubectl
    from tests.support.operator import Operator

SCHEDULE: dict[str, Any] = {"every": "90d"}


def broken(space: Space, name: str = "auth") -> dict[str, str]:
    """Return by rule what the status says to be broken."""
    assert space.condition("PolicyCompliant", name), "the condition is there"
    policy = space.status(name).get("policy") or {}
    return {one["rule"]: one["message"] for one in policy.get("violations", ())}


def metrics(operator: Operator, name: str) -> set[str]:
    return set(re.findall(rf"^keyturn_{name}(\{{.*)$", operator.get("/metrics")[1], re.MULTILINE))


def test_what_keeps_every_rule_says_so_without_a_class(space: Space) -> None:
    space.managed(rotation=SCHEDULE)

    found = space.condition("PolicyCompliant")

    assert found
    assert (found["status"], found["message"]) == ("True", "every rule of the checklist holds")


@pytest.fixture
def production(space: Space, other: Space, kubectl: Kubectl) -> tuple[Space, Space]:
    """Two namespaces, of production and of development, with the same values."""
    kubectl("label", "namespace", space.namespace, "keyturn.dev/environment=production")
    kubectl("label", "namespace", other.namespace, "keyturn.dev/environment=development")
    space.managed(password(), rotation=SCHEDULE)
    data = space.get("Secret", "auth")["data"]
    other.create({"kind": "Secret", "metadata": {"name": "auth"}, "data": data})
    other.managed(password(), target={"adopt": "IfUnowned"}, rotation=SCHEDULE)
    return space, other


def test_a_value_of_production_in_development_is_reported(production: tuple[Space, Space]) -> None:
    here, there = production

    here.until_condition("PolicyCompliant", "False", "sharedValue")
    assert there.namespace not in str(here.status())
    assert broken(there) == {}
    there.rotated()
    here.until_condition("PolicyCompliant", "True", "Compliant")


def compared(operator: Operator) -> set[str]:
    """Return whose equal values this process has told its log of."""
    return {str(line["secret"]) for line in operator.lines() if line["event"] == "equal values found"}


def test_a_restart_of_the_operator_writes_nothing_about_it(
    production: tuple[Space, Space], operator: Operator
) -> None:
    here, _ = production
    here.until_condition("PolicyCompliant", "False", "sharedValue")
    before = here.version("ManagedSecret", "auth")

    with operator.away():
        pass
    eventually(lambda: f"{here.namespace}/auth" in compared(operator), "they are compared")

    assert here.version("ManagedSecret", "auth") == before


def test_the_points_are_reported_as_metrics(space: Space, operator: Operator) -> None:
    space.managed(literal("pin", "hunter2"))

    eventually(
        lambda: any('rule="weakValue"' in one for one in metrics(operator, "policy_violations")), "counted"
    )
    told = metrics(operator, "checklist")

    assert '{point="strength",verdict="Fail"} 1' in told
    assert '{point="strength",verdict="Pass"} 0' in told
    assert {re.findall('point="([^"]+)"', one)[0] for one in told} == {
        "strength",
        "environments",
        "schedule",
        "revocation",
    }
