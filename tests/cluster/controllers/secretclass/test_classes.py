"""What a SecretClass gives to its ManagedSecrets, and what it refuses."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from tests.cluster.namespace import bytes_, password

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


# What it refuses


def test_an_event_reports_the_violation(space: Space, class_: Class) -> None:
    class_.write(minLength=48)

    space.manage(password(), className=class_.name)

    note = space.until_event("PolicyViolation")
    assert (
        note
        == f"password would have 32 characters and class {class_.name} asks for 48; write a larger length"
    )
