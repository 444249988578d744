"""A rollback on request pauses rotation until the next date, also after crashes."""

from datetime import datetime, timedelta

import pytest

from keyturn.api import ManagedSecret
from keyturn.api.status import ManagedSecretStatus
from keyturn.core.keys import EmergencyKey
from keyturn.core.labels import ROLLBACK, ROTATE
from keyturn.core.state.state import State
from keyturn.kube.state_secret import state_of
from tests.simulation.simulated_cluster import MANAGED, STATE, Cluster

_QUARTER = timedelta(days=90)
_NOON = {"cron": "0 12 * * *", "duration": "1h"}


async def rotated() -> Cluster:
    """Make a ManagedSecret whose second revision was requested half an interval after the first."""
    data = [{"name": "password", "generate": {"password": {}}}]
    cluster = Cluster({"data": data, "rotation": {"every": "90d", "jitter": "0%", "overlap": "0s"}})
    await cluster.settle()
    cluster.add_workload("api", None)
    await cluster.settle()
    cluster.now += _QUARTER / 2
    await ask(cluster, ROTATE, "leaver")
    return cluster


async def ask(cluster: Cluster, annotation: str, text: str) -> None:
    cluster.objects[MANAGED]["metadata"]["annotations"][annotation] = text
    cluster.touch_managed()
    await cluster.settle()


def status_of(cluster: Cluster) -> ManagedSecretStatus:
    return ManagedSecret.model_validate(cluster.objects[MANAGED]).status


def facts_of(cluster: Cluster) -> tuple[int, str]:
    """Return the revision, and the reason of the condition Rotating."""
    reason = next(one.reason for one in status_of(cluster).conditions if one.type == "Rotating")
    return state_of(cluster.objects[STATE]).facts.current_number, reason


async def test_rotation_resumes_at_the_next_date() -> None:
    cluster = await rotated()
    await ask(cluster, ROLLBACK, "1")
    resumes = status_of(cluster).next_rotation_time
    assert facts_of(cluster) == (1, "Held")
    assert resumes is not None

    cluster.now = resumes - timedelta(days=1)
    await cluster.settle()
    assert facts_of(cluster) == (1, "Held")

    cluster.now = resumes + timedelta(seconds=1)
    await cluster.settle()
    assert facts_of(cluster) == (3, "Idle")
    assert cluster.pods["api"].restarted_for == [2, 1, 3]


async def test_a_rollback_that_holds_waits_for_a_request() -> None:
    cluster = await rotated()
    await ask(cluster, ROLLBACK, "1/hold")

    cluster.now += 2 * _QUARTER
    await cluster.settle()
    assert facts_of(cluster) == (1, "Held")
    assert status_of(cluster).next_rotation_time is None
    assert status_of(cluster).overdue

    await ask(cluster, ROTATE, "fixed")
    assert facts_of(cluster) == (3, "Idle")


async def test_a_pause_writes_nothing_while_time_passes() -> None:
    cluster = await rotated()
    await ask(cluster, ROLLBACK, "1")
    writes = cluster.writes

    for _ in range(40):
        cluster.now += timedelta(days=2)
        await cluster.settle()

    assert facts_of(cluster) == (1, "Held")
    assert cluster.writes == writes


@pytest.mark.parametrize("write", [1, 1.5, 2, 2.5, 3, 3.5, 4])
async def test_a_crash_does_not_change_when_the_pause_ends(write: float) -> None:
    cluster = await rotated()
    cluster.dies_at = cluster.writes + write
    await ask(cluster, ROLLBACK, "1")
    assert facts_of(cluster) == (1, "Held")

    cluster.now += _QUARTER + timedelta(minutes=1)
    cluster.dies_at = cluster.writes + write
    await cluster.settle()
    assert facts_of(cluster) == (3, "Idle")
    assert cluster.pods["api"].restarted_for == [2, 1, 3]


