"""What becomes of a ManagedSecret that breaks a rule of its class, and what a class says of itself."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import pytest

from keyturn.core.policy.checklist import POINTS
from sandbox.harness import eventually
from tests.cluster.classes import Class
from tests.cluster.namespace import OWNER, Space, password

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.objects import Body, Objects
    from tests.support.operator import Operator

WINDOWLESS: dict[str, Any] = {"every": "30d", "jitter": "0%"}
ROTATE = "rotate it, such as by the annotation keyturn.dev/rotate"


def violated(space: Space, name: str = "auth") -> tuple[str, ...]:
    """Return the rules that the status names as broken."""
    policy = space.status(name).get("policy") or {}
    return tuple(one["rule"] for one in policy.get("violations", ()))


# Warn and Deny


def test_a_warning_is_one_event(space: Space, class_: Class) -> None:
    class_.write(minLength=64, enforcement="Warn")
    space.managed(password(), className=class_.name)

    note = space.until_event("PolicyViolation")
    space.rotated()

    assert note == (
        f"minLength: password would have 32 characters and class {class_.name} asks for 64;"
        " write a larger length"
    )
    assert space.events("PolicyViolation") == [note]


def test_a_class_that_denies_instead_stops_what_continues(space: Space, class_: Class) -> None:
    class_.write(minLength=64, enforcement="Warn")
    space.managed(password(), className=class_.name)
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

    before = {rule: count(rule) for rule in ("minLength", "maxInterval", "minEntropyBits")}
    class_.write(minLength=64, maxInterval="30d", enforcement="Warn")

    for name in ("a", "b"):
        space.managed(password(), name=name, className=class_.name)

    eventually(
        lambda: (
            {rule: count(rule) - before[rule] for rule in before}
            == {"minLength": 2, "maxInterval": 2, "minEntropyBits": 0}
        ),
        "the counts",
    )


# Intervals


# Minimums that are raised


# Environments


def put_into(space: Space, environment: str | None) -> None:
    labels = {} if environment is None else {"keyturn.dev/environment": environment}

    def change(body: Body) -> None:
        there = body["metadata"].setdefault("labels", {})
        there.pop("keyturn.dev/environment", None)
        there |= labels

    space.objects.edit("Namespace", "", space.namespace, change)


def copied(space: Space, other: Space, name: str = "auth") -> None:
    """Bring a Secret into another namespace, as a backup that is restored there does."""
    data = space.get("Secret", name)["data"]
    other.create({"kind": "Secret", "metadata": {"name": name, "labels": {OWNER: name}}, "data": data})


def distinct(class_: Class, **spec: Any) -> None:
    class_.write(distinctAcrossEnvironments=True, **{"rotation": WINDOWLESS, **spec})


@pytest.fixture
def equal_values(space: Space, other: Space, class_: Class) -> tuple[Space, Space]:
    """Two environments that hold equal values, and a class that forbids it."""
    distinct(class_)
    put_into(space, "production")
    put_into(other, "development")
    space.managed(className=class_.name)
    copied(space, other)
    other.manage(className=class_.name)
    return space, other


def test_equal_values_in_two_environments_stall_both(
    equal_values: tuple[Space, Space], class_: Class
) -> None:
    for one in equal_values:
        message = one.stalled("PolicyViolation")
        assert message == "; ".join(
            f"{name} has the same value as in another environment, which class {class_.name} forbids; {ROTATE}"
            for name in ("password", "token")
        )


def test_only_the_log_of_the_operator_names_who_has_the_equal_value(
    equal_values: tuple[Space, Space], operator: Operator
) -> None:
    here, there = equal_values
    for one in equal_values:
        one.stalled("PolicyViolation")

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


def test_the_end_of_one_of_them_frees_the_other(equal_values: tuple[Space, Space]) -> None:
    here, there = equal_values
    here.stalled("PolicyViolation")

    there.delete("ManagedSecret", "auth")

    here.settled(revision=1)


def test_what_was_cured_while_the_operator_was_away_is_said_when_it_is_back(
    equal_values: tuple[Space, Space], operator: Operator
) -> None:
    here, there = equal_values
    here.stalled("PolicyViolation")

    with operator.away():
        there.delete("ManagedSecret", "auth")

    here.settled(revision=1)


def test_equal_values_are_found_when_a_namespace_gets_its_label(
    space: Space, other: Space, class_: Class
) -> None:
    distinct(class_, enforcement="Warn")
    put_into(space, "production")
    space.managed(className=class_.name)
    copied(space, other)
    other.managed(className=class_.name)
    space.until_condition("PolicyCompliant", "True", "Compliant")

    put_into(other, "development")

    for one in (space, other):
        one.until_condition("PolicyCompliant", "False", "distinctAcrossEnvironments")


# The default class


@pytest.fixture
def default(class_: Class) -> Iterator[Class]:
    """A class that others may find marked as the default for a while."""
    yield class_
    if class_.exists():
        class_.mark_default(None)


def test_who_names_no_class_follows_the_default_one(space: Space, default: Class) -> None:
    space.managed(password())
    assert violated(space) == ("noSchedule",)
    default.write(rotation=WINDOWLESS, minLength=32)

    default.mark_default()
    space.until(lambda body: "nextRotationTime" in body["status"], "the interval of the class")
    space.until_condition("PolicyCompliant", "True", "Compliant")
    assert default.until("Ready", "True", "Default") == "managed secrets that name no class use this one"
    default.mark_default(None)

    space.until(lambda body: "nextRotationTime" not in body["status"], "no class")
    default.until("Ready", "True", "Valid")


def test_of_two_default_classes_the_newer_counts(space: Space, default: Class, objects: Objects) -> None:
    default.write(minLength=64)
    default.mark_default()
    default.until("Ready", "True", "Default")
    eventually(lambda: _seconds_have_passed(objects, default), "another second")
    newer = Class(objects, f"newer-{secrets.token_hex(4)}")
    newer.write(minLength=32)
    try:
        newer.mark_default()
        newer.until("Ready", "True", "Default")
        message = default.until("Ready", "True", "NotDefault")
        space.managed(password())
    finally:
        newer.delete()

    assert message == (f"it is marked as the default class, but the newer {newer.name} takes precedence")
    space.stalled("PolicyViolation")
    default.until("Ready", "True", "Default")


def _seconds_have_passed(objects: Objects, older: Class) -> bool:
    """Say whether what is created now is newer than a class, in whole seconds."""
    made = objects.create("default", {"kind": "ServiceAccount", "metadata": {"generateName": "clock-"}})
    objects.delete("ServiceAccount", "default", made["metadata"]["name"])
    created = objects.get("SecretClass", "", older.name)["metadata"]["creationTimestamp"]
    return bool(made["metadata"]["creationTimestamp"] > created)


# What a class says of itself


@pytest.mark.parametrize(
    ("spec", "reason", "sentence"),
    [
        pytest.param(
            {"rotation": {"every": "91d"}, "maxInterval": "90d"},
            "PolicyViolation",
            "rotation.every is 91d and class {} allows 90d at most; write rotation.every: 90d or less",
            id="an interval longer than it allows",
        ),
        pytest.param(
            {"generate": {"password": {"length": 40}}, "minLength": 48},
            "PolicyViolation",
            "generate would have 40 characters and class {} asks for 48; write a larger length",
            id="a generator below its minimum",
        ),
        pytest.param(
            {"rotation": {"windows": [{"cron": "0 2 1 1 *", "duration": "3h"}]}, "maxInterval": "90d"},
            "PolicyViolation",
            "rotation.windows stay closed for up to 366d and class {} allows 90d at most; write a window that"
            " opens more often",
            id="a window that is closed for longer than it allows",
        ),
        pytest.param(
            {"rotation": {"windows": [{"cron": "0 2 30 2 *", "duration": "3h"}]}},
            "InvalidSchedule",
            "rotation.windows[0].cron '0 2 30 2 *' never comes; write a date that exists",
            id="a window that never opens",
        ),
        pytest.param(
            {"rotation": {"windows": [{"cron": "0 2 * * *", "duration": "24h"}]}},
            "InvalidSchedule",
            "rotation.windows[0] opens again before it has closed and is always open; write a shorter duration",
            id="a window that never closes",
        ),
        pytest.param(
            {"rotation": {"every": "30d", "spread": "31d"}},
            "InvalidSchedule",
            "rotation.spread (31d) is longer than rotation.every (30d); write a shorter spread",
            id="a spread longer than the interval",
        ),
    ],
)
def test_a_class_that_contradicts_itself_is_stalled(
    spec: Body, reason: str, sentence: str, class_: Class
) -> None:
    class_.write(**spec)

    assert class_.until("Stalled", "True", reason) == sentence.format(class_.name)
    assert class_.until("Ready", "False", reason) == sentence.format(class_.name)
