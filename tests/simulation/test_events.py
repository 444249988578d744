"""What a rotation leaves behind for people and machines: an event or a count for each thing that happens, once."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from keyturn.core.labels import REFRESH, RESTART, ROLLBACK, ROTATE
from keyturn.kube.events import About, ref_of
from keyturn.runtime import metrics
from tests.simulation.simulated_cluster import MANAGED, Cluster
from tests.simulation.simulated_stores import API, PLACE, StoreCluster
from tests.support.cases import case, cases

VAULT = {"kind": "SecretStore", "name": "vault"}
PULLED = {"name": "api-key", "from": {"storeRef": VAULT, "remoteRef": {"key": API}}}
PASSWORD: dict[str, Any] = {"name": "password", "generate": {"password": {}}, "keepPrevious": True}


@dataclass
class Posted:
    """Keeps events, each as kind, reason and note."""

    notes: list[tuple[str, str, str]] = field(default_factory=list)
    even_in_bulk: list[str] = field(default_factory=list)
    """The reasons that are posted however many events wait."""

    def record(self, about: About, reason: str, note: str, *_: object, skipped_in_bulk: bool = False) -> None:
        self.notes.append((ref_of(about).kind, reason, note))
        if not skipped_in_bulk:
            self.even_in_bulk.append(reason)

    @property
    def reasons(self) -> list[str]:
        return [reason for _, reason, _ in self.notes]


async def settled(cluster: Cluster, *workloads: str) -> Posted:
    """Bring a cluster to rest; return what is posted from then on."""
    await cluster.settle()
    for name in workloads:
        cluster.add_workload(name, None)
    await cluster.settle()
    posted = Posted()
    cluster.context.events = posted  # type: ignore[assignment]  # a fake
    return posted


def rotating(**rotation: Any) -> Cluster:
    return Cluster({"data": [dict(PASSWORD)], "rotation": {"overlap": "2m"} | rotation})


def ask(cluster: Cluster, annotation: str = ROTATE) -> None:
    cluster.objects[MANAGED]["metadata"]["annotations"][annotation] = f"word-{cluster.writes}"
    cluster.touch_managed()


async def test_a_rotation_is_reported_from_its_publication_to_the_end_of_the_values_before() -> None:
    cluster = rotating()
    posted = await settled(cluster, "api", "web")

    ask(cluster)
    await cluster.settle()

    assert posted.notes == [
        ("ManagedSecret", "Published", "revision 2 is in the Secret"),
        ("Deployment", "Restarted", "restarted to use revision 2 of ManagedSecret db"),
        ("Deployment", "Restarted", "restarted to use revision 2 of ManagedSecret db"),
        ("ManagedSecret", "RolledOut", "2 workloads were restarted and run revision 2"),
        ("ManagedSecret", "Rotated", "every workload runs revision 2 (Triggered)"),
        ("ManagedSecret", "Revoked", "the values of the revision before 2 are removed from the Secret"),
    ]
    assert posted.even_in_bulk == ["Restarted", "Restarted", "Rotated", "Revoked"]


async def test_where_no_workload_was_restarted_no_rollout_is_reported() -> None:
    cluster = rotating()
    del cluster.objects[MANAGED]["spec"]["data"][0]["keepPrevious"]
    posted = await settled(cluster)

    ask(cluster)
    await cluster.settle()

    assert posted.reasons == ["Published", "Rotated"]


async def test_the_end_of_a_rotation_names_workloads_that_are_not_restarted() -> None:
    cluster = rotating()
    posted = await settled(cluster, "api", "web")
    web = cluster.objects[cluster.path_of("web")]
    web["metadata"]["annotations"] = {RESTART: "never"}
    cluster.put(cluster.path_of("web"), web)

    ask(cluster)
    await cluster.settle()

    left_out = "1 workload is not restarted by Keyturn: Deployment/web"
    (note,) = [note for _, reason, note in posted.notes if reason == "Rotated"]
    assert note == f"every other workload runs revision 2 (Triggered); {left_out}"
    entry = cluster.objects[MANAGED]["status"]["history"][0]
    assert (entry["revision"], entry["result"], entry["message"]) == (2, "Succeeded", left_out)


async def test_a_rollout_that_fails_is_reported_with_the_return() -> None:
    cluster = rotating()
    cluster.objects[MANAGED]["spec"]["rollout"] = {"progressDeadline": "1m"}
    posted = await settled(cluster, "api")
    cluster.doomed = {2}

    ask(cluster)
    await cluster.settle()

    told = [
        (reason, note.partition(";")[0]) for kind, reason, note in posted.notes if kind == "ManagedSecret"
    ]
    assert told == [
        ("Published", "revision 2 is in the Secret"),
        ("RolledBack", "rolled back from revision 2 to 1: workloads did not become ready"),
        ("Published", "revision 1 is in the Secret"),
        ("RolledOut", "1 workload was restarted and runs revision 1"),
    ]


@cases(
    ("windows", "why"),
    case(
        "waits for its window",
        [{"cron": "0 3 * * *", "duration": "1h"}],
        "requested; the rotation that was requested before is superseded",
    ),
    case("starts after the rollback", [], "requested"),
)
async def test_a_rollback_reports_the_requested_rotation_that_it_supersedes(
    windows: list[dict[str, str]], why: str
) -> None:
    cluster = rotating()
    posted = await settled(cluster, "api")
    ask(cluster)
    await cluster.settle()
    annotations = cluster.objects[MANAGED]["metadata"]["annotations"]
    if windows:
        cluster.change_managed().setdefault("rotation", {})["windows"] = windows
        annotations |= {ROTATE: "waits"}
        await cluster.settle()
    annotations |= {ROTATE: "waits", ROLLBACK: "1"}
    cluster.touch_managed()
    await cluster.settle()

    (note,) = [note for _, reason, note in posted.notes if reason == "RolledBack"]
    assert note == f"rolled back from revision 2 to 1: {why}"


async def test_a_request_to_return_to_the_current_revision_is_no_rollback() -> None:
    cluster = rotating()
    posted = await settled(cluster, "api")

    cluster.objects[MANAGED]["metadata"]["annotations"][ROLLBACK] = "1"
    cluster.touch_managed()
    await cluster.settle()

    assert "RolledBack" not in posted.reasons


@pytest.mark.parametrize("on_failure", ["Hold", "Rollback"])
async def test_each_workload_that_fails_is_told_so_once_with_the_reason(on_failure: str) -> None:
    cluster = rotating()
    cluster.objects[MANAGED]["spec"]["rollout"] = {"progressDeadline": "1m", "onFailure": on_failure}
    posted = await settled(cluster, "api", "web")
    cluster.doomed = {2}

    ask(cluster)
    await cluster.settle()
    cluster.restart()
    cluster.context.events = posted  # type: ignore[assignment]  # a fake
    await cluster.settle()

    told = [(kind, note) for kind, reason, note in posted.notes if reason == "WorkloadFailed"]
    assert [(kind, note.partition(": ")[0]) for kind, note in told] == [
        ("Deployment", "did not become ready with revision 2 of ManagedSecret db")
    ]
    assert "pod api-" in told[0][1]


async def test_another_value_of_a_store_is_reported_as_refreshed() -> None:
    cluster = StoreCluster({"data": [PULLED], "refreshInterval": "1h"})
    posted = await settled(cluster, "api")

    cluster.outside.keep(API, "second")
    ask(cluster, REFRESH)
    await cluster.settle()

    assert posted.reasons == ["Published", "Restarted", "RolledOut", "Refreshed"]
    assert posted.notes[-1][-1] == "revision 2 has the values of the stores"


async def test_a_refresh_that_finds_nothing_new_is_reported_as_well() -> None:
    cluster = StoreCluster({"data": [PULLED], "refreshInterval": "1h"})
    posted = await settled(cluster, "api")

    ask(cluster, REFRESH)
    await cluster.settle()

    assert posted.notes == [
        ("ManagedSecret", "Refreshed", "the stores were read as requested; no value has changed")
    ]


async def test_a_refresh_that_finds_a_value_which_waits_for_a_window_says_so() -> None:
    windows = [{"cron": "0 2 * * 6", "duration": "3h"}]
    cluster = StoreCluster({"data": [PULLED], "rotation": {"windows": windows}})
    posted = await settled(cluster)

    cluster.outside.keep(API, "second")
    ask(cluster, REFRESH)
    await cluster.settle()

    assert posted.notes == [
        (
            "ManagedSecret",
            "Refreshed",
            "the stores were read as requested; api-key changed and will be written when a window opens",
        )
    ]


async def test_what_is_pushed_and_taken_back_is_reported() -> None:
    push = {"storeRef": VAULT, "remoteRef": {"key": PLACE}, "deletionPolicy": "Delete"}
    cluster = StoreCluster({"data": [PASSWORD], "pushTo": [push]})
    posted = await settled(cluster)

    del cluster.change_managed()["pushTo"]
    await cluster.settle()

    assert posted.reasons == ["Withdrawn"]


async def test_a_pushed_key_with_content_of_another_writer_is_reported_as_kept() -> None:
    push = {"storeRef": VAULT, "remoteRef": {"key": PLACE}, "deletionPolicy": "Delete"}
    cluster = StoreCluster({"data": [PASSWORD], "pushTo": [push]})
    posted = await settled(cluster)

    cluster.outside.keep(PLACE, {"password": "of another"})
    del cluster.change_managed()["pushTo"]
    await cluster.settle()

    assert PLACE in cluster.outside.holds
    assert posted.reasons == ["NotWithdrawn"]
    assert "stays" in posted.notes[0][-1]


# What is counted


def counted(name: str, **labels: str) -> float:
    return metrics.REGISTRY.get_sample_value(f"keyturn_{name}", labels) or 0


@pytest.fixture(autouse=True)
def _fresh_counts() -> None:
    """Begin each test with counts of its own."""
    metrics.WORKLOAD_RESTARTS.clear()
    metrics.ROTATION_STEP_SECONDS.clear()


def restarts() -> dict[str, float]:
    results = ("Started", "Succeeded", "Failed")
    return {one: counted("workload_restarts_total", kind="Deployment", result=one) for one in results}


def took(step: str) -> tuple[float, float]:
    """Return how often a step was through, and how many seconds that took in all."""
    parts = ("count", "sum")
    count, seconds = (counted(f"rotation_step_seconds_{part}", step=step) for part in parts)
    return count, round(seconds)


async def test_a_restart_is_counted_when_it_starts_and_when_it_is_through() -> None:
    cluster = rotating()
    await settled(cluster, "api", "web")

    ask(cluster)
    await cluster.settle()
    cluster.restart()
    await cluster.settle()

    assert restarts() == {"Started": 2, "Succeeded": 2, "Failed": 0}


@pytest.mark.parametrize("on_failure", ["Hold", "Rollback"])
async def test_a_restart_that_fails_is_counted_as_that_once(on_failure: str) -> None:
    cluster = rotating()
    cluster.objects[MANAGED]["spec"]["rollout"] = {"progressDeadline": "1m", "onFailure": on_failure}
    await settled(cluster, "api")
    cluster.doomed = {2}

    ask(cluster)
    await cluster.settle()
    await cluster.settle()

    back = on_failure == "Rollback"
    assert restarts() == {"Started": 1 + back, "Succeeded": back, "Failed": 1}


async def test_a_rollout_takes_until_the_last_workload_runs_and_an_overlap_until_its_end() -> None:
    cluster = rotating(overlap="2h")
    await settled(cluster, "api")
    cluster.pause("api", paused=True)

    ask(cluster)
    await cluster.settle()
    cluster.now += timedelta(minutes=30)
    cluster.restart()
    cluster.pause("api", paused=False)
    await cluster.settle()
    cluster.now += timedelta(hours=2)
    cluster.restart()
    await cluster.settle()

    (rollouts, rolled), (overlaps, overlapped) = took("RollOut"), took("Overlap")
    assert (rollouts, overlaps) == (1, 1)
    assert timedelta(minutes=30).total_seconds() <= rolled < timedelta(minutes=32).total_seconds()
    assert overlapped == pytest.approx(timedelta(hours=2).total_seconds(), abs=2)


async def test_a_return_is_timed_as_that_and_not_as_a_rollout() -> None:
    cluster = rotating()
    cluster.objects[MANAGED]["spec"]["rollout"] = {"progressDeadline": "1m"}
    await settled(cluster, "api")
    cluster.doomed = {2}

    ask(cluster)
    await cluster.settle()

    assert (took("RollOut")[0], took("Rollback")[0]) == (0, 1)
