"""What others write to a Secret stays or is put back, and a Secret of theirs is touched only as its spec allows."""

import base64
from collections.abc import Callable

import pytest

from keyturn.core.value import Value
from sandbox.harness import eventually
from tests.cluster.namespace import OWNER, REVISION, Space, password
from tests.support.objects import Body

OTHER = base64.b64encode(b"something else").decode()
DRESSED = {"metadata": {"labels": {"team": "auth"}, "annotations": {"shop.test/why": "login"}}}
THEIRS = {"labels": {"app.kubernetes.io/managed-by": "Helm"}, "annotations": {"shop.test/why": "settings"}}


def edit(change: Callable[[Body], object]) -> Callable[[Space], object]:
    return lambda space: space.edit("Secret", "auth", change)


@pytest.mark.parametrize(
    ("spoil", "repaired"),
    [
        pytest.param(edit(lambda secret: secret["data"].update(token=OTHER)), "token", id="edited key"),
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
    assert space.until_event("DriftRepaired").endswith(f"restored as revision 1: {repaired}")


def test_labels_and_annotations_are_put_back_and_those_of_others_stay(space: Space) -> None:
    space.managed(target={"template": DRESSED})

    def spoil(secret: Body) -> None:
        secret["metadata"]["labels"] = {"backup.test/keep": "yes"}
        secret["metadata"]["annotations"] = {REVISION: "7"}

    space.edit("Secret", "auth", spoil)

    labels = {OWNER: "auth", "team": "auth", "backup.test/keep": "yes"}
    eventually(lambda: space.get("Secret", "auth")["metadata"]["labels"] == labels, "the labels")
    found = space.get("Secret", "auth")["metadata"]["annotations"]
    assert (found[REVISION], found["shop.test/why"]) == ("1", "login")
    assert space.condition("Stalled") is None


@pytest.mark.parametrize("name", ["auth", "auth-keyturn"], ids=["target", "state"])
def test_a_secret_that_another_writer_made_is_not_touched_until_it_is_deleted(
    name: str, space: Space
) -> None:
    before = space.foreign(name)["metadata"]["resourceVersion"]
    space.manage()
    space.stalled("SecretNotOwned")
    assert space.version("Secret", name) == before

    space.delete("Secret", name)
    space.looked_at()

    space.settled()
    assert space.get("Secret", "auth")["metadata"]["labels"] == {OWNER: "auth"}


def test_of_two_managed_secrets_with_one_target_one_writes_it(space: Space) -> None:
    for name in ("first", "second"):
        space.manage(name=name, target={"name": "shared"})

    def is_ready(name: str) -> bool:
        space.until(lambda body: _is_decided(body.get("status") or {}), f"{name} is decided", name)
        return bool((space.condition("Ready", name) or {})["status"] == "True")

    ready = [name for name in ("first", "second") if is_ready(name)]
    assert ready == [space.get("Secret", "shared")["metadata"]["labels"][OWNER]]


def _is_decided(status: Body) -> bool:
    found = {(one["type"], one["status"]) for one in status.get("conditions", ())}
    return bool(found & {("Ready", "True"), ("Stalled", "True")})


def test_a_copy_that_a_user_made_with_our_label_is_not_touched(space: Space) -> None:
    space.managed()
    secret = space.get("Secret", "auth")
    metadata = {"name": "copy", **{part: secret["metadata"][part] for part in ("labels", "annotations")}}
    copy = space.create({"kind": "Secret", "metadata": metadata, "data": secret["data"]})

    space.looked_at()
    space.rotated()

    assert space.version("Secret", "copy") == copy["metadata"]["resourceVersion"]


def test_an_adopted_secret_keeps_its_values_and_gets_what_is_missing(space: Space) -> None:
    data = {
        key: base64.b64encode(text).decode() for key, text in {"password": b"short", "other": b"x"}.items()
    }
    space.create({"kind": "Secret", "metadata": {"name": "auth"}, "data": data})

    space.managed(target={"adopt": "IfUnowned"})

    values = space.values()
    assert values.keys() == {"password", "token", "other"}
    assert (values["password"], values["other"]) == (Value(b"short"), Value(b"x"))


def test_keys_are_merged_into_a_secret_whose_owner_keeps_all_else(space: Space) -> None:
    body = {"kind": "Secret", "metadata": {"name": "shared", **THEIRS}, "data": {"theme": OTHER}}
    before = space.create(body)
    space.managed(password(), target={"name": "shared", "creationPolicy": "Merge"})

    merged = space.get("Secret", "shared")
    assert merged["data"].keys() == {"theme", "password"}
    assert merged["metadata"]["labels"] == {**THEIRS["labels"], OWNER: "auth"}
    assert merged["metadata"]["annotations"].items() >= THEIRS["annotations"].items()

    def replace(secret: Body) -> None:
        secret["metadata"].update(THEIRS)
        secret["data"] = before["data"]

    space.edit("Secret", "shared", replace)

    eventually(lambda: space.get("Secret", "shared")["data"] == merged["data"], "our key beside theirs")
