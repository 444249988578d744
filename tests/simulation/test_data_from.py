"""Entries of dataFrom that a change of the spec moves: no key is lost while their stores are slow, away, or wait."""

import base64
from datetime import timedelta
from typing import Any

import pytest

from keyturn.core.labels import ROTATE
from keyturn.stores.providers.errors import Unreachable
from tests.simulation.simulated_cluster import KEY, MANAGED
from tests.simulation.simulated_stores import APP, StoreCluster
from tests.support.cases import case, cases

VAULT = {"kind": "SecretStore", "name": "vault"}
FIRST, SECOND = "prod/a", "prod/b"
ON_SATURDAYS = {"windows": [{"cron": "0 2 * * 6", "duration": "3h"}]}


def every(key: str) -> dict[str, Any]:
    return {"storeRef": VAULT, "remoteRef": {"key": key}}


def plain(cluster: StoreCluster) -> dict[str, str]:
    return {key: base64.b64decode(value).decode() for key, value in cluster.data().items()}


async def begun(spec: dict[str, Any], **holds: dict[str, str]) -> StoreCluster:
    """Return a cluster at rest with a workload that runs revision 1."""
    cluster = StoreCluster({**spec, "rotation": {"overlap": "0s", **spec.get("rotation", {})}})
    for name, properties in holds.items():
        cluster.outside.keep(f"prod/{name}", properties)
    await cluster.settle()
    cluster.add_workload("api", None)
    await cluster.settle()
    return cluster


async def with_two_entries() -> StoreCluster:
    return await begun({"dataFrom": [every(FIRST), every(SECOND)]}, a={"a": "1"}, b={"b": "2"})


def restarts(cluster: StoreCluster) -> list[int]:
    return cluster.pods["api"].restarted_for


async def test_the_first_entry_that_is_removed_takes_no_other_with_it_while_the_store_is_away() -> None:
    cluster = await with_two_entries()
    cluster.outside.fails[SECOND] = Unreachable("Timeout")
    cluster.change_managed()["dataFrom"] = [every(SECOND)]
    await cluster.settle()
    assert (plain(cluster), restarts(cluster)) == ({"a": "1", "b": "2"}, [])

    cluster.outside.fails.clear()
    cluster.memory.stores.retry(KEY, cluster.now)
    await cluster.settle()

    assert (plain(cluster), restarts(cluster)) == ({"b": "2"}, [2])


async def test_the_first_entry_that_is_removed_takes_no_other_with_it_while_the_store_is_slow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster = await with_two_entries()
    monkeypatch.setattr("keyturn.controllers.context._WORKER_WAIT", 0.01)
    answer = cluster.outside.hang(SECOND)
    cluster.change_managed()["dataFrom"] = [every(SECOND)]
    for _ in range(8):
        cluster.tell()
        await cluster.look()
        cluster.finish_rollouts()
        assert plain(cluster) == {"a": "1", "b": "2"}
    monkeypatch.undo()
    reading = cluster.memory.stores.pulls.record(KEY).reading
    assert reading
    answer.set()
    await reading.task
    await cluster.settle()

    assert (plain(cluster), restarts(cluster)) == ({"b": "2"}, [2])


async def test_a_property_that_is_gone_at_its_store_stays_when_its_entry_moves() -> None:
    cluster = await begun(
        {"dataFrom": [every(FIRST), every(SECOND)]}, a={"a": "1", "gone": "x"}, b={"b": "2"}
    )
    cluster.outside.keep(FIRST, {"a": "1"})
    cluster.now += timedelta(hours=2)
    await cluster.settle()
    before = plain(cluster)
    assert before["gone"] == "x"

    cluster.change_managed()["dataFrom"] = [every(SECOND), every(FIRST)]
    await cluster.settle()
    assert plain(cluster) == before

    cluster.change_managed()["dataFrom"] = [every(FIRST)]
    await cluster.settle()
    assert plain(cluster) == {"a": "1", "gone": "x"}


OURS = {"name": "user", "literal": "ours"}
PASSWORD = {"name": "password", "generate": {"password": {}}}
NOTE = {"name": "note", "literal": "x"}


async def with_a_key_of_data() -> StoreCluster:
    spec = {"data": [NOTE, OURS], "dataFrom": [every(APP)], "rotation": ON_SATURDAYS}
    return await begun(spec, app={"user": "of-the-store", "zone": "a"})


@cases(
    "data",
    case("removed", [NOTE]),
    case("under another key", [NOTE, {**OURS, "keys": {"value": "other"}}]),
)
async def test_a_key_that_data_no_longer_has_comes_from_the_store_outside_of_a_window(
    data: list[dict[str, Any]],
) -> None:
    cluster = await with_a_key_of_data()
    assert plain(cluster)["user"] == "ours"
    cluster.change_managed()["data"] = data
    began = cluster.now
    await cluster.settle()

    assert (plain(cluster)["user"], restarts(cluster)) == ("of-the-store", [2])
    assert cluster.now - began < timedelta(minutes=1)


async def test_a_key_that_data_no_longer_has_stays_until_the_store_is_read() -> None:
    cluster = await with_a_key_of_data()
    cluster.outside.fails[APP] = Unreachable("Timeout")
    cluster.change_managed()["data"] = [NOTE]
    await cluster.settle()

    assert (plain(cluster)["user"], restarts(cluster)) == ("ours", [])


@pytest.mark.parametrize("why", ["requested", "due"])
async def test_a_rotation_does_not_wait_for_a_store_that_no_longer_has_the_key(why: str) -> None:
    spec = {"data": [PASSWORD, OURS], "dataFrom": [every(APP)], "rotation": {"every": "30d"}}
    cluster = await begun(spec, app={"user": "of-the-store"})
    before = plain(cluster)
    of_store = cluster.outside.holds.pop(APP)
    cluster.change_managed()["data"] = [PASSWORD]
    if why == "requested":
        cluster.objects[MANAGED]["metadata"]["annotations"][ROTATE] = "1"
        cluster.touch_managed()
    else:
        cluster.now += timedelta(days=31)
    await cluster.settle()
    rotated = plain(cluster)
    assert rotated["password"] != before["password"]
    assert rotated == {**before, "password": rotated["password"]}
    assert cluster.state().facts.newest.number == 2

    cluster.outside.holds[APP] = of_store
    cluster.memory.stores.retry(KEY, cluster.now)
    await cluster.settle()

    assert plain(cluster) == {**rotated, "user": "of-the-store"}
