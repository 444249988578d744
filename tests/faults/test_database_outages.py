"""Outages around a database account: of the API server, of the admin's password, and a server that was restored."""

from __future__ import annotations

import base64
import json
import secrets
from typing import TYPE_CHECKING

import pytest

from sandbox.harness import eventually
from tests.databases.checker import Rule
from tests.databases.evidence import Answer
from tests.faults.database_namespace import Shop
from tests.faults.database_play import play
from tests.faults.proxy import FaultProxy, drop, refuse

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
        pytest.param("Proven", refuse(503, "ServiceUnavailable"), id="proven, the API server is overloaded"),
        pytest.param("Closed", drop, id="closed, the connection is cut"),
    ],
)
def test_a_login_is_recorded_after_the_api_server_was_away(
    phase: str, act: Act, cluster: Cluster, server: Shop, kubeconfig: Path, tmp_path: Path
) -> None:
    with (
        FaultProxy(cluster, tmp_path) as proxy,
        play(cluster, server, proxy.kubeconfig(kubeconfig), tmp_path) as place,
    ):
        if phase == "Closed":
            rule = proxy.rule(
                lambda asked: _records("Proven")(asked) and _closes_the_first(asked), act, times=3
            )
        else:
            rule = proxy.rule(_records(phase), act, times=3)
        _rotate(place, 2)
        assert rule.hits > 0
        assert place.violations() == []


def _closes_the_first(asked: Asked) -> bool:
    state = json.loads(base64.b64decode(json.loads(asked.body)["data"]["state"]))
    phases = {one["revision"]: one["phase"] for one in state.get("credentials", ())}
    return bool(phases.get(1, "Closed") == "Closed")


def test_another_password_of_the_admin_delays_a_rotation_until_the_secret_has_it(
    cluster: Cluster, kubeconfig: Path, tmp_path: Path
) -> None:
    with Shop() as shop, play(cluster, shop, kubeconfig, tmp_path) as place:
        another = secrets.token_urlsafe(24)
        shop.server.execute(f"ALTER ROLE keyturn_admin PASSWORD '{another}'")
        place.account.space.trigger("leaver")
        eventually(
            lambda: "adminCredentials" in place.condition("Stalled"),
            "a condition that names the field",
            instead=place.account.conditions,
        )
        assert place.account.login() is Answer.ACCEPTED
        place.account.set_admin_password(another)
        place.account.wait_for(2, 120)
        assert place.violations() == []


def test_logins_are_repaired_after_the_server_was_restored_from_before_the_rotation(
    cluster: Cluster, kubeconfig: Path, tmp_path: Path
) -> None:
    with (
        Shop() as shop,
        play(cluster, shop, kubeconfig, tmp_path, database={"probe": {"every": "60s"}}) as place,
    ):
        backup = shop.back_up(tmp_path)
        _rotate(place, 2)
        shop.restore(backup)
        assert place.account.login() is Answer.REFUSED
        eventually(lambda: place.account.login() is Answer.ACCEPTED, "a repair", 150)
        broken = frozenset(
            {Rule.PUBLISHED_WORKS, Rule.RUNNING_WORKS, Rule.REVOKED_IS_REFUSED, Rule.EXPLAINED}
        )
        assert place.violations(without=broken) == []
        assert place.account.phases()[2] == "Proven"
