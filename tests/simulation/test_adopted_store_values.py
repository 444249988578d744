"""A store stays the source of a Secret that was adopted, or whose state was lost."""

import base64
from datetime import timedelta
from typing import Any

from keyturn.api.managedsecret import ManagedSecret
from keyturn.core.labels import ROTATE
from keyturn.core.value import Value
from keyturn.kube.wire import Body
from keyturn.stores.providers.errors import Unreachable
from tests.simulation.simulated_cluster import MANAGED, STATE, TARGET
from tests.simulation.simulated_stores import APP, PLACE, StoreCluster
from tests.support.cases import case, cases

HOUR = timedelta(hours=1)
VAULT = {"kind": "SecretStore", "name": "vault"}
EVERYTHING = {"storeRef": VAULT, "remoteRef": {"key": APP}}
ADOPTING: dict[str, Any] = {
    "dataFrom": [EVERYTHING],
    "target": {"adopt": "IfUnowned"},
    "rotation": {"overlap": "0s"},
}
KEYS = cases(
    "key",
    case("a key that sorts after dataFrom", "user"),
    case("a key that sorts before dataFrom", "API_KEY"),
)


def cluster_of(
    spec: dict[str, Any],
    stored: dict[str, str],
    found: dict[str, str],
    type_: type[StoreCluster] = StoreCluster,
) -> StoreCluster:
    """Return a cluster with a store, and with the Secret of another tool if it has values."""
    cluster = type_(spec)
    cluster.outside.keep(APP, stored)
    if found:
        body = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "db", "namespace": "shop", "uid": "uid-of-another-tool"},
            "type": "Opaque",
            "data": {key: Value.of_text(text).to_base64() for key, text in found.items()},
        }
        cluster.put(TARGET, body)
    return cluster


async def adopted(stored: dict[str, str], **found: str) -> StoreCluster:
    cluster = cluster_of(ADOPTING, stored, found)
    await cluster.settle()
    cluster.add_workload("api", None)
    await cluster.settle()
    return cluster


async def store(cluster: StoreCluster, content: dict[str, str]) -> None:
    """Let the store have other values, and the refresh interval pass."""
    cluster.outside.keep(APP, content)
    cluster.now += 2 * HOUR
    await cluster.settle()


def plain(cluster: StoreCluster) -> dict[str, str]:
    return {key: base64.b64decode(data).decode() for key, data in cluster.data().items()}


@KEYS
async def test_a_changed_value_of_the_store_replaces_the_adopted_one(key: str) -> None:
    cluster = await adopted({key: "old"}, **{key: "old", "theirs": "kept"})
    assert plain(cluster) == {key: "old", "theirs": "kept"}
    assert cluster.pods["api"].restarted_for == []

    await store(cluster, {key: "new"})

    assert plain(cluster) == {key: "new", "theirs": "kept"}
    assert len(cluster.pods["api"].restarted_for) == 1
    assert cluster.pods["api"].read == cluster.data()


@KEYS
async def test_a_value_that_differs_from_the_adopted_one_is_rolled_out(key: str) -> None:
    cluster = cluster_of(ADOPTING, {key: "of-the-store"}, {key: "of-another-tool"})
    cluster.add_workload("api", None)
    await cluster.settle()

    assert plain(cluster) == {key: "of-the-store"}
    assert cluster.pods["api"].read == cluster.data()


@KEYS
async def test_a_changed_value_of_the_store_arrives_after_a_loss_of_the_state(key: str) -> None:
    cluster = await adopted({key: "old"})
    await store(cluster, {key: "second"})
    del cluster.objects[STATE]
    await cluster.settle()
    assert plain(cluster) == {key: "second"}

    await store(cluster, {key: "third"})

    assert plain(cluster) == {key: "third"}
    assert cluster.pods["api"].read == cluster.data()


async def test_while_the_store_is_away_a_lost_state_empties_nothing() -> None:
    cluster = await adopted({"user": "old"})
    cluster.outside.fails[APP] = Unreachable("Timeout")
    del cluster.objects[STATE]
    cluster.restart()
    cluster.now += HOUR

    await cluster.settle()

    assert plain(cluster) == {"user": "old"}


def pushed(cluster: StoreCluster) -> set[str]:
    content = cluster.outside.holds[PLACE]
    assert isinstance(content, dict)
    return set(content)


