"""What happens to a Secret that exists already when a ManagedSecret may take it over."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest

from keyturn.core.value import Value
from sandbox.harness import eventually
from tests.cluster.namespace import OWNER, bytes_, password

if TYPE_CHECKING:
    from tests.cluster.namespace import Space
    from tests.support.objects import Body

ADOPT = {"adopt": "IfUnowned"}


def existing(
    space: Space, data: dict[str, str] | None = None, *, type_: str = "Opaque", metadata: Body | None = None
) -> Body:
    content = {key: base64.b64encode(text.encode()).decode() for key, text in (data or {}).items()}
    whole = {"name": "auth", **(metadata or {})}
    return space.create({"kind": "Secret", "metadata": whole, "type": type_, "data": content})


def test_values_whose_keys_match_are_kept(space: Space) -> None:
    existing(space, {"password": "short", "token": "also short"})

    space.managed(target=ADOPT)

    assert space.values() == {"password": Value(b"short"), "token": Value(b"also short")}
    assert space.get("Secret", "auth")["metadata"]["labels"] == {OWNER: "auth"}
    assert space.until_event("Claimed") == "the Secret's values are kept as revision 1"


def test_what_is_missing_is_made_and_what_no_item_writes_stays(space: Space) -> None:
    existing(space, {"password": "short", "other": "unknown"})

    status = space.managed(target=ADOPT)

    values = space.values()
    assert values.keys() == {"password", "token", "other"}
    assert (values["password"], values["other"]) == (Value(b"short"), Value(b"unknown"))
    assert status["revision"] == 2


def test_what_no_item_writes_outlives_rotations_and_edits(space: Space) -> None:
    existing(space, {"password": "short", "other": "unknown"})
    space.managed(password(), target=ADOPT)

    space.rotated()
    space.edit("Secret", "auth", lambda secret: secret["data"].pop("other"))

    space.until_event("DriftRepaired")
    eventually(lambda: space.values().keys() == {"password", "other"}, "the key that was deleted")
    assert space.values()["other"] == Value(b"unknown")
    assert space.lengths()["password"] == 32


NOT_FREE: dict[str, tuple[Body, str]] = {
    "managed by somebody else": (
        {"labels": {"app.kubernetes.io/managed-by": "Helm"}},
        "Helm (label app.kubernetes.io/managed-by)",
    ),
    "of External Secrets": (
        {"labels": {"reconcile.external-secrets.io/managed": "true"}},
        "External Secrets (label reconcile.external-secrets.io/managed)",
    ),
    "of cert-manager": (
        {"annotations": {"cert-manager.io/certificate-name": "web"}},
        "cert-manager (annotation cert-manager.io/certificate-name)",
    ),
}


@pytest.mark.parametrize(
    ("metadata", "who"), [pytest.param(*case, id=name) for name, case in NOT_FREE.items()]
)
def test_what_a_user_owns_is_not_touched(metadata: Body, who: str, space: Space) -> None:
    version = existing(space, {"password": "x"}, metadata=metadata)["metadata"]["resourceVersion"]

    space.manage(target=ADOPT)

    assert space.stalled("SecretNotOwned") == (
        f"the Secret 'auth' belongs to {who} and is not touched;"
        " write another name, remove that label or annotation, or delete that Secret"
    )
    assert space.version("Secret", "auth") == version
    assert space.find("Secret", "auth-keyturn") is None


def test_what_has_an_owner_reference_is_not_touched(space: Space) -> None:
    account = space.create({"kind": "ServiceAccount", "metadata": {"name": "owner"}})
    owner = {"apiVersion": "v1", "kind": "ServiceAccount", "name": "owner", "uid": account["metadata"]["uid"]}
    existing(space, metadata={"ownerReferences": [owner]})

    space.manage(target=ADOPT)

    assert "belongs to ServiceAccount 'owner' (ownerReferences)" in space.stalled("SecretNotOwned")


@pytest.mark.parametrize("policy", [{}, {"creationPolicy": "Merge"}], ids=["whole", "merged"])
def test_a_secret_of_another_type_is_not_taken(policy: dict[str, Any], space: Space) -> None:
    existing(space, {}, type_="shop.test/other")

    space.manage(target=ADOPT | {"type": "Opaque"} | policy)

    assert space.stalled("TypeDiffers") == (
        "the Secret 'auth' is of type shop.test/other and the spec asks for Opaque, which Kubernetes does not let"
        " change; write another name, or delete that Secret"
    )


def test_an_immutable_secret_can_be_adopted_as_such(space: Space) -> None:
    space.create(
        {"kind": "Secret", "metadata": {"name": "auth"}, "immutable": True, "data": {"token": "c2hvcnQ="}}
    )

    space.managed(bytes_(), target=ADOPT | {"immutable": True})

    assert space.values() == {"token": Value(b"short")}


def test_it_continues_when_the_owner_lets_go(space: Space) -> None:
    existing(space, {"password": "short"}, metadata={"labels": {"app.kubernetes.io/managed-by": "Helm"}})
    space.manage(password(), target=ADOPT)
    space.stalled("SecretNotOwned")

    space.edit("Secret", "auth", lambda secret: secret["metadata"].pop("labels"))
    space.looked_at()

    space.settled()
    assert space.values() == {"password": Value(b"short")}
