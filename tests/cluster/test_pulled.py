"""Values that stores hold, and what becomes of them, on a real API server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from keyturn.core.value import Value
from tests.cluster.space import password
from tests.cluster.stores import Stores, pulled
from tests.cluster.workloads import deployment, env_from

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cluster.space import Space


@pytest.fixture
def stores(space: Space, files_root: Path) -> Iterator[Stores]:
    folder = files_root / space.namespace
    folder.mkdir()
    stores = Stores(space, folder)
    stores.write_files(refresh={"minInterval": "1s"})
    yield stores
    stores.delete()


def from_file(stores: Stores, name: str, key: str | None = None, **ref: Any) -> dict[str, Any]:
    return pulled(name, key or name, stores.for_all, kind="ClusterSecretStore", **ref)


def test_a_value_is_read_where_it_is_kept(space: Space, stores: Stores) -> None:
    stores.keep("token", "kept-by-somebody-else")

    status = space.managed(from_file(stores, "api-key", "token"), password())

    assert space.values()["api-key"] == Value(b"kept-by-somebody-else")
    assert status["lastRefreshTime"] == status["lastRotationTime"]
    assert space.condition("Refreshed")["reason"] == "Read"


def test_another_value_there_is_a_revision_and_rolls_who_uses_it(space: Space, stores: Stores) -> None:
    stores.keep("token", "first")
    space.managed(from_file(stores, "token"), password(), refreshInterval="10s")
    space.run(deployment("api", env_from("auth")))
    before = space.values()

    stores.keep("token", "second")
    status = space.settled(revision=2)

    assert space.values() == before | {"token": Value(b"second")}
    assert space.marker("api") == "auth=2"
    assert status["history"][0]["reason"] == "Refreshed"
    assert status["lastRotationTime"] < status["lastRefreshTime"]


def test_it_is_read_at_once_when_somebody_asks(space: Space, stores: Stores) -> None:
    stores.keep("token", "first")
    space.managed(from_file(stores, "token"), refreshInterval="30d")

    stores.keep("token", "second")
    space.annotate("ManagedSecret", "auth", refresh="now")
    status = space.settled(revision=2)

    assert space.values() == {"token": Value(b"second")}
    assert status["lastRefresh"] == "now"


def test_one_that_is_not_there_is_waited_for(space: Space, stores: Stores) -> None:
    space.manage(from_file(stores, "token"), password())

    said = space.stalled("SourceNotFound")
    assert "key 'token' of ClusterSecretStore" in said
    assert space.find("Secret", "auth") is None

    stores.keep("token", "at last")
    space.annotate("ManagedSecret", "auth", refresh="now")
    space.settled(revision=1)


def test_one_that_goes_leaves_the_last_one_and_rotations_go_on(space: Space, stores: Stores) -> None:
    stores.keep("token", "kept")
    space.managed(from_file(stores, "token"), password())
    before = space.values()

    (stores.files / "token").unlink()
    space.annotate("ManagedSecret", "auth", refresh="now")
    space.stalled("SourceNotFound")
    assert space.values() == before
    assert space.condition("Ready")["status"] == "True"

    space.rotate()
    space.until_revision("2")
    assert space.values()["token"] == before["token"]
    assert space.values()["password"] != before["password"]
