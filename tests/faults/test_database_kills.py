"""Killed at any step of a rotation of a database password: the server, the record and the Secret agree at the end.

Each process dies at a failpoint: before or after a step, inside the lock at the server, or when the server has done
something that is not recorded yet. `make test` has moments in which the server and the record differ, and draws some
others; `make soak` has all, and pairs of them.
"""

import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sandbox.harness import HarnessError, eventually
from tests.databases.assemble import assemble_each
from tests.databases.checker import Violation, judge
from tests.databases.cluster_watch import ClusterWatch, retime
from tests.databases.evidence import Evidence
from tests.databases.recorder import Recorder
from tests.databases.server_log import read_lines
from tests.faults.apiserver import Cluster
from tests.faults.database_kills import (
    ADOPTION,
    CREATION,
    DELETION,
    EMERGENCY,
    FAILURE,
    INTERRUPTIONS,
    LOSSES,
    OVERLAPPING,
    REPAIR,
    ROTATION,
    Kills,
    at,
    pairs,
    rotate,
    singles,
)
from tests.faults.database_namespace import AccountNamespace, Shop, account_namespaces, operator_of
from tests.faults.namespace import CONSUMERS
from tests.support.forked_cli import CONSTANTS
from tests.support.operator import Operator
from tests.support.soak import TIMES, draw, some

pytestmark = pytest.mark.timeout(900 if TIMES == 1 else 5400)
_KILLED = -9
_LIVES = 0
"""A process that never came to its failpoint."""
_AT_ONCE = 3
_DEATH = 45.0
_PATIENCE = 300.0
"""Seconds for all cases of a time; on a busy machine the server does not answer each login in time."""
_AT_A_TIME = 20
"""Cases whose accounts are there at the same time: the recorder logs in to each of them once in some seconds."""
_SOON = {CONSTANTS: "keyturn.core.spec.references._DEFAULT_PROBE=10"}
"""Seconds instead of minutes until a published password is probed."""

_CHOSEN = (
    # The moments in which the server and the record differ, of each scenario.
    *(at(ROTATION, one) for one in ("inside:Apply", "unrecorded:Prove", "unrecorded:Revoke")),
    at(FAILURE, "unrecorded:Revoke"),
    at(INTERRUPTIONS[-1], "inside:Revoke"),
    at(CREATION, "inside:Apply#2"),
    at(ADOPTION, "unrecorded:Prove"),
    at(REPAIR, "inside:Assert"),
    at(DELETION, "inside:Retire"),
    at(LOSSES[-1], "unrecorded:Revoke"),
)
_SINGLES = [
    *singles(ROTATION),
    *singles(OVERLAPPING, 7, 8, 9),
    *singles(FAILURE, 5, 6, 7, 8),
    *(kills for scenario in (EMERGENCY, *INTERRUPTIONS) for kills in singles(scenario)),
    *(kills for scenario in (CREATION, ADOPTION, REPAIR, DELETION) for kills in singles(scenario)),
    *(kills for scenario in LOSSES for kills in singles(scenario)),
]
_PAIRS = [
    *pairs(ROTATION, 0, 1, 2, 3, 4, 6, 7, 8),
    *pairs(OVERLAPPING, 7, 8, 9),
    *pairs(FAILURE, 1, 2, 3, 5, 8),
    *pairs(EMERGENCY, 0, 1, 2, 3, 4, 5),
    *(kills for scenario in (CREATION, ADOPTION, DELETION) for kills in pairs(scenario)),
    # The overlap of a login that was found may end while it is proven: one process does both, in either order.
    *(kills for scenario in LOSSES for kills in (*pairs(scenario, 0, 1, 4), *pairs(scenario, 2, 3, 4))),
]
_OTHERS = [kills for kills in _SINGLES if kills not in _CHOSEN]
KILLS = [*_CHOSEN, *some(_OTHERS), *draw(_PAIRS, 1)]


@dataclass(frozen=True, slots=True)
class Story:
    """How the processes of one case ended, and what is there after another one has continued."""

    kills: Kills
    returncodes: list[int]
    restarts: dict[str, int]
    history: list[tuple[int, str]]
    evidence: Evidence
    unfinished: object
    """How it looks if it has not ended in time, else None."""

    @property
    def violations(self) -> list[Violation]:
        return judge(self.evidence, without=self.kills.scenario.breaks)


@pytest.fixture(scope="module")
def stories(
    cluster: Cluster, shop: Shop, accounts: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Story]:
    """Kill processes in each case, some cases after the others."""
    folder, kubeconfig = tmp_path_factory.mktemp("database-kills"), accounts("database-kills")
    found: dict[str, Story] = {}
    for begin in range(0, len(KILLS), _AT_A_TIME):
        cases = KILLS[begin : begin + _AT_A_TIME]
        stage = dict(zip(cases, account_namespaces(cluster, shop, len(cases)), strict=True))
        found |= _tell(stage, cluster, shop, kubeconfig, folder)
        for account in stage.values():
            account.remove()
    return found


