"""An emergency is not done while a workload uses exposed values, wherever they are."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from keyturn.api.emergency import AffectedState
from keyturn.core.keys import EmergencyKey
from keyturn.core.labels import MARKER, OWNER_LABEL, RELOAD, ROLLBACK, ROTATE
from keyturn.kube import paths
from keyturn.kube.state_secret import state_of
from keyturn.stores.providers.errors import Unreachable
from tests.simulation.simulated_cluster import KEY, MANAGED, SECOND, STATE, TARGET, Cluster
from tests.simulation.simulated_stores import API, StoreCluster
from tests.simulation.test_other_pods import bare_pod

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from keyturn.core.emergency.progress import Affected
    from keyturn.kube.wire import Body

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


async def declare(cluster: Cluster, name: str = "leak") -> None:
    put_emergency(cluster, name)
    cluster.now += 5 * SECOND
    await cluster.settle()


def put_emergency(
    cluster: Cluster,
    name: str,
    status: Body | None = None,
    age: timedelta = 0 * SECOND,
    revoke: str = "Immediately",
) -> None:
    metadata = {
        "name": name,
        "namespace": "shop",
        "uid": f"uid-of-{name}",
        "creationTimestamp": (cluster.now - age).replace(microsecond=0).isoformat(),
    }
    spec = {"reason": "a laptop was stolen", "names": ["db"], "revoke": revoke}
    body = {"metadata": metadata, "spec": spec, "status": status or {}}
    cluster.context.cache.emergencies.put(EmergencyKey("shop", name), body)


async def rename(cluster: Cluster, **target: Any) -> None:
    cluster.change_managed()["target"] = {**target, "name": "db2"}
    await cluster.settle()


async def let_use(cluster: Cluster, secret: str) -> None:
    body = cluster.objects[cluster.path_of("api")]
    template = body["spec"]["template"]
    template["spec"]["containers"][0]["envFrom"] = [{"secretRef": {"name": secret}}]
    cluster.now += 2 * SECOND
    cluster.pods["api"].made = cluster.now  # by the rollout of that change
    cluster.pause("api", paused=False)  # which counts as a change of it
    await cluster.settle()


def progress(cluster: Cluster, name: str = "leak") -> Affected:
    found = cluster.memory.emergencies.progress(KEY, f"uid-of-{name}")
    assert found is not None
    return found


@pytest.mark.parametrize("is_immutable", [False, True], ids=["declared after", "advised by the status"])
async def test_a_workload_that_uses_the_secret_under_its_earlier_name_is_waited_for(
    is_immutable: bool,  # noqa: FBT001
) -> None:
    target = {"immutable": True} if is_immutable else {}
    cluster = await running(**target)
    exposed = cluster.data()
    if is_immutable:
        await declare(cluster)
        assert "write another target.name" in (progress(cluster).message or "")
        await rename(cluster, **target)
    else:
        await rename(cluster)
        await declare(cluster)

    assert (progress(cluster).state, progress(cluster).message) == (AffectedState.ROTATED, IN_USE)
    assert OWNER_LABEL not in cluster.objects[TARGET]["metadata"]["labels"], "it is released"
    assert cluster.data() == exposed
    assert cluster.objects[RENAMED]["data"] != exposed

    await let_use(cluster, "db2")
    assert progress(cluster).state is AffectedState.ROLLED_OUT


async def test_an_emergency_that_waits_to_rotate_again_does_not_end_the_wait_of_an_earlier_one() -> None:
    cluster = await running()
    await rename(cluster)
    await declare(cluster)
    assert progress(cluster).message == IN_USE

    cluster.now = state_of(cluster.objects[STATE]).facts.newest.made + timedelta(minutes=1)
    put_emergency(cluster, "second")
    cluster.tell()
    await cluster.look()
    assert (progress(cluster).state, progress(cluster).message) == (
        AffectedState.ROTATED,
        "the Secrets under its earlier names are looked at after the rotation for the emergency second",
    )
    assert progress(cluster, "second").state is AffectedState.PENDING

    await cluster.settle()
    messages = [progress(cluster, name).message for name in ("leak", "second")]
    assert messages == [IN_USE, IN_USE]

    await let_use(cluster, "db2")
    states = [progress(cluster, name).state for name in ("leak", "second")]
    assert states == [AffectedState.ROLLED_OUT, AffectedState.ROLLED_OUT]


async def test_a_store_that_is_away_in_a_second_emergency_does_not_end_the_wait_of_an_earlier_one() -> None:
    source = {"storeRef": {"kind": "SecretStore", "name": "vault"}, "remoteRef": {"key": API}}
    data = [*PASSWORD, {"name": "api", "from": source}]
    cluster = StoreCluster({"data": data, "rotation": {"overlap": "0s"}})
    await cluster.settle()
    cluster.add_workload("api", None)
    await cluster.settle()
    cluster.now += timedelta(days=1)
    await rename(cluster)
    await declare(cluster)
    assert progress(cluster).message == IN_USE

    cluster.now += timedelta(hours=1)
    cluster.outside.fails[API] = Unreachable("Timeout")
    await declare(cluster, "second")
    assert (progress(cluster).state, progress(cluster).message) == (
        AffectedState.ROTATED,
        "the Secrets under its earlier names are looked at after its stores are read for the emergency second",
    )
    assert (progress(cluster, "second").message or "").startswith(
        "its stores are read again: api: key 'prod/api'"
    )

    cluster.outside.fails.clear()
    await cluster.settle()
    await let_use(cluster, "db2")
    states = [progress(cluster, name).state for name in ("leak", "second")]
    assert states == [AffectedState.ROLLED_OUT, AffectedState.ROLLED_OUT]


def created_again(secret: Body) -> None:
    secret["metadata"]["uid"] = "another"


def taken_over(secret: Body) -> None:
    secret["metadata"]["labels"][OWNER_LABEL] = "orders"


def filled_by_hand(secret: Body) -> None:
    secret["data"]["password"] = OTHER


def cleaned(secret: Body) -> None:
    del secret["data"]["password"]


def stamped(cluster: Cluster) -> None:
    time = cluster.now.replace(microsecond=0).isoformat()
    cluster.objects[TARGET]["metadata"]["managedFields"] = [
        {"manager": "kubectl", "time": time},
        {"manager": "x"},
    ]


@pytest.mark.parametrize("change", [created_again, taken_over, filled_by_hand, cleaned])
async def test_pods_from_before_a_secret_lost_the_exposed_values_are_waited_for(
    change: Callable[[Body], None],
) -> None:
    cluster = await running()
    await rename(cluster)
    filled_by_hand(cluster.objects[TARGET])
    change(cluster.objects[TARGET])
    stamped(cluster)

    await declare(cluster)
    assert progress(cluster).message == IN_USE

    await replace_pods(cluster)
    assert progress(cluster).state is AffectedState.ROLLED_OUT


@pytest.mark.parametrize("change", [created_again, taken_over])
async def test_a_secret_that_has_the_exposed_values_again_is_waited_for(
    change: Callable[[Body], None],
) -> None:
    cluster = await running()
    await rename(cluster)
    change(cluster.objects[TARGET])
    await declare(cluster)
    await replace_pods(cluster)

    assert progress(cluster).message == IN_USE


async def test_pods_that_are_younger_than_the_change_of_a_secret_are_not_waited_for() -> None:
    cluster = await running()
    await rename(cluster)
    filled_by_hand(cluster.objects[TARGET])
    stamped(cluster)
    await replace_pods(cluster)

    await declare(cluster)

    assert progress(cluster).state is AffectedState.ROLLED_OUT


async def replace_pods(cluster: Cluster) -> None:
    cluster.now += timedelta(minutes=10)
    cluster.pods["api"].made = cluster.now
    await cluster.settle()


async def test_values_that_the_target_still_has_are_not_waited_for() -> None:
    """Only what the emergency has replaced is exposed, not what both Secrets have, such as a login's name."""
    cluster = await running()
    cluster.change_managed()["data"] = [*PASSWORD, {"name": "user", "literal": "shop"}]
    await cluster.settle()
    await rename(cluster)
    filled_by_hand(cluster.objects[TARGET])
    stamped(cluster)
    await replace_pods(cluster)

    await declare(cluster)

    assert cluster.data()["user"] == "c2hvcA=="
    assert progress(cluster).state is AffectedState.ROLLED_OUT


