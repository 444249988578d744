"""What happens to what was written before when the spec names something else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.harness import eventually
from tests.cluster.namespace import OWNER, REVISION

if TYPE_CHECKING:
    from tests.cluster.namespace import Space

RELEASED = "keyturn.dev/released-by"


def released(space: Space, name: str) -> bool:
    metadata = space.get("Secret", name)["metadata"]
    return OWNER not in metadata.get("labels", {}) and metadata["annotations"].get(RELEASED) == "auth"


def test_the_secret_of_the_old_name_is_released(space: Space) -> None:
    space.managed()
    before = space.values()

    space.respec(lambda spec: spec.update(target={"name": "auth-2"}))

    eventually(lambda: released(space, "auth"), "the old one is nobody's")
    space.settled(revision=1)
    assert space.until_event("Released").startswith("the Secret 'auth' is released;")
    assert (space.values(), space.values("auth-2")) == (before, before)
    assert REVISION not in space.get("Secret", "auth")["metadata"]["annotations"]


def test_a_label_that_leaves_the_spec_leaves_the_secret(space: Space) -> None:
    metadata = {"labels": {"team": "auth", "tier": "1"}, "annotations": {"shop.test/why": "login"}}
    space.managed(target={"template": {"metadata": metadata}})
    space.edit("Secret", "auth", lambda secret: secret["metadata"]["labels"].update(others="stay"))

    space.respec(lambda spec: spec.update(target={"template": {"metadata": {"labels": {"team": "auth"}}}}))

    def is_undressed() -> bool:
        found = space.get("Secret", "auth")["metadata"]
        return "tier" not in found["labels"] and "shop.test/why" not in found["annotations"]

    eventually(is_undressed, "label and annotation are gone")
    assert space.get("Secret", "auth")["metadata"]["labels"] == {
        OWNER: "auth",
        "team": "auth",
        "others": "stay",
    }
    space.settled(revision=1)


def test_a_copy_that_a_user_made_with_our_label_is_not_touched(space: Space) -> None:
    space.managed()
    secret = space.get("Secret", "auth")
    metadata = {"name": "copy", **{part: secret["metadata"][part] for part in ("labels", "annotations")}}
    copy = space.create({"kind": "Secret", "metadata": metadata, "data": secret["data"]})

    space.looked_at()
    space.rotated()

    assert space.version("Secret", "copy") == copy["metadata"]["resourceVersion"]
    assert space.events("Released") == []
