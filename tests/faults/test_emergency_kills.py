"""Killed anywhere in an emergency: what is exposed is replaced once, none of it stays, and no entry is lost.

`make test` has some deaths, `make soak` has all.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sandbox.harness import eventually
from tests.faults.apiserver import MANAGED, Cluster
from tests.faults.namespace import (
    BYSTANDER,
    CONSUMERS,
    FIXED,
    KEPT,
    NAME,
    ROTATED,
    Snapshot,
    WorkloadNamespace,
    workload_namespaces,
)
from tests.support.kept_operator import KeptOperator
from tests.support.soak import TIMES, some

pytestmark = pytest.mark.timeout(600 if TIMES == 1 else 1200)
_KILLED = -9
_AT_ONCE = 3
_PATIENCE = 120.0
_INCIDENT = "inc-1"
_KEPT_PREVIOUS = [
    {"name": ROTATED, "generate": {"bytes": {}}, "keepPrevious": True},
    {"name": KEPT, "generate": {"password": {}}},
    {"name": FIXED, "literal": "shop"},
]
_SPEC: dict[str, Any] = {"data": _KEPT_PREVIOUS, "rotation": {"overlap": "24h", "trigger": "at-creation"}}

# Where a process dies before the declaration, after it was asked for a rotation, and where one dies after it.
_SINGLES: dict[str, tuple[str, str]] = {
    # After a step is before the next one of the same pass, whose place in the code is the same.
    **{
        place: ("", place.replace(" ", ":"))
        for place in (
            *("before Clock", "after Clock"),
            *("before Stage", "after Stage", "after Publish", "after RollOut"),
            *("before Report", "after Report"),
        )
    },
    "before the first document": ("", "before:Paper"),
    "after the first document": ("", "after:Paper"),
    "when all is told": ("", "after:Clock#2"),
}
_BEGUN: dict[str, tuple[str, str]] = {
    "a rotation that has published nothing": ("after:Stage", ""),
    "one that has published nothing, dies before another is recorded": ("after:Stage", "before:Stage"),
    "one that has published nothing, dies after another is recorded": ("after:Stage", "after:Stage"),
    "one that has published nothing, dies in the rollout": ("after:Stage", "after:RollOut"),
}
_NAMED: dict[str, tuple[str, str]] = {
    f"of one value, {place}": ("", place.replace(" ", ":"))
    for place in ("after Clock", "before Stage", "after Stage", "after Publish", "after RollOut")
}
KILLS = dict(
    [
        *some([*_SINGLES.items()], 1, 3, 4, 5, 7, 9),
        *some([*_BEGUN.items()], 0, 3),
        *some([*_NAMED.items()], 2, 3),
    ]
)


@dataclass(frozen=True, slots=True)
class Story:
    """What was there before, how the processes ended, and what is there after another one went on."""

    last: int
    """The revision of the emergency; it supersedes a rotation that has published nothing."""
    codes: list[int]
    before: Snapshot
    after: Snapshot
    fresh: set[str]
    keys: set[str]
    emergency: dict[str, Any]
    report: str


@pytest.fixture(scope="module")
def stories(
    cluster: Cluster, accounts: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Story]:
    """Let processes die in each emergency, and one other process find all that they left."""
    folder, kubeconfig = tmp_path_factory.mktemp("emergency"), accounts("emergency")
    stage = dict(zip(KILLS, workload_namespaces(cluster, len(KILLS)), strict=True))
    home = next(iter(stage.values()))
    for space in stage.values():
        space.create(**_SPEC)
    with _operator(kubeconfig, folder / "rest.log", home) as operator:
        for space in stage.values():
            space.wait_for(1)
        operator.stop()
    before = {name: space.snapshot() for name, space in stage.items()}
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        codes = list(pool.map(lambda name: _die(name, stage[name], kubeconfig, folder), KILLS))
    with _operator(kubeconfig, folder / "whole.log", home) as operator:
        for name, space in stage.items():
            eventually(partial(_is_over, space, _last(name)), f"the end of: {name}", _PATIENCE)
        operator.stop()
    return {
        name: Story(
            _last(name),
            code,
            before[name],
            space.snapshot(),
            {ROTATED} if name in _NAMED else {ROTATED, KEPT},
            _keys(space),
            _emergency(space),
            _report(space),
        )
        for (name, space), code in zip(stage.items(), codes, strict=True)
    }


def _operator(
    kubeconfig: Path, log: Path, home: WorkloadNamespace, *arguments: str, failpoint: str = ""
) -> KeptOperator:
    # As if the term of one that died before were over.
    home.cluster.delete(f"/apis/coordination.k8s.io/v1/namespaces/{home.namespace}/leases/keyturn")
    env = {"POD_NAMESPACE": home.namespace, "KEYTURN_FAILPOINT": failpoint}
    return KeptOperator(kubeconfig, log, *arguments, env=env)


def _die(name: str, space: WorkloadNamespace, kubeconfig: Path, folder: Path) -> list[int]:
    codes, (first, second) = [], KILLS[name]
    if first:
        space.trigger("leaver")
        codes.append(_die_once(first, space, kubeconfig, folder))
    items = {"items": [ROTATED]} if name in _NAMED else {}
    space.cluster.create(_path(space).rpartition("/")[0], _declaration(**items))
    if second:
        codes.append(_die_once(second, space, kubeconfig, folder))
    return codes


def _die_once(failpoint: str, space: WorkloadNamespace, kubeconfig: Path, folder: Path) -> int:
    only = f"--namespace={space.namespace}"
    with _operator(
        kubeconfig, folder / f"{space.namespace}.log", space, only, failpoint=failpoint
    ) as operator:
        return operator.wait_for_kill()


def _declaration(**chosen: Any) -> dict[str, Any]:
    return {
        "apiVersion": "keyturn.dev/v1alpha1",
        "kind": "EmergencyRotation",
        "metadata": {"name": _INCIDENT},
        "spec": {"reason": "a laptop was stolen", "selector": {}, **chosen},
    }


def _path(space: WorkloadNamespace) -> str:
    return f"{MANAGED}/namespaces/{space.namespace}/emergencyrotations/{_INCIDENT}"


def _emergency(space: WorkloadNamespace) -> dict[str, Any]:
    return dict(space.cluster.get(_path(space)).get("status") or {})


def _report(space: WorkloadNamespace) -> str:
    path = f"/api/v1/namespaces/{space.namespace}/configmaps/{_INCIDENT}-report"
    found = space.cluster.get(path)
    return str(found["data"]["report.md"]) if found else ""


def _keys(space: WorkloadNamespace) -> set[str]:
    return set(space.cluster.get(space.target)["data"])


def _last(name: str) -> int:
    return 3 if name in _BEGUN else 2


def _is_over(space: WorkloadNamespace, last: int) -> bool:
    updated = _emergency(space).get("servicesUpdatedAt")
    return bool(updated) and space.is_at(last) and "| no pod holds earlier values |" in _report(space)


@pytest.fixture(params=KILLS)
def story(request: pytest.FixtureRequest, stories: dict[str, Story]) -> Story:
    return stories[request.param]


def test_each_process_died_where_it_was_to(story: Story) -> None:
    assert set(story.codes) == {_KILLED}


def test_every_value_of_the_emergency_is_replaced_once(story: Story) -> None:
    before, after = story.before.values, story.after.values

    assert {key for key in before if after[key] != before[key]} == story.fresh
    assert (story.after.revision, story.after.history) == (story.last, [*range(story.last, 0, -1)])


def test_no_value_before_is_readable(story: Story) -> None:
    assert story.keys == {ROTATED, KEPT, FIXED}


def test_each_workload_restarts_once(story: Story) -> None:
    before, after = story.before.generations, story.after.generations

    assert {name: after[name] - before[name] for name in after} == {
        **dict.fromkeys(CONSUMERS, 1),
        BYSTANDER: 0,
    }
    assert {story.after.markers[name] for name in CONSUMERS} == {f"{NAME}={story.last}"}


def test_each_stage_is_reported_once(story: Story) -> None:
    told = [one["reason"] for one in story.emergency["timeline"] if not one["reason"].startswith("Secret")]

    assert [one for one in told if one != "DeadlineMissed"] == ["Declared", "Rotated", "ServicesUpdated"]
    assert len(told) == len(set(told))
    assert story.emergency["secrets"][0]["state"] == "RolledOut"
