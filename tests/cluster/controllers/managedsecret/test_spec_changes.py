"""What a change of the spec replaces, and what it leaves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cluster.namespace import bytes_, literal, password

if TYPE_CHECKING:
    from keyturn.core.value import Value
    from tests.cluster.namespace import Space
    from tests.support.objects import Body


def kept(before: dict[str, Value], after: dict[str, Value]) -> set[str]:
    """Return the keys whose values are as they were."""
    return {key for key in before.keys() & after.keys() if before[key] == after[key]}


def respecified(space: Space, *data: Body) -> set[str]:
    """Give the ManagedSecret other data, wait until all is done, and return the keys that kept their values."""
    before = space.values()
    space.respec(lambda spec: spec.update(data=list(data)))
    space.settled()
    return kept(before, space.values())


def test_a_key_that_is_added_is_generated_and_the_others_keep_their_values(space: Space) -> None:
    space.managed(password())

    assert respecified(space, password(), bytes_()) == {"password"}
    assert space.lengths() == {"password": 32, "token": 44}


def test_a_key_that_is_removed_goes_and_the_others_keep_their_values(space: Space) -> None:
    space.managed(password(), bytes_())

    assert respecified(space, bytes_()) == {"token"}
    assert space.lengths() == {"token": 44}


@pytest.mark.parametrize(
    ("before", "after", "length"),
    [
        pytest.param(password(), password(length=48), 48, id="a longer password"),
        pytest.param(password(), password(symbols=False), 32, id="a password without symbols"),
        pytest.param(bytes_("password"), bytes_("password", encoding="hex"), 64, id="another encoding"),
        pytest.param(password(), bytes_("password"), 44, id="another generator"),
    ],
)
def test_a_recipe_that_could_not_have_made_a_value_replaces_that_value_alone(
    before: Body, after: Body, length: int, space: Space
) -> None:
    space.managed(before, bytes_())

    assert respecified(space, after, bytes_()) == {"token"}
    assert space.lengths() == {"password": length, "token": 44}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(password(digits=False), password(exclude="0123456789", digits=False), id="said twice"),
        pytest.param(bytes_("password"), bytes_("password", length=32), id="the default in words"),
    ],
)
def test_a_recipe_that_could_have_made_a_value_keeps_it(before: Body, after: Body, space: Space) -> None:
    space.managed(before)

    assert respecified(space, after) == {"password"}


def test_a_changed_literal_is_written_and_nothing_else(space: Space) -> None:
    space.managed(literal("username", "shop"), password())

    assert respecified(space, literal("username", "store"), password()) == {"password"}
    assert space.values()["username"].reveal() == b"store"


def test_a_literal_never_becomes_a_generated_value(space: Space) -> None:
    public = "Public-Text.In_Git~PublicTextInGit12"
    space.managed(literal("password", public), bytes_())

    assert respecified(space, password(length=len(public)), bytes_()) == {"token"}


def test_a_changed_spec_is_no_rotation(space: Space) -> None:
    before = space.managed(password(), rotation={"every": "90d"})

    respecified(space, password(), bytes_())

    after = space.status()
    assert {name: after[name] for name in ("lastRotationTime", "nextRotationTime", "revision")} == {
        "lastRotationTime": before["lastRotationTime"],
        "nextRotationTime": before["nextRotationTime"],
        "revision": 2,
    }


def test_changed_labels_reach_the_secret_without_a_new_revision(space: Space) -> None:
    space.managed(target={"template": {"metadata": {"labels": {"team": "auth"}}}})
    before = space.values()

    space.respec(lambda spec: spec["target"]["template"]["metadata"].update(labels={"team": "core"}))
    space.settled(revision=1)

    assert space.get("Secret", "auth")["metadata"]["labels"]["team"] == "core"
    assert kept(before, space.values()) == {"password", "token"}


def test_another_target_name_makes_a_second_secret_with_the_same_values(space: Space) -> None:
    space.managed()
    before = space.values()

    space.respec(lambda spec: spec.update(target={"name": "login"}))
    status = space.settled()

    assert kept(before, space.values("login")) == {"password", "token"}
    assert status["secretName"] == "login"
