"""A restart decides from the Secrets of a list as from Secrets that were read by name, whatever changes meanwhile."""

import copy
from datetime import datetime
from typing import Any

import pytest

from keyturn.core.keys import ObjectKey
from keyturn.core.labels import ROTATE
from keyturn.kube.wire import Body
from tests.simulation.simulated_cluster import KEY, MANAGED, STATE, TARGET, Cluster

SPEC: dict[str, Any] = {"data": [{"name": "password", "generate": {"password": {"length": 32}}}]}
FOREIGN = "Zm9yZWlnbg=="


class Listed(Cluster):
    """A cluster whose operator gets the Secrets of a list before its first pass after a restart."""

    def __init__(self) -> None:
        self.read: list[str] = []
        """Secrets that were read by name."""
        super().__init__(copy.deepcopy(SPEC))

    async def get(self, path: str, *, metadata_only: bool = False) -> Body:
        self.read.append(path)
        return await super().get(path, metadata_only=metadata_only)

    def list_secrets(self) -> None:
        """Restart, and list the Secrets as they are now."""
        self.restart()
        self.put_listed(self.snapshot())

    def snapshot(self) -> dict[str, Body]:
        return {path.rsplit("/", 1)[-1]: copy.deepcopy(self.objects[path]) for path in (STATE, TARGET)}

    def put_listed(self, bodies: dict[str, Body]) -> None:
        self.memory.secrets.listed.put(KEY, bodies)
        self.read.clear()

    async def pass_(self) -> datetime | None:
        """Run one pass, and check that it leaves no listed value behind."""
        try:
            return await self.look()
        finally:
            assert not self.memory.secrets.listed._bodies


@pytest.fixture
async def cluster() -> Listed:
    cluster = Listed()
    cluster.add_workload("api", None)
    await cluster.settle()
    return cluster


async def test_a_restart_reads_no_secret_by_name_and_writes_nothing(cluster: Listed) -> None:
    writes = cluster.writes
    cluster.list_secrets()

    await cluster.pass_()
    await cluster.settle()

    assert (cluster.read, cluster.writes) == ([], writes)
    assert cluster.pods["api"].restarted_for == []


async def test_an_edit_while_the_operator_was_away_is_repaired_from_the_list(cluster: Listed) -> None:
    data = cluster.data()
    cluster.edit_target("password", FOREIGN)
    cluster.list_secrets()

    await cluster.pass_()

    assert (cluster.read, cluster.data()) == ([], data)


async def test_an_edit_that_the_informer_reports_after_the_list_is_read_by_name(cluster: Listed) -> None:
    data = cluster.data()
    cluster.list_secrets()
    cluster.edit_target("password", FOREIGN)
    cluster.tell()

    await cluster.pass_()

    assert (cluster.read, cluster.data()) == ([TARGET], data)


async def test_a_list_that_is_newer_than_the_informer_counts(cluster: Listed) -> None:
    data = cluster.data()
    cluster.restart()
    cluster.edit_target("password", FOREIGN)
    cluster.put_listed(cluster.snapshot())

    await cluster.pass_()

    assert (cluster.read, cluster.data()) == ([], data)


@pytest.mark.parametrize("path", [STATE, TARGET])
async def test_a_write_from_an_outdated_list_is_rejected_and_decided_again(
    cluster: Listed, path: str
) -> None:
    cluster.objects[MANAGED]["metadata"]["annotations"][ROTATE] = "again"
    cluster.touch_managed()
    cluster.list_secrets()
    cluster._stamp(cluster.objects[path])  # which the informer has not reported yet

    await cluster.pass_()
    assert path in cluster.read
    await cluster.settle()

    assert cluster.objects[MANAGED]["status"]["revision"] == 2
    assert cluster.pods["api"].restarted_for == [2]
    assert cluster.pods["api"].read == cluster.data()


async def test_a_secret_that_the_list_lacks_is_read_by_name(cluster: Listed) -> None:
    bodies = cluster.snapshot()
    del bodies["db-keyturn"]
    cluster.restart()
    cluster.put_listed(bodies)

    await cluster.pass_()

    assert cluster.read == [STATE]


async def test_a_deleted_object_leaves_no_listed_value(cluster: Listed) -> None:
    cluster.list_secrets()
    cluster.memory.forget(KEY)
    assert cluster.memory.secrets.listed.take(ObjectKey("shop", "db"), "db") is None
