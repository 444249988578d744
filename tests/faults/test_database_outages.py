"""Outages around a database account: of the API server, of what the admin may do, and a server that was restored."""

from __future__ import annotations

import re
import secrets
from functools import partial
from typing import TYPE_CHECKING

import pytest

from sandbox.harness import eventually
from tests.databases.checker import Rule
from tests.databases.evidence import Answer
from tests.faults.database_namespace import Shop
from tests.faults.database_play import frozen, play, recorded_phases, records, thaw
from tests.faults.proxy import FaultProxy, drop, refuse
from tests.support.forked_cli import CONSTANTS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.faults.apiserver import Cluster
    from tests.faults.database_play import Play
    from tests.faults.proxy import Act, Asked

pytestmark = pytest.mark.timeout(600)
_SOON = {
    CONSTANTS: (
        "keyturn.core.spec.database._DEFAULT_PROBE=5"
        " keyturn.controllers.managedsecret.retries._STALLED_INTERVAL=5"
    )
}
"""Seconds instead of minutes until a published password is probed, and a step that stalls is tried again."""


def _closes_the_first(asked: Asked) -> bool:
    phases = recorded_phases(asked)
    return phases.get(2) == "Proven" and phases.get(1, "Closed") == "Closed"


@pytest.mark.parametrize(
    ("matches", "act"),
    [
        pytest.param(
            records("Proven"), refuse(503, "ServiceUnavailable"), id="proven, the API server is overloaded"
        ),
        pytest.param(_closes_the_first, drop, id="closed, the connection is cut"),
    ],
)
def test_a_login_is_recorded_after_the_api_server_was_away(
    matches: Callable[[Asked], bool],
    act: Act,
    cluster: Cluster,
    own_shop: Shop,
    database_kubeconfig: Path,
    tmp_path: Path,
) -> None:
    with (
        FaultProxy(cluster, tmp_path) as proxy,
        play(cluster, own_shop, proxy.kubeconfig(database_kubeconfig), tmp_path) as place,
    ):
        rule = proxy.rule(matches, act, times=3)
        place.rotate(2)
        assert rule.hits > 0
        assert place.violations() == []


def test_another_password_of_the_admin_delays_a_rotation_until_the_secret_has_it(
    cluster: Cluster, database_kubeconfig: Path, tmp_path: Path
) -> None:
    with (
        Shop() as shop,
        play(cluster, shop, database_kubeconfig, tmp_path, is_started=False) as place,
        place.operator(**_SOON),
    ):
        place.account.wait_for(1)
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


_MEMBERSHIPS = "REVOKE {0}, {0}_a, {0}_b FROM keyturn_admin CASCADE"
_CREATEROLE = "ALTER ROLE keyturn_admin NOCREATEROLE"


@pytest.mark.parametrize(
    ("failpoint", "withdrawal"),
    [
        pytest.param("before:Apply", _MEMBERSHIPS, id="the roles, before the new login is opened"),
        pytest.param("before:Revoke", _CREATEROLE, id="CREATEROLE, before the previous login is closed"),
    ],
)
def test_rights_that_the_admin_loses_in_a_rotation_are_given_back_by_the_statement_of_the_condition(
    failpoint: str, withdrawal: str, cluster: Cluster, database_kubeconfig: Path, tmp_path: Path
) -> None:
    with Shop() as shop, play(cluster, shop, database_kubeconfig, tmp_path) as place:
        place.operators[0].stop()
        place.account.space.trigger("leaver")
        place.end_lease()
        with frozen(place, failpoint, **_SOON) as held:
            held.wait()
            shop.server.execute(withdrawal.format(place.account.username))
            thaw(held.operator)
            eventually(
                lambda: _is_told(place),
                "the statement that grants",
                90,
                instead=place.account.conditions,
            )
            assert place.account.login() is Answer.ACCEPTED
            shop.server.execute(*_grants(place))
            place.account.wait_for(2, 120, keep=partial(place.keep, **_SOON))
            assert place.violations() == []


def _is_told(place: Play) -> bool:
    """Say whether the condition has statements; of an operator that was held up for too long, that of the next."""
    place.keep(**_SOON)
    return _grants(place) != []


def _grants(place: Play) -> list[str]:
    """Return the statements that the condition Stalled tells an administrator to send."""
    return re.findall(r"send as an administrator: (.+?;)", place.condition("Stalled"))


def test_logins_are_repaired_after_the_server_was_restored_from_before_the_rotation(
    cluster: Cluster, database_kubeconfig: Path, tmp_path: Path
) -> None:
    with (
        Shop() as shop,
        play(cluster, shop, database_kubeconfig, tmp_path, is_started=False) as place,
        place.operator(**_SOON),
    ):
        place.account.wait_for(1)
        backup = shop.back_up(tmp_path)
        place.rotate(2)
        shop.restore(backup)
        assert place.account.login() is Answer.REFUSED
        eventually(lambda: place.account.login() is Answer.ACCEPTED, "a repair", 150)
        broken = frozenset(
            {Rule.PUBLISHED_WORKS, Rule.RUNNING_WORKS, Rule.REVOKED_IS_REFUSED, Rule.EXPLAINED}
        )
        assert place.violations(without=broken) == []
        assert place.account.phases()[2] == "Proven"


def test_a_login_is_repaired_soon_after_a_failover_that_lost_its_rotation(
    cluster: Cluster, database_kubeconfig: Path, tmp_path: Path
) -> None:
    """The next probe by the interval is ten minutes away; the check of the server sees another start."""
    with (
        Shop() as shop,
        play(cluster, shop, database_kubeconfig, tmp_path, is_started=False) as place,
        place.operator(),
    ):
        place.account.wait_for(1)
        backup = shop.back_up(tmp_path)
        place.rotate(2)
        shop.fail_over(backup)
        assert place.account.login() is Answer.REFUSED
        eventually(lambda: place.account.login() is Answer.ACCEPTED, "a repair", 200)
        assert place.account.phases()[2] == "Proven"
