"""What disturbs a database server, and at which step of a transaction the operator is held meanwhile."""

from __future__ import annotations

import os
import signal
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import psycopg

from sandbox.harness import eventually
from tests.faults.database_kills import CREATION, DELETION, OVERLAPPING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faults.database_kills import AccountScenario
    from tests.faults.database_namespace import WiredShop

_OF_OURS = """
SELECT coalesce(min(pid) FILTER (WHERE application_name LIKE 'keyturn%'), pg_backend_pid()) FROM pg_stat_activity
"""


@dataclass(frozen=True, slots=True, eq=False)
class Disturbance:
    """What happens to a server, or to the network before it, and how it ends."""

    name: str
    begin: Callable[[WiredShop], None]
    end: Callable[[WiredShop], None]
    lasts: bool = True
    """Until the operator has noticed it."""


@dataclass(frozen=True, slots=True)
class Hold:
    """The step at which the operator is held, and the one that then waits for the server."""

    scenario: AccountScenario
    failpoint: str
    waits_in: str
    """Empty if no step is left that needs the server."""


@dataclass(frozen=True, slots=True)
class Case:
    """One disturbance at one step."""

    hold: Hold
    disturbance: Disturbance

    @property
    def id(self) -> str:
        return f"{self.hold.scenario.name}, {self.hold.failpoint}, the server {self.disturbance.name}"

    @property
    def is_noticed(self) -> bool:
        """Whether the disturbance lasts until a step has failed."""
        return self.disturbance.lasts and bool(self.hold.waits_in)


def _kill_a_backend(shop: WiredShop) -> None:
    """Kill the process of a session, of the operator if it has one: the server ends all others and recovers."""
    with closing(shop.server.connect()) as witness:
        with suppress(psycopg.OperationalError), shop.server.connect() as session:
            row = session.execute(_OF_OURS).fetchone()
            assert row is not None
            os.kill(row[0], signal.SIGKILL)
        eventually(lambda: not _answers(witness), "the end of the other sessions")
    eventually(lambda: _accepts_logins(shop), "the recovery of the server")


def _answers(session: psycopg.Connection) -> bool:
    try:
        session.execute("SELECT 1")
    except psycopg.OperationalError:
        return False
    return True


def _accepts_logins(shop: WiredShop) -> bool:
    try:
        shop.server.execute("SELECT 1")
    except psycopg.OperationalError:
        return False
    return True


FROZEN = Disturbance("is frozen", lambda shop: shop.server.freeze(), lambda shop: shop.server.thaw())
CRASHED = Disturbance("crashes", lambda shop: shop.server.crash(), lambda shop: shop.server.start())
BACKEND_KILLED = Disturbance("loses a process", _kill_a_backend, lambda _: None, lasts=False)
RESTARTED = Disturbance(
    "is restarted", lambda shop: shop.server.stop(), lambda shop: shop.server.start(), lasts=False
)
CUT_OFF = Disturbance("is cut off", lambda shop: shop.wire.cut(), lambda shop: shop.wire.restore())
SILENT = Disturbance("is silent", lambda shop: shop.wire.silence(), lambda shop: shop.wire.restore())
_DISTURBANCES = (FROZEN, CRASHED, BACKEND_KILLED, RESTARTED, CUT_OFF, SILENT)

_WAITS_IN_APPLY = ("before:Stage", "before:Apply", "inside:Apply")
_WAITS_IN_PROVE = ("unrecorded:Apply", "before:Prove")
_WAITS_IN_REVOKE = (
    "unrecorded:Prove",
    "before:Publish",
    "before:RollOut",
    "before:Overlap",
    "before:Expire",
    "before:Settle",
    "before:Revoke",
    "inside:Revoke",
)
_HOLDS = (
    *(Hold(OVERLAPPING, failpoint, "Apply") for failpoint in _WAITS_IN_APPLY),
    *(Hold(OVERLAPPING, failpoint, "Prove") for failpoint in _WAITS_IN_PROVE),
    *(Hold(OVERLAPPING, failpoint, "Revoke") for failpoint in _WAITS_IN_REVOKE),
    Hold(OVERLAPPING, "unrecorded:Revoke", ""),
    *(Hold(CREATION, failpoint, "Apply") for failpoint in (*_WAITS_IN_APPLY, "inside:Apply#2")),
    *(Hold(CREATION, failpoint, "Prove") for failpoint in _WAITS_IN_PROVE),
    *(
        Hold(DELETION, failpoint, "Retire")
        for failpoint in ("before:Close", "before:Retire", "inside:Retire")
    ),
    Hold(DELETION, "unrecorded:Retire", ""),
)
CASES = tuple(Case(hold, disturbance) for hold, disturbance in product(_HOLDS, _DISTURBANCES))
"""Every disturbance at every step."""


def at(scenario: AccountScenario, failpoint: str, disturbance: Disturbance) -> Case:
    """Return one of the cases."""
    return next(
        case
        for case in CASES
        if (case.hold.scenario, case.hold.failpoint, case.disturbance) == (scenario, failpoint, disturbance)
    )
