"""Values of an existing Secret stay, and workloads that have others restart."""

from datetime import timedelta
from typing import Any

from keyturn.core.labels import ROTATE
from keyturn.core.value import Value
from keyturn.kube.state_secret import state_of
from tests.simulation.simulated_cluster import MANAGED, STATE, TARGET, Cluster
from tests.support.cases import case, cases

SPEC: dict[str, Any] = {
    "data": [{"name": "password", "generate": {"password": {}}}],
    "target": {"adopt": "IfUnowned"},
    "rotation": {"overlap": "0s"},
}


def found(cluster: Cluster, value: str, **more: str) -> None:
    """Let another tool write the Secret, without a label of Keyturn."""
    data = {"password": value, **more}
    cluster.put(
        TARGET,
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "db", "namespace": "shop", "uid": f"uid-of-{value}"},
            "type": "Opaque",
            "data": {key: Value.of_text(text).to_base64() for key, text in data.items()},
        },
    )


async def adopted(value: str) -> Cluster:
    cluster = Cluster(SPEC)
    found(cluster, value)
    await cluster.settle()
    cluster.add_workload("api", None)
    await cluster.settle()
    cluster.now += timedelta(days=1)
    return cluster


async def test_an_adopted_value_that_no_generator_makes_stays_when_the_state_is_lost() -> None:
    cluster = await adopted("hunter2")
    before = cluster.data()

    del cluster.objects[STATE]
    await cluster.settle()

    assert cluster.data() == before
    assert cluster.pods["api"].restarted_for == []
    assert [one.reason for one in state_of(cluster.objects[STATE]).facts.revisions] == ["Claimed"]


async def test_workloads_restart_with_a_value_that_is_adopted_in_place_of_another() -> None:
    cluster = await adopted("hunter2")
    cluster.objects[MANAGED]["metadata"]["annotations"][ROTATE] = "now"
    cluster.touch_managed()
    await cluster.settle()
    cluster.now += timedelta(days=1)

    found(cluster, "of-another-tool")
    await cluster.settle()

    assert cluster.data() == {"password": Value.of_text("of-another-tool").to_base64()}
    assert cluster.pods["api"].restarted_for == [2, 3]
    assert cluster.pods["api"].read == cluster.data()


async def test_an_added_item_has_the_value_that_was_adopted_under_its_key() -> None:
    cluster = Cluster({**SPEC})
    found(cluster, "hunter2", session="of-another-tool")
    await cluster.settle()
    before = cluster.data()

    session = {"name": "session", "generate": {"bytes": {}}}
    cluster.change_managed()["data"] = [*SPEC["data"], session]
    await cluster.settle()

    assert before["session"] == Value.of_text("of-another-tool").to_base64()
    assert cluster.data() == before
    assert len(state_of(cluster.objects[STATE]).facts.revisions) == 2


async def test_workloads_do_not_restart_with_a_value_that_is_adopted_again() -> None:
    cluster = await adopted("hunter2")
    found(cluster, "hunter2")
    await cluster.settle()

    assert cluster.pods["api"].restarted_for == []


DAY = timedelta(days=1)
KEEPING: dict[str, Any] = {
    "data": [{"name": "password", "generate": {"password": {}}, "keepPrevious": True}],
    "target": {"adopt": "IfUnowned"},
    "rotation": {"overlap": "1h"},
}
BOTH = ["password", "password.previous"]


async def rotate(cluster: Cluster, trigger: str = "now") -> None:
    cluster.objects[MANAGED]["metadata"]["annotations"][ROTATE] = trigger
    cluster.touch_managed()
    await cluster.settle()


async def overlapping(**target: str) -> Cluster:
    """Return a cluster with a Secret in the overlap of its second revision."""
    cluster = Cluster({**KEEPING, "target": target})
    if target.get("creationPolicy") == "Merge":
        found(cluster, "of-another-tool")
        cluster.objects[TARGET]["data"] = {"theirs": Value.of_text("kept").to_base64()}
    await cluster.settle()
    await rotate(cluster)
    assert set(BOTH) <= cluster.data().keys()
    return cluster


def strip(cluster: Cluster) -> None:
    """Let another tool replace the Secret without its labels and annotations."""
    body = cluster.objects[TARGET]
    metadata = {name: body["metadata"][name] for name in ("name", "namespace", "uid")}
    cluster.put(TARGET, {**body, "metadata": metadata})


async def test_the_overlap_of_a_secret_without_labels_goes_its_way() -> None:
    cluster = await overlapping(adopt="IfUnowned")
    before = cluster.data()

    strip(cluster)
    await cluster.settle()
    assert cluster.data() == before

    cluster.now += DAY
    await cluster.settle()
    assert cluster.data() == {"password": before["password"]}


async def test_the_overlap_of_a_secret_that_is_adopted_with_another_value_ends() -> None:
    cluster = await overlapping(adopt="IfUnowned")
    before = cluster.data()

    strip(cluster)
    cluster.edit_target("password", Value.of_text("of-another-tool").to_base64())
    await cluster.settle()
    assert cluster.data() == {**before, "password": Value.of_text("of-another-tool").to_base64()}

    cluster.now += DAY
    await cluster.settle()
    assert list(cluster.data()) == ["password"]