async def test_a_revision_that_failed_is_not_complete_when_a_user_returns_to_it() -> None:
    """The history has an entry of the failed rollout; a change of the spec meanwhile ends the pause, not the wait.

    It does not make the operator leave the revision that the user asked for either.
    """
    data = [{"name": "password", "generate": {"password": {}}}]
    cluster = Cluster({"data": data, "rotation": {"overlap": "0s"}})
    await cluster.settle()
    cluster.add_workload("api", None)
    await cluster.settle()
    cluster.now += timedelta(days=1)
    cluster.doomed = {2}
    await ask(cluster, ROTATE, "once")
    assert (facts_of(cluster)[0], status_of(cluster).history[1].result) == (1, "RolledBack")

    cluster.objects[MANAGED]["metadata"]["annotations"][ROLLBACK] = "2"
    cluster.touch_managed()
    cluster.tell()
    await cluster.look()
    assert facts_of(cluster)[0] == 2
    cluster.change_managed()["owner"] = "payments"
    await cluster.settle()

    assert facts_of(cluster)[0] == 2
    assert status_of(cluster).state == "Failed", "no pod became ready with revision 2"
    assert not [one for one in status_of(cluster).history if (one.revision, one.result) == (2, "Succeeded")]


async def test_a_scheduled_rotation_that_failed_is_still_due_after_a_change_of_the_spec() -> None:
    cluster = await rotated()
    cluster.doomed = {3}
    before = status_of(cluster).last_rotation_time
    cluster.now += _QUARTER
    await cluster.settle()
    await cluster.settle()
    assert facts_of(cluster) == (2, "Held")
    assert (status_of(cluster).last_rotation_time, status_of(cluster).overdue) == (before, True)

    cluster.doomed = set()
    cluster.change_managed()["owner"] = "team-shop"
    await cluster.settle()
    assert facts_of(cluster) == (4, "Idle")


@pytest.mark.parametrize("text", ["1", "1/hold"])
async def test_a_rollback_supersedes_a_rotation_that_waits_for_its_window(text: str) -> None:
    cluster = await waiting_for_window()
    await ask(cluster, ROLLBACK, text)
    assert facts_of(cluster) == (1, "Held")
    assert status_of(cluster).last_trigger == "leaver", "the rotation that was superseded was not done"

    cluster.now += timedelta(hours=22, minutes=1)
    await cluster.settle()
    assert facts_of(cluster) == (1, "Held")

    await ask(cluster, ROTATE, "later")
    assert facts_of(cluster) == (3, "Idle")


async def test_a_request_for_the_current_revision_supersedes_a_rotation_that_would_end_the_pause() -> None:
    cluster = await rotated()
    await ask(cluster, ROLLBACK, "1")
    cluster.change_managed()["rotation"]["windows"] = [_NOON]
    await cluster.settle()
    cluster.now += timedelta(hours=2)
    await ask(cluster, ROLLBACK, "2")
    await ask(cluster, ROTATE, "waits")
    assert facts_of(cluster) == (2, "WaitsForWindow")

    await ask(cluster, ROLLBACK, "2/hold")
    cluster.now += timedelta(hours=22, minutes=1)
    await cluster.settle()
    assert facts_of(cluster) == (2, "Held")


async def test_a_rotation_that_was_requested_after_a_rollback_starts_although_both_are_seen_together() -> (
    None
):
    """No operator has looked between the two requests, such as while another replica takes over."""
    cluster = await rotated()
    cluster.objects[MANAGED]["metadata"]["annotations"][ROLLBACK] = "1"
    cluster.now += timedelta(seconds=5)
    await ask(cluster, ROTATE, "after")

    assert cluster.pods["api"].restarted_for[-1] == 3
    assert facts_of(cluster) == (3, "Idle")
    assert status_of(cluster).last_trigger == "after"


async def waiting_for_window() -> Cluster:
    """Return a cluster at revision 2 in which a requested rotation waits for a window."""
    cluster = await rotated()
    cluster.change_managed()["rotation"]["windows"] = [_NOON]
    cluster.now += timedelta(hours=2)
    await ask(cluster, ROTATE, "waits")
    assert facts_of(cluster) == (2, "WaitsForWindow")
    return cluster


