"""The restart budget of the cluster: limits, turns of namespaces, and what it never forgets."""

import gc
from collections import Counter
from datetime import datetime, timedelta

import pytest

from keyturn.controllers.managedsecret.restart_budget import (
    RestartBudget,
    RestartLimits,
    RestartLocks,
    RestartPlace,
)
from keyturn.core.keys import ObjectKey, WorkloadKey
from tests.unit.core.builders import NOW, minutes, seconds

DEADLINE = minutes(10)


class Cluster:
    """A budget with a clock; `woken` has the ManagedSecrets that were added to the work queue."""

    def __init__(self, rolling: int | None = None, per_minute: int | None = None) -> None:
        self.now: datetime = NOW
        self.woken: list[ObjectKey] = []
        self.budget = RestartBudget(RestartLimits(rolling, per_minute), lambda: self.now, self.woken.append)

    def restart(self, key: ObjectKey, *, waits: bool = True) -> bool:
        return self.budget.take(key, workload_of(key), self.now + DEADLINE, waits=waits) is not None


def secret(namespace: str, name: str = "db") -> ObjectKey:
    return ObjectKey(namespace, name)


def workload_of(key: ObjectKey) -> WorkloadKey:
    return WorkloadKey(key.namespace, "Deployment", key.name)


A, B, C = secret("a"), secret("b"), secret("c")


def test_without_limits_nothing_waits() -> None:
    cluster = Cluster()
    assert all(cluster.restart(secret("a", str(number))) for number in range(500))
    assert cluster.budget.restart_wait(A) is None


def test_a_restart_over_the_limit_waits_until_a_rollout_is_complete() -> None:
    cluster = Cluster(rolling=1)
    assert cluster.restart(A)
    assert not cluster.restart(B)
    hold = cluster.budget.restart_wait(B)
    assert hold
    assert (hold.again, hold.limits) == (NOW + DEADLINE, "--max-rolling 1")

    cluster.budget.settle(workload_of(A))

    assert cluster.woken == [B]
    assert cluster.budget.restart_wait(B) is None
    assert cluster.restart(B)


def test_a_rollout_that_never_ends_counts_until_its_deadline() -> None:
    cluster = Cluster(rolling=1)
    cluster.restart(A)
    cluster.now += DEADLINE
    assert cluster.restart(B)


def test_a_second_secret_of_a_rolling_workload_does_not_wait_for_it() -> None:
    cluster = Cluster(rolling=1)
    cluster.restart(A)
    assert cluster.budget.take(secret("a", "other"), workload_of(A), cluster.now + DEADLINE)


def test_restarts_per_minute_are_limited() -> None:
    cluster = Cluster(per_minute=2)
    assert [cluster.restart(secret("a", name)) for name in "xyz"] == [True, True, False]
    hold = cluster.budget.restart_wait(secret("a", "z"))
    assert hold
    assert (hold.again, hold.limits) == (NOW + minutes(1), "--restarts-per-minute 2")
    cluster.now += minutes(1)
    assert cluster.restart(secret("a", "z"))


def test_an_emergency_does_not_wait_and_counts() -> None:
    cluster = Cluster(rolling=1)
    cluster.restart(A)
    assert cluster.restart(B, waits=False)
    cluster.budget.settle(workload_of(A))
    assert not cluster.restart(C)


def test_namespaces_take_turns() -> None:
    cluster = Cluster(rolling=1)
    crowd = [secret("crowd", str(number)) for number in range(500)]
    waiting = [*crowd, A, B]
    served: list[str] = []
    for key in waiting:
        cluster.restart(key)
    rolling = crowd[0]
    for _ in range(6):
        cluster.woken.clear()
        cluster.budget.settle(workload_of(rolling))
        (rolling,) = cluster.woken
        assert cluster.restart(rolling)
        served.append(rolling.namespace)
    assert Counter(served[:3]) == Counter(["crowd", "a", "b"])
    assert served[3:] == ["crowd"] * 3


def test_one_that_jumps_the_queue_waits_for_its_turn() -> None:
    cluster = Cluster(rolling=1)
    cluster.restart(A)
    cluster.restart(B)
    cluster.budget.settle(workload_of(A))
    assert not cluster.restart(C)
    assert cluster.budget.restart_wait(C)
    assert cluster.restart(B)


@pytest.mark.parametrize("how", ["leave", "forget"])
def test_one_that_waits_no_more_lets_the_next_one_begin(how: str) -> None:
    cluster = Cluster(rolling=1)
    for key in (A, B, C):
        cluster.restart(key)
    cluster.budget.settle(workload_of(A))
    cluster.woken.clear()

    getattr(cluster.budget, how)(B)

    assert cluster.woken == [C]
    assert cluster.restart(C)


def test_rollouts_of_an_earlier_process_count() -> None:
    cluster = Cluster(rolling=1)
    cluster.budget.count_rolling([workload_of(A)])
    assert not cluster.restart(B)
    cluster.now += minutes(10) + seconds(1)
    assert cluster.restart(B)


