"""Which workloads the process has restarted with the current revision."""

from __future__ import annotations

from keyturn.controllers.managedsecret.write_memory import Restarts
from keyturn.core.keys import ObjectKey, WorkloadKey

KEY = ObjectKey("shop", "db")
API, WEB = (WorkloadKey("shop", "Deployment", name) for name in ("api", "web"))


def test_the_restarts_with_one_revision_are_known() -> None:
    restarts = Restarts()
    restarts.record(KEY, 2, API, 2)
    restarts.record(KEY, 2, WEB, 2)
    assert restarts.markers(KEY, 2) == {API: 2, WEB: 2}
    assert restarts.markers(ObjectKey("shop", "other"), 2) == {}


def test_the_restarts_with_a_revision_that_was_rolled_back_are_not_known_when_it_returns() -> None:
    restarts = Restarts()
    restarts.record(KEY, 2, API, 2)
    assert restarts.markers(KEY, 1) == {}
    assert restarts.markers(KEY, 2) == {}


def test_a_restart_with_another_revision_ends_what_was_known() -> None:
    restarts = Restarts()
    restarts.record(KEY, 2, API, 2)
    restarts.record(KEY, 3, WEB, 3)
    assert restarts.markers(KEY, 3) == {WEB: 3}


def test_a_rollback_to_a_template_without_marker_is_known() -> None:
    restarts = Restarts()
    restarts.record(KEY, 2, API, 2)
    restarts.record(KEY, 1, API, None)
    assert restarts.markers(KEY, 1) == {API: None}
