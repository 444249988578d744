"""What happens to a Secret of ours that others edit or delete."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest

from sandbox.harness import eventually
from tests.cluster.namespace import OWNER, REVISION

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