async def test_a_secret_whose_values_are_no_longer_recorded_is_waited_for() -> None:
    cluster = await running(revisionHistoryLimit=0)
    await rename(cluster)
    await declare(cluster)

    assert progress(cluster).message == IN_USE


async def test_a_deleted_secret_is_waited_for_once_until_the_pods_that_have_read_it_end() -> None:
    cluster = await running()
    await rename(cluster)
    del cluster.objects[TARGET]
    declared = cluster.now
    await declare(cluster)
    assert progress(cluster).message == IN_USE

    await replace_pods(cluster)
    assert progress(cluster).state is AffectedState.ROLLED_OUT

    cluster.restart()
    done = {"secrets": [{"name": "db", "state": "RolledOut"}]}
    put_emergency(cluster, "leak", done, cluster.now - declared)
    await cluster.settle()
    assert progress(cluster).state is AffectedState.ROLLED_OUT


async def test_a_secret_that_is_done_waits_for_a_later_user_of_it_under_its_earlier_name() -> None:
    cluster = await published()
    await rename(cluster)
    declared = cluster.now
    await declare(cluster)
    assert progress(cluster).state is AffectedState.ROLLED_OUT

    done = {"secrets": [{"name": "db", "state": "RolledOut"}]}
    put_emergency(cluster, "leak", done, cluster.now - declared)
    cluster.add_workload("api", None)
    await cluster.settle()
    assert progress(cluster).message == IN_USE


