"""Which workloads the process has restarted with the current revision."""

from __future__ import annotations

from keyturn.controllers.managedsecret.write_memory import Restarts
from keyturn.core.keys import ObjectKey, WorkloadKey
from keyturn.core.observation.observed import Restarted
from tests.unit.core.builders import NOW

KEY = ObjectKey("shop", "db")
API, WEB = (WorkloadKey("shop", "Deployment", name) for name in ("api", "web"))


def restarted(marked: int | None) -> Restarted:
    return Restarted(marked, NOW)


def test_the_restarts_with_one_revision_are_known() -> None:
    restarts = Restarts()
    restarts.record(KEY, 2, API, restarted(2))
    restarts.record(KEY, 2, WEB, restarted(2))
    assert restarts.of(KEY, 2) == {API: restarted(2), WEB: restarted(2)}
    assert restarts.of(ObjectKey("shop", "other"), 2) == {}


def test_the_restarts_with_a_revision_that_was_rolled_back_are_not_known_when_it_returns() -> None:
    restarts = Restarts()
    restarts.record(KEY, 2, API, restarted(2))
    assert restarts.of(KEY, 1) == {}
    assert restarts.of(KEY, 2) == {}


def test_a_restart_with_another_revision_ends_what_was_known() -> None:
    restarts = Restarts()
    restarts.record(KEY, 2, API, restarted(2))
    restarts.record(KEY, 3, WEB, restarted(3))
    assert restarts.of(KEY, 3) == {WEB: restarted(3)}


def test_a_rollback_to_a_template_without_marker_is_known() -> None:
    restarts = Restarts()
    restarts.record(KEY, 2, API, restarted(2))
    restarts.record(KEY, 1, API, restarted(None))
    assert restarts.of(KEY, 1) == {API: restarted(None)}
