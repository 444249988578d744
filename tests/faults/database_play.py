"""One account, one operator and one recorder, with all that the checker needs to judge them."""

import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sandbox.harness import eventually
from tests.databases.assemble import assemble
from tests.databases.checker import Violation, judge
from tests.databases.cluster_watch import ClusterWatch, record_of, retime
from tests.databases.evidence import Evidence
from tests.databases.recorder import Recorder
from tests.databases.server_log import read_lines
from tests.faults.apiserver import state_of
from tests.faults.database_namespace import (
    AccountNamespace,
    Shop,
    account_namespaces,
    operator_of,
    single_operator_of,
)
from tests.faults.proxy import Asked
from tests.support.forked_cli import CONSTANTS
from tests.support.kept_operator import KeptOperator
from tests.support.operator import Operator

_FREEZES = f"keyturn.runtime.failpoints._SIGNAL={int(signal.SIGSTOP)}"
_PATIENCE = 60.0


@dataclass
class Play:
    """An account that an operator owns, and what is known of it."""

    account: AccountNamespace
    shop: Shop
    recorder: Recorder
    kubeconfig: Path
    folder: Path
    audit_log: Path
    operators: list[Operator] = field(default_factory=list)

    def operator(self, **env: str) -> KeptOperator:
        """Return another operator of the namespace; it is not started."""
        made = operator_of(self.account, self.kubeconfig, self._log(), **env)
        self.operators.append(made)
        return made

    def single_operator(self, **env: str) -> Operator:
        """Return another operator, which stays ended without its Lease; it is not started."""
        made = single_operator_of(self.account, self.kubeconfig, self._log(), **env)
        self.operators.append(made)
        return made

    def _log(self) -> Path:
        return self.folder / f"operator-{len(self.operators)}.log"

    def rotate(self, revision: int) -> None:
        """Ask for a rotation, and wait until it has ended with a revision."""
        self.account.space.trigger(f"revision {revision}")
        self.account.wait_for(revision)

    def end_lease(self) -> None:
        """As if the term of the leader were over."""
        self.account.end_lease()

    def evidence(self) -> Evidence:
        # The journal hears of a record by a watch, perhaps later than a wait for the status.
        eventually(self._is_in_journal, "the newest record in the journal", _PATIENCE)
        self.recorder.try_all_closed()
        retime([self.account.subject], self.audit_log)
        places = {f"the log of operator {n}": one.log.read_bytes() for n, one in enumerate(self.operators)}
        places["the server's log"] = self.shop.server.log.read_bytes()
        lines = read_lines(self.shop.server.log)
        return assemble(self.account.journal, lines, places=places)

    def _is_in_journal(self) -> bool:
        space, subject = self.account.space, self.account.subject
        body = space.cluster.get(space.state)
        kept = record_of(body, subject.password)[1] if body else []
        known = [one for record in subject.journal.records[-1:] for one in record.entries]
        return body is None or [(one.revision, one.login, one.phase) for one in kept] == [
            (one.revision, one.login, one.phase) for one in known
        ]

    def violations(self) -> list[Violation]:
        return judge(self.evidence())


@contextmanager
def play(cluster: Any, shop: Shop, kubeconfig: Path, folder: Path) -> Iterator[Play]:
    """Make an account with an operator at its first revision."""
    (account,) = account_namespaces(cluster, shop, 1)
    with ExitStack() as stack:
        stack.enter_context(ClusterWatch(cluster.plane.kubeconfig, {account.namespace: account.subject}))
        recorder = Recorder([account.journal], {"server": shop.application}, shop.superuser)
        stack.enter_context(recorder)
        made = Play(account, shop, recorder, kubeconfig, folder, Path(cluster.plane.audit_log))
        account.create()
        stack.enter_context(made.operator())
        account.wait_for(1)
        yield made


@dataclass(frozen=True, slots=True)
class Frozen:
    """An operator that freezes at a failpoint."""

    operator: Operator
    failpoint: str

    def wait(self) -> None:
        """Wait until it has come to the failpoint; one that missed its Lease before is started again."""

        def look() -> bool:
            self.operator.revive()
            return _is_stopped(self.operator.pid)

        eventually(look, f"an operator that is frozen at {self.failpoint}", _PATIENCE)


@contextmanager
def frozen(place: Play, failpoint: str, **env: str) -> Iterator[Frozen]:
    """Run an operator that freezes at a failpoint; it is thawed at the end of the block at the latest."""
    constants = f"{_FREEZES} {env.get(CONSTANTS, '')}"
    env |= {"KEYTURN_FAILPOINT": failpoint, CONSTANTS: constants}
    with place.single_operator(**env) as operator:
        try:
            yield Frozen(operator, failpoint)
        finally:
            thaw(operator)


@contextmanager
def frozen_at(place: Play, failpoint: str) -> Iterator[Operator]:
    """Run an operator until it freezes at a failpoint."""
    with frozen(place, failpoint) as one:
        one.wait()
        yield one.operator


def records(phase: str, revision: int = 2) -> Callable[[Asked], bool]:
    """Match the write that records a phase of a credential, and the same again."""

    def matches(asked: Asked) -> bool:
        if asked.method != "PUT" or not asked.name.endswith("-keyturn"):
            return False
        credentials = state_of(json.loads(asked.body)).get("credentials", ())
        return any((one["revision"], one["phase"]) == (revision, phase) for one in credentials)

    return matches


def thaw(operator: Operator) -> None:
    """Let a frozen operator run again; absent is success."""
    with suppress(ProcessLookupError):
        os.kill(operator.pid, signal.SIGCONT)


def _is_stopped(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    except FileNotFoundError:  # it has ended
        return False
