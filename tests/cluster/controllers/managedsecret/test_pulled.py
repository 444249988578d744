"""Values that stores hold, and what becomes of them, on a real API server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keyturn.core.value import Value
from tests.cluster.namespace import password
from tests.cluster.workloads import deployment, env

if TYPE_CHECKING:
    from tests.cluster.namespace import Space
    from tests.cluster.store_objects import Stores


def reason(space: Space, type_: str) -> str | None:
    condition = space.condition(type_)
    return condition["reason"] if condition else None


def test_another_value_there_is_a_revision_and_rolls_who_uses_it(space: Space, files: Stores) -> None:
    files.keep("token", "first")
    space.managed(files.from_file("token"), password(), refreshInterval="10s")
    space.run(deployment("api", env("auth", "token")))
    space.run(deployment("web", env("auth", "password")))
    before = space.values()

    files.keep("token", "second")
    status = space.settled(revision=2)

    assert space.values() == before | {"token": Value(b"second")}
    assert (space.marker("api"), space.marker("web")) == ("auth=2", None)
    assert space.until_event("Refreshed") == "revision 2 has the values of the stores"
    assert space.until_event("RolledOut") == "1 workload was restarted and runs revision 2"
    assert space.generation("Deployment", "api") == 2
    assert status["history"][0]["reason"] == "Refreshed"
    assert status["lastRotationTime"] < status["lastRefreshTime"]


def test_it_is_read_on_request_and_once_for_each_word(space: Space, files: Stores) -> None:
    files.keep("token", "first")
    space.managed(files.from_file("token"), refreshInterval="30d")
    files.keep("token", "second")

    status = space.refreshed(revision=2)
    assert space.values() == {"token": Value(b"second")}
    assert status["lastRefresh"]

    files.keep("token", "third")
    space.looked_at()
    assert space.values() == {"token": Value(b"second")}


def test_other_settings_of_a_store_are_followed_at_once(space: Space, files: Stores) -> None:
    files.keep("token", "first")
    space.managed(files.from_file("token"), refreshInterval="30d")
    (files.files / "other").mkdir()
    (files.files / "other" / "token").write_text("second")

    files.write_for_all({"files": {"path": str(files.files / "other")}})

    space.settled(revision=2)
    assert space.values() == {"token": Value(b"second")}
