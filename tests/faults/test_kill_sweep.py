"""Killed at a step of a pass: no value is lost or made twice, and each consumer restarts once.

In an emergency, what is exposed is replaced once as well, and none of it stays. `make test` has some deaths of each
thing that is asked, `make soak` has all.
"""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sandbox.harness import eventually
from tests.faults.apiserver import MANAGED, Call, Cluster
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
    managed_secret,
    scheduled_values,
    workload_namespaces,
)
from tests.support.kept_operator import KeptOperator
from tests.support.soak import TIMES, some

pytestmark = pytest.mark.timeout(600 if TIMES == 1 else 1800)
_KILLED = -9
_AT_ONCE = 3
_DATA = "data"
_INCIDENT = "inc-1"


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


def _declare(space: WorkloadNamespace, **chosen: Any) -> None:
    body = {
        "apiVersion": "keyturn.dev/v1alpha1",
        "kind": "EmergencyRotation",
        "metadata": {"name": _INCIDENT},
        "spec": {"reason": "a laptop was stolen", "selector": {}, **chosen},
    }
    space.cluster.create(_emergencies(space), body)


def _declare_one_value(space: WorkloadNamespace) -> None:
    _declare(space, items=[ROTATED])


def _emergencies(space: WorkloadNamespace) -> str:
    return f"{MANAGED}/namespaces/{space.namespace}/emergencyrotations"


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """What is asked of the operator, where it dies over it, and what is to be there in the end."""

    provoke: Callable[[WorkloadNamespace], None]
    failpoint: str
    revision: int
    fresh: frozenset[str] = frozenset()
    """The values that are to differ from those before."""
    dead_in: str = ""
    """The failpoint of a rotation at which a process dies before this is asked; empty if none rotates then."""
    spec: Mapping[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        begun = f"rotates, dies {self.dead_in}, then " if self.dead_in else ""
        return f"{begun}{self.provoke.__name__.strip('_')}, dies {self.failpoint}"

    @property
    def is_emergency(self) -> bool:
        return self.provoke in {_declare, _declare_one_value}

    @property
    def restarts(self) -> int:
        """How often a consumer restarts: a rotation that has published nothing restarts nobody."""
        return int(self.revision > 1)


def _cases(
    provoke: Callable[[WorkloadNamespace], None], steps: str, revision: int = 1, fresh: str = "", **more: Any
) -> list[Case]:
    """Let a process die before the first of steps that follow each other in one pass, and one after each.

    After a step is before the next one, whose place in the code is the same.
    """
    first, *_ = each = steps.split()
    failpoints = [f"before:{first}", *(f"after:{step}" for step in each)]
    return [Case(provoke, failpoint, revision, frozenset(fresh.split()), **more) for failpoint in failpoints]


def _rotations(provoke: Callable[[WorkloadNamespace], None], **more: Any) -> list[Case]:
    """Let a process die around each write of a rotation of one value."""
    passes = ("Stage Publish RollOut", "RollOut#2", "Report", "Report#2")
    return [case for steps in passes for case in _cases(provoke, steps, 2, ROTATED, **more)]


_OVERLAP = {
    _DATA: [{**item, "keepPrevious": item["name"] == ROTATED} for item in managed_secret()["spec"][_DATA]],
    "rotation": {"overlap": "24h", "trigger": "at-creation"},
}
"""A previous value would stay for a day."""


def _emergencies_of(provoke: Callable[[WorkloadNamespace], None], fresh: str) -> list[Case]:
    """Let a process die around each write of an emergency."""
    passes = ("Clock", "Stage Publish RollOut", "Report", "Paper", "Clock#2")
    return [case for steps in passes for case in _cases(provoke, steps, 2, fresh, spec=_OVERLAP)]


_BOTH = f"{ROTATED} {KEPT}"
_BEGUN = [
    replace(case, revision=3, dead_in="after:Stage")
    for case in _cases(_declare, "Stage Publish RollOut", fresh=_BOTH, spec=_OVERLAP)
]
"""The rotation that was begun has published nothing, and is superseded."""

CASES = [
    *some([*_cases(_create, "Stage Publish"), *_cases(_create, "Report")], 1),
    *some(_rotations(_rotate), 1, 3, 5),
    *some(_rotations(_let_one_value_become_due, spec=scheduled_values()), 2),
    *some([*_cases(_edit_the_secret, "Repair"), *_cases(_edit_the_secret, "Report")], 1),
    *some(_cases(_delete_the_secret, "Repair"), 1),
    *some([*_cases(_delete_the_state, "Claim"), *_cases(_delete_the_state, "Report")], 1),
    *some(_cases(_make_it_again, "Claim"), 1),
    *some(_emergencies_of(_declare, _BOTH), 1, 3, 9),
    *some(_emergencies_of(_declare_one_value, ROTATED), 4),
    *some(_BEGUN, 3),
]


@dataclass(frozen=True, slots=True)
class Story:
    """What was there before the death, how the process ended, what is there after another one went on."""

    case: Case
    space: WorkloadNamespace
    before: Snapshot | None
    returncodes: list[int]
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
    for case, space in existing.items():
        space.create(**case.spec)
    _run_until_at_rest(existing, kubeconfig, folder, lambda _: 1)
    before = {case: space.snapshot() for case, space in existing.items()}
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        codes = list(pool.map(lambda case: _die(case, stage[case], kubeconfig, folder), CASES))
    _run_until_at_rest(stage, kubeconfig, folder, lambda case: case.revision, stage)
    return {
        case.id: Story(case, stage[case], before.get(case), found, stage[case].snapshot())
        for case, found in zip(CASES, codes, strict=True)
    }


def _run_until_at_rest(
    stage: dict[Case, WorkloadNamespace],
    kubeconfig: Path,
    folder: Path,
    revision: Callable[[Case], int],
    asked: Iterable[Case] = (),
) -> None:
    home = next(iter(stage.values()))
    with _operator(home, kubeconfig, folder / "whole.log") as operator:
        for case, space in stage.items():
            space.wait_for(revision(case), 120)
        for case in asked:
            if case.is_emergency:
                eventually(partial(_is_over, stage[case]), f"the end of: {case.id}", 120)
        operator.stop()


def _operator(
    home: WorkloadNamespace, kubeconfig: Path, log: Path, *arguments: str, failpoint: str = ""
) -> KeptOperator:
    # As if the term of one that died before were over.
    home.cluster.delete(f"/apis/coordination.k8s.io/v1/namespaces/{home.namespace}/leases/keyturn")
    env = {"POD_NAMESPACE": home.namespace, "KEYTURN_FAILPOINT": failpoint}
    return KeptOperator(kubeconfig, log, *arguments, env=env)


def _die(case: Case, space: WorkloadNamespace, kubeconfig: Path, folder: Path) -> list[int]:
    codes = []
    if case.dead_in:
        _rotate(space)
        codes.append(_die_once(case.dead_in, space, kubeconfig, folder))
    case.provoke(space)
    return [*codes, _die_once(case.failpoint, space, kubeconfig, folder)]


def _die_once(failpoint: str, space: WorkloadNamespace, kubeconfig: Path, folder: Path) -> int:
    only, log = f"--namespace={space.namespace}", folder / f"{space.namespace}.log"
    with _operator(space, kubeconfig, log, only, failpoint=failpoint) as operator:
        return operator.wait_for_kill()


def _is_over(space: WorkloadNamespace) -> bool:
    found = space.cluster.get(f"/api/v1/namespaces/{space.namespace}/configmaps/{_INCIDENT}-report")
    told = found and "| no pod holds earlier values |" in found["data"]["report.md"]
    return bool(told and _emergency(space).get("servicesUpdatedAt"))


def _emergency(space: WorkloadNamespace) -> dict[str, Any]:
    return dict(space.cluster.get(f"{_emergencies(space)}/{_INCIDENT}").get("status") or {})


@pytest.fixture(params=[case.id for case in CASES])
def story(request: pytest.FixtureRequest, stories: dict[str, Story]) -> Story:
    return stories[request.param]


def test_each_process_died_where_it_was_to(story: Story) -> None:
    assert set(story.returncodes) == {_KILLED}


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
    restarts = story.case.restarts
    assert story.after.generations == {**dict.fromkeys(CONSUMERS, 1 + restarts), BYSTANDER: 1}
    marker = f"{NAME}={story.case.revision}" if restarts else ""
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
    is_asked = story.case.provoke is _rotate or story.case.dead_in
    expected = "leaver" if is_asked else "at-creation"
    assert story.after.trigger == expected


def test_each_stage_of_an_emergency_is_reported_once(story: Story) -> None:
    if story.case.is_emergency:
        status = _emergency(story.space)
        told = [one["reason"] for one in status["timeline"] if not one["reason"].startswith("Secret")]
        assert [one for one in told if one != "DeadlineMissed"] == ["Declared", "Rotated", "ServicesUpdated"]
        assert len(told) == len(set(told))
        assert status["secrets"][0]["state"] == "RolledOut"


@pytest.fixture(scope="module")
def restart(
    cluster: Cluster,
    stories: dict[str, Story],
    accounts: Callable[[str], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Restart:
    """Start once more when all is done, under another name, and let it look at everything.

    The report of an emergency may be written once more, after what `_is_over` waits for.
    """
    kubeconfig, folder = accounts("restart"), tmp_path_factory.mktemp("restart")
    all_scenes = [story.space for story in stories.values() if not story.case.is_emergency]
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
