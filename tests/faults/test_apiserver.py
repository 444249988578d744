from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from sandbox.harness import eventually
from tests.faults.apiserver import MANAGED, state_of
from tests.faults.namespace import BYSTANDER, CONSUMERS, ROTATED, scenes
from tests.faults.proxy import FaultProxy, end_watch, refuse
from tests.support.operator import Operator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.faults.apiserver import Cluster
    from tests.faults.namespace import Look, Scene
    from tests.faults.proxy import Asked

_WATCHED = ("managedsecrets", "secretclasses", "secrets", "deployments", "statefulsets", "daemonsets")
_OUTAGE = 20.0


@pytest.fixture
def scene(cluster: Cluster) -> Iterator[Scene]:
    """A namespace whose ManagedSecrets end with the test: one of them rotates every 15 s, whoever serves it."""
    scene = scenes(cluster, 1)[0]
    yield scene
    cluster.delete(f"{MANAGED}/namespaces/{scene.namespace}/managedsecrets")


def _operator(scene: Scene, kubeconfig: Path, log: Path) -> Operator:
    return Operator(kubeconfig, log, f"--namespace={scene.namespace}", env={"POD_NAMESPACE": scene.namespace})


@pytest.fixture
def operator(scene: Scene, accounts: Callable[[str], Path], tmp_path: Path) -> Iterator[Operator]:
    with _operator(scene, accounts("apiserver"), tmp_path / "operator.log") as operator:
        operator.wait_for_log("leading")
        yield operator


@pytest.fixture
def proxy(cluster: Cluster, tmp_path: Path) -> Iterator[FaultProxy]:
    with FaultProxy(cluster, tmp_path) as proxy:
        yield proxy


@pytest.fixture
def proxied(
    scene: Scene, proxy: FaultProxy, accounts: Callable[[str], Path], tmp_path: Path
) -> Iterator[Operator]:
    kubeconfig = proxy.kubeconfig(accounts("apiserver"))
    with _operator(scene, kubeconfig, tmp_path / "operator.log") as operator:
        operator.wait_for_log("leading")
        yield operator


def _keep_running(operator: Operator) -> None:
    """Start it again if it has ended, as a kubelet does; without its Lease it may end and start anew."""
    if operator.returncode is not None:
        operator.kill()
        operator.start()


def _assert_one_rotation_on(old: Look, new: Look) -> None:
    assert new.revision == old.revision + 1
    assert {name for name in new.values if new.values[name] != old.values[name]} == {ROTATED}
    assert new.recorded == {**old.recorded, new.revision: new.values}
    assert new.generations == {**dict.fromkeys(CONSUMERS, 2), BYSTANDER: 1}
    assert sorted(new.history) == [1, 2]


def test_a_rotation_goes_on_when_the_api_server_restarts_in_its_midst(
    cluster: Cluster, scene: Scene, operator: Operator
) -> None:
    scene.create(rollout={"debounce": "3s"})
    scene.wait_for(1)
    before = scene.look()
    scene.trigger("leaver")
    eventually(lambda: scene.look().revision == 2, "the new revision")
    cluster.plane.stop_apiserver()
    cluster.plane.start_apiserver()
    _keep_running(operator)
    scene.wait_for(2, 60)
    _assert_one_rotation_on(before, scene.look())


def test_a_rotation_that_falls_due_while_the_api_server_is_away_is_done_once(
    cluster: Cluster, scene: Scene, operator: Operator
) -> None:
    scene.create(rotation={"every": "15s", "jitter": "0%", "only": [ROTATED]})
    scene.wait_for(1)
    before = scene.look()
    cluster.plane.stop_apiserver()
    until = time.monotonic() + _OUTAGE
    while time.monotonic() < until:
        _keep_running(operator)
        time.sleep(0.5)
    cluster.plane.start_apiserver()
    eventually(lambda: _kept(operator) and scene.look().revision > 1, "the late rotation", 60)
    made = [revision["made"] for revision in state_of(cluster.get(scene.state))["revisions"]]
    scene.wait_for(2)
    _assert_one_rotation_on(before, scene.look())
    assert len(made) == 2


def _kept(operator: Operator) -> bool:
    _keep_running(operator)
    return True


