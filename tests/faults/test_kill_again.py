"""Killed at the steps of a way back, an overlap, an adoption, and killed again while another process goes on.

`make test` has every single death and some pairs, `make soak` every pair.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from sandbox.harness import eventually
from tests.faults.kill_scenarios import (
    ADOPTION,
    BINDING,
    FAILURE,
    OVERLAP,
    RELEASE,
    RETURN,
    Deaths,
    Facts,
    facts,
    pairs,
    singles,
)
from tests.faults.namespace import scenes
from tests.support.operator import Operator
from tests.support.soak import draw

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any

    from tests.faults.apiserver import Call, Cluster
    from tests.faults.kill_scenarios import End
    from tests.faults.namespace import Scene

pytestmark = pytest.mark.timeout(600)
_KILLED = -9
_AT_ONCE = 3
_PATIENCE = 60.0

DEATHS = [
    *singles(OVERLAP, 5, 6, 7),
    *draw(pairs(OVERLAP, 1, 2, 3, 5, 6), 4),
    *singles(FAILURE, 4, 5, 6),
    *draw(pairs(FAILURE, 2, 3, 4, 5, 6), 4),
    *singles(RETURN, 0, 1, 2),
    *draw(pairs(RETURN, 0, 1, 2, 3), 3),
    *singles(ADOPTION, 0, 2),
    *draw(pairs(ADOPTION, 0, 1, 2, 3), 3),
    *singles(BINDING, 0, 1),
    *singles(RELEASE, 0, 1),
]


@dataclass(frozen=True, slots=True)
class Story:
    """What was there before the deaths, how the processes ended, what is there after another one went on."""

    deaths: Deaths
    scene: Scene
    before: Facts
    returncodes: list[int]
    after: Facts
    status: dict[str, Any]

    @property
    def end(self) -> End:
        return self.deaths.plot.end


@pytest.fixture(scope="module")
def stories(
    cluster: Cluster, accounts: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Story]:
    """Let processes die in each plot, and one other process find all that they left."""
    folder, kubeconfig = tmp_path_factory.mktemp("again"), accounts("again")
    stage = dict(zip(DEATHS, scenes(cluster, len(DEATHS)), strict=True))
    _come_to_rest(stage, kubeconfig, folder)
    before = {deaths: facts(scene) for deaths, scene in stage.items()}
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        codes = list(pool.map(lambda deaths: _die(deaths, stage[deaths], kubeconfig, folder), DEATHS))
    with _operator(kubeconfig, folder / "whole.log", next(iter(stage.values()))) as operator:
        for deaths, scene in stage.items():
            _wait_for_the_end(deaths, scene)
        operator.stop()
    return {
        deaths.id: Story(
            deaths,
            stage[deaths],
            before[deaths],
            code,
            facts(stage[deaths], deaths.plot.end.secret),
            stage[deaths].status(),
        )
        for deaths, code in zip(DEATHS, codes, strict=True)
    }


def _come_to_rest(stage: dict[Deaths, Scene], kubeconfig: Path, folder: Path) -> None:
    for deaths, scene in stage.items():
        deaths.plot.prepare(scene)
        if deaths.plot.base:
            scene.create(**deaths.plot.spec)
    with _operator(kubeconfig, folder / "rest.log", next(iter(stage.values()))) as operator:
        existing = {deaths: scene for deaths, scene in stage.items() if deaths.plot.base}
        for scene in existing.values():
            scene.wait_for(1)
        for deaths, scene in existing.items():
            deaths.plot.advance(scene)
        operator.stop()


def _operator(kubeconfig: Path, log: Path, home: Scene, *arguments: str, failpoint: str = "") -> Operator:
    # As if the term of one that died before were over.
    home.cluster.delete(f"/apis/coordination.k8s.io/v1/namespaces/{home.namespace}/leases/keyturn")
    env = {"POD_NAMESPACE": home.namespace, "KEYTURN_FAILPOINT": failpoint}
    return Operator(kubeconfig, log, *arguments, env=env)


def _die(deaths: Deaths, scene: Scene, kubeconfig: Path, folder: Path) -> list[int]:
    deaths.plot.provoke(scene)
    return [_die_once(failpoint, scene, kubeconfig, folder) for failpoint in deaths.failpoints]


def _die_once(failpoint: str, scene: Scene, kubeconfig: Path, folder: Path) -> int:
    only = f"--namespace={scene.namespace}"
    log = folder / f"{scene.namespace}.log"
    with _operator(kubeconfig, log, scene, only, failpoint=failpoint) as operator:
        return operator.wait_for_kill()


def _wait_for_the_end(deaths: Deaths, scene: Scene) -> None:
    eventually(lambda: _has_ended(deaths.plot.end, scene), f"the end of: {deaths.id}", _PATIENCE)


def _has_ended(end: End, scene: Scene) -> bool:
    """Say whether everything has come to rest, by the status and in truth.

    Of a spec that asks for no rotation the status tells last, when all else is written.
    """
    body = scene.cluster.get(scene.managed) or {}
    status = body.get("status") or {}
    if status.get("observedGeneration") != body.get("metadata", {}).get("generation"):
        return False
    conditions = {one["type"]: one for one in status.get("conditions") or ()}
    stalled = conditions["Stalled"]["reason"] if "Stalled" in conditions else None
    is_told = (status.get("revision"), stalled) == (end.revision, end.stalled) and not status.get("rotation")
    is_current = all(
        conditions[type_]["status"] == "True" for type_ in ("Ready", "WorkloadsCurrent") if is_told
    )
    return is_told and is_current and _history(status) == end.history and end.holds(scene)


def _history(status: dict[str, Any]) -> tuple[tuple[int, str, str], ...]:
    return tuple((one["revision"], one["reason"], one["result"]) for one in status.get("history") or ())


@pytest.fixture(params=[deaths.id for deaths in DEATHS])
def story(request: pytest.FixtureRequest, stories: dict[str, Story]) -> Story:
    return stories[request.param]


def test_each_process_died_where_it_was_to(story: Story) -> None:
    assert story.returncodes == [_KILLED] * len(story.deaths.failpoints)


def test_no_value_is_lost_and_none_turns_that_need_not(story: Story) -> None:
    before, after = story.before.values, story.after.values

    assert {
        key for key in before.keys() | after.keys() if before.get(key) != after.get(key)
    } == story.end.fresh


def test_the_secret_holds_the_revision_that_it_must(story: Story) -> None:
    assert story.after.revision == story.end.revision


def test_each_workload_restarts_as_often_as_it_must(story: Story) -> None:
    before, after = story.before.generations, story.after.generations

    assert {
        name: after[name] - before[name] for name in after if after[name] != before[name]
    } == story.end.restarts


def test_each_workload_is_marked_with_what_it_runs(story: Story) -> None:
    marked = {name: marker for name, marker in story.after.markers.items() if marker}

    assert marked == (story.end.marker or {name: one for name, one in story.before.markers.items() if one})


def test_the_history_tells_it_once(story: Story) -> None:
    assert _history(story.status) == story.end.history


@pytest.fixture(scope="module")
def writes(
    cluster: Cluster,
    stories: dict[str, Story],
    accounts: Callable[[str], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> list[Call]:
    """Start once more when all is done, under another name; return what that one wrote."""
    folder, home = tmp_path_factory.mktemp("once-more"), next(iter(stories.values())).scene
    with _operator(accounts("once-more"), folder / "operator.log", home) as operator:
        operator.wait_for_log("leading")
        eventually(lambda: operator.has_looked(cluster.managed_secrets), "a look at every object")
        operator.stop()
    return cluster.writes("once-more", {story.scene.namespace for story in stories.values()})


def test_one_more_start_writes_nothing(writes: list[Call], stories: dict[str, Story]) -> None:
    by_story = {
        name: [(call.verb, call.uri) for call in writes if call.namespace == story.scene.namespace]
        for name, story in stories.items()
    }

    assert {name: calls for name, calls in by_story.items() if calls} == {}
