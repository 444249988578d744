import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from sandbox.harness import eventually
from tests.faults.apiserver import MANAGED, Cluster, state_of
from tests.faults.namespace import (
    BYSTANDER,
    CONSUMERS,
    ROTATED,
    Snapshot,
    WorkloadNamespace,
    workload_namespaces,
)
from tests.faults.proxy import Asked, FaultProxy, end_watch, refuse
from tests.support.kept_operator import KeptOperator

_WATCHED = ("managedsecrets", "secretclasses", "secrets", "deployments", "statefulsets", "daemonsets")
_INTERVAL = 20
"""Seconds from the first revision to the rotation that falls due: the API server is stopped before that."""


@pytest.fixture
def space(cluster: Cluster) -> Iterator[WorkloadNamespace]:
    """A namespace whose ManagedSecrets end with the test: one of them rotates soon, whoever serves it."""
    space = workload_namespaces(cluster, 1)[0]
    yield space
    cluster.delete(f"{MANAGED}/namespaces/{space.namespace}/managedsecrets")


def _operator(space: WorkloadNamespace, kubeconfig: Path, log: Path) -> KeptOperator:
    return KeptOperator(
        kubeconfig, log, f"--namespace={space.namespace}", env={"POD_NAMESPACE": space.namespace}
    )


@pytest.fixture
def proxy(cluster: Cluster, tmp_path: Path) -> Iterator[FaultProxy]:
    with FaultProxy(cluster, tmp_path) as proxy:
        yield proxy


@pytest.fixture
def proxied(
    space: WorkloadNamespace, proxy: FaultProxy, accounts: Callable[[str], Path], tmp_path: Path
) -> Iterator[KeptOperator]:
    kubeconfig = proxy.kubeconfig(accounts("apiserver"))
    with _operator(space, kubeconfig, tmp_path / "operator.log") as operator:
        operator.wait_for_log("leading")
        yield operator


def _assert_one_rotation_on(old: Snapshot, new: Snapshot) -> None:
    assert new.revision == old.revision + 1
    assert {name for name in new.values if new.values[name] != old.values[name]} == {ROTATED}
    assert new.recorded == {**old.recorded, new.revision: new.values}
    assert new.generations == {**dict.fromkeys(CONSUMERS, 2), BYSTANDER: 1}
    assert sorted(new.history) == [1, 2]


def test_what_rotates_and_what_falls_due_while_the_api_server_restarts_is_rotated_once(
    cluster: Cluster, space: WorkloadNamespace, accounts: Callable[[str], Path], tmp_path: Path
) -> None:
    (late,) = workload_namespaces(cluster, 1)
    options = [f"--namespace={one.namespace}" for one in (space, late)]
    env, log = {"POD_NAMESPACE": space.namespace}, tmp_path / "operator.log"
    with KeptOperator(accounts("apiserver"), log, *options, env=env) as operator:
        operator.wait_for_log("leading")
        space.create(rollout={"debounce": "3s"})
        late.create(rotation={"every": f"{_INTERVAL}s", "jitter": "0%", "only": [ROTATED]})
        for one in (space, late):
            one.wait_for(1)
        before, due = [one.snapshot() for one in (space, late)], _next_rotation(late)
        space.trigger("leaver")
        eventually(lambda: space.snapshot().revision == 2, "the new revision")
        cluster.plane.stop_apiserver()
        assert datetime.now(UTC) < due, "the rotation falls due while the API server is away"
        time.sleep((due - datetime.now(UTC)).total_seconds() + 1)  # nothing can be asked: the server is away
        cluster.plane.start_apiserver()
        eventually(lambda: late.snapshot().revision > 1, "the late rotation", 120)
        _rotate_no_more(late)
        made = [revision["made"] for revision in state_of(cluster.get(late.state))["revisions"]]
        for one, old in zip((space, late), before, strict=True):
            one.wait_for(2)
            _assert_one_rotation_on(old, one.snapshot())
        assert len(made) == 2
        assert operator.returncode is None


def _next_rotation(space: WorkloadNamespace) -> datetime:
    return datetime.fromisoformat(space.status()["nextRotationTime"])


def _rotate_no_more(space: WorkloadNamespace) -> None:
    """Let no other rotation fall due, however late this one ends."""
    space.cluster.edit(space.managed, lambda body: body["spec"]["rotation"].update(every="365d"))


