"""Other values reach the Secret and its workloads: by a rotation, from a store, and back from an earlier revision."""

from keyturn.core.value import Value
from tests.cluster.namespace import Space, password
from tests.cluster.store_objects import Stores
from tests.cluster.workloads import deployment, env, env_from


def test_a_person_rotates_every_value_and_takes_an_earlier_revision_back(space: Space) -> None:
    space.managed()
    first = space.values()
    space.run(deployment("api", env_from("auth")))

    space.rotated()
    second = space.values()
    assert all(second[key] != value for key, value in first.items())
    assert space.marker("api") == "auth=2"
    assert space.until_event("Published") == "revision 2 is in the Secret"

    space.annotate("ManagedSecret", "auth", rollback="1")
    space.until_condition("Rotating", "False", "Held")
    assert (space.values(), space.revision(), space.marker("api")) == (first, "1", "auth=1")


def test_another_value_in_a_store_is_a_revision_for_who_uses_it(space: Space, files: Stores) -> None:
    files.keep("token", "first")
    space.managed(files.from_file("token"), password(), refreshInterval="30d")
    space.run(deployment("api", env("auth", "token")))
    space.run(deployment("web", env("auth", "password")))
    before = space.values()

    files.keep("token", "second")
    status = space.refreshed(revision=2)

    assert space.values() == before | {"token": Value(b"second")}
    assert (space.marker("api"), space.marker("web")) == ("auth=2", None)
    assert status["history"][0]["reason"] == "Refreshed"


def test_other_settings_of_a_store_are_followed_at_once(space: Space, files: Stores) -> None:
    files.keep("token", "first")
    space.managed(files.from_file("token"), refreshInterval="30d")
    (files.files / "other").mkdir()
    (files.files / "other" / "token").write_text("second")

    files.write_for_all({"files": {"path": str(files.files / "other")}})

    space.settled(revision=2)
    assert space.values() == {"token": Value(b"second")}
