"""What the operator says of the checklist: of each ManagedSecret with or without a class, and of them all."""

from __future__ import annotations

import base64
import re
import secrets
from typing import TYPE_CHECKING, Any

import pytest

from sandbox.harness import eventually
from tests.cluster.namespace import Space, bytes_, literal, password

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.harness import Kubectl
    from tests.cluster.classes import Class
    from tests.cluster.store_objects import Stores
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


def test_made_values_without_a_schedule_are_reported_and_block_no_other(space: Space) -> None:
    status = space.managed(password(), {"name": "id", "generate": {"uuid": {}}})

    assert status["revision"] == 1
    assert broken(space).keys() == {"noSchedule"}
    assert broken(space)["noSchedule"].startswith("password has no rotation schedule; write rotation.every")
    assert space.events("PolicyViolation") == []


def test_what_only_leaves_out_has_no_schedule(space: Space) -> None:
    space.managed(password(), bytes_(), rotation={**SCHEDULE, "only": ["password"]})

    assert broken(space)["noSchedule"].startswith("token has no rotation schedule")


def test_what_ends_automatically_and_what_is_written_once_need_no_schedule(space: Space) -> None:
    certificate = {"commonName": "shop", "dnsNames": ["shop.test"]}
    space.managed({"name": "tls", "generate": {"certificate": certificate}})
    space.managed(name="once", target={"immutable": True})

    assert (broken(space), broken(space, "once")) == ({}, {})


def test_a_literal_is_judged_by_what_it_is(space: Space) -> None:
    space.managed(
        literal("username", "shop"), literal("pin", "hunter2"), literal("key", secrets.token_urlsafe(40))
    )

    assert broken(space).keys() == {"weakValue"}
    assert broken(space)["weakValue"].startswith("pin looks weak")


def test_an_adopted_value_is_judged_until_it_is_rotated(space: Space) -> None:
    data = {"password": base64.b64encode(b"hunter2-hunter2").decode()}
    space.create({"kind": "Secret", "metadata": {"name": "auth"}, "data": data})
    space.managed(password(), target={"adopt": "IfUnowned"}, rotation=SCHEDULE)
    assert broken(space).keys() == {"weakValue"}

    space.rotated()

    space.until_condition("PolicyCompliant", "True", "Compliant")


def test_a_pulled_value_is_judged_each_time_that_it_is_another(space: Space, files: Stores) -> None:
    files.keep("token", "changeme")
    space.managed(files.from_file("token"))
    assert broken(space).keys() == {"weakValue"}

    files.keep("token", secrets.token_urlsafe(40))
    space.refresh()

    space.until_condition("PolicyCompliant", "True", "Compliant")


def test_what_its_class_forbids_is_not_reported_twice(space: Space, files: Stores, class_: Class) -> None:
    class_.write(minLength=40, maxInterval="30d", enforcement="Warn")
    files.keep("token", "changeme")
    kept = files.from_file("token")

    space.managed(kept, password(length=40), className=class_.name)

    assert broken(space).keys() == {"minLength", "maxInterval"}


@pytest.fixture
def production(space: Space, kubectl: Kubectl) -> Iterator[tuple[Space, Space]]:
    """Two namespaces, of production and of development, with the same values."""
    name = f"{space.namespace}-dev"
    kubectl("create", "namespace", name)
    there = Space(space.objects, name)
    kubectl("label", "namespace", space.namespace, "keyturn.dev/environment=production")
    kubectl("label", "namespace", name, "keyturn.dev/environment=development")
    space.managed(password(), rotation=SCHEDULE)
    data = space.get("Secret", "auth")["data"]
    there.create({"kind": "Secret", "metadata": {"name": "auth"}, "data": data})
    there.managed(password(), target={"adopt": "IfUnowned"}, rotation=SCHEDULE)
    yield space, there
    kubectl("delete", "namespace", name, "--wait=false")


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
