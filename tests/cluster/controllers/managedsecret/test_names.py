"""Names of the Secret, its labels and its annotations that change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.harness import eventually
from tests.cluster.namespace import OWNER

if TYPE_CHECKING:
    from tests.cluster.namespace import Space


def test_target_name_may_change_while_its_secret_is_foreign(space: Space) -> None:
    space.foreign("auth")
    space.manage()
    space.stalled("SecretNotOwned")

    space.respec(lambda spec: spec.update(target={"name": "auth-2"}))

    space.settled(revision=1)
    assert space.values("auth-2")


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
