"""What a SecretClass gives to its ManagedSecrets and refuses to them, by its watch and that of namespaces."""

from collections.abc import Iterator
from typing import Any

import pytest

from keyturn.core.policy.checklist import POINTS
from sandbox.harness import eventually
from tests.cluster.classes import Class
from tests.cluster.namespace import OWNER, Space, bytes_, password
from tests.support.objects import Body
from tests.support.operator import Operator

MONTHLY: dict[str, Any] = {"every": "30d", "jitter": "0%"}
ROTATE = "rotate it, such as by the annotation keyturn.dev/rotate"


def test_a_class_that_comes_and_goes_is_followed_at_once(space: Space, class_: Class) -> None:
    space.manage({"name": "password"}, bytes_(), className=class_.name)
    message = space.stalled("SecretClassNotFound")
    start = f"there is no SecretClass {class_.name!r}; create it or write one of these as className: "
    assert message.startswith(start)
    assert {"api-key", "database-password", "jwt-secret"} <= set(message.removeprefix(start).split(", "))

    class_.write(generate={"password": {"length": 40}}, rotation=MONTHLY)
    space.settled(revision=1)
    assert space.lengths() == {"password": 40, "token": 44}
    before = space.version("Secret", "auth")

    class_.delete()
    space.stalled("SecretClassNotFound")
    space.until_condition("Ready", "True", "Published")
    assert space.version("Secret", "auth") == before


def test_a_class_that_denies_instead_stops_what_continues(space: Space, class_: Class) -> None:
    class_.write(minLength=64, enforcement="Warn")
    space.managed(password(), className=class_.name)
    assert space.until_event("PolicyViolation").startswith("minLength: password would have 32 characters")
    before = space.version("Secret", "auth")

    class_.write(minLength=64, enforcement="Deny")
    space.stalled("PolicyViolation")
    space.rotate()
    space.looked_at()

    assert space.version("Secret", "auth") == before
    space.until_condition("Ready", "True", "Published")


def test_each_broken_rule_is_counted(space: Space, class_: Class, operator: Operator) -> None:
    def count(rule: str) -> int:
        lines = operator.get("/metrics")[1].splitlines()
        start = f'keyturn_policy_violations{{rule="{rule}",point="{POINTS[rule]}"}} '
        return next((int(line.removeprefix(start)) for line in lines if line.startswith(start)), 0)

    before = {rule: count(rule) for rule in ("minLength", "maxInterval")}
    class_.write(minLength=64, maxInterval="30d", enforcement="Warn")

    for name in ("a", "b"):
        space.managed(password(), name=name, className=class_.name)

    eventually(lambda: all(count(rule) == number + 2 for rule, number in before.items()), "the counts")


# Environments


def put_into(space: Space, environment: str) -> None:
    def change(body: Body) -> None:
        body["metadata"].setdefault("labels", {})["keyturn.dev/environment"] = environment

    space.objects.edit("Namespace", "", space.namespace, change)


@pytest.fixture
def equal_values(space: Space, other: Space, class_: Class) -> tuple[Space, Space]:
    """Two namespaces that hold equal values, the first an environment, and a class that forbids it between two."""
    class_.write(distinctAcrossEnvironments=True, rotation=MONTHLY)
    put_into(space, "production")
    space.managed(className=class_.name)
    data = space.get("Secret", "auth")["data"]
    other.create({"kind": "Secret", "metadata": {"name": "auth", "labels": {OWNER: "auth"}}, "data": data})
    other.managed(className=class_.name)
    return space, other


def test_only_the_log_of_the_operator_names_who_has_the_equal_value(
    equal_values: tuple[Space, Space], class_: Class, operator: Operator
) -> None:
    here, there = equal_values
    put_into(there, "development")

    for one in equal_values:
        assert one.stalled("PolicyViolation") == "; ".join(
            f"{name} has the same value as in another environment, which class {class_.name} forbids; {ROTATE}"
            for name in ("password", "token")
        )
    told = [
        str(one.get("ManagedSecret", "auth")["status"]) + str(one.events("PolicyViolation"))
        for one in equal_values
    ]
    assert there.namespace not in told[0]
    assert f"'{here.namespace}" not in told[1]
    lines = [line for line in operator.lines() if line["event"] == "equal values found"]
    pairs = {(line["secret"], *line["others"]) for line in lines}
    assert (f"{here.namespace}/auth", f"{there.namespace}/auth") in pairs
    assert (f"{there.namespace}/auth", f"{here.namespace}/auth") in pairs


def test_what_was_cured_while_the_operator_was_away_is_said_when_it_is_back(
    equal_values: tuple[Space, Space], operator: Operator
) -> None:
    here, there = equal_values
    put_into(there, "development")
    here.stalled("PolicyViolation")

    with operator.away():
        there.delete("ManagedSecret", "auth")

    here.settled(revision=1)


# The default class


@pytest.fixture
def default(class_: Class) -> Iterator[Class]:
    """A class that others may find marked as the default for a while."""
    yield class_
    if class_.exists():
        class_.mark_default(None)


def test_who_names_no_class_follows_the_default_one(space: Space, default: Class) -> None:
    space.managed(password())
    default.write(rotation=MONTHLY, minLength=32)

    default.mark_default()
    space.until(lambda body: "nextRotationTime" in body["status"], "the interval of the class")
    space.until_condition("PolicyCompliant", "True", "Compliant")
    assert default.until("Ready", "True", "Default") == "managed secrets that name no class use this one"
    default.mark_default(None)

    space.until(lambda body: "nextRotationTime" not in body["status"], "no class")
    default.until("Ready", "True", "Valid")


def test_a_class_that_contradicts_itself_is_stalled(class_: Class) -> None:
    class_.write(rotation={"every": "91d"}, maxInterval="90d")

    sentence = class_.until("Stalled", "True", "PolicyViolation")
    assert sentence.startswith("rotation.every is 91d")
    assert class_.until("Ready", "False", "PolicyViolation") == sentence
