"""An emergency is not done while a workload uses exposed values, wherever they are."""

from datetime import timedelta
from typing import Any

from keyturn.api.emergency import AffectedState
from keyturn.core.emergency.progress import Affected
from keyturn.core.keys import EmergencyKey
from keyturn.core.labels import MARKER, RELOAD, ROLLBACK, ROTATE
from keyturn.kube import paths
from keyturn.kube.state_secret import state_of
from keyturn.kube.wire import Body
from tests.simulation.simulated_cluster import KEY, MANAGED, SECOND, STATE, TARGET, Cluster
from tests.simulation.simulated_stores import API, StoreCluster
from tests.simulation.test_other_pods import bare_pod

PASSWORD: list[dict[str, Any]] = [{"name": "password", "generate": {"password": {}}}]
OTHER = "b3RoZXI="
RENAMED = paths.secret("shop", "db2")
IN_USE = (
    "Deployment/api may still have values of revision 1 from the Secret 'db'; let it use 'db2', or restart or delete"
    " it if that Secret has other values now"
)


async def published(
    revisionHistoryLimit: int = 3,  # noqa: N803  # as in the spec
    data: list[dict[str, Any]] = PASSWORD,
    **target: Any,
) -> Cluster:
    rotation = {"revisionHistoryLimit": revisionHistoryLimit, "overlap": "0s"}
    cluster = Cluster({"data": data, "target": target, "rotation": rotation})
    await cluster.settle()
    return cluster


async def running(**spec: Any) -> Cluster:
    cluster = await published(**spec)
    cluster.add_workload("api", None)
    await cluster.settle()
    cluster.now += timedelta(days=1)
    return cluster


async def declare(cluster: Cluster, name: str = "leak", **chosen: Any) -> None:
    put_emergency(cluster, name, **chosen)
    cluster.now += 5 * SECOND
    await cluster.settle()


def put_emergency(
    cluster: Cluster,
    name: str,
    status: Body | None = None,
    age: timedelta = 0 * SECOND,
    revoke: str = "Immediately",
    **chosen: Any,
) -> None:
    metadata = {
        "name": name,
        "namespace": "shop",
        "uid": f"uid-of-{name}",
        "creationTimestamp": (cluster.now - age).replace(microsecond=0).isoformat(),
    }
    spec = {"reason": "a laptop was stolen", "names": ["db"], "revoke": revoke, **chosen}
    body = {"metadata": metadata, "spec": spec, "status": status or {}}
    cluster.context.cache.emergencies.put(EmergencyKey("shop", name), body)


def progress(cluster: Cluster, name: str = "leak") -> Affected:
    found = cluster.memory.emergencies.progress(KEY, f"uid-of-{name}")
    assert found is not None
    return found


async def test_values_are_rotated_although_pods_cannot_be_listed() -> None:
    cluster = await running()
    cluster.lists_fail = True

    await declare(cluster)

    assert state_of(cluster.objects[STATE]).facts.current.reason == "Emergency"


async def test_a_workload_that_fails_does_not_hold_up_later_waves() -> None:
    cluster = await published()
    waves = [{"kind": "Deployment", "name": "web", "wave": 1}]
    cluster.change_managed()["rollout"] = {"targets": waves, "progressDeadline": "1m"}
    cluster.add_workload("api", None)
    cluster.add_workload("web", None)
    await cluster.settle()
    cluster.now += timedelta(days=1)
    cluster.doomed = {2}

    await declare(cluster)

    templates = [cluster.objects[cluster.path_of(name)]["spec"]["template"] for name in ("api", "web")]
    assert [one["metadata"]["annotations"][MARKER] for one in templates] == ["db=2", "db=2"]
    assert progress(cluster).state is AffectedState.FAILED
    message = progress(cluster).message or ""
    assert message.startswith("Deployment/api is failed: ")
    assert "; Deployment/web is failed: " in message


async def test_a_bare_pod_is_named_while_a_workload_is_paused() -> None:
    cluster = await running()
    cluster.other_pods.append(bare_pod(cluster))
    cluster.now += 2 * SECOND
    cluster.pause("api", paused=True)

    await declare(cluster)

    found = progress(cluster)
    assert found.state is AffectedState.ROTATED
    assert [point.split()[0] for point in found.open_points] == ["Deployment/api", "Pod/bare"]
    assert "; Pod/bare runs since" in (found.message or "")
    assert [other.split()[0] for other in found.others or ()] == ["Pod/bare"]
    workloads = cluster.objects[MANAGED]["status"]["workloads"]
    assert {one["name"] for one in workloads} == {"api", "bare"}


