"""Keys of ours in a Secret that somebody else made: everything else in it stays as it is."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest

from keyturn.core.value import Value
from sandbox.harness import eventually
from tests.cluster.namespace import OWNER, REVISION, literal

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cluster.namespace import Space
    from tests.support.objects import Body

MERGE = {"name": "shared", "creationPolicy": "Merge"}
POLICY = "keyturn.dev/creation-policy"
PUBLISHED = "keyturn.dev/published"


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def shared(space: Space, data: dict[str, str] | None = None) -> Body:
    """Make the Secret that somebody else owns."""
    account = space.create({"kind": "ServiceAccount", "metadata": {"name": "somebody"}})
    owner = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "name": "somebody",
        "uid": account["metadata"]["uid"],
    }
    metadata = {
        "name": "shared",
        "labels": {"team": "shop", "app.kubernetes.io/managed-by": "Helm"},
        "annotations": {"shop.test/why": "settings"},
        "ownerReferences": [owner],
    }
    content = {key: encoded(text) for key, text in (data or {"theme": "dark"}).items()}
    return space.create(
        {"kind": "Secret", "metadata": metadata, "type": "shop.test/settings", "data": content}
    )


def others(secret: Body) -> Any:
    """Return what of a Secret is not ours."""
    metadata = secret["metadata"]
    return (
        secret["type"],
        metadata["ownerReferences"],
        {name: text for name, text in metadata["labels"].items() if name != OWNER},
        {name: text for name, text in metadata["annotations"].items() if not name.startswith("keyturn.dev/")},
        {key: text for key, text in secret["data"].items() if key not in {"password", "token"}},
    )


def test_our_keys_are_added_and_all_else_stays(space: Space) -> None:
    before = others(shared(space))

    status = space.managed(target=MERGE)

    after = space.get("Secret", "shared")
    assert others(after) == before
    assert after["data"].keys() == {"theme", "password", "token"}
    assert after["metadata"]["labels"][OWNER] == "auth"
    ours = {
        name: text
        for name, text in after["metadata"]["annotations"].items()
        if name.startswith("keyturn.dev/")
    }
    assert ours == {REVISION: "1", POLICY: "Merge", PUBLISHED: ours[PUBLISHED]}
    assert (status["secretName"], status["revision"]) == ("shared", 1)


def test_nothing_is_made_before_the_secret_is_there(space: Space) -> None:
    space.manage(target=MERGE)

    space.until_condition("Reconciling", "True", "TargetNotFound")
    condition = space.condition("Ready")
    assert condition
    assert condition["message"] == (
        "the Secret 'shared' does not exist, and creationPolicy: Merge does not create it; create it, or write Create"
    )
    assert space.find("Secret", "auth-keyturn") is None

    shared(space)
    space.settled(revision=1)


def test_edits_of_others_are_never_touched(space: Space) -> None:
    shared(space)
    space.managed(target=MERGE)
    version = space.edit(
        "Secret", "shared", lambda secret: secret["data"].update(theme=encoded("light"), new="")
    )

    space.looked_at()

    assert space.version("Secret", "shared") == version["metadata"]["resourceVersion"]
    assert space.events("DriftRepaired") == []


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda secret: secret["data"].update(token=encoded("x")), id="edited"),
        pytest.param(lambda secret: secret["data"].pop("token"), id="deleted"),
    ],
)
def test_a_key_of_ours_is_put_back(spoil: Callable[[Body], object], space: Space) -> None:
    shared(space)
    space.managed(target=MERGE)
    before = space.values("shared")

    space.edit("Secret", "shared", spoil)

    eventually(lambda: space.values("shared") == before, "our keys as they were")
    assert space.until_event("DriftRepaired").endswith("revision 1: token")


def test_a_secret_that_is_replaced_by_its_owner_gets_our_keys_again(space: Space) -> None:
    shared(space)
    space.managed(target=MERGE)
    before = space.values("shared")

    def replace(secret: Body) -> None:
        secret["data"] = {"theme": encoded("light")}
        secret["metadata"]["labels"].pop(OWNER)
        secret["metadata"]["annotations"] = {"shop.test/why": "settings"}

    space.edit("Secret", "shared", replace)

    eventually(
        lambda: space.values("shared") == before | {"theme": Value(b"light")}, "our keys beside the new ones"
    )
    space.until_event("Published")


CONFLICT = (
    "the Secret 'shared' has already values under password; rename them by keys,"
    " or write adopt: IfUnowned to keep them"
)


def test_a_key_that_is_there_already_is_not_overwritten(space: Space) -> None:
    before = shared(space, {"password": "of somebody else"})["metadata"]["resourceVersion"]

    space.manage(target=MERGE)

    assert space.stalled("KeyConflict") == CONFLICT
    assert space.version("Secret", "shared") == before
    assert space.find("Secret", "auth-keyturn") is None


@pytest.mark.parametrize("guess", ["shop", "bank"])
def test_a_literal_does_not_find_out_what_is_there(guess: str, space: Space) -> None:
    version = shared(space, {"theme": "dark", "password": "shop"})["metadata"]["resourceVersion"]

    space.manage(literal("password", guess), target=MERGE)

    assert space.stalled("KeyConflict") == CONFLICT
    assert space.version("Secret", "shared") == version


def test_nothing_is_merged_into_what_kubernetes_fills(space: Space) -> None:
    space.create({"kind": "ServiceAccount", "metadata": {"name": "somebody"}})
    annotations = {"kubernetes.io/service-account.name": "somebody"}
    metadata = {"name": "shared", "annotations": annotations}
    space.create({"kind": "Secret", "metadata": metadata, "type": "kubernetes.io/service-account-token"})

    space.manage(target=MERGE | {"adopt": "IfUnowned"})

    assert space.stalled("SecretNotOwned") == (
        "the Secret 'shared' is filled by Kubernetes (type kubernetes.io/service-account-token)"
        " and is not touched; write another name"
    )
    assert OWNER not in space.get("Secret", "shared")["metadata"].get("labels", {})
