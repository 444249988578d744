"""What is not there, not good enough or not to be had: the Secret keeps what it has, and says why."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import pytest

from keyturn.core.value import Value
from sandbox.harness import eventually
from tests.cluster.namespace import password
from tests.cluster.workloads import deployment, env_from

if TYPE_CHECKING:
    from tests.cluster.classes import Class
    from tests.cluster.namespace import Space
    from tests.cluster.store_objects import Stores


def refreshed(space: Space) -> tuple[str, str]:
    condition = space.condition("Refreshed")
    assert condition
    return condition["status"], condition["reason"]


def test_one_that_is_not_there_is_waited_for(space: Space, files: Stores) -> None:
    space.manage(files.from_file("token"), password())

    said = space.stalled("SourceNotFound")
    assert said.startswith("token: key 'token' of ClusterSecretStore")
    assert space.find("Secret", "auth") is None

    files.keep("token", "at last")
    space.refresh()
    space.settled(revision=1)


def test_one_that_goes_leaves_the_last_one_and_rotations_continue(space: Space, files: Stores) -> None:
    files.keep("token", "kept")
    space.managed(files.from_file("token"), password())
    space.run(deployment("api", env_from("auth")))
    before = space.values()

    (files.files / "token").unlink()
    space.refresh()
    space.stalled("SourceNotFound")
    assert space.values() == before
    ready = space.condition("Ready")
    assert ready
    assert (ready["status"], refreshed(space)) == ("True", ("False", "SourceNotFound"))

    space.rotate()
    space.until_revision("2")
    assert space.values()["token"] == before["token"]
    assert space.values()["password"] != before["password"]
    eventually(lambda: space.marker("api") == "auth=2", "who uses it is restarted all the same")


def test_what_comes_back_is_reported_even_where_a_workload_must_be_restarted(
    space: Space, files: Stores
) -> None:
    files.keep("token", "first")
    space.managed(files.from_file("token"), refreshInterval="30d")
    space.run(deployment("api", env_from("auth")))
    (files.files / "token").unlink()
    space.refresh()
    space.stalled("SourceNotFound")

    files.keep("token", "second")
    space.refreshed(revision=2)

    assert refreshed(space) == ("True", "Read")


def test_one_of_three_that_fails_keeps_all_and_is_named(space: Space, files: Stores) -> None:
    for name in ("first", "second", "third"):
        files.keep(name, f"old {name}")
    space.managed(*(files.from_file(name) for name in ("first", "second", "third")))
    before = space.values()

    files.keep("first", "new")
    files.keep("third", "new")
    (files.files / "second").unlink()
    space.refresh()

    said = space.stalled("SourceNotFound")
    assert said.startswith("second: key 'second' of ClusterSecretStore")
    assert "more could not be read" not in said
    assert space.values() == before


def test_an_empty_one_empties_nothing(space: Space, files: Stores) -> None:
    files.keep("token", "kept")
    space.managed(files.from_file("token"))

    files.keep("token", "")
    space.refresh()

    assert space.stalled("EmptyValue").startswith("token: key 'token' of ClusterSecretStore")
    assert space.values() == {"token": Value(b"kept")}


def test_one_shorter_than_the_class_allows_is_not_taken(space: Space, files: Stores, class_: Class) -> None:
    long_enough = secrets.token_hex(16)
    class_.write(minLength=32, enforcement="Deny")
    files.keep("token", long_enough)
    space.managed(files.from_file("token"), className=class_.name)

    files.keep("token", long_enough[1:])
    space.refresh()

    said = space.stalled("PolicyViolation")
    assert f"is shorter than the 32 characters that class {class_.name} asks for" in said
    assert space.values() == {"token": Value(long_enough.encode())}


def test_one_shorter_than_the_class_likes_is_taken_and_reported(
    space: Space, files: Stores, class_: Class
) -> None:
    class_.write(minLength=32, enforcement="Warn")
    files.keep("token", "short")

    space.managed(files.from_file("token"), className=class_.name)

    assert space.values() == {"token": Value(b"short")}
    compliant = space.condition("PolicyCompliant")
    assert compliant
    assert compliant["status"] == "False"


def test_a_store_that_fails_leaves_objects_of_others_alone(space: Space, files: Stores) -> None:
    files.keep("token", "first")
    space.managed(files.from_file("token"), name="well")
    files.write({"kubernetes": {}}, "sick")
    ill = {"name": "token", "from": {"storeRef": {"name": "sick"}, "remoteRef": {"key": "nobody"}}}
    space.manage(ill, name="ill")
    space.stalled("SourceNotFound", "ill")

    files.keep("token", "second")
    space.refreshed("well", revision=2)

    assert space.values("well") == {"token": Value(b"second")}


def test_one_of_two_stores_that_fails_keeps_the_whole(space: Space, files: Stores) -> None:
    files.keep("token", "first")
    space.foreign("there")
    files.write({"kubernetes": {}})
    theirs = {
        "name": "theirs",
        "from": {"storeRef": {"name": "store"}, "remoteRef": {"key": "there", "property": "somebody"}},
    }
    space.managed(files.from_file("token"), theirs)
    before = space.values()

    files.keep("token", "second")
    space.delete("Secret", "there")
    space.refresh()

    assert space.stalled("SourceNotFound").startswith("theirs: key 'there' of SecretStore 'store'")
    assert space.values() == before


def test_an_item_that_cannot_be_read_is_added_later_and_the_rest_stays(space: Space, files: Stores) -> None:
    files.keep("token", "first")
    space.managed(files.from_file("token"))

    space.respec(lambda spec: spec["data"].append(files.from_file("more")))
    assert space.stalled("SourceNotFound").startswith("more: key 'more'")
    assert space.values() == {"token": Value(b"first")}

    files.keep("more", "second")
    space.refresh()
    space.settled(revision=2)
    assert space.values() == {"token": Value(b"first"), "more": Value(b"second")}


@pytest.mark.parametrize("property_", ["nobody", "a.b"])
def test_a_property_that_is_not_there_is_named(property_: str, space: Space, files: Stores) -> None:
    files.keep_json("app", a="x")
    space.manage(files.from_file("token", "app", property=property_))
    assert f"property '{property_}'" in space.stalled("SourceNotFound")


def test_a_version_is_nothing_that_files_have(space: Space, files: Stores) -> None:
    files.keep("token", "first")
    space.manage(files.from_file("token", version="3"))
    assert "remove remoteRef.version" in space.stalled("ProviderError")


def test_a_user_who_deletes_the_secret_gets_it_back_without_the_store(space: Space, files: Stores) -> None:
    files.keep("token", "first")
    space.managed(files.from_file("token"))
    (files.files / "token").unlink()

    space.delete("Secret", "auth")

    eventually(lambda: space.find("Secret", "auth") is not None, "the Secret is put back")
    assert space.values() == {"token": Value(b"first")}
