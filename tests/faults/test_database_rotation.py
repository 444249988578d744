"""Rotations of a database password by the real operator, on a real API server and a real PostgreSQL server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.databases.assemble import assemble
from tests.databases.checker import judge
from tests.databases.cluster_watch import ClusterWatch, retime
from tests.databases.evidence import Answer
from tests.databases.recorder import Recorder
from tests.databases.server_log import read_lines
from tests.faults.database_namespace import account_namespaces
from tests.support.kept_operator import KeptOperator

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.faults.apiserver import Cluster
    from tests.faults.database_namespace import Shop


def test_three_rotations_in_a_row_violate_no_rule(
    cluster: Cluster, shop: Shop, accounts: Callable[[str], Path], tmp_path: Path
) -> None:
    (account,) = account_namespaces(cluster, shop, 1)
    arguments = (f"--namespace={account.namespace}", "--allow-host=127.0.0.1")
    with (
        ClusterWatch(cluster.plane.kubeconfig, {account.namespace: account.subject}),
        KeptOperator(
            accounts("rotation"),
            tmp_path / "operator.log",
            *arguments,
            env={"POD_NAMESPACE": account.namespace},
        ),
        Recorder([account.journal], {"server": shop.application}, shop.superuser) as recorder,
    ):
        account.create()
        account.wait_for(1)
        for revision in (2, 3, 4):
            account.space.trigger(f"number {revision}")
            account.wait_for(revision)
        recorder.try_all_closed()
    works = retime(account.subject, cluster.plane.audit_log)
    places = {
        "the operator's log": (tmp_path / "operator.log").read_bytes(),
        "the server's log": shop.server.log.read_bytes(),
    }
    evidence = assemble(account.journal, read_lines(shop.server.log), works=works, places=places)

    assert judge(evidence) == []
    assert account.login() is Answer.ACCEPTED
    assert len(evidence.changes) >= 4
    assert sum(one.answer is Answer.ACCEPTED for one in evidence.attempts) > 20