def test_a_free_place_wakes_one_after_the_other() -> None:
    cluster = Cluster(rolling=2)
    for key in (A, B, C, secret("d")):
        cluster.restart(key)
    for key in (A, B):
        cluster.budget.settle(workload_of(key))
    cluster.woken.clear()
    assert cluster.restart(C)
    assert cluster.woken == [secret("d")]
    assert cluster.now - NOW == timedelta()


# 500 objects that are due at once


class Restarts:
    """A budget of one with 500 ManagedSecrets in 50 namespaces; each rollout takes a second."""

    def __init__(self) -> None:
        self.cluster = Cluster(rolling=1)
        self.due = [secret(f"n{number % 50}", f"s{number}") for number in range(500)]
        self.begun: list[ObjectKey] = []
        self.asked = 0

    @property
    def rolling(self) -> list[ObjectKey]:
        """The rollouts that are not complete."""
        return self.begun[-1:] if self.begun and self.begun[-1] not in self.done else []

    done: frozenset[ObjectKey] = frozenset()

    def ask(self, key: ObjectKey) -> None:
        self.asked += 1
        if key not in self.begun and self.cluster.restart(key):
            assert not self.rolling, "two workloads roll at a time"
            self.begun.append(key)

    def complete(self) -> None:
        """Let the rollout end, and reconcile the ManagedSecrets that are woken for it."""
        self.cluster.now += seconds(1)
        (last,) = self.rolling
        self.done |= {last}
        self.cluster.budget.settle(workload_of(last))
        self.cluster.budget.leave(last)
        self.reconcile_woken()

    def reconcile_woken(self) -> None:
        while self.cluster.woken:
            self.ask(self.cluster.woken.pop())

    def die(self) -> None:
        """Let another process find the rollout, and reconcile every ManagedSecret."""
        before = self.cluster
        self.cluster = Cluster(rolling=1)
        self.cluster.now = before.now
        self.cluster.budget.count_rolling(workload_of(key) for key in self.rolling)
        for key in self.due:
            self.ask(key)


def test_with_a_budget_of_one_500_objects_restart_one_after_the_other_and_namespaces_take_turns() -> None:
    restarts = Restarts()
    for key in restarts.due:
        restarts.ask(key)
    for _ in restarts.due:
        restarts.complete()

    assert sorted(restarts.begun) == sorted(restarts.due)
    first = Counter(key.namespace for key in restarts.begun[:100])
    assert set(first.values()) == {2}, "each namespace has two restarts before one has three"
    assert restarts.asked <= 3 * len(restarts.due), "only the next one is woken"


@pytest.mark.parametrize("deaths", [1, 7, 50])
def test_none_of_500_objects_restarts_twice_or_is_lost_if_the_operator_dies(deaths: int) -> None:
    restarts = Restarts()
    for key in restarts.due:
        restarts.ask(key)
    for number in range(len(restarts.due)):
        if number % (len(restarts.due) // deaths) == 0:
            restarts.die()
        restarts.complete()

    assert sorted(restarts.begun) == sorted(restarts.due)


def place(cluster: Cluster, key: ObjectKey, workload: WorkloadKey | None = None) -> RestartPlace:
    """Take a place that is free."""
    taken = cluster.budget.take(key, workload or workload_of(key), cluster.now + DEADLINE)
    assert taken
    return taken


@pytest.mark.parametrize("limits", [{"rolling": 1}, {"per_minute": 1}])
def test_a_rejected_restart_gives_its_place_to_the_next(limits: dict[str, int]) -> None:
    cluster = Cluster(**limits)
    taken = place(cluster, A)
    assert not cluster.restart(B)

    cluster.budget.give_back(taken)

    assert cluster.woken == [B]
    assert cluster.restart(B)


def test_a_rejected_restart_leaves_what_rolls_counted() -> None:
    cluster = Cluster(rolling=1)
    place(cluster, A)
    cluster.now += seconds(60)
    again = place(cluster, A)
    by_another = place(cluster, secret("a", "other"), workload_of(A))

    cluster.budget.give_back(by_another)
    cluster.budget.give_back(again)

    assert not cluster.restart(B)
    hold = cluster.budget.restart_wait(B)
    assert hold
    assert hold.again == NOW + DEADLINE


def test_a_restart_that_is_given_back_late_changes_nothing() -> None:
    cluster = Cluster(rolling=1)
    taken = place(cluster, A)
    cluster.budget.settle(workload_of(A))
    cluster.budget.give_back(taken)
    assert cluster.restart(B)


def test_a_rollout_with_a_deadline_of_years_counts_for_an_hour() -> None:
    cluster = Cluster(rolling=1)
    assert cluster.budget.take(A, workload_of(A), cluster.now + timedelta(days=36_500))
    cluster.now += minutes(60)
    assert cluster.restart(B)


API, WEB = WorkloadKey("shop", "Deployment", "api"), WorkloadKey("shop", "Deployment", "web")


async def test_restarts_of_one_workload_share_a_lock() -> None:
    locks = RestartLocks()
    async with locks.of(API):
        assert locks.of(API).locked()
        assert not locks.of(WEB).locked()


async def test_no_lock_outlives_its_use() -> None:
    locks = RestartLocks()
    async with locks.of(API):
        pass
    gc.collect()
    assert not locks._locks
