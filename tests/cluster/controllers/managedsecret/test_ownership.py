"""Secrets that belong to somebody else are never touched."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sandbox.harness import eventually
from tests.cluster.namespace import OWNER, bytes_

if TYPE_CHECKING:
    from tests.cluster.namespace import Space
    from tests.support.objects import Body

SENTENCE = "the Secret {!r} {}; write another name, or delete that Secret"
FOREIGN = (
    "the Secret 'auth' is foreign and is not touched;"
    " write another name, adopt: IfUnowned, or delete that Secret"
)


@pytest.mark.parametrize(
    "name", [pytest.param("auth", id="target"), pytest.param("auth-keyturn", id="state")]
)
def test_a_secret_that_another_writer_made_is_not_touched(name: str, space: Space) -> None:
    before = space.foreign(name)["metadata"]["resourceVersion"]

    space.manage()

    message = space.stalled("SecretNotOwned")
    state = SENTENCE.format(name, "is foreign and is not touched")
    assert message == (FOREIGN if name == "auth" else state)
    assert space.version("Secret", name) == before


@pytest.mark.parametrize(
    "name", [pytest.param("auth", id="target"), pytest.param("auth-keyturn", id="state")]
)
def test_it_continues_when_the_foreign_secret_is_deleted(name: str, space: Space) -> None:
    space.foreign(name)
    space.manage()
    space.stalled("SecretNotOwned")

    space.delete("Secret", name)
    space.looked_at()

    space.settled()
    assert space.get("Secret", "auth")["metadata"]["labels"] == {OWNER: "auth"}


def test_of_two_managed_secrets_with_one_target_one_writes_it(space: Space) -> None:
    for name in ("first", "second"):
        space.manage(bytes_(), name=name, target={"name": "shared"})

    def is_decided(body: Body) -> bool:
        found = {one["type"]: one["status"] for one in body.get("status", {}).get("conditions", ())}
        return found.get("Ready") == "True" or found.get("Stalled") == "True"

    ready = [
        name
        for name in ("first", "second")
        if any(
            (one["type"], one["status"]) == ("Ready", "True")
            for one in space.until(is_decided, f"{name} is decided", name)["conditions"]
        )
    ]
    assert ready == [space.get("Secret", "shared")["metadata"]["labels"][OWNER]]


def test_a_label_that_another_writer_removed_is_restored(space: Space) -> None:
    space.managed()
    before = space.values()

    space.edit("Secret", "auth", lambda secret: secret["metadata"]["labels"].pop(OWNER))

    eventually(lambda: OWNER in (space.get("Secret", "auth")["metadata"].get("labels") or {}), "the label")
    assert space.values() == before
    assert space.condition("Stalled") is None