async def test_a_workload_that_reloads_is_not_done_before_it_is_restarted() -> None:
    cluster = await published()
    cluster.add_workload("api", None)
    body = cluster.objects[cluster.path_of("api")]
    body["metadata"]["annotations"] = {RELOAD: "wait"}
    spec = body["spec"]["template"]["spec"]
    spec["containers"][0].pop("envFrom")
    spec["volumes"] = [{"name": "files", "secret": {"secretName": "db"}}]
    cluster.pause("api", paused=False)  # which counts as a change of it
    await cluster.settle()
    cluster.now += timedelta(days=1)

    await declare(cluster)
    cluster.now += timedelta(minutes=5)
    await cluster.settle()
    assert progress(cluster).state is AffectedState.RELOAD_UNPROVEN

    del body["metadata"]["annotations"]
    cluster.pause("api", paused=False)
    await cluster.settle()
    assert body["spec"]["template"]["metadata"]["annotations"][MARKER] == "db=2"
    assert progress(cluster).state is AffectedState.ROLLED_OUT


async def test_a_pulled_password_in_a_registry_login_is_not_rotated() -> None:
    password = {"name": "password", "from": {"storeRef": {"name": "vault"}, "remoteRef": {"key": API}}}
    login = {"registry": "r.example", "username": "u", "passwordFrom": {"name": "password"}}
    cluster = StoreCluster({"data": [password, {"name": "login", "generate": {"dockerConfig": login}}]})
    await cluster.settle()
    before = cluster.data()
    cluster.now += timedelta(days=1)

    await declare(cluster)

    assert cluster.data() == before
    told = progress(cluster)
    assert (told.state, told.revision) == (AffectedState.NOTHING_TO_ROTATE, None)
    assert told.message == "to be rotated at its store: password (vault)"


# Values from before the declaration under another key

OTHER_KEY = [{**PASSWORD[0], "keys": {"value": "PASSWORD"}}]


async def test_a_key_that_is_renamed_after_a_return_to_exposed_values_makes_them_no_new_ones() -> None:
    cluster = await running()
    exposed = cluster.data()["password"]
    await declare(cluster)
    cluster.objects[MANAGED]["metadata"]["annotations"][ROLLBACK] = "1/even-exposed"
    cluster.touch_managed()
    await cluster.settle()

    cluster.change_managed()["data"] = OTHER_KEY
    await cluster.settle()

    assert cluster.data() == {"PASSWORD": exposed}
    assert progress(cluster).state is AffectedState.FAILED
    assert "every value of revision 3 was generated since" in (progress(cluster).message or "")


async def test_a_renamed_key_that_is_not_published_yet_is_no_rotation_since() -> None:
    cluster = await running()
    exposed = cluster.data()["password"]
    cluster.change_managed()["data"] = OTHER_KEY
    cluster.dies_at = cluster.writes + 1.5  # before the Secret is written
    cluster.tell()
    await cluster.look()
    assert cluster.data() == {"password": exposed}
    assert state_of(cluster.objects[STATE]).facts.current_number == 2

    await declare(cluster)

    assert cluster.data()["PASSWORD"] != exposed
    assert progress(cluster).state is AffectedState.ROLLED_OUT


async def test_a_renamed_key_does_not_end_the_wait_for_a_second_rotation() -> None:
    cluster = await running()
    await declare(cluster)
    exposed = cluster.data()["password"]

    cluster.change_managed()["data"] = OTHER_KEY
    await declare(cluster, "again")

    assert cluster.data()["PASSWORD"] != exposed
    assert progress(cluster, "again").state is AffectedState.ROLLED_OUT


# A rotation that an emergency supersedes


async def test_a_staged_rotation_is_superseded_once_also_when_its_secret_is_created_again() -> None:
    cluster = await running()
    cluster.objects[MANAGED]["metadata"]["annotations"][ROTATE] = "leaver"
    cluster.touch_managed()
    cluster.dies_at = cluster.writes + 1.5  # before the Secret is written
    cluster.tell()
    await cluster.look()
    cluster.now += timedelta(minutes=3)
    await declare(cluster)
    assert [one.reason for one in state_of(cluster.objects[STATE]).facts.revisions] == [
        "Emergency",
        "Triggered",
        "Created",
    ]

    del cluster.objects[TARGET]
    await cluster.settle()

    assert state_of(cluster.objects[STATE]).facts.newest.number == 3
    assert progress(cluster).state is AffectedState.ROLLED_OUT


async def test_a_pod_that_is_not_available_holds_up_no_restart_in_an_emergency() -> None:
    """Its rollout is complete, and the next one would otherwise wait for that pod without end."""
    cluster = await running()
    cluster.observe("api", available=0)
    cluster.put(cluster.path_of("api"), cluster.objects[cluster.path_of("api")])
    cluster.objects[MANAGED]["metadata"]["annotations"][ROTATE] = "once"
    cluster.touch_managed()
    await cluster.settle()
    (row,) = cluster.objects[MANAGED]["status"]["workloads"]
    assert (row["state"], row["message"]) == (
        "Pending",
        "waits until all of its pods are available; every pod has its current template",
    )
    assert cluster.pods["api"].restarted_for == []

    await declare(cluster)
    await cluster.settle()
    assert cluster.pods["api"].restarted_for == [3]
    assert cluster.pods["api"].read == cluster.data()


