"""What happens to a Secret that exists already when a ManagedSecret may take it over."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest

from keyturn.core.value import Value
from sandbox.harness import eventually
from tests.cluster.namespace import OWNER, bytes_, literal, password
from tests.cluster.workloads import deployment, env

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


REMOVE = ADOPT | {"otherKeys": "Remove"}


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


def test_an_item_that_is_added_takes_up_the_value_that_was_there(space: Space) -> None:
    existing(space, {"password": "short", "token": "also short"})
    space.managed(password(), target=ADOPT)

    space.respec(lambda spec: spec["data"].append(bytes_()))

    space.settled(revision=2)
    assert space.values() == {"password": Value(b"short"), "token": Value(b"also short")}


def test_a_literal_that_is_added_takes_the_place_of_what_was_there(space: Space) -> None:
    existing(space, {"password": "short", "user": "old"})
    space.managed(password(), target=ADOPT)

    space.respec(lambda spec: spec["data"].append(literal("user", "new")))

    space.settled(revision=2)
    assert space.values() == {"password": Value(b"short"), "user": Value(b"new")}


def test_what_no_item_writes_outlives_the_record(space: Space) -> None:
    existing(space, {"password": "short", "other": "unknown"})
    space.managed(password(), target=ADOPT)

    space.delete("Secret", "auth-keyturn")
    eventually(lambda: space.find("Secret", "auth-keyturn") is not None, "another record")

    space.settled()
    assert space.values()["other"] == Value(b"unknown")


def test_what_no_item_writes_goes_where_that_is_asked_for(space: Space) -> None:
    existing(space, {"password": "short", "other": "unknown"})
    space.managed(password(), target=ADOPT)

    space.respec(lambda spec: spec.update(target=REMOVE))

    space.settled(revision=2)
    assert space.values() == {"password": Value(b"short")}


def test_nothing_is_lost(space: Space) -> None:
    existing(space, {"password": "short", "other": "unknown"})
    space.managed(target=REMOVE)

    space.annotate("ManagedSecret", "auth", rollback="1")

    space.until_revision("1")
    assert space.values() == {"password": Value(b"short"), "other": Value(b"unknown")}


def test_an_empty_secret_is_filled(space: Space) -> None:
    existing(space)

    space.managed(target=ADOPT)

    assert space.values().keys() == {"password", "token"}


def test_an_empty_value_is_no_value(space: Space) -> None:
    existing(space, {"password": ""})

    space.managed(password(), target=ADOPT)

    assert space.lengths() == {"password": 32}


def test_a_kept_value_stays_until_the_next_rotation(space: Space) -> None:
    existing(space, {"password": "short", "token": "also short"})
    space.managed(target=ADOPT)

    space.looked_at()
    space.settled(revision=1)
    space.rotated()

    assert space.lengths() == {"password": 32, "token": 44}


def test_a_kept_value_is_replaced_when_the_spec_asks_for_another_form(space: Space) -> None:
    existing(space, {"password": "short"})
    space.managed(password(), target=ADOPT)

    space.respec(lambda spec: spec.update(data=[password(length=50)]))

    space.settled(revision=2)
    assert space.lengths() == {"password": 50}


def test_a_literal_of_the_spec_goes_before_the_value_that_was_there(space: Space) -> None:
    existing(space, {"user": "old", "password": "short"})

    space.managed(literal("user", "new"), password(), target=ADOPT)

    assert space.values() == {"user": Value(b"new"), "password": Value(b"short")}


def test_who_runs_with_the_kept_values_is_not_restarted(space: Space) -> None:
    existing(space, {"password": "short", "other": "unknown"})
    space.run(deployment("api", env("auth", "password")))

    space.managed(password(), target=ADOPT)

    assert space.marker("api") is None


def test_one_that_did_not_exist_is_made(space: Space) -> None:
    status = space.managed(target=ADOPT)

    assert (set(space.values()), status["revision"]) == ({"password", "token"}, 1)


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


def test_the_secret_of_another_managed_secret_is_not_adopted(space: Space) -> None:
    space.managed(name="first", target={"name": "auth"})

    space.manage(target=ADOPT)

    assert "belongs to the ManagedSecret 'first'" in space.stalled("SecretNotOwned")


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


def test_one_that_already_has_values_adopts_under_another_name(space: Space) -> None:
    space.managed()
    before = space.values()
    data = {"password": base64.b64encode(b"short").decode(), "stray": ""}
    space.create({"kind": "Secret", "metadata": {"name": "other"}, "data": data})

    space.respec(lambda spec: spec.update(target=ADOPT | {"name": "other"}))

    space.settled(revision=2)
    assert space.values("other") == {
        "password": Value(b"short"),
        "token": before["token"],
        "stray": Value(b""),
    }


def test_without_a_history_it_comes_to_rest_too(space: Space) -> None:
    existing(space, {"password": "short", "other": "unknown"})

    space.managed(target=ADOPT, rotation={"revisionHistoryLimit": 0})

    assert space.values()["password"] == Value(b"short")
    assert space.status()["revision"] == 2


def test_the_interval_begins_with_the_adoption_however_old_the_values_are(space: Space) -> None:
    created = existing(space, {"password": "short"})["metadata"]["creationTimestamp"]

    def is_later() -> bool:
        made = space.create({"kind": "ServiceAccount", "metadata": {"generateName": "clock-"}})
        return bool(made["metadata"]["creationTimestamp"] > created)

    eventually(is_later, "a second later")
    status = space.managed(password(), target=ADOPT, rotation={"every": "90d"})

    assert status["lastRotationTime"] > created
