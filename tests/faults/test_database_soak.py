"""Many rotations of many accounts on one operator, which is killed at random moments: no rule is ever violated.

Each account rotates again as soon as its last rotation is over, so that a kill falls into rotations at all their
steps. How many records an operator writes before its kill is drawn by the seed that a run prints. `make test` has
some rotations, `make soak` a thousand.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from statistics import median

import pytest

from sandbox.harness import HarnessError
from tests.databases.assemble import assemble_each
from tests.databases.checker import judge
from tests.databases.cluster_watch import ClusterWatch, retime
from tests.databases.evidence import Answer, Evidence
from tests.databases.recorder import Recorder
from tests.databases.server_log import read_lines
from tests.faults.apiserver import MANAGED, Cluster
from tests.faults.database_namespace import AccountNamespace, Shop, account_namespaces, operator_of
from tests.faults.namespace import CONSUMERS, is_at_rest
from tests.leaks.scan import leaks
from tests.support.operator import Operator
from tests.support.soak import TIMES, chance

pytestmark = pytest.mark.timeout(600 * TIMES)
_ACCOUNTS, _ROTATIONS = (2, 2) if TIMES == 1 else (25, 4 * TIMES)
"""Accounts, and rotations of each."""
_MOST_RECORDS = 10 if TIMES == 1 else 100
"""Versions of state Secrets that one operator writes at most before it is killed; a rotation has about nine."""
_LATEST = 0.3
"""Seconds at most from the last of them to the kill."""
_RATE = 10.0
"""Moments in each second at which the recorder logs in to the next account."""
_PATIENCE = 900.0
"""Seconds of one rotation at most, in which an operator may be killed many times, on a busy machine."""
_PAUSE = 0.05
_LOOK_INTERVAL = 0.5
_KEPT = 10
"""Entries of a history."""


@dataclass(frozen=True, slots=True)
class _Rotation:
    """The rotation that an account was asked for last."""

    revision: int
    since: float


@dataclass
class Soak:
    """Accounts that rotate, and the operator that dies."""

    stage: Sequence[AccountNamespace]
    operator: Operator
    moments: Random
    kills: int = 0
    seconds: list[float] = field(default_factory=list)
    """How long each rotation took."""
    _rotating: dict[AccountNamespace, _Rotation] = field(default_factory=dict)

    def run(self, last: int) -> None:
        """Rotate each account until it is at a revision, and kill the operator meanwhile.

        Raises:
            HarnessError: A rotation did not end, or the operator did.
        """
        for account in self.stage:
            account.create()
            self._rotating[account] = _Rotation(1, time.monotonic())
        due, again = self._next_kill(), 0.0
        while self._rotating:
            if self._records() >= due:
                self._kill_and_start()
                due = self._next_kill()
            if time.monotonic() >= again:
                self._advance(last)
                again = time.monotonic() + _LOOK_INTERVAL
            time.sleep(_PAUSE)

    def _next_kill(self) -> int:
        """Return how many records there are when the operator is killed: progress, on a machine of any speed."""
        return self._records() + self.moments.randint(1, _MOST_RECORDS)

    def _records(self) -> int:
        return sum(len(account.journal.records) for account in self.stage)

    def _kill_and_start(self) -> None:
        time.sleep(self.moments.uniform(0, _LATEST))  # not a wait for something: the moment is the point
        self.operator.kill()
        self.stage[0].end_lease()
        self.operator.start()
        self.kills += 1

    def _advance(self, last: int) -> None:
        """Ask each account whose rotation is over for the next one."""
        if (code := self.operator.returncode) is not None:
            raise HarnessError(f"the operator ended with {code}: see {self.operator.log}")
        found = self.stage[0].space.cluster.items(f"{MANAGED}/managedsecrets")
        bodies = {body["metadata"]["namespace"]: body for body in found}
        for account, rotation in list(self._rotating.items()):
            took = time.monotonic() - rotation.since
            revision = rotation.revision
            if is_at_rest(bodies.get(account.namespace), revision) and account.is_alone(revision):
                self._end(account, rotation, took, last)
            elif took > _PATIENCE:
                standing = account.phases(), account.conditions()
                raise HarnessError(
                    f"revision {revision} in {account.namespace} after {took:.0f} s: {standing}"
                )

    def _end(self, account: AccountNamespace, rotation: _Rotation, took: float, last: int) -> None:
        if rotation.revision > 1:
            self.seconds.append(took)
        if rotation.revision == last:
            del self._rotating[account]
            return
        account.space.trigger(f"revision {rotation.revision + 1}")
        self._rotating[account] = _Rotation(rotation.revision + 1, time.monotonic())


def test_rotations_with_kills_at_random_moments_violate_no_rule(
    cluster: Cluster,
    shop: Shop,
    accounts: Callable[[str], Path],
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    stage = account_namespaces(cluster, shop, _ACCOUNTS)
    for account in stage:
        account.space.scale(CONSUMERS[1], 0)
    journals, log = [account.journal for account in stage], tmp_path / "operator.log"
    began, problem = time.monotonic(), ""
    with (
        ClusterWatch(cluster.plane.kubeconfig, {account.namespace: account.subject for account in stage}),
        Recorder(journals, {"server": shop.application}, shop.superuser, rate=_RATE) as recorder,
        operator_of(stage[0], accounts("database-soak"), log, "--all-namespaces") as operator,
    ):
        soak = Soak(stage, operator, chance())
        try:
            soak.run(_ROTATIONS + 1)
        except HarnessError as error:
            problem = str(error)  # what there was until then is judged all the same
        took = time.monotonic() - began
        recorder.try_all_closed()
    evidence = _evidence(stage, cluster, shop)
    record_property(f"database passwords on {_ACCOUNTS} accounts", _figures(soak, took, evidence))

    violations = zip(stage, map(judge, evidence), strict=True)
    assert {account.namespace: found for account, found in violations if found} == {}
    assert problem == ""
    assert _leaks(stage, {"the operator's log": log, "the server's log": shop.server.log}) == set()
    assert [_results(account) for account in stage] == [_expected()] * _ACCOUNTS
    assert {account.login() for account in stage} == {Answer.ACCEPTED}


def _evidence(stage: Sequence[AccountNamespace], cluster: Cluster, shop: Shop) -> list[Evidence]:
    retime([account.subject for account in stage], cluster.plane.audit_log)
    return assemble_each([account.journal for account in stage], read_lines(shop.server.log))


def _leaks(stage: Sequence[AccountNamespace], logs: dict[str, Path]) -> set[str]:
    """Say where a password stands that does not belong there; both logs are long, and read once."""
    values = [value.encode() for account in stage for value in account.journal.values.values()]
    return leaks(values, {name: log.read_bytes() for name, log in logs.items()})


def _figures(soak: Soak, took: float, evidence: Sequence[Evidence]) -> str:
    counts = Counter(str(attempt.answer) for one in evidence for attempt in one.attempts)
    logins = ", ".join(f"{count} {answer}" for answer, count in sorted(counts.items()))
    each = f"{median(soak.seconds):.1f} s each, {max(soak.seconds):.1f} s at most" if soak.seconds else "none"
    return (
        f"{len(soak.seconds)} rotations ({each}), {soak.kills} kills of the operator in {took:.0f} s;"
        f" logins of the recorder: {logins}"
    )


def _results(account: AccountNamespace) -> list[tuple[int, str]]:
    history = account.space.status().get("history") or []
    return [(one["revision"], one["result"]) for one in history]


def _expected() -> list[tuple[int, str]]:
    """Return the newest entries of a history in which each rotation succeeded."""
    newest = _ROTATIONS + 1
    return [(number, "Succeeded") for number in range(newest, max(newest - _KEPT, 0), -1)]
