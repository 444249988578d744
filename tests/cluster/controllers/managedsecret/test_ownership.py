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


def test_nothing_is_written_while_the_target_is_foreign(space: Space) -> None:
    space.foreign("auth")

    space.manage()
    space.stalled("SecretNotOwned")

    condition = space.condition("Ready")
    assert condition
    assert (condition["status"], condition["reason"]) == ("False", "SecretNotOwned")
    assert "secretName" not in space.status()


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


def test_a_warning_says_that_the_secret_is_not_ours(space: Space) -> None:
    space.foreign("auth")

    space.manage()

    note = space.until_event("SecretNotOwned")
    assert note == FOREIGN


def test_the_secret_of_another_managed_secret_is_not_touched(space: Space) -> None:
    space.managed(name="first", target={"name": "shared"})
    before, values = space.version("Secret", "shared"), space.values("shared")

    space.manage(bytes_(), name="second", target={"name": "shared"})

    message = space.stalled("SecretNotOwned", "second")
    assert message == (
        "the Secret 'shared' belongs to the ManagedSecret 'first' and is not touched;"
        " set another target.name in one of the two, or delete that Secret if 'first' no longer exists"
    )
    assert space.version("Secret", "shared") == before
    assert space.values("shared") == values


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


def test_a_changed_secret_without_our_label_is_foreign(space: Space) -> None:
    space.managed()

    def take(secret: Body) -> None:
        secret["metadata"]["labels"].pop(OWNER)
        secret["data"].update({"token": "b3RoZXI="})

    space.edit("Secret", "auth", take)
    before = space.version("Secret", "auth")

    assert "restore its label keyturn.dev/managed-secret: auth if that was removed" in space.stalled(
        "SecretNotOwned"
    )
    assert space.version("Secret", "auth") == before
