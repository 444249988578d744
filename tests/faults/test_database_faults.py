"""Failures around a database account: of the server, the API server, and of a leader that freezes."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from sandbox.harness import eventually
from tests.databases.evidence import Answer
from tests.faults.apiserver import Cluster, state_of
from tests.faults.database_namespace import Shop
from tests.faults.database_play import Play, frozen_at, play, records, thaw
from tests.faults.proxy import Act, FaultProxy, drop, lose
from tests.support.forked_cli import CONSTANTS

pytestmark = pytest.mark.timeout(600)
_SHORT_SLEEPS = {CONSTANTS: "keyturn.controllers.workqueue._MAX_SLEEP=2"}
"""Seconds instead of a minute until the clock is compared again with what is due."""


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
            # One that was frozen for longer than its Lease ends, and the next one opens the login.
            eventually(
                lambda: len(place.account.open_logins()) == 2 or leader.has_lost_lease(), "the new login", 60
            )
            cluster.plane.start_apiserver()
            with place.operator():  # the other replica, if the leader lost its Lease meanwhile
                place.account.wait_for(2, 120)
            assert place.violations() == []


def test_an_overlap_ends_after_the_clock_was_an_hour_behind(
    cluster: Cluster, own_shop: Shop, database_kubeconfig: Path, tmp_path: Path
) -> None:
    rotation = {"trigger": "at-creation", "overlap": "60s"}
    with (
        FaultProxy(cluster, tmp_path) as proxy,
        play(
            cluster,
            own_shop,
            proxy.kubeconfig(database_kubeconfig),
            tmp_path,
            is_started=False,
            rotation=rotation,
        ) as place,
        place.operator(**_SHORT_SLEEPS) as operator,
    ):
        place.account.wait_for(1)
        place.account.space.trigger("leaver")
        eventually(lambda: _overlaps(place), "the overlap", 60, instead=place.account.conditions)
        proxy.ahead = timedelta(hours=-1)
        operator.wait_for_log("clock out of sync")
        _look_again(place)
        assert place.account.phases() == {1: "Proven", 2: "Proven"}
        proxy.ahead = timedelta(minutes=2)  # after the end of the overlap; nothing else tells the operator
        place.account.wait_for(2)
        assert place.violations() == []


def _overlaps(place: Play) -> bool:
    """Say whether the end of the overlap is recorded."""
    state = state_of(place.account.space.cluster.get(place.account.space.state))
    return any(one["valid_until"] for one in state["revisions"])


def _look_again(place: Play) -> None:
    """Change the object, and wait until the operator has seen it."""
    space = place.account.space
    space.cluster.edit(space.managed, lambda body: body["spec"].update(owner="operations"))

    def is_seen() -> bool:
        body = space.cluster.get(space.managed)
        return bool(body["status"]["observedGeneration"] == body["metadata"]["generation"])

    eventually(is_seen, "a look at the object", 60)


def test_a_server_that_is_read_only_by_default_delays_no_rotation(
    cluster: Cluster, own_shop: Shop, database_kubeconfig: Path, tmp_path: Path
) -> None:
    with play(cluster, own_shop, database_kubeconfig, tmp_path) as place:
        _set(own_shop, "ALTER SYSTEM SET default_transaction_read_only = on")
        place.rotate(2)
        _set(own_shop, "ALTER SYSTEM RESET default_transaction_read_only")
        assert place.violations() == []


def _set(shop: Shop, statement: str) -> None:
    shop.server.execute("SET default_transaction_read_only = off", statement, "SELECT pg_reload_conf()")
