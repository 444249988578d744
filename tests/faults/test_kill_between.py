"""Two secrets of one workload turn together, and the operator is killed between them: one restart serves both."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from sandbox.harness import eventually
from tests.faults.apiserver import MANAGED, values_of
from tests.faults.namespace import WorkloadNamespace, digest, managed_secret, workload_namespaces
from tests.support.kept_operator import KeptOperator
from tests.support.objects import deployment

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.faults.apiserver import Cluster

_SECRETS = ("first", "second")
_WORKLOAD = "both"
_KILLED = -9
_AT_ONCE = 3

_DEBOUNCE = "20s"  # longer than a process takes to start and to die

# Which secrets are to turn, and where the process dies that is started then; the next word goes on from there.
KILLS: dict[str, tuple[tuple[str, str], ...]] = {
    "both, dies with values made": (("first second", "after:Stage"),),
    "both, dies before the restart": (("first second", "before:RollOut"),),
    "both, dies after the restart": (("first second", "after:RollOut"),),
    "one, dies; the other": (("first", "after:Publish"), ("second", "")),
    "one, dies; the other, dies": (("first", "after:Publish"), ("second", "after:Publish")),
    "one, dies; the other, dies before the restart": (
        ("first", "after:Publish"),
        ("second", "before:RollOut"),
    ),
    "one, dies; the other, dies after the restart": (("first", "after:Publish"), ("second", "after:RollOut")),
    "one, dies with values made; the other, dies": (("first", "after:Stage"), ("second", "before:RollOut")),
}


@dataclass(frozen=True, slots=True)
class Pair:
    """A namespace with two ManagedSecrets and a Deployment that uses the Secrets of both."""

    space: WorkloadNamespace

    def managed(self, name: str) -> str:
        return f"{MANAGED}/namespaces/{self.space.namespace}/managedsecrets/{name}"

    def create(self) -> None:
        cluster = self.space.cluster
        for name in _SECRETS:
            body = managed_secret(rollout={"debounce": _DEBOUNCE})
            body["metadata"]["name"] = name
            cluster.create(self.managed(name).rpartition("/")[0], body)
        cluster.create(self.space.deployment(_WORKLOAD).rpartition("/")[0], _with_both())

    def rotate(self, names: str) -> None:
        for name in names.split():
            self.space.cluster.edit(
                self.managed(name), lambda body: body["spec"]["rotation"].update(trigger="leaver")
            )

    def wait_for(self, revision: int) -> None:
        eventually(lambda: self._is_at(revision), f"revision {revision} in {self.space.namespace}")

    def _is_at(self, revision: int) -> bool:
        for name in _SECRETS:
            status = self.space.cluster.get(self.managed(name)).get("status") or {}
            told = [entry["revision"] for entry in status.get("history") or ()]
            if status.get("rotation") or told[:1] != [revision]:
                return False
        return True

    def workload(self) -> Any:
        return self.space.cluster.get(self.space.deployment(_WORKLOAD))

    def values(self) -> dict[str, str]:
        found = ((name, values_of(self.space.cluster.get(self.space.secret(name)))) for name in _SECRETS)
        return {f"{name}/{key}": digest(value) for name, data in found for key, value in data.items()}


def _with_both() -> dict[str, Any]:
    body = deployment(_WORKLOAD, replicas=1)
    (container,) = body["spec"]["template"]["spec"]["containers"]
    container["envFrom"] = [{"secretRef": {"name": name}} for name in _SECRETS]
    return body


@dataclass(frozen=True, slots=True)
class Story:
    """What was there before the deaths, how the processes ended, and what is there afterwards."""

    returncodes: list[int]
    before: tuple[Any, dict[str, str]]
    after: tuple[Any, dict[str, str]]


@pytest.fixture(scope="module")
def stories(
    cluster: Cluster, accounts: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Story]:
    folder, kubeconfig = tmp_path_factory.mktemp("between"), accounts("between")
    stage = dict(zip(KILLS, map(Pair, workload_namespaces(cluster, len(KILLS))), strict=True))
    home = next(iter(stage.values())).space
    for pair in stage.values():
        pair.create()
    _run_until(stage, 1, _operator(kubeconfig, folder / "rest.log", home))
    before = {name: (pair.workload(), pair.values()) for name, pair in stage.items()}
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        codes = list(pool.map(lambda name: _die(name, stage[name], kubeconfig, folder), KILLS))
    _run_until(stage, 2, _operator(kubeconfig, folder / "whole.log", home))
    return {
        name: Story(code, before[name], (pair.workload(), pair.values()))
        for (name, pair), code in zip(stage.items(), codes, strict=True)
    }


def _run_until(stage: dict[str, Pair], revision: int, operator: KeptOperator) -> None:
    with operator:
        for pair in stage.values():
            pair.wait_for(revision)
        operator.stop()


def _operator(
    kubeconfig: Path, log: Path, home: WorkloadNamespace, *arguments: str, failpoint: str = ""
) -> KeptOperator:
    # As if the term of one that died before were over.
    home.cluster.delete(f"/apis/coordination.k8s.io/v1/namespaces/{home.namespace}/leases/keyturn")
    env = {"POD_NAMESPACE": home.namespace, "KEYTURN_FAILPOINT": failpoint}
    return KeptOperator(kubeconfig, log, *arguments, env=env)


def _die(name: str, pair: Pair, kubeconfig: Path, folder: Path) -> list[int]:
    namespace, codes = pair.space.namespace, []
    for names, failpoint in KILLS[name]:
        pair.rotate(names)
        if not failpoint:
            continue
        log, only = folder / f"{namespace}.log", f"--namespace={namespace}"
        with _operator(kubeconfig, log, pair.space, only, failpoint=failpoint) as operator:
            codes.append(operator.wait_for_kill())
    return codes


@pytest.fixture(params=KILLS)
def story(request: pytest.FixtureRequest, stories: dict[str, Story]) -> Story:
    return stories[request.param]


def test_each_process_died_where_it_was_to(story: Story) -> None:
    assert set(story.returncodes) == {_KILLED}


def test_both_have_turned(story: Story) -> None:
    (_, before), (_, after) = story.before, story.after

    assert {key for key in after if after[key] != before[key]} == {f"{name}/token" for name in _SECRETS}


def test_the_workload_was_restarted_once(story: Story) -> None:
    (before, _), (after, _) = story.before, story.after

    assert after["metadata"]["generation"] - before["metadata"]["generation"] == 1
    assert WorkloadNamespace.marker(after) == "first=2,second=2"