REGISTRY = {"registry": "registry.shop.test", "username": "shop", "passwordFrom": {"name": "token"}}
NAMED: list[dict[str, Any]] = [
    *({"name": name, "generate": {"password": {}}} for name in ("password", "token")),
    {"name": "id", "generate": {"uuid": {}}},
    {"name": ".dockerconfigjson", "generate": {"dockerConfig": REGISTRY}},
]


def fresh(cluster: Cluster, before: dict[str, str]) -> set[str]:
    """Return the keys of the Secret that are others than before."""
    now = cluster.data()
    return {key for key in {*now, *before} if now.get(key) != before.get(key)}


async def test_a_named_value_rotates_with_what_is_made_from_it_and_the_others_stay_as_they_are() -> None:
    cluster = await running(data=NAMED)
    before = dict(cluster.data())

    await declare(cluster, items=["token"])

    assert fresh(cluster, before) == {"token", ".dockerconfigjson"}
    assert progress(cluster).state is AffectedState.ROLLED_OUT
    assert progress(cluster).items == ("token",)
    assert cluster.pods["api"].restarted_for == [2]


async def test_a_value_without_a_secret_of_its_own_rotates_what_it_is_made_from() -> None:
    cluster = await running(data=NAMED)
    before = dict(cluster.data())

    await declare(cluster, items=[".dockerconfigjson"])

    assert fresh(cluster, before) == {"token", ".dockerconfigjson"}


async def test_the_previous_value_of_another_item_stays_readable() -> None:
    kept = [{**item, "keepPrevious": True} for item in NAMED[:2]]
    cluster = Cluster({"data": kept, "rotation": {"overlap": "24h"}})
    await cluster.settle()
    cluster.add_workload("api", None)
    await cluster.settle()
    cluster.change_managed()["rotation"]["trigger"] = "leaver"
    cluster.touch_managed()
    await cluster.settle()
    before = dict(cluster.data())
    assert {"password.previous", "token.previous"} <= before.keys()

    await declare(cluster, items=["token"])

    assert fresh(cluster, before) == {"token", "token.previous"}
    assert "token.previous" not in cluster.data()
    assert progress(cluster).state is AffectedState.ROLLED_OUT


async def test_two_emergencies_of_different_values_overlap() -> None:
    """Both are declared before the first one is answered: one revision and one restart serve them."""
    cluster = await running(data=NAMED)
    before = dict(cluster.data())

    put_emergency(cluster, "leak", items=["token"])
    await declare(cluster, "other", items=["password"])

    assert fresh(cluster, before) == {"token", ".dockerconfigjson", "password"}
    assert {progress(cluster, name).state for name in ("leak", "other")} == {AffectedState.ROLLED_OUT}
    assert cluster.pods["api"].restarted_for == [2]


async def test_an_emergency_of_another_value_follows_and_leaves_the_first_alone() -> None:
    cluster = await running(data=NAMED)
    await declare(cluster, items=["token"])
    before = dict(cluster.data())

    await declare(cluster, "other", items=["password"])

    assert fresh(cluster, before) == {"password"}
    assert {progress(cluster, name).state for name in ("leak", "other")} == {AffectedState.ROLLED_OUT}


async def test_an_emergency_of_the_whole_secret_rotates_the_named_value_once_more() -> None:
    cluster = await running(data=NAMED)
    await declare(cluster, items=["token"])
    before = dict(cluster.data())

    await declare(cluster, "whole")
    cluster.now += timedelta(minutes=5)
    await cluster.settle()

    assert fresh(cluster, before) == {"token", ".dockerconfigjson", "password", "id"}
    assert {progress(cluster, name).state for name in ("leak", "whole")} == {AffectedState.ROLLED_OUT}


async def test_a_restart_of_the_operator_changes_nothing_after_named_values_are_rotated() -> None:
    cluster = await running(data=NAMED)
    await declare(cluster, items=["token"])
    before = dict(cluster.data())

    cluster.restart()
    put_emergency(cluster, "leak", items=["token"])
    cluster.now += timedelta(hours=1)
    await cluster.settle()

    assert fresh(cluster, before) == set()
    assert state_of(cluster.objects[STATE]).facts.current.taken == {"uid-of-leak": frozenset({"token"})}
    assert progress(cluster).state is AffectedState.ROLLED_OUT


async def test_a_named_value_is_no_value_of_a_secret_without_it() -> None:
    cluster = await running()
    await declare(cluster, items=["token"])

    assert cluster.memory.emergencies.progress(KEY, "uid-of-leak") is None
    assert state_of(cluster.objects[STATE]).facts.newest.number == 1