@pytest.mark.parametrize(
    "has_other_values", [False, True], ids=["with the values", "with other values since then"]
)
async def test_a_pod_of_no_workload_that_uses_the_secret_under_its_earlier_name_is_waited_for(
    has_other_values: bool,  # noqa: FBT001
) -> None:
    cluster = await published()
    cluster.other_pods.append(bare_pod(cluster))
    cluster.now += timedelta(days=1)
    await rename(cluster)
    cluster.now += timedelta(minutes=10)
    if has_other_values:
        filled_by_hand(cluster.objects[TARGET])
        stamped(cluster)
        cluster.now += timedelta(minutes=10)
        cluster.other_pods.append(bare_pod(cluster, "new"))

    await declare(cluster)
    assert (progress(cluster).state, progress(cluster).message) == (
        AffectedState.ROTATED,
        IN_USE.replace("Deployment/api", "Pod/bare"),
    )

    del cluster.other_pods[0]
    cluster.now += timedelta(minutes=10)
    await cluster.settle()
    assert progress(cluster).state is AffectedState.ROLLED_OUT


async def test_pods_from_before_the_rotation_are_waited_for_after_a_change_of_the_name() -> None:
    cluster = await running()
    cluster.pause("api", paused=True)
    await declare(cluster)
    assert progress(cluster).message == "Deployment/api is pending: waits because the Deployment is paused"

    cluster.now += timedelta(minutes=10)
    await rename(cluster)
    assert (progress(cluster).state, progress(cluster).message) == (AffectedState.ROTATED, IN_USE)

    await replace_pods(cluster)
    assert progress(cluster).state is AffectedState.ROLLED_OUT


async def test_values_are_rotated_although_pods_cannot_be_listed() -> None:
    cluster = await running()
    await rename(cluster)
    cluster.now += timedelta(days=1)
    cluster.lists_fail = True

    await declare(cluster)

    assert state_of(cluster.objects[STATE]).facts.current.reason == "Emergency"


async def test_values_that_did_not_change_are_not_waited_for() -> None:
    cluster = await running(data=[{"name": "user", "literal": "shop"}])
    await rename(cluster)
    cluster.now += timedelta(days=1)

    await declare(cluster)

    assert progress(cluster).state is AffectedState.NOTHING_TO_ROTATE


async def test_a_secret_that_others_write_to_later_does_not_make_pods_older() -> None:
    cluster = await running()
    await rename(cluster)
    filled_by_hand(cluster.objects[TARGET])
    stamped(cluster)
    await declare(cluster)
    assert progress(cluster).message == IN_USE

    await replace_pods(cluster)
    cluster.now += timedelta(minutes=10)
    stamped(cluster)
    await cluster.settle()

    assert progress(cluster).state is AffectedState.ROLLED_OUT


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
    assert "revision 3 is derived from one that was rolled back to" in (progress(cluster).message or "")


async def test_a_renamed_key_that_is_not_published_yet_is_no_rotation_to_take_over() -> None:
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


# A rotation that an emergency takes over


async def delete(cluster: Cluster) -> None:
    del cluster.objects[TARGET]
    await cluster.settle()


@pytest.mark.parametrize("change", [delete, rename])
async def test_a_rotation_that_was_taken_over_is_not_repeated_when_its_secret_is_created_again(
    change: Callable[[Cluster], Awaitable[None]],
) -> None:
    cluster = await running()
    cluster.objects[MANAGED]["metadata"]["annotations"][ROTATE] = "leaver"
    cluster.touch_managed()
    cluster.dies_at = cluster.writes + 1.5  # before the Secret is written
    cluster.tell()
    await cluster.look()
    cluster.now += timedelta(minutes=3)
    await declare(cluster)
    assert [one.reason for one in state_of(cluster.objects[STATE]).facts.revisions] == [
        "Triggered",
        "Created",
    ]

    await change(cluster)

    assert state_of(cluster.objects[STATE]).facts.newest.number == 2
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
