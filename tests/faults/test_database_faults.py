"""Failures around a database account: of the server, the API server, and of a leader that freezes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sandbox.harness import eventually
from tests.databases.evidence import Answer
from tests.faults.database_play import frozen_at, play, records, thaw
from tests.faults.proxy import FaultProxy, drop, lose

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.apiserver import Cluster
    from tests.faults.database_namespace import Shop
    from tests.faults.proxy import Act

pytestmark = pytest.mark.timeout(600)


@pytest.mark.parametrize("moment", ["before", "inside"])
def test_a_leader_that_was_frozen_changes_nothing_two_rotations_later(
    moment: str, cluster: Cluster, own_shop: Shop, database_kubeconfig: Path, tmp_path: Path
) -> None:
    with play(cluster, own_shop, database_kubeconfig, tmp_path) as place:
        place.operators[0].stop()
        place.account.space.trigger("leaver")
        place.end_lease()
        with frozen_at(place, f"{moment}:Apply") as leader:
            place.end_lease()
            with place.operator():
                place.account.wait_for(2)
                place.rotate(3)
                place.rotate(4)
                thaw(leader)
                leader.wait_for_end(60)
                assert place.account.login() is Answer.ACCEPTED
                assert place.violations() == []


@pytest.mark.parametrize(
    ("phase", "act"),
    [
        pytest.param("Applied", drop, id="applied, the connection is cut"),
        pytest.param("Applied", lose, id="applied, the answer is lost"),
    ],
)
def test_what_the_server_did_is_recorded_after_the_api_server_was_away(
    phase: str, act: Act, cluster: Cluster, own_shop: Shop, database_kubeconfig: Path, tmp_path: Path
) -> None:
    with (
        FaultProxy(cluster, tmp_path) as proxy,
        play(cluster, own_shop, proxy.kubeconfig(database_kubeconfig), tmp_path) as place,
    ):
        rule = proxy.rule(records(phase), act, times=3)
        place.rotate(2)
        assert rule.hits > 0
        assert place.violations() == []


def test_what_the_server_did_is_recorded_after_the_api_server_restarted(
    cluster: Cluster, own_shop: Shop, database_kubeconfig: Path, tmp_path: Path
) -> None:
    with play(cluster, own_shop, database_kubeconfig, tmp_path) as place:
        place.operators[0].stop()
        place.account.space.trigger("leaver")
        place.end_lease()
        with frozen_at(place, "inside:Apply") as leader:
            cluster.plane.stop_apiserver()
            thaw(leader)
            eventually(lambda: len(place.account.open_logins()) == 2, "the new login", 30)
            cluster.plane.start_apiserver()
            with place.operator():  # the other replica, if the leader lost its Lease meanwhile
                place.account.wait_for(2, 120)
            assert place.violations() == []


def test_a_server_that_is_read_only_delays_a_rotation(
    cluster: Cluster, own_shop: Shop, database_kubeconfig: Path, tmp_path: Path
) -> None:
    with play(cluster, own_shop, database_kubeconfig, tmp_path) as place:
        _set(own_shop, "ALTER SYSTEM SET default_transaction_read_only = on")
        place.account.space.trigger("leaver")
        eventually(
            lambda: "Database" in str(place.account.conditions()), "a condition that names the database"
        )
        assert place.account.login() is Answer.ACCEPTED
        _set(own_shop, "ALTER SYSTEM RESET default_transaction_read_only")
        place.account.wait_for(2, 120)
        assert place.violations() == []


def _set(shop: Shop, statement: str) -> None:
    shop.server.execute("SET default_transaction_read_only = off", statement, "SELECT pg_reload_conf()")