@cases(
    "target",
    case("adopted", {"adopt": "IfUnowned"}),
    case("created", {}),
    case("merged", {"creationPolicy": "Merge"}),
)
async def test_the_overlap_of_a_secret_whose_state_is_lost_ends(target: dict[str, str]) -> None:
    cluster = await overlapping(**target)
    before = cluster.data()

    del cluster.objects[STATE]
    await cluster.settle()
    assert cluster.data() == before

    cluster.now += DAY
    await cluster.settle()
    assert cluster.data() == {key: data for key, data in before.items() if key != "password.previous"}


async def test_an_adopted_value_under_the_key_of_a_previous_one_goes_with_the_next_overlap() -> None:
    cluster = Cluster(KEEPING)
    found(cluster, "hunter2")
    cluster.edit_target("password.previous", Value.of_text("hunter1").to_base64())
    before = cluster.data()
    await cluster.settle()
    assert cluster.data() == before

    await rotate(cluster)
    assert cluster.data()["password.previous"] == before["password"]

    cluster.now += DAY
    await cluster.settle()
    assert list(cluster.data()) == ["password"]


LOGIN: dict[str, Any] = {"name": "login", "generate": {"basicAuth": {"username": "portal"}}}
PASSWORD: dict[str, Any] = {"name": "password", "generate": {"password": {}}}
PULL: dict[str, Any] = {
    "name": "pull",
    "keys": {".dockerconfigjson": "file"},
    "generate": {
        "dockerConfig": {"registry": "shop.test", "username": "puller", "passwordFrom": {"name": "password"}}
    },
}


def adopting(*items: dict[str, Any], **data: str) -> Cluster:
    cluster = Cluster({**SPEC, "data": list(items)})
    found(cluster, "in-use-since-2019", **data)
    cluster.add_workload("api", None)
    return cluster


async def test_what_follows_from_adopted_values_is_derived_and_restarts_no_workload() -> None:
    cluster = adopting(LOGIN, username="portal")
    before = cluster.data()

    await cluster.settle()

    assert cluster.data().keys() == {"username", "password", "auth"}
    assert cluster.data().items() >= before.items()
    assert [one.reason for one in state_of(cluster.objects[STATE]).facts.revisions] == ["Claimed"]
    assert cluster.pods["api"].restarted_for == []


@cases(
    ("items", "data", "message"),
    case(
        "a user name that the settings do not have",
        [LOGIN],
        {"username": "another"},
        "the Secret 'db' has values under password, username, which data item 'login' would replace; write"
        " settings that they fit, add auth to the Secret, write other keys for the item, or remove them from the"
        " Secret",
    ),
    case(
        "an output that the generator does not make",
        [LOGIN],
        {"username": "portal", "auth": "several lines"},
        "the Secret 'db' has values under auth, password, username, which data item 'login' would replace; write"
        " settings that they fit, write other keys for the item, or remove them from the Secret",
    ),
    case(
        "a value that is made from one that would be generated",
        [
            PASSWORD | {"name": "another"},
            PULL
            | {
                "generate": {
                    "dockerConfig": {
                        **PULL["generate"]["dockerConfig"],
                        "passwordFrom": {"name": "another"},
                    }
                }
            },
        ],
        {"file": '{"auths": {"shop.test": {"username": "x", "password": "y", "auth": "eDp5"}}}'},
        "the Secret 'db' has values under file, which data item 'pull' would replace; write settings that"
        " they fit, add another to the Secret, write other keys for the item, or remove them from the Secret",
    ),
)
async def test_adoption_replaces_no_value(
    items: list[dict[str, Any]], data: dict[str, str], message: str
) -> None:
    cluster = adopting(*items, **data)
    before = cluster.data()

    await cluster.settle()

    conditions = cluster.objects[MANAGED]["status"]["conditions"]
    stalled = next(one for one in conditions if one["type"] == "Stalled")
    assert (cluster.data(), STATE in cluster.objects) == (before, False)
    assert (stalled["reason"], stalled["message"]) == ("KeyConflict", message)


async def test_pods_that_started_before_a_merged_key_are_not_current_until_they_are_replaced() -> None:
    cluster = Cluster({**SPEC, "target": {"creationPolicy": "Merge"}})
    found(cluster, "of-another-tool")
    cluster.change_managed()["data"] = [PASSWORD | {"name": "token"}]
    cluster.add_workload("api", None)
    cluster.now += timedelta(minutes=1)
    await cluster.settle()

    (workload,) = cluster.objects[MANAGED]["status"]["workloads"]
    assert (workload["state"], workload["reason"]) == ("Pending", "EarlierPods")
    assert cluster.pods["api"].restarted_for == []

    await rotate(cluster)

    (workload,) = cluster.objects[MANAGED]["status"]["workloads"]
    assert (workload["state"], workload["revision"]) == ("Current", 2)