async def returned_in_vain(windows: list[dict[str, str]], limit: int = 3) -> Cluster:
    """Return a cluster in which revision 3 was rolled back to 2, with which no pod gets ready any more either."""
    data = [{"name": "password", "generate": {"password": {}}}]
    rotation = {"overlap": "0s", "windows": windows, "revisionHistoryLimit": limit}
    rollout = {"progressDeadline": "30s", "debounce": "0s"}
    cluster = UnhealthyCluster({"data": data, "rotation": rotation, "rollout": rollout})
    await cluster.settle()
    cluster.add_workload("api", None)
    await cluster.settle()
    await ask(cluster, ROTATE, "once")
    cluster.now += timedelta(minutes=1)
    cluster.doomed = {1, 2, 3, 4}
    await ask(cluster, ROTATE, "twice")
    cluster.now += timedelta(minutes=1)
    await cluster.settle()
    assert facts_of(cluster)[0] == 2
    return cluster


async def returned_to_what_had_failed() -> Cluster:
    """Return a cluster that is on its way to revision 2, which has failed before, and waits for a paused workload."""
    data = [{"name": "password", "generate": {"password": {}}}]
    rollout = {"progressDeadline": "30s", "debounce": "0s"}
    cluster = Cluster({"data": data, "rotation": {"overlap": "0s"}, "rollout": rollout})
    await cluster.settle()
    cluster.add_workload("api", None)
    await cluster.settle()
    cluster.doomed = {2}
    await ask(cluster, ROTATE, "once")
    assert facts_of(cluster)[0] == 1
    cluster.now += timedelta(minutes=1)
    cluster.pause("api", paused=True)
    await ask(cluster, ROLLBACK, "2")
    return cluster


async def test_a_return_to_a_revision_that_failed_is_a_rollback() -> None:
    cluster = await returned_to_what_had_failed()

    status = status_of(cluster)
    assert status.rotation
    assert (status.revision, status.rotation.step, status.rotation.reason) == (2, "Rollback", "RolledBack")
    assert status.rotation.started_at > status.history[0].finished_at


class RecordingCluster(Cluster):
    """A cluster that records why workloads are not current after a rollback, at each status."""

    reasons: frozenset[str] = frozenset()

    async def look(self) -> datetime | None:
        """Look again before a controller has observed what was restarted."""
        await super().look()
        self.tell()
        due = await super().look()
        if MANAGED in self.objects and STATE in self.objects and self.state().facts.is_rolled_back:
            conditions = status_of(self).conditions
            self.reasons |= {one.reason for one in conditions if one.type == "WorkloadsCurrent"}
        return due

    def state(self) -> State:
        return state_of(self.objects[STATE])


async def test_the_way_back_is_not_overdue_before_it_begins() -> None:
    """A restart waits 10 seconds for the one before it, and for those of other workloads."""
    data = [{"name": "password", "generate": {"password": {}}}]
    rollout = {"progressDeadline": "5s", "debounce": "0s", "maxConcurrent": 2}
    cluster = RecordingCluster({"data": data, "rotation": {"overlap": "0s"}, "rollout": rollout})
    await cluster.settle()
    for name in ("api", "web"):
        cluster.add_workload(name, None)
    await cluster.settle()
    cluster.doomed = {2}
    await ask(cluster, ROTATE, "once")
    cluster.now += timedelta(seconds=6)
    await cluster.settle()

    assert facts_of(cluster)[0] == 1
    assert cluster.reasons <= {"RollingOut", "AllCurrent", "NotPublished"}


class UnhealthyCluster(Cluster):
    """A cluster that keeps no pods of an earlier template."""

    def _replace_pods(self, name: str, marker: str) -> None:
        self.pods[name].healthy = None
        super()._replace_pods(name, marker)
        self.pods[name].healthy = None


async def test_a_change_of_the_spec_does_not_end_a_rollback_that_is_not_ready() -> None:
    cluster = await returned_in_vain([])
    for team in ("a", "b"):
        cluster.change_managed()["owner"] = team
        await cluster.settle()
        cluster.now += timedelta(minutes=1)
        await cluster.settle()

    assert (facts_of(cluster)[0], status_of(cluster).state) == (2, "Failed")
    assert 1 not in cluster.pods["api"].restarted_for


