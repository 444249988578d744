"""Many rotations of many accounts on one operator, which is killed at random moments: no rule is ever violated.

The moments are drawn by the seed that a run prints. `make test` has some rotations, `make soak` a thousand.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.databases.assemble import assemble
from tests.databases.checker import judge
from tests.databases.cluster_watch import ClusterWatch, retime
from tests.databases.evidence import Answer
from tests.databases.recorder import Recorder
from tests.databases.server_log import read_lines
from tests.faults.database_namespace import account_namespaces
from tests.support.operator import Operator
from tests.support.soak import TIMES, chance

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from random import Random

    from tests.databases.evidence import Evidence
    from tests.faults.apiserver import Cluster
    from tests.faults.database_namespace import AccountNamespace, Shop

pytestmark = pytest.mark.timeout(600 * TIMES)
_ACCOUNTS = 2 if TIMES == 1 else 20
_ROUNDS = 2 if TIMES == 1 else 5 * TIMES
_KILLS = 2
"""Kills in each round, in which every account rotates once."""
_LONGEST = 4.0
"""Seconds between two kills at most; a rotation takes some."""
_PATIENCE = 180.0
_KEPT = 10
"""Entries of a history."""


@dataclass
class Soak:
    """The accounts, and the operator that dies."""

    stage: list[AccountNamespace]
    operator: Operator
    moments: Random

    def create(self) -> None:
        for account in self.stage:
            account.create()
        self._wait_for(1)

    def rotate(self, revision: int) -> None:
        """Rotate every account once, while the operator is killed and started again."""
        for account in self.stage:
            account.space.trigger(f"revision {revision}")
        for _ in range(_KILLS):
            time.sleep(self.moments.uniform(0, _LONGEST))  # not a wait for something: the moment is the point
            self._die_and_live()
        self._wait_for(revision)

    def _die_and_live(self) -> None:
        self.operator.kill()
        home = self.stage[0]
        # As if the term of the dead process were over.
        home.space.cluster.delete(f"/apis/coordination.k8s.io/v1/namespaces/{home.namespace}/leases/keyturn")
        self.operator.start().wait_for_log("leading")

    def _wait_for(self, revision: int) -> None:
        for account in self.stage:
            account.wait_for(revision, _PATIENCE, keep=self.operator.revive)


def test_rotations_with_kills_at_random_moments_violate_no_rule(
    cluster: Cluster,
    shop: Shop,
    accounts: Callable[[str], Path],
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    stage = account_namespaces(cluster, shop, _ACCOUNTS)
    journals = [account.journal for account in stage]
    with (
        ClusterWatch(cluster.plane.kubeconfig, {account.namespace: account.subject for account in stage}),
        Recorder(journals, {"server": shop.application}, shop.superuser) as recorder,
        _operator(stage, accounts("database-soak"), tmp_path) as operator,
    ):
        soak = Soak(stage, operator, chance())
        soak.create()
        began = time.monotonic()
        for number in range(_ROUNDS):
            soak.rotate(number + 2)
        took = time.monotonic() - began
        recorder.try_all_closed()
    evidence = _evidence(stage, cluster, shop, tmp_path)
    record_property(
        f"{_ROUNDS * _ACCOUNTS} rotations of {_ACCOUNTS} accounts, {_ROUNDS * _KILLS} kills",
        f"{took:.0f} s, {_answers(evidence)}",
    )

    violations = zip(stage, map(judge, evidence), strict=True)
    assert {account.namespace: found for account, found in violations if found} == {}
    assert [_results(account) for account in stage] == [_expected()] * _ACCOUNTS
    assert {account.login() for account in stage} == {Answer.ACCEPTED}


def _operator(stage: list[AccountNamespace], kubeconfig: Path, folder: Path) -> Operator:
    namespaces = (f"--namespace={account.namespace}" for account in stage)
    env = {"POD_NAMESPACE": stage[0].namespace}
    return Operator(kubeconfig, folder / "operator.log", *namespaces, "--allow-host=127.0.0.1", env=env)


def _evidence(stage: list[AccountNamespace], cluster: Cluster, shop: Shop, folder: Path) -> list[Evidence]:
    lines = list(read_lines(shop.server.log))
    places = {
        "the operator's log": (folder / "operator.log").read_bytes(),
        "the server's log": shop.server.log.read_bytes(),
    }
    works = [retime(account.subject, cluster.plane.audit_log) for account in stage]
    return [
        assemble(account.journal, lines, works=done, places=places)
        for account, done in zip(stage, works, strict=True)
    ]


def _answers(evidence: list[Evidence]) -> str:
    """Return how many logins the recorder did, by what the server made of them."""
    counts = Counter(str(attempt.answer) for one in evidence for attempt in one.attempts)
    return ", ".join(f"{count} logins {answer}" for answer, count in sorted(counts.items()))


def _results(account: AccountNamespace) -> list[tuple[int, str]]:
    history = account.space.status().get("history") or []
    return [(one["revision"], one["result"]) for one in history]


def _expected() -> list[tuple[int, str]]:
    """Return the newest entries of a history in which each rotation succeeded."""
    newest = _ROUNDS + 1
    return [(number, "Succeeded") for number in range(newest, max(newest - _KEPT, 0), -1)]