def _tell(
    stage: dict[Kills, AccountNamespace], cluster: Cluster, shop: Shop, kubeconfig: Path, folder: Path
) -> dict[str, Story]:
    """Kill processes in each case; then let one other process continue all of them."""
    watched = {account.namespace: account.subject for account in stage.values()}
    journals = [account.journal for account in stage.values()]
    with (
        ClusterWatch(cluster.plane.kubeconfig, watched),
        Recorder(journals, {"server": shop.application}, shop.superuser) as recorder,
    ):
        _come_to_rest(stage, kubeconfig, folder)
        before = {kills: _generations(account) for kills, account in stage.items()}
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            codes = list(pool.map(lambda kills: _die(kills, stage[kills], kubeconfig, folder), stage))
        with _operator(kubeconfig, folder / "whole.log", next(iter(stage.values()))) as operator:
            unfinished = _wait_for_the_ends(stage)
            operator.stop()
        recorder.try_all_closed()
    retime([account.subject for account in stage.values()], cluster.plane.audit_log)
    judged = assemble_each(journals, read_lines(shop.server.log))
    found = {}
    for kills, code, evidence in zip(stage, codes, judged, strict=True):
        account = stage[kills]
        after = _generations(account)
        restarts = {
            name: after[name] - before[kills][name]
            for name in CONSUMERS
            if after[name] != before[kills][name]
        }
        found[kills.id] = Story(kills, code, restarts, _history(account), evidence, unfinished.get(kills.id))
    return found


def _come_to_rest(stage: dict[Kills, AccountNamespace], kubeconfig: Path, folder: Path) -> None:
    """Create the accounts; those that are not new come to rest."""
    for kills, account in stage.items():
        kills.scenario.prepare(account)
    old = {kills: account for kills, account in stage.items() if not kills.scenario.is_new}
    for kills, account in old.items():
        account.create(database=kills.scenario.database, **kills.scenario.spec)
    with _operator(kubeconfig, folder / "rest.log", next(iter(stage.values()))) as operator:
        for account in old.values():
            account.wait_for(1, _PATIENCE)
        operator.stop()
    for kills, account in stage.items():
        if kills.scenario.is_new:
            account.create(database=kills.scenario.database, **kills.scenario.spec)


def _operator(
    kubeconfig: Path, log: Path, home: AccountNamespace, *arguments: str, failpoint: str = ""
) -> Operator:
    home.end_lease()
    options = arguments or ("--all-namespaces",)
    return operator_of(home, kubeconfig, log, *options, KEYTURN_FAILPOINT=failpoint, **_SOON)


def _die(kills: Kills, account: AccountNamespace, kubeconfig: Path, folder: Path) -> list[int]:
    scenario, codes = kills.scenario, []
    if scenario.dead_in:
        rotate(account)
        codes.append(_die_once(scenario.dead_in, account, kubeconfig, folder))
    scenario.provoke(account)
    return codes + [_die_once(failpoint, account, kubeconfig, folder) for failpoint in kills.failpoints]


def _die_once(failpoint: str, account: AccountNamespace, kubeconfig: Path, folder: Path) -> int:
    only = f"--namespace={account.namespace}"
    log = folder / f"{failpoint.replace(':', '-')}-{account.namespace}.log"
    with _operator(kubeconfig, log, account, only, failpoint=failpoint) as operator:
        try:
            return operator.wait_for_kill(_DEATH)
        except subprocess.TimeoutExpired:
            return _LIVES


def _wait_for_the_ends(stage: dict[Kills, AccountNamespace]) -> dict[str, object]:
    """Wait until each case has ended; return how those look that did not."""
    left = dict(stage)

    def are_over() -> bool:
        for kills in [kills for kills, account in left.items() if kills.scenario.has_ended(account)]:
            del left[kills]
        return not left

    with suppress(HarnessError):
        eventually(are_over, "the end of each case", _PATIENCE)
    return {kills.id: (account.phases(), account.conditions()) for kills, account in left.items()}


def _generations(account: AccountNamespace) -> dict[str, int]:
    space = account.space
    return {name: space.cluster.get(space.deployment(name))["metadata"]["generation"] for name in CONSUMERS}


def _history(account: AccountNamespace) -> list[tuple[int, str]]:
    history: list[dict[str, Any]] = account.space.status().get("history") or []
    return [(one["revision"], one["result"]) for one in history]


@pytest.fixture(params=[kills.id for kills in KILLS])
def story(request: pytest.FixtureRequest, stories: dict[str, Story]) -> Story:
    return stories[request.param]


def test_each_process_died_where_it_was_to(story: Story) -> None:
    assert story.returncodes == [_KILLED] * story.kills.deaths


def test_another_process_brings_it_to_its_end(story: Story) -> None:
    assert story.unfinished is None


def test_no_rule_is_violated(story: Story) -> None:
    assert story.violations == []


def test_each_workload_restarts_as_often_as_without_a_death(story: Story) -> None:
    most, spares = story.kills.scenario.restarts, story.kills.scenario.spares
    assert story.restarts.keys() == most.keys()
    assert all(most[name] - spares <= times <= most[name] for name, times in story.restarts.items())


def test_the_history_has_each_rotation_once(story: Story) -> None:
    expected = story.kills.scenario.history
    if expected:
        assert [number for number, _ in story.history] == [number for number, _ in expected]
        assert all(
            result == sure for (_, result), (_, sure) in zip(story.history, expected, strict=True) if sure
        )
