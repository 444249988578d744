"""The server of an account fails at any step of its transaction: the operator loses nothing, and does the step.

The operator is held at a failpoint while its server is frozen, killed, restarted or cut off, and is released while
the server is away. `make test` has one case of each disturbance, at a step whose effect the record does not have,
and `make soak` has each disturbance at each step.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from sandbox.harness import HarnessError, eventually
from tests.databases.checker import judge
from tests.databases.evidence import Answer
from tests.faults.database_disturbances import (
    BACKEND_KILLED,
    CASES,
    CRASHED,
    CUT_OFF,
    FROZEN,
    RESTARTED,
    SILENT,
    Case,
    at,
)
from tests.faults.database_kills import CREATION, DELETION, OVERLAPPING
from tests.faults.database_namespace import WiredShop
from tests.faults.database_play import frozen, play, thaw
from tests.faults.namespace import CONSUMERS
from tests.support.forked_cli import CONSTANTS
from tests.support.soak import TIMES, draw

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.databases.checker import Violation
    from tests.faults.apiserver import Cluster
    from tests.faults.database_namespace import AccountNamespace
    from tests.faults.database_play import Play

pytestmark = pytest.mark.timeout(600 if TIMES == 1 else 3600)
_AT_ONCE = 6
_RATE = 3.0
"""Logins per second of each case, so that all that run at once have about 20."""
_PATIENCE = 120.0
_NOTICE = 60.0
_SOON = {CONSTANTS: "keyturn.databases.client._MAX_OUTAGE_INTERVAL=5"}
"""A server that is away is checked every 5 s, not every 45 s: accounts resume when it answers."""
_CHOSEN = (
    at(OVERLAPPING, "inside:Apply", FROZEN),
    at(OVERLAPPING, "unrecorded:Apply", CRASHED),
    at(OVERLAPPING, "inside:Revoke", BACKEND_KILLED),
    at(OVERLAPPING, "before:Prove", RESTARTED),
    at(OVERLAPPING, "before:Revoke", CUT_OFF),
    at(CREATION, "inside:Apply#2", SILENT),
)
DISTURBED = list(dict.fromkeys((*_CHOSEN, *draw(CASES, 0))))


@dataclass(frozen=True, slots=True)
class Story:
    """What was there while the server was away, and how a case ended."""

    case: Case
    problem: str
    """What did not come true in time; empty if all did."""
    away: dict[str, str]
    """The conditions while the server was away."""
    login: Answer | None
    """What the server makes of the published login at the end; None if the account is deleted."""
    restarts: dict[str, int]
    history: list[tuple[int, str]]
    violations: list[Violation]


@dataclass
class Run:
    """One case in progress, with its own server, account and operator."""

    case: Case
    shop: WiredShop
    place: Play
    stack: ExitStack

    def hold_and_disturb(self) -> dict[str, str]:
        """Hold the operator at its step and disturb the server; return the conditions while it is away."""
        hold, place = self.case.hold, self.place
        place.end_lease()
        held = self.stack.enter_context(frozen(place, hold.failpoint, **_SOON))
        hold.scenario.provoke(place.account)
        held.wait()
        self.case.disturbance.begin(self.shop)
        thaw(held.operator)
        try:
            if self.case.is_noticed:
                self.wait(self.is_noticed, f"the failure of {hold.waits_in} in the status", _NOTICE)
            return place.account.conditions()
        finally:
            self.case.disturbance.end(self.shop)

    def is_noticed(self) -> bool:
        hold, place = self.case.hold, self.place
        if hold.scenario is DELETION:
            lines = (line for one in place.operators for line in one.lines("DatabaseUnreachable"))
            return any(line.get("reason") == "DatabaseUnreachable" for line in lines)
        if hold.scenario is CREATION:
            return place.condition("Ready").startswith("False DatabaseUnreachable: ")
        rotating = place.condition("Rotating")
        is_of_step = rotating.startswith(f"True {hold.waits_in}: database: account ")
        return is_of_step and "is being changed" not in rotating

    def wait(self, holds: Callable[[], bool], what: str, timeout: float) -> None:
        """Wait with an operator that leads, also where the one that was held has ended for it."""

        def look() -> bool:
            self.place.keep(**_SOON)
            return holds()

        eventually(look, what, timeout, instead=self._standing)

    def _standing(self) -> object:
        return self.place.account.phases(), self.place.account.conditions()


def _run(case: Case, cluster: Cluster, kubeconfig: Path, folder: Path) -> Story:
    """Run a case; one that cannot begin fails alone."""
    folder.mkdir()
    try:
        return _tell(case, cluster, kubeconfig, folder)
    except HarnessError as error:
        return Story(case, str(error), {}, None, {}, [], [])


def _tell(case: Case, cluster: Cluster, kubeconfig: Path, folder: Path) -> Story:
    scenario = case.hold.scenario
    with ExitStack() as stack:
        shop = stack.enter_context(WiredShop())
        place = stack.enter_context(
            play(
                cluster,
                shop,
                kubeconfig,
                folder,
                rate=_RATE,
                is_started=not scenario.is_new,
                database=scenario.database,
                **scenario.spec,
            )
        )
        for operator in place.operators:
            operator.stop()
        before = _generations(place.account)
        run, away, problem = Run(case, shop, place, stack), {}, ""
        try:
            away = run.hold_and_disturb()
            run.wait(lambda: scenario.has_ended(place.account), f"the end of {case.id}", _PATIENCE)
        except HarnessError as error:
            problem = str(error)
        after = _generations(place.account)
        restarts = {name: after[name] - before[name] for name in CONSUMERS if after[name] != before[name]}
        login = None if scenario is DELETION else place.account.login()
        violations = judge(place.evidence(), without=scenario.breaks)
        return Story(case, problem, away, login, restarts, _history(place.account), violations)


def _generations(account: AccountNamespace) -> dict[str, int]:
    space = account.space
    return {name: space.cluster.get(space.deployment(name))["metadata"]["generation"] for name in CONSUMERS}


def _history(account: AccountNamespace) -> list[tuple[int, str]]:
    return [(one["revision"], one["result"]) for one in account.space.status().get("history") or ()]


@pytest.fixture(scope="module")
def stories(
    cluster: Cluster, accounts: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Story]:
    """Run the cases, each in one thread: the kernel ends a server with the thread that started it."""
    folder, kubeconfig = tmp_path_factory.mktemp("disturbances"), accounts("database-disturbances")
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        told = pool.map(
            lambda numbered: _run(numbered[1], cluster, kubeconfig, folder / str(numbered[0])),
            enumerate(DISTURBED),
        )
        return {story.case.id: story for story in told}


@pytest.fixture(params=[case.id for case in DISTURBED])
def story(request: pytest.FixtureRequest, stories: dict[str, Story]) -> Story:
    return stories[request.param]


def test_the_transaction_ends_when_the_server_is_back(story: Story) -> None:
    assert story.problem == ""


def test_no_rule_is_violated(story: Story) -> None:
    assert story.violations == []


def test_the_published_login_is_accepted_at_the_end(story: Story) -> None:
    assert story.login in {Answer.ACCEPTED, None}


def test_the_status_calls_neither_the_secret_nor_its_login_wrong_while_the_server_is_away(
    story: Story,
) -> None:
    if story.case.hold.scenario is OVERLAPPING and story.away:
        assert story.away["Ready"].startswith("True Published")
        assert "False" not in story.away["CredentialValid"]
    assert "Stalled" not in story.away


def test_each_workload_restarts_as_often_as_without_a_disturbance(story: Story) -> None:
    assert story.restarts == story.case.hold.scenario.restarts


def test_the_history_has_each_rotation_once(story: Story) -> None:
    if story.case.hold.scenario.history:
        assert story.history == list(story.case.hold.scenario.history)