async def test_values_of_a_store_are_not_pushed_elsewhere_after_a_loss_of_the_state() -> None:
    push = {"storeRef": VAULT, "remoteRef": {"key": PLACE}}
    spec = {
        "data": [{"name": "password", "generate": {"password": {}}}],
        "dataFrom": [EVERYTHING],
        "pushTo": [push],
    }
    cluster = cluster_of(spec, {"user": "shop"}, {})
    await cluster.settle()
    assert pushed(cluster) == {"password"}
    cluster.outside.fails[APP] = Unreachable("Timeout")
    del cluster.objects[STATE], cluster.outside.holds[PLACE]
    cluster.restart()
    cluster.now += HOUR

    await cluster.settle()

    assert set(plain(cluster)) == {"password", "user"}
    assert pushed(cluster) == {"password"}


async def test_adopted_keys_beside_a_store_cause_no_reads() -> None:
    cluster = await adopted({"user": "shop"}, theirs="kept")
    before = len(cluster.outside.asked)

    for _ in range(10):
        cluster.tell()
        await cluster.look()

    assert len(cluster.outside.asked) == before


MERGING: dict[str, Any] = {
    "data": [{"name": "password", "generate": {"password": {}}}],
    "dataFrom": [EVERYTHING],
    "target": {"creationPolicy": "Merge"},
    "rotation": {"overlap": "0s"},
}


class Merged(StoreCluster):
    """A cluster whose Secret has a key of another writer, too."""

    def _hold_target(self, body: Body) -> None:
        ours = {key: data for key, data in body["data"].items() if key in self.state().current.data()}
        assert all(self.data()[key] == data for key, data in body["data"].items() if key not in ours)
        assert "theirs" in body["data"]
        super()._hold_target({**body, "data": ours})


def conditions(cluster: StoreCluster) -> dict[str, str]:
    status = ManagedSecret.model_validate(cluster.objects[MANAGED]).status
    return {one.type: str(one.reason) for one in status.conditions}


async def merged(**target: Any) -> StoreCluster:
    """Return a cluster whose Secret of another writer got a generated key and those of a store."""
    spec = {**MERGING, "target": {"creationPolicy": "Merge", **target}}
    cluster = cluster_of(spec, {"user": "shop"}, {"theirs": "kept"}, Merged)
    await cluster.settle()
    assert plain(cluster)["user"] == "shop"
    return cluster


@cases(
    "target",
    case("without a template", {}),
    case("with a template", {"template": {"data": {"url": "db://{{ user }}"}}}),
)
async def test_the_keys_of_a_merged_secret_are_known_after_a_loss_of_the_state(
    target: dict[str, Any],
) -> None:
    cluster = await merged(**target)
    before = plain(cluster)

    del cluster.objects[STATE]
    await cluster.settle()
    assert plain(cluster) == before
    assert "Stalled" not in conditions(cluster)

    await store(cluster, {"user": "another"})
    assert plain(cluster) == {key: text.replace("shop", "another") for key, text in before.items()}


async def test_a_merged_secret_keeps_its_values_until_the_store_can_be_read() -> None:
    cluster = await merged(template={"data": {"url": "db://{{ user | default: '' }}"}})
    before = plain(cluster)
    cluster.outside.fails[APP] = Unreachable("Timeout")
    del cluster.objects[STATE]
    cluster.restart()
    await cluster.settle()
    assert plain(cluster) == before

    cluster.objects[MANAGED]["metadata"]["annotations"][ROTATE] = "now"
    cluster.touch_managed()
    await cluster.settle()
    assert plain(cluster).keys() == before.keys()
    assert {**plain(cluster), "password": ""} == {**before, "password": ""}

    cluster.outside.fails.clear()
    await store(cluster, {"user": "another"})
    assert plain(cluster)["user"] == "another"
    assert plain(cluster)["url"] == "db://another"
    assert "Stalled" not in conditions(cluster)


async def test_a_key_of_another_writer_stays_foreign_after_a_loss_of_the_state() -> None:
    cluster = await merged()
    del cluster.objects[STATE]
    await cluster.settle()

    await store(cluster, {"user": "another", "theirs": "of-the-store"})

    assert plain(cluster)["theirs"] == "kept"
    assert conditions(cluster)["Stalled"] == "KeyConflict"