def test_what_was_deleted_while_no_watch_ran_is_noticed(
    cluster: Cluster, space: WorkloadNamespace, proxy: FaultProxy, proxied: KeptOperator
) -> None:
    classes = f"{MANAGED}/secretclasses"
    name = f"gone-{space.namespace}"
    body = {"apiVersion": "keyturn.dev/v1alpha1", "kind": "SecretClass", "metadata": {"name": name}}
    cluster.create(classes, {**body, "spec": {"generate": {"password": {}}}})
    space.create()
    _also(space, "forgotten")
    _also(space, "classy", className=name)
    space.wait_for(1)
    eventually(lambda: _is(space, "forgotten", "Ready") and _is(space, "classy", "Ready"), "all Ready")
    before = space.snapshot()

    gap = proxy.rule(_looks_at_many, refuse(503, "ServiceUnavailable"), times=1_000_000)
    proxy.cut_all()
    eventually(lambda: gap.hits > len(_WATCHED), "broken watches")
    cluster.delete(space.target)
    cluster.delete(f"{MANAGED}/namespaces/{space.namespace}/managedsecrets/forgotten")
    cluster.delete(f"{classes}/{name}")
    cluster.delete(space.deployment(CONSUMERS[1]))
    ends = cycle((end_watch(410, "Expired"), end_watch(500, "InternalError")))
    gone = [proxy.rule(_watches(plural), next(ends)) for plural in _WATCHED]
    gap.times = 0

    eventually(lambda: cluster.get(space.target) is not None, "the repaired Secret", 90)
    eventually(lambda: 'name="forgotten"' not in proxied.get("/metrics")[1], "the end of its series", 90)
    eventually(lambda: _is(space, "classy", "Stalled"), "the missing class", 90)
    eventually(lambda: _workloads(space) == [CONSUMERS[0]], "the missing Deployment", 90)
    assert space.snapshot().values == before.values
    assert proxied.returncode is None
    assert any(rule.hits for rule in gone)


def test_the_server_says_what_time_it_is(
    space: WorkloadNamespace, proxy: FaultProxy, proxied: KeptOperator
) -> None:
    """A wall clock that is some minutes off is reported and rotates nothing; one three days behind is no reason."""
    space.create(rotation={"every": "2d", "jitter": "0%", "only": [ROTATED], "trigger": "at-creation"})
    space.wait_for(1)
    before = space.snapshot()

    for minutes in (-5, 5):
        proxy.ahead = timedelta(minutes=minutes)
        _touch(space, f"{minutes} minutes")
        line = proxied.wait_for_log("clock out of sync")
        assert abs(line["ahead_seconds"]) > 120
        eventually(lambda: _is_off_by(minutes, _clock_ahead(proxied)), "the metric")  # noqa: B023  # at once
        eventually(lambda: _seen_generation(space), "a look with that clock")
        assert space.snapshot() == before

    proxy.ahead = timedelta(days=3)
    _touch(space, "three days")
    space.wait_for(2)
    proxy.ahead = timedelta(0)
    _touch(space, "now")
    eventually(lambda: _seen_generation(space), "a look after the clock was set back")
    _assert_one_rotation_on(before, space.snapshot())
    assert proxied.returncode is None


def _clock_ahead(operator: KeptOperator) -> float:
    lines = operator.get("/metrics")[1].splitlines()
    return next(float(one.split()[1]) for one in lines if one.startswith("keyturn_clock_ahead_seconds "))


def _is_off_by(minutes: int, ahead: float) -> bool:
    """Say whether seconds are those of a server's clock that is minutes ahead; an answer may arrive late."""
    return -2 <= ahead + minutes * 60 <= 30


def _touch(space: WorkloadNamespace, text: str) -> None:
    space.cluster.edit(space.managed, lambda body: body["spec"].update(owner=text))


def _seen_generation(space: WorkloadNamespace) -> bool:
    body = space.cluster.get(space.managed)
    return bool(body["status"]["observedGeneration"] == body["metadata"]["generation"])


def _also(space: WorkloadNamespace, name: str, **spec: Any) -> None:
    body = {"apiVersion": "keyturn.dev/v1alpha1", "kind": "ManagedSecret", "metadata": {"name": name}}
    item = {"name": "password"} if spec else {"name": "password", "generate": {"password": {}}}
    path = f"{MANAGED}/namespaces/{space.namespace}/managedsecrets"
    space.cluster.create(path, {**body, "spec": {"data": [item], **spec}})


def _is(space: WorkloadNamespace, name: str, condition: str) -> bool:
    body = space.cluster.get(f"{MANAGED}/namespaces/{space.namespace}/managedsecrets/{name}")
    conditions = (body.get("status") or {}).get("conditions") or ()
    return any(one["type"] == condition and one["status"] == "True" for one in conditions)


def _workloads(space: WorkloadNamespace) -> list[str]:
    workloads = space.cluster.get(space.managed)["status"].get("workloads") or ()
    return [one["name"] for one in workloads]


def _looks_at_many(asked: Asked) -> bool:
    return asked.method == "GET" and asked.path.endswith(_WATCHED)


def _watches(plural: str) -> Callable[[Asked], bool]:
    return lambda asked: asked.is_watch and asked.path.endswith(f"/{plural}")
