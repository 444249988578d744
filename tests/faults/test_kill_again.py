"""Killed at the steps of a way back, an overlap, an adoption, and killed again while another process goes on.

`make test` has some deaths of each scenario, and a pair of them; `make soak` has all.
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
    Facts,
    Kills,
    chain,
    facts,
    pairs,
    singles,
)
from tests.faults.namespace import workload_namespaces
from tests.support.kept_operator import KeptOperator
from tests.support.soak import some

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any

    from tests.faults.apiserver import Call, Cluster
    from tests.faults.kill_scenarios import End
    from tests.faults.namespace import WorkloadNamespace

pytestmark = pytest.mark.timeout(600)
_KILLED = -9
_AT_ONCE = 3
_PATIENCE = 60.0

KILLS = [
    *some([*singles(OVERLAP, 5), *chain(OVERLAP, 6, 7)], 1, 3),
    *some(pairs(OVERLAP, 1, 2, 3, 5, 6), 4),
    *some(chain(FAILURE, 4, 5, 6), 1, 2),
    *some(pairs(FAILURE, 2, 3, 4, 5, 6), 4),
    *some(chain(RETURN, 0, 1, 2), 1, 2),
    *some(pairs(RETURN, 0, 1, 2, 3), 3),
    *some(chain(ADOPTION, 0, 1, 2, 3), 1, 3),
    *some(pairs(ADOPTION, 0, 1, 2, 3, 4), 2),
    *some(chain(BINDING, 0, 1), 1),
    *some(chain(RELEASE, 0, 1), 1),
]


@dataclass(frozen=True, slots=True)
class Story:
    """What was there before the deaths, how the processes ended, what is there after another one went on."""

    kills: Kills
    space: WorkloadNamespace
    before: Facts
    returncodes: list[int]
    after: Facts
    status: dict[str, Any]

    @property
    def end(self) -> End:
        return self.kills.scenario.end


@pytest.fixture(scope="module")
def stories(
    cluster: Cluster, accounts: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Story]:
    """Kill processes in each scenario; then let one other process continue all of them."""
    folder, kubeconfig = tmp_path_factory.mktemp("again"), accounts("again")
    stage = dict(zip(KILLS, workload_namespaces(cluster, len(KILLS)), strict=True))
    _come_to_rest(stage, kubeconfig, folder)
    before = {kills: facts(space) for kills, space in stage.items()}
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        codes = list(pool.map(lambda kills: _die(kills, stage[kills], kubeconfig, folder), KILLS))
    with _operator(kubeconfig, folder / "whole.log", next(iter(stage.values()))) as operator:
        for kills, space in stage.items():
            _wait_for_the_end(kills, space)
        operator.stop()
    return {
        kills.id: Story(
            kills,
            stage[kills],
            before[kills],
            code,
            facts(stage[kills], kills.scenario.end.secret),
            stage[kills].status(),
        )
        for kills, code in zip(KILLS, codes, strict=True)
    }


def _come_to_rest(stage: dict[Kills, WorkloadNamespace], kubeconfig: Path, folder: Path) -> None:
    for kills, space in stage.items():
        kills.scenario.prepare(space)
        if kills.scenario.base:
            space.create(**kills.scenario.spec)
    with _operator(kubeconfig, folder / "rest.log", next(iter(stage.values()))) as operator:
        existing = {kills: space for kills, space in stage.items() if kills.scenario.base}
        for space in existing.values():
            space.wait_for(1)
        for kills, space in existing.items():
            kills.scenario.advance(space)
        operator.stop()


def _operator(
    kubeconfig: Path, log: Path, home: WorkloadNamespace, *arguments: str, failpoint: str = ""
) -> KeptOperator:
    # As if the term of one that died before were over.
    home.cluster.delete(f"/apis/coordination.k8s.io/v1/namespaces/{home.namespace}/leases/keyturn")
    env = {"POD_NAMESPACE": home.namespace, "KEYTURN_FAILPOINT": failpoint}
    return KeptOperator(kubeconfig, log, *arguments, env=env)


def _die(kills: Kills, space: WorkloadNamespace, kubeconfig: Path, folder: Path) -> list[int]:
    kills.scenario.provoke(space)
    return [_die_once(failpoint, space, kubeconfig, folder) for failpoint in kills.failpoints]


def _die_once(failpoint: str, space: WorkloadNamespace, kubeconfig: Path, folder: Path) -> int:
    only = f"--namespace={space.namespace}"
    log = folder / f"{space.namespace}.log"
    with _operator(kubeconfig, log, space, only, failpoint=failpoint) as operator:
        return operator.wait_for_kill()


def _wait_for_the_end(kills: Kills, space: WorkloadNamespace) -> None:
    eventually(lambda: _has_ended(kills.scenario.end, space), f"the end of: {kills.id}", _PATIENCE)


def _has_ended(end: End, space: WorkloadNamespace) -> bool:
    """Say whether everything has come to rest, by the status and in truth.

    Of a spec that asks for no rotation the status tells last, when all else is written.
    """
    body = space.cluster.get(space.managed) or {}
    status = body.get("status") or {}
    if status.get("observedGeneration") != body.get("metadata", {}).get("generation"):
        return False
    conditions = {one["type"]: one for one in status.get("conditions") or ()}
    stalled = conditions["Stalled"]["reason"] if "Stalled" in conditions else None
    is_told = (status.get("revision"), stalled) == (end.revision, end.stalled) and not status.get("rotation")
    is_current = all(
        conditions[type_]["status"] == "True" for type_ in ("Ready", "WorkloadsCurrent") if is_told
    )
    return is_told and is_current and _history(status) == end.history and end.holds(space)


def _history(status: dict[str, Any]) -> tuple[tuple[int, str, str], ...]:
    return tuple((one["revision"], one["reason"], one["result"]) for one in status.get("history") or ())


@pytest.fixture(params=[kills.id for kills in KILLS])
def story(request: pytest.FixtureRequest, stories: dict[str, Story]) -> Story:
    return stories[request.param]


def test_each_process_died_where_it_was_to(story: Story) -> None:
    assert story.returncodes == [_KILLED] * len(story.kills.failpoints)


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


def test_the_history_reports_it_once(story: Story) -> None:
    assert _history(story.status) == story.end.history


@pytest.fixture(scope="module")
def writes(
    cluster: Cluster,
    stories: dict[str, Story],
    accounts: Callable[[str], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> list[Call]:
    """Start once more when all is done, under another name; return what that one wrote."""
    folder, home = tmp_path_factory.mktemp("once-more"), next(iter(stories.values())).space
    with _operator(accounts("once-more"), folder / "operator.log", home) as operator:
        operator.wait_for_log("leading")
        eventually(lambda: operator.has_looked(cluster.managed_secrets), "a look at every object")
        operator.stop()
    return cluster.writes("once-more", {story.space.namespace for story in stories.values()})


def test_one_more_start_writes_nothing(writes: list[Call], stories: dict[str, Story]) -> None:
    by_story = {
        name: [(call.verb, call.uri) for call in writes if call.namespace == story.space.namespace]
        for name, story in stories.items()
    }

    assert {name: calls for name, calls in by_story.items() if calls} == {}