@pytest.mark.parametrize(("code", "reason"), [(410, "Expired"), (500, "InternalError")])
def test_what_was_deleted_while_no_watch_ran_is_noticed(
    cluster: Cluster, scene: Scene, proxy: FaultProxy, proxied: Operator, code: int, reason: str
) -> None:
    classes = f"{MANAGED}/secretclasses"
    name = f"gone-{scene.namespace}"
    body = {"apiVersion": "keyturn.dev/v1alpha1", "kind": "SecretClass", "metadata": {"name": name}}
    cluster.create(classes, {**body, "spec": {"generate": {"password": {}}}})
    scene.create()
    _also(scene, "forgotten")
    _also(scene, "classy", className=name)
    scene.wait_for(1)
    eventually(lambda: _is(scene, "forgotten", "Ready") and _is(scene, "classy", "Ready"), "all Ready")
    before = scene.look()

    gap = proxy.rule(_looks_at_many, refuse(503, "ServiceUnavailable"), times=1_000_000)
    proxy.cut_all()
    eventually(lambda: gap.hits > len(_WATCHED), "broken watches")
    cluster.delete(scene.target)
    cluster.delete(f"{MANAGED}/namespaces/{scene.namespace}/managedsecrets/forgotten")
    cluster.delete(f"{classes}/{name}")
    cluster.delete(scene.deployment(CONSUMERS[1]))
    gone = [proxy.rule(_watches(plural), end_watch(code, reason)) for plural in _WATCHED]
    gap.times = 0

    eventually(lambda: cluster.get(scene.target) is not None, "the repaired Secret", 60)
    eventually(lambda: 'name="forgotten"' not in proxied.get("/metrics")[1], "the end of its series", 60)
    eventually(lambda: _is(scene, "classy", "Stalled"), "the missing class", 60)
    eventually(lambda: _workloads(scene) == [CONSUMERS[0]], "the missing Deployment", 60)
    assert scene.look().values == before.values
    assert proxied.returncode is None
    assert any(rule.hits for rule in gone)


def test_the_server_says_what_time_it_is(scene: Scene, proxy: FaultProxy, proxied: Operator) -> None:
    """An operator whose wall clock is three days behind the server's rotates when the server says so."""
    scene.create(rotation={"every": "2d", "jitter": "0%", "only": [ROTATED], "trigger": "at-creation"})
    scene.wait_for(1)
    before = scene.look()
    proxy.ahead = timedelta(days=3)
    _touch(scene, "a")
    scene.wait_for(2)
    proxy.ahead = timedelta(0)
    _touch(scene, "b")
    eventually(lambda: _seen_generation(scene), "a look after the clock was set back")
    _assert_one_rotation_on(before, scene.look())
    assert proxied.returncode is None


@pytest.mark.parametrize("minutes", [-5, 5], ids=["behind", "ahead"])
def test_a_clock_that_is_five_minutes_off_is_told_and_rotates_nothing(
    minutes: int, scene: Scene, proxy: FaultProxy, proxied: Operator
) -> None:
    """The API server's clock counts: what would be due by the machine's own is not."""
    scene.create(rotation={"every": "2d", "jitter": "0%", "only": [ROTATED], "trigger": "at-creation"})
    scene.wait_for(1)
    before = scene.look()

    proxy.ahead = timedelta(minutes=minutes)
    _touch(scene, "a")

    line = proxied.wait_for_log("clock differs")
    assert abs(line["ahead_seconds"] + minutes * 60) <= 2
    value = next(
        float(text.split()[1])
        for text in proxied.get("/metrics")[1].splitlines()
        if text.startswith("keyturn_clock_ahead_seconds ")
    )
    assert abs(value + minutes * 60) <= 2
    eventually(lambda: _seen_generation(scene), "a look with that clock")
    assert scene.look() == before
    assert proxied.returncode is None
    proxy.ahead = timedelta(0)


def _touch(scene: Scene, text: str) -> None:
    scene.cluster.edit(scene.managed, lambda body: body["spec"].update(owner=text))


def _seen_generation(scene: Scene) -> bool:
    body = scene.cluster.get(scene.managed)
    return bool(body["status"]["observedGeneration"] == body["metadata"]["generation"])


def _also(scene: Scene, name: str, **spec: Any) -> None:
    body = {"apiVersion": "keyturn.dev/v1alpha1", "kind": "ManagedSecret", "metadata": {"name": name}}
    item = {"name": "password"} if spec else {"name": "password", "generate": {"password": {}}}
    path = f"{MANAGED}/namespaces/{scene.namespace}/managedsecrets"
    scene.cluster.create(path, {**body, "spec": {"data": [item], **spec}})


def _is(scene: Scene, name: str, condition: str) -> bool:
    body = scene.cluster.get(f"{MANAGED}/namespaces/{scene.namespace}/managedsecrets/{name}")
    conditions = (body.get("status") or {}).get("conditions") or ()
    return any(one["type"] == condition and one["status"] == "True" for one in conditions)


def _workloads(scene: Scene) -> list[str]:
    workloads = scene.cluster.get(scene.managed)["status"].get("workloads") or ()
    return [one["name"] for one in workloads]


def _looks_at_many(asked: Asked) -> bool:
    return asked.method == "GET" and asked.path.endswith(_WATCHED)


def _watches(plural: str) -> Callable[[Asked], bool]:
    return lambda asked: asked.is_watch and asked.path.endswith(f"/{plural}")
