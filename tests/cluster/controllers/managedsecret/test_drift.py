"""What happens to a Secret of ours that others edit or delete."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING

import pytest

from sandbox.harness import eventually
from tests.cluster.namespace import OWNER, REVISION
from tests.cluster.workloads import deployment, env_from

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cluster.namespace import Space
    from tests.support.objects import Body

PUBLISHED = "keyturn.dev/published"
OTHER = base64.b64encode(b"something else").decode()


def edit(change: Callable[[Body], object]) -> Callable[[Space], object]:
    return lambda space: space.edit("Secret", "auth", change)


@pytest.mark.parametrize(
    ("spoil", "repaired"),
    [
        pytest.param(edit(lambda secret: secret["data"].update(token=OTHER)), "token", id="edited key"),
        pytest.param(edit(lambda secret: secret["data"].pop("token")), "token", id="deleted key"),
        pytest.param(edit(lambda secret: secret["data"].update(foreign=OTHER)), "foreign", id="added key"),
        pytest.param(edit(lambda secret: secret.pop("data")), "password, token", id="no key left"),
        pytest.param(lambda space: space.delete("Secret", "auth"), "password, token", id="deleted Secret"),
    ],
)
def test_the_secret_is_put_back_with_the_same_values(
    spoil: Callable[[Space], object], repaired: str, space: Space
) -> None:
    space.managed()
    before = space.values()

    spoil(space)

    eventually(
        lambda: space.find("Secret", "auth") is not None and space.values() == before, "repaired values"
    )
    space.settled(revision=1)
    note = space.until_event("DriftRepaired")
    assert note == f"the Secret was edited or deleted; restored as revision 1: {repaired}"


@pytest.mark.parametrize(
    ("place", "name"),
    [
        pytest.param("annotations", REVISION, id="our revision"),
        pytest.param("annotations", "shop.test/why", id="the template's annotation"),
        pytest.param("labels", "team", id="the template's label"),
    ],
)
@pytest.mark.parametrize("text", [pytest.param("7", id="edited"), pytest.param(None, id="deleted")])
def test_labels_and_annotations_are_put_back(place: str, name: str, text: str | None, space: Space) -> None:
    template = {"metadata": {"labels": {"team": "auth"}, "annotations": {"shop.test/why": "login"}}}
    space.managed(target={"template": template})
    before = space.get("Secret", "auth")["metadata"][place]
    values = space.values()

    def spoil(secret: Body) -> None:
        secret["metadata"][place].pop(name)
        secret["metadata"][place] |= {name: text} if text else {}

    space.edit("Secret", "auth", spoil)

    eventually(lambda: _is_dressed(space, place, before), f"{place} as they were")
    assert space.values() == values


def _is_dressed(space: Space, place: str, desired: Body) -> bool:
    found = space.get("Secret", "auth")["metadata"][place]
    return all(found.get(name) == text for name, text in desired.items() if name != PUBLISHED)


@pytest.mark.parametrize("text", [pytest.param("yesterday", id="edited"), pytest.param(None, id="deleted")])
def test_the_time_of_publication_is_put_back(text: str | None, space: Space) -> None:
    space.managed()

    space.annotate("Secret", "auth", published=text)

    eventually(
        lambda: _is_time(space.get("Secret", "auth")["metadata"]["annotations"].get(PUBLISHED)), "a time"
    )


def _is_time(text: str | None) -> bool:
    return text is not None and re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+\+00:00", text) is not None


def test_labels_and_annotations_of_others_outlive_repair_and_rotation(space: Space) -> None:
    space.managed()

    def add(secret: Body) -> None:
        secret["metadata"]["labels"]["backup.test/keep"] = "yes"
        secret["metadata"]["annotations"]["backup.test/last"] = "today"
        secret["data"].pop("token")

    space.edit("Secret", "auth", add)
    eventually(lambda: "token" in space.values(), "the key that was deleted")
    space.rotated()

    metadata = space.get("Secret", "auth")["metadata"]
    assert metadata["labels"] == {OWNER: "auth", "backup.test/keep": "yes"}
    assert metadata["annotations"]["backup.test/last"] == "today"


def test_a_repair_restarts_no_workload(space: Space) -> None:
    space.managed()
    space.run(deployment("api", env_from("auth")))
    space.rotated()
    space.second_after()
    space.run(deployment("new", env_from("auth")))  # it carries no marker: only its age speaks for it
    before = [space.version("Deployment", name) for name in ("api", "new")]

    space.edit("Secret", "auth", lambda secret: secret["data"].update(token=OTHER))
    space.until_event("DriftRepaired")
    space.looked_at()

    assert [space.version("Deployment", name) for name in ("api", "new")] == before


def test_a_repair_during_a_rotation_puts_the_current_value_back(space: Space) -> None:
    space.managed()
    space.rotated()
    before = space.values()

    space.edit("Secret", "auth", lambda secret: secret["data"].update(token=OTHER))
    space.until_event("DriftRepaired")

    assert space.values() == before
    assert space.settled()["revision"] == 2


def test_a_lost_state_is_recorded_again_from_the_secret(space: Space) -> None:
    space.managed(rotation={"every": "90d", "trigger": "first"})
    before, status = space.values(), space.status()

    space.delete("Secret", "auth-keyturn")
    eventually(lambda: space.find("Secret", "auth-keyturn") is not None, "the state")
    space.looked_at()

    after = space.settled(revision=1)
    assert space.values() == before
    assert space.until_event("Claimed") == "the Secret's values are kept as revision 1"
    assert {name: after[name] for name in ("lastTrigger", "lastRotationTime")} == {
        name: status[name] for name in ("lastTrigger", "lastRotationTime")
    }


def test_where_no_copy_is_left_new_values_are_made_and_workloads_roll(space: Space) -> None:
    space.managed()
    space.run(deployment("api", env_from("auth")))
    before = space.values()
    space.respec(lambda spec: spec.update(suspend=True))
    space.until_condition("Ready", "True", "Suspended")

    space.delete("Secret", "auth-keyturn")
    space.delete("Secret", "auth")
    space.respec(lambda spec: spec.update(suspend=False))

    status = space.settled(revision=2)
    after = space.values()
    assert [after[key] != before[key] for key in ("password", "token")] == [True, True]
    assert status["history"][0]["reason"] == "Lost"
    assert space.marker("api") == "auth=2"


def test_a_state_that_cannot_be_read_waits_for_a_person(space: Space) -> None:
    space.managed()
    values = space.values()

    space.edit("Secret", "auth-keyturn", lambda secret: secret["data"].update(state=OTHER))

    message = space.stalled("StateUnreadable")
    assert message == (
        "the state Secret 'auth-keyturn' was edited or is of a newer version;"
        " restore it, or delete it to continue with the values of the target Secret"
    )
    space.delete("Secret", "auth-keyturn")
    space.settled(revision=1)
    assert space.values() == values
