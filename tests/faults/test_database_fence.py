"""Two operators that both believe to lead: one that was frozen before the lock changes nothing after the other."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from sandbox.harness import eventually
from tests.databases.evidence import Answer
from tests.databases.server_log import read_lines
from tests.faults.database_play import frozen, play, thaw

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.faults.apiserver import Cluster
    from tests.faults.database_namespace import Shop

pytestmark = pytest.mark.timeout(300)
_ELSEWHERE = "default"
"""The namespace of the second Lease."""


def test_what_was_decided_before_the_record_changed_is_not_done(
    cluster: Cluster, shop: Shop, accounts: Callable[[str], Path], tmp_path: Path
) -> None:
    # Within the term of its Lease: after it, the process changes nothing in any case.
    with (
        play(cluster, shop, accounts("database-fence"), tmp_path) as place,
        frozen(place, "before:Apply", POD_NAMESPACE=_ELSEWHERE) as second,
    ):
        second.operator.wait_for_log("leading")
        os.kill(place.operators[0].pid, signal.SIGSTOP)
        place.account.space.trigger("leaver")
        second.wait()
        thaw(place.operators[0])
        place.account.wait_for(2, keep=place.operators[0].revive)
        eventually(lambda: place.account.phases().get(1) == "Closed", "the end of the first login", 60)
        before = _sessions_that_ended(shop)
        thaw(second.operator)
        eventually(lambda: _sessions_that_ended(shop) > before, "the end of what was frozen")

        assert place.account.login() is Answer.ACCEPTED
        assert place.violations() == []


def _sessions_that_ended(shop: Shop) -> int:
    """Count the sessions in which an account was changed, or was to be."""
    lines = read_lines(shop.server.log)
    return sum(
        line.application == "keyturn bring" and line.text.startswith("disconnection") for line in lines
    )
