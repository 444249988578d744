"""Killed at a step of a pass: no value is lost or made twice, and each consumer restarts once.

`make test` has some deaths of each thing that is asked, `make soak` has all.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest

from sandbox.harness import eventually
from tests.faults.apiserver import Call, Cluster
from tests.faults.namespace import (
    BYSTANDER,
    CONSUMERS,
    FIXED,
    INTERVAL,
    KEPT,
    NAME,
    ROTATED,
    Snapshot,
    WorkloadNamespace,
    age_value,
    scheduled_values,
    workload_namespaces,
)
from tests.support.kept_operator import KeptOperator
from tests.support.soak import some

_KILLED = -9
_AT_ONCE = 3
_DATA = "data"


def _create(space: WorkloadNamespace) -> None:
    space.create()


def _rotate(space: WorkloadNamespace) -> None:
    space.trigger("leaver")


def _let_one_value_become_due(space: WorkloadNamespace) -> None:
    age_value(space.cluster, space.state, ROTATED)


def _edit_the_secret(space: WorkloadNamespace) -> None:
    space.cluster.edit(space.target, lambda body: body[_DATA].update({KEPT: "ZWRpdGVk"}))


def _delete_the_secret(space: WorkloadNamespace) -> None:
    space.cluster.delete(space.target)


def _delete_the_state(space: WorkloadNamespace) -> None:
    space.cluster.delete(space.state)


def _make_it_again(space: WorkloadNamespace) -> None:
    space.cluster.delete(space.managed)
    space.create()


@dataclass(frozen=True, slots=True)
class Case:
    """What is asked of the operator, where it dies over it, and what is to be there in the end."""

    provoke: Callable[[WorkloadNamespace], None]
    failpoint: str
    revision: int
    fresh: frozenset[str] = frozenset()
    """The values that are to differ from those before."""

    @property
    def id(self) -> str:
        return f"{self.provoke.__name__.strip('_')}, dies {self.failpoint}"


def _cases(
    provoke: Callable[[WorkloadNamespace], None], steps: str, revision: int = 1, fresh: str = ""
) -> list[Case]:
    """Let a process die before the first of steps that follow each other in one pass, and one after each.

    After a step is before the next one, whose place in the code is the same.
    """
    first, *_ = each = steps.split()
    failpoints = [f"before:{first}", *(f"after:{step}" for step in each)]
    return [Case(provoke, failpoint, revision, frozenset(fresh.split())) for failpoint in failpoints]


def _rotations(provoke: Callable[[WorkloadNamespace], None]) -> list[Case]:
    """Let a process die around each write of a rotation of one value."""
    passes = ("Stage Publish RollOut", "RollOut#2", "Report", "Report#2")
    return [case for steps in passes for case in _cases(provoke, steps, 2, ROTATED)]


CASES = [
    *some([*_cases(_create, "Stage Publish"), *_cases(_create, "Report")], 1, 2),
    *some(_rotations(_rotate), 1, 2, 3, 5, 7),
    *some(_rotations(_let_one_value_become_due), 1, 2, 3, 5, 7),
    *some([*_cases(_edit_the_secret, "Repair"), *_cases(_edit_the_secret, "Report")], 1),
    *some(_cases(_delete_the_secret, "Repair"), 1),
    *some([*_cases(_delete_the_state, "Claim"), *_cases(_delete_the_state, "Report")], 1, 2),
    *some(_cases(_make_it_again, "Claim"), 1),
]


@dataclass(frozen=True, slots=True)
class Story:
    """What was there before the death, how the process ended, what is there after another one went on."""

    case: Case
    space: WorkloadNamespace
    before: Snapshot | None
    returncode: int
    after: Snapshot


@dataclass(frozen=True, slots=True)
class Restart:
    """What one more start found and did when all was done."""

    versions: tuple[dict[str, str], dict[str, str]]
    writes: list[Call]


@pytest.fixture(scope="module")
def stories(
    cluster: Cluster, accounts: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Story]:
    """Let one process die in each case, and one other process find all that they left."""
    folder, kubeconfig = tmp_path_factory.mktemp("sweep"), accounts("sweep")
    stage = dict(zip(CASES, workload_namespaces(cluster, len(CASES)), strict=True))
    existing = {case: space for case, space in stage.items() if case.provoke is not _create}
    _run_until_at_rest(existing, kubeconfig, folder, 1)
    before = {case: space.snapshot() for case, space in existing.items()}
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        codes = list(pool.map(lambda case: _die(case, stage[case], kubeconfig, folder), CASES))
    _run_until_at_rest(stage, kubeconfig, folder, None)
    return {
        case.id: Story(case, stage[case], before.get(case), code, stage[case].snapshot())
        for case, code in zip(CASES, codes, strict=True)
    }


def _run_until_at_rest(
    stage: dict[Case, WorkloadNamespace], kubeconfig: Path, folder: Path, revision: int | None
) -> None:
    if revision is not None:
        for case, space in stage.items():
            space.create(**(scheduled_values() if case.provoke is _let_one_value_become_due else {}))
    home = next(iter(stage.values())).namespace
    with KeptOperator(kubeconfig, folder / "whole.log", env={"POD_NAMESPACE": home}) as operator:
        for case, space in stage.items():
            space.wait_for(revision or case.revision, 120)
        operator.stop()


def _die(case: Case, space: WorkloadNamespace, kubeconfig: Path, folder: Path) -> int:
    case.provoke(space)
    operator = KeptOperator(
        kubeconfig,
        folder / f"{space.namespace}.log",
        f"--namespace={space.namespace}",
        env={"POD_NAMESPACE": space.namespace, "KEYTURN_FAILPOINT": case.failpoint},
    )
    with operator:
        return operator.wait_for_kill()


@pytest.fixture(params=[case.id for case in CASES])
def story(request: pytest.FixtureRequest, stories: dict[str, Story]) -> Story:
    return stories[request.param]


def test_the_process_died_there(story: Story) -> None:
    assert story.returncode == _KILLED


def test_no_value_is_lost(story: Story) -> None:
    assert story.after.values.keys() == {ROTATED, KEPT, FIXED}
    if story.before:
        kept = story.before.values.keys() - story.case.fresh
        assert {name: story.after.values[name] for name in kept} == {
            name: story.before.values[name] for name in kept
        }


def test_what_had_to_turn_has_turned(story: Story) -> None:
    if story.before:
        assert {
            name for name, value in story.after.values.items() if value != story.before.values[name]
        } == story.case.fresh


def test_no_revision_is_doubled(story: Story) -> None:
    expected = story.case.revision
    assert story.after.revision == expected
    assert max(story.after.recorded) == expected
    assert len(story.after.recorded) <= expected


def test_what_is_recorded_is_what_is_published(story: Story) -> None:
    assert story.after.recorded[story.after.revision] == story.after.values


def test_each_consumer_restarts_once_per_rotation_and_no_other(story: Story) -> None:
    rotated = story.case.revision > 1
    assert story.after.generations == {
        **dict.fromkeys(CONSUMERS, 2 if rotated else 1),
        BYSTANDER: 1,
    }
    marker = f"{NAME}={story.case.revision}" if rotated else ""
    assert story.after.markers == {**dict.fromkeys(CONSUMERS, marker), BYSTANDER: ""}


def test_the_status_says_that_it_is_over(story: Story) -> None:
    assert not story.after.rotating
    assert (story.after.conditions["Ready"], story.after.conditions["Rotating"]) == ("True", "False")
    assert story.after.history.count(story.case.revision) == 1
    assert len(story.after.history) == len(set(story.after.history))


def test_the_dates_are_those_of_each_value(story: Story) -> None:
    if story.case.provoke is not _let_one_value_become_due:
        assert story.after.dates == {}
        return
    assert story.before
    (last, due), before = story.after.dates[ROTATED], story.before.dates[ROTATED]
    assert last > before[0]
    assert datetime.fromisoformat(due) - datetime.fromisoformat(last) == INTERVAL
    assert story.after.dates[KEPT] == story.before.dates[KEPT]


def test_a_trigger_is_handled_once(story: Story) -> None:
    expected = "leaver" if story.case.provoke is _rotate else "at-creation"
    assert story.after.trigger == expected


@pytest.fixture(scope="module")
def restart(
    cluster: Cluster,
    stories: dict[str, Story],
    accounts: Callable[[str], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Restart:
    """Start once more when all is done, under another name, and let it look at everything."""
    kubeconfig, folder = accounts("restart"), tmp_path_factory.mktemp("restart")
    all_scenes = [story.space for story in stories.values()]
    before = _versions(all_scenes)
    with KeptOperator(
        kubeconfig, folder / "restart.log", env={"POD_NAMESPACE": all_scenes[0].namespace}
    ) as operator:
        operator.wait_for_log("leading")
        eventually(lambda: operator.has_looked(cluster.managed_secrets), "a look at every object")
        operator.stop()
    own = {space.namespace for space in all_scenes}
    # Other tests leave objects behind whose stores are gone: of these there is something new to say.
    return Restart((before, _versions(all_scenes)), cluster.writes("restart", own))


def _versions(all_scenes: list[WorkloadNamespace]) -> dict[str, str]:
    return {path: version for space in all_scenes for path, version in space.versions().items()}


def test_a_restart_with_nothing_to_do_changes_no_object(restart: Restart) -> None:
    before, after = restart.versions
    assert len(before) > len(CASES)
    assert after == before


def test_a_restart_with_nothing_to_do_sends_no_write(restart: Restart) -> None:
    assert restart.writes == []
