"""Failures around a database account: of the server, the API server, and of a leader that freezes."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

import pytest

from sandbox.harness import eventually
from tests.databases.evidence import Answer
from tests.faults.database_namespace import Shop
from tests.faults.database_play import frozen_at, play, thaw
from tests.faults.proxy import FaultProxy, drop, lose

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.faults.apiserver import Cluster
    from tests.faults.database_play import Play
    from tests.faults.proxy import Act, Asked

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def server() -> Iterator[Shop]:
    """A PostgreSQL server of this file's own, which its tests stop."""
    with Shop() as shop:
        yield shop


@pytest.fixture
def kubeconfig(accounts: Callable[[str], Path]) -> Path:
    return accounts("database-faults")


def _rotate(place: Play, revision: int) -> None:
    place.account.space.trigger(f"revision {revision}")
    place.account.wait_for(revision)


@pytest.mark.parametrize("moment", ["before", "inside"])
def test_a_leader_that_was_frozen_changes_nothing_two_rotations_later(
    moment: str, cluster: Cluster, server: Shop, kubeconfig: Path, tmp_path: Path
) -> None:
    with play(cluster, server, kubeconfig, tmp_path) as place:
        place.operators[0].stop()
        place.account.space.trigger("leaver")
        place.end_lease()
        with frozen_at(place, f"{moment}:Apply") as leader:
            place.end_lease()
            with place.operator():
                place.account.wait_for(2)
                _rotate(place, 3)
                _rotate(place, 4)
                thaw(leader)
                leader.wait_for_end(60)
                assert place.account.login() is Answer.ACCEPTED
                assert place.violations() == []


def _records(phase: str) -> Callable[[Asked], bool]:
    """Match the write that records a phase, and the same again."""

    def matches(asked: Asked) -> bool:
        if asked.method != "PUT" or not asked.name.endswith("-keyturn"):
            return False
        state = json.loads(base64.b64decode(json.loads(asked.body)["data"]["state"]))
        return any(one["phase"] == phase and one["revision"] == 2 for one in state.get("credentials", ()))

    return matches


@pytest.mark.parametrize(
    ("phase", "act"),
    [
        pytest.param("Applied", drop, id="applied, the connection is cut"),
        pytest.param("Applied", lose, id="applied, the answer is lost"),
    ],
)
def test_what_the_server_did_is_recorded_after_the_api_server_was_away(
    phase: str, act: Act, cluster: Cluster, server: Shop, kubeconfig: Path, tmp_path: Path
) -> None:
    with (
        FaultProxy(cluster, tmp_path) as proxy,
        play(cluster, server, proxy.kubeconfig(kubeconfig), tmp_path) as place,
    ):
        rule = proxy.rule(_records(phase), act, times=3)
        _rotate(place, 2)
        assert rule.hits > 0
        assert place.violations() == []


def test_a_server_that_is_read_only_delays_a_rotation(
    cluster: Cluster, server: Shop, kubeconfig: Path, tmp_path: Path
) -> None:
    with play(cluster, server, kubeconfig, tmp_path) as place:
        _set(server, "ALTER SYSTEM SET default_transaction_read_only = on")
        place.account.space.trigger("leaver")
        eventually(
            lambda: "Database" in str(place.account.conditions()), "a condition that names the database"
        )
        assert place.account.login() is Answer.ACCEPTED
        _set(server, "ALTER SYSTEM RESET default_transaction_read_only")
        place.account.wait_for(2, 120)
        assert place.violations() == []


def _set(server: Shop, statement: str) -> None:
    server.server.execute("SET default_transaction_read_only = off", statement, "SELECT pg_reload_conf()")
