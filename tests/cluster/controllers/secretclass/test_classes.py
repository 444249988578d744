"""What a SecretClass gives to its ManagedSecrets, and what it refuses."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from tests.cluster.namespace import bytes_, password
from tests.cluster.workloads import deployment, env_from

if TYPE_CHECKING:
    from tests.cluster.classes import Class
    from tests.cluster.namespace import Space


def days_between(status: dict[str, Any]) -> float:
    last, due = (datetime.fromisoformat(status[f"{which}RotationTime"]) for which in ("last", "next"))
    return (due - last).total_seconds() / 86400


# What it gives


def test_a_value_without_a_recipe_is_made_by_the_class(space: Space, class_: Class) -> None:
    class_.write(generate={"password": {"length": 40}})

    space.managed({"name": "password"}, bytes_(), className=class_.name)

    assert space.lengths() == {"password": 40, "token": 44}


def test_the_class_says_when_values_rotate(space: Space, class_: Class) -> None:
    class_.write(rotation={"every": "30d", "jitter": "0%"})

    status = space.managed(className=class_.name)

    assert days_between(status) == 30


def test_an_interval_of_its_own_goes_over_that_of_the_class(space: Space, class_: Class) -> None:
    class_.write(rotation={"every": "30d", "jitter": "0%"})

    status = space.managed(className=class_.name, rotation={"every": "7d"})

    assert days_between(status) == 7


def test_a_class_whose_rules_hold_is_said_to_be_complied_with(space: Space, class_: Class) -> None:
    class_.write(minLength=32, minEntropyBits=128, rotation={"every": "30d"})

    space.managed(className=class_.name)

    space.until_condition("PolicyCompliant", "True", "Compliant")


# When it changes


def test_a_changed_interval_reaches_its_users_at_once_and_rotates_nothing(
    space: Space, class_: Class
) -> None:
    class_.write(rotation={"every": "30d", "jitter": "0%"})
    space.managed(className=class_.name)
    before = space.version("Secret", "auth")

    class_.write(rotation={"every": "60d", "jitter": "0%"})

    space.until(lambda body: days_between(body["status"]) == 60, "the new interval")
    assert space.version("Secret", "auth") == before


def test_a_changed_recipe_makes_the_next_values_and_replaces_none(space: Space, class_: Class) -> None:
    class_.write(generate={"password": {"length": 40}}, rotation={"every": "30d", "jitter": "0%"})
    space.managed({"name": "password"}, bytes_(), className=class_.name)
    before = space.version("Secret", "auth")

    class_.write(generate={"password": {"length": 50}}, rotation={"every": "60d", "jitter": "0%"})
    space.until(lambda body: days_between(body["status"]) == 60, "the new class")
    assert space.version("Secret", "auth") == before
    space.rotated()

    assert space.lengths() == {"password": 50, "token": 44}


def test_a_changed_recipe_does_not_reach_an_added_value_late(space: Space, class_: Class) -> None:
    class_.write(generate={"password": {"length": 40}})
    space.managed({"name": "first"}, className=class_.name)
    class_.write(generate={"password": {"length": 50}})

    space.respec(lambda spec: spec["data"].append({"name": "second"}))
    space.settled(revision=2)

    assert space.lengths() == {"first": 40, "second": 50}


def test_a_value_that_moves_into_the_spec_is_held_to_it(space: Space, class_: Class) -> None:
    class_.write(generate={"password": {"length": 40}})
    space.managed({"name": "password"}, className=class_.name)

    space.respec(lambda spec: spec.update(data=[password(length=50)]))
    space.settled(revision=2)

    assert space.lengths() == {"password": 50}


def test_a_recipe_of_other_keys_makes_new_values(space: Space, class_: Class) -> None:
    class_.write(generate={"password": {"length": 40}})
    space.managed({"name": "key"}, className=class_.name)

    class_.write(generate={"ed25519Key": {}})
    space.settled(revision=2)

    assert space.lengths().keys() == {"privateKey", "publicKey"}


# When it is not there


def test_a_class_that_does_not_exist_is_said_with_those_that_do(space: Space) -> None:
    space.manage(className="no-such-class")

    message = space.stalled("SecretClassNotFound")
    start = "there is no SecretClass 'no-such-class'; create it or write one of these as className: "
    assert message.startswith(start)
    shipped = [
        "api-key",
        "database-password",
        "jwt-secret",
        "redis-password",
        "session-secret",
        "two-factor-key",
    ]
    assert set(shipped) <= set(message.removeprefix(start).split(", "))


def test_nothing_is_written_without_the_class(space: Space) -> None:
    space.manage(className="no-such-class")

    space.until_condition("Ready", "False", "SecretClassNotFound")
    assert [space.find("Secret", name) for name in ("auth", "auth-keyturn")] == [None, None]


def test_it_continues_when_the_class_is_created(space: Space, class_: Class) -> None:
    space.manage(className=class_.name)
    space.stalled("SecretClassNotFound")

    class_.write()

    space.settled(revision=1)


def test_a_class_that_is_deleted_leaves_the_secret_as_it_was(space: Space, class_: Class) -> None:
    class_.write(generate={"password": {"length": 40}}, rotation={"every": "30d"})
    space.managed({"name": "password"}, className=class_.name)
    before = space.version("Secret", "auth")

    class_.delete()

    space.stalled("SecretClassNotFound")
    space.until_condition("Ready", "True", "Published")
    assert space.version("Secret", "auth") == before


def test_a_class_that_comes_back_rotates_nothing(space: Space, class_: Class) -> None:
    class_.write(generate={"password": {"length": 40}})
    space.managed({"name": "password"}, className=class_.name)
    before = space.version("Secret", "auth")
    class_.delete()
    space.stalled("SecretClassNotFound")

    class_.write(generate={"password": {"length": 40}})

    space.settled(revision=1)
    assert space.version("Secret", "auth") == before


# What it refuses


@pytest.mark.parametrize(
    ("least", "rule", "sentence"),
    [
        pytest.param(
            {"minLength": 48},
            "minLength",
            "password would have 32 characters and class {} asks for 48; write a larger length",
            id="length",
        ),
        pytest.param(
            {"minEntropyBits": 256},
            "minEntropyBits",
            "password would have 193 bits of entropy and class {} asks for 256;"
            " write a larger length or exclude less",
            id="entropy",
        ),
    ],
)
def test_a_value_below_a_minimum_is_not_written(
    least: dict[str, int], rule: str, sentence: str, space: Space, class_: Class
) -> None:
    class_.write(**least)

    space.manage(password(), className=class_.name)

    assert space.stalled("PolicyViolation") == sentence.format(class_.name)
    space.until_condition("PolicyCompliant", "False", rule)
    assert [space.find("Secret", name) for name in ("auth", "auth-keyturn")] == [None, None]


def test_a_uuid_is_no_secret_and_no_minimum_counts_it(space: Space, class_: Class) -> None:
    class_.write(minLength=64)

    space.managed({"name": "id", "generate": {"uuid": {}}}, className=class_.name)

    assert space.lengths() == {"id": 36}


def test_a_minimum_that_is_raised_leaves_the_secret_as_it_was(space: Space, class_: Class) -> None:
    class_.write(minLength=32)
    space.managed(className=class_.name)
    before = space.version("Secret", "auth")

    class_.write(minLength=48)

    space.stalled("PolicyViolation")
    assert space.version("Secret", "auth") == before


def test_it_continues_when_the_spec_meets_the_minimum(space: Space, class_: Class) -> None:
    class_.write(minLength=48)
    space.manage(password(), className=class_.name)
    space.stalled("PolicyViolation")

    space.respec(lambda spec: spec.update(data=[password(length=48)]))

    space.settled(revision=1)
    assert space.lengths() == {"password": 48}


def test_an_event_reports_the_violation(space: Space, class_: Class) -> None:
    class_.write(minLength=48)

    space.manage(password(), className=class_.name)

    note = space.until_event("PolicyViolation")
    assert (
        note
        == f"password would have 32 characters and class {class_.name} asks for 48; write a larger length"
    )


def test_a_rotation_is_not_called_done_while_its_class_is_gone(space: Space, class_: Class) -> None:
    class_.write()
    space.managed(className=class_.name)
    space.run(deployment("api", env_from("auth")))
    space.edit("Deployment", "api", lambda body: body["spec"].update(paused=True))
    space.rotate()
    shown = space.until_workload("api", state="Pending")

    class_.delete()
    status = space.until_condition("WorkloadsCurrent", "Unknown", "SpecNotFollowed")

    assert [entry["revision"] for entry in status["history"]] == [1]
    assert status["workloads"] == [shown]
    assert status["rotation"]["step"] == "RollOut"
