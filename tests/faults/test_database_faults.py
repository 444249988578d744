"""Leaders that freeze before or in a change of a database account, and an API server that loses its record."""

import os
import signal
from pathlib import Path

import pytest

from keyturn.kube import paths
from keyturn.kube.leader_election import LEASE
from sandbox.harness import eventually
from tests.databases.evidence import Answer
from tests.databases.server_log import read_lines
from tests.faults.apiserver import Cluster
from tests.faults.database_namespace import Shop
from tests.faults.database_play import Play, frozen, frozen_at, play, records, thaw
from tests.faults.proxy import FaultProxy, lose

pytestmark = pytest.mark.timeout(600)
_ELSEWHERE = "default"
"""The namespace of the second Lease."""
_REVISIONS = (2, 3, 4)
"""What is rotated to, the later ones where the machine was too busy: a process was held up for its whole term."""
_PATIENCE = 90.0


def test_a_leader_that_froze_in_a_change_changes_nothing_two_rotations_later(
    cluster: Cluster, shop: Shop, database_kubeconfig: Path, tmp_path: Path
) -> None:
    with play(cluster, shop, database_kubeconfig, tmp_path) as place:
        place.operators[0].stop()
        place.account.space.trigger("leaver")
        with frozen_at(place, "inside:Apply") as leader:
            place.end_lease()
            with place.operator():
                place.account.wait_for(2)
                place.rotate(3)
                place.rotate(4)
                thaw(leader)
                leader.wait_for_end(60)
                assert place.account.login() is Answer.ACCEPTED
                assert place.violations() == []


def test_what_was_decided_before_the_record_changed_is_not_done(
    cluster: Cluster, shop: Shop, database_kubeconfig: Path, tmp_path: Path
) -> None:
    """Two operators believe that they lead, each by a Lease of its own."""
    # Within the term of its Lease: after it, the process changes nothing in any case, and a next one is frozen.
    with play(cluster, shop, database_kubeconfig, tmp_path) as place:
        assert any(_is_held_off_by_the_record(place, shop, revision) for revision in _REVISIONS)


def _is_held_off_by_the_record(place: Play, shop: Shop, revision: int) -> bool:
    """Freeze a second leader before it opens a login; say whether it had its Lease when it continued."""
    cluster, (leader, *_) = place.account.space.cluster, place.operators
    cluster.delete(paths.lease(_ELSEWHERE, LEASE))
    with frozen(place, "before:Apply", POD_NAMESPACE=_ELSEWHERE) as second:
        second.operator.wait_for_log("leading", _PATIENCE)
        os.kill(leader.pid, signal.SIGSTOP)
        try:
            place.account.space.trigger(f"to {revision}")
            second.wait()
        finally:
            thaw(leader)
        place.account.wait_for(revision)
        eventually(lambda: place.account.phases().get(revision - 1) == "Closed", "a closed login", _PATIENCE)
        before = _sessions_that_ended(shop)
        thaw(second.operator)

        def has_continued() -> bool:
            return _sessions_that_ended(shop) > before or second.operator.has_lost_lease()

        eventually(has_continued, "the end of what was frozen", _PATIENCE)
        assert place.account.login() is Answer.ACCEPTED
        assert place.violations() == []
        return not second.operator.has_lost_lease()


def _sessions_that_ended(shop: Shop) -> int:
    """Count the sessions in which an account was changed, or was to be."""
    lines = read_lines(shop.server.log)
    return sum(
        line.application == "keyturn bring" and line.text.startswith("disconnection") for line in lines
    )


def test_what_the_server_did_is_recorded_after_the_api_server_lost_its_answer(
    cluster: Cluster, shop: Shop, database_kubeconfig: Path, tmp_path: Path
) -> None:
    with (
        FaultProxy(cluster, tmp_path) as proxy,
        play(cluster, shop, proxy.kubeconfig(database_kubeconfig), tmp_path) as place,
    ):
        rule = proxy.rule(records("Applied"), lose, times=3)
        place.rotate(2)
        assert rule.hits > 0
        assert place.violations() == []