@pytest.mark.parametrize("limit", [0, 3])
async def test_a_rotation_that_fails_returns_to_the_restored_revision_that_it_was_requested_for(
    limit: int,
) -> None:
    """Every workload ran revision 2 before, although none is ready with it since it was restored."""
    cluster = await returned_in_vain([], limit)
    await ask(cluster, ROTATE, "thrice")
    cluster.now += timedelta(minutes=1)
    await cluster.settle()

    assert (facts_of(cluster)[0], state_of(cluster.objects[STATE]).facts.newest.number) == (2, 4)
    assert 1 not in cluster.pods["api"].restarted_for


async def test_a_request_that_waits_for_its_window_does_not_end_a_rollback_that_is_not_ready() -> None:
    cluster = await returned_in_vain([{"cron": "0 12 * * *", "duration": "1h"}])
    cluster.now += timedelta(hours=2)
    await ask(cluster, ROTATE, "thrice")
    cluster.now += timedelta(minutes=1)
    await cluster.settle()

    assert facts_of(cluster)[0] == 2
    assert 1 not in cluster.pods["api"].restarted_for


async def test_a_rollback_over_an_added_item_says_what_is_missing_and_what_ends_it() -> None:
    cluster = await rotated()
    cluster.change_managed()["data"].append({"name": "two", "generate": {"password": {}}})
    await cluster.settle()
    before = facts_of(cluster)[0]
    await ask(cluster, ROLLBACK, str(before - 1))

    ready = next(one for one in status_of(cluster).conditions if one.type == "Ready")
    assert (ready.status, ready.reason) == ("False", "LacksKeys")
    assert "which has no two; run `keyturn rotate db`" in ready.message

    await ask(cluster, ROTATE, "both")
    ready = next(one for one in status_of(cluster).conditions if one.type == "Ready")
    assert (ready.status, ready.reason) == ("True", "Published")


# A rollback to values that an emergency has exposed needs consent, also long after the emergency is closed


_STAMPS = ("rotatedAt", "servicesUpdatedAt", "accessAuditAt", "documentedAt")


async def after_an_emergency() -> Cluster:
    """Make a ManagedSecret with a revision before an emergency, which is closed, and one after it."""
    cluster = Cluster({"data": [{"name": "password", "generate": {"password": {}}}]})
    await cluster.settle()
    cluster.now += timedelta(days=1)
    declare(cluster)
    cluster.now += timedelta(days=1)
    await ask(cluster, ROTATE, "leaver")
    return cluster


def declare(cluster: Cluster) -> None:
    when = cluster.now.isoformat()
    body = {
        "metadata": {"name": "inc-1", "namespace": "shop", "uid": "uid-inc", "creationTimestamp": when},
        "spec": {"reason": "stolen", "names": ["db"]},
        "status": dict.fromkeys(_STAMPS, when) | {"secrets": [{"name": "db", "state": "RolledOut"}]},
    }
    cluster.context.cache.emergencies.put(EmergencyKey("shop", "inc-1"), body)


def facts_in(cluster: Cluster) -> tuple[int, str | None]:
    """Return the revision, and the reason of the condition Stalled."""
    conditions = ManagedSecret.model_validate(cluster.objects[MANAGED]).status.conditions
    stalled = next((one.reason for one in conditions if one.type == "Stalled"), None)
    return state_of(cluster.objects[STATE]).facts.current_number, stalled


async def test_exposed_values_come_back_with_consent_only() -> None:
    cluster = await after_an_emergency()

    await ask(cluster, ROLLBACK, "1")
    assert facts_in(cluster) == (2, "RevisionExposed")

    await ask(cluster, ROLLBACK, "1/even-exposed")
    assert facts_in(cluster) == (1, None)


async def test_a_refused_rollback_blocks_no_rotation() -> None:
    cluster = await after_an_emergency()
    await ask(cluster, ROLLBACK, "1")

    await ask(cluster, ROTATE, "again")

    assert facts_in(cluster)[0] == 3
