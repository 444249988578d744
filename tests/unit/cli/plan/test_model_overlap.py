"""What a plan says about the overlap of a value that is replaced."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from keyturn.cli.managed import FoundManagedSecret
from keyturn.cli.plan.model import Plan
from keyturn.cli.plan.observe import PlanObservation, state_of_status
from keyturn.cli.plan.output import _start
from keyturn.cli.plan.simulate import Makers, foresee
from tests.unit.core import builders as make

NO_MAKERS = Makers(needs={}, merges={})
ASKED = {"keyturn.dev/rotate": "now"}
UNTIL = make.NOW + make.minutes(30)


def plan(previous: dict[str, Any]) -> Plan:
    """Plan a rotation while the value of revision 1 is kept."""
    kept = {"data": [{**make.PASSWORD, "keepPrevious": True}]}
    history = [
        {
            "revision": 2,
            "reason": "Triggered",
            "startedAt": make.MADE,
            "finishedAt": make.MADE,
            "result": "Succeeded",
        }
    ]
    status = {"revision": 2, "secretName": "db", "previous": previous, "history": history}
    look = make.observed(
        kept,
        annotations=ASKED,
        status=status,
        target=make.target(2, overlapping=True),
    )
    asked = make.observed(kept, status=status)
    look = replace(look, state=state_of_status(asked, asked.desired))
    return Plan(
        FoundManagedSecret(look.managed, None, make.MADE, {}),
        PlanObservation(look, look.desired, NO_MAKERS, ()),
        foresee(look, NO_MAKERS),
        is_rotation=True,
    )


def test_a_rotation_starts_when_the_overlap_is_over() -> None:
    planned = plan({"revision": 1, "validUntil": UNTIL})

    assert planned.foresight.starts == UNTIL
    assert _start(planned).endswith("when the overlap with revision 1 is over")
