"""What a plan says about the overlap of a value that is replaced."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from keyturn.cli.managed import FoundManagedSecret
from keyturn.cli.plan.estimate import Makers
from keyturn.cli.plan.model import Plan, notes
from keyturn.cli.plan.observe import PlanObservation, state_of_status
from keyturn.cli.plan.output import _start
from keyturn.cli.plan.simulate import foresee
from tests.unit.core import builders as make

NO_MAKERS = Makers(needs={}, merges={})
ASKED = {"keyturn.dev/rotate": "now"}
UNTIL = make.NOW + make.minutes(30)


def plan(*, is_rotation: bool = True, previous: dict[str, Any] | None = None) -> Plan:
    """Plan a rotation, or another value, while the value of revision 1 is kept."""
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
        annotations=ASKED if is_rotation else None,
        status=status,
        target=make.target(2, overlapping=True),
        unfit=[] if is_rotation else ["password"],
    )
    asked = make.observed(kept, status=status)
    look = replace(look, state=state_of_status(asked, asked.desired))
    return Plan(
        FoundManagedSecret(look.managed, None, make.MADE, {}),
        PlanObservation(look, look.desired, NO_MAKERS, ()),
        foresee(look, NO_MAKERS),
        is_rotation=is_rotation,
    )


def test_a_rotation_starts_when_the_overlap_is_over() -> None:
    planned = plan(previous={"revision": 1, "validUntil": UNTIL})

    assert planned.foresight.starts == UNTIL
    assert _start(planned).endswith("when the overlap with revision 1 is over")
    assert not [one for one in notes(planned) if "new value" in one]


def test_another_value_ends_the_overlap() -> None:
    (note,) = (
        one
        for one in notes(plan(is_rotation=False, previous={"revision": 1, "validUntil": UNTIL}))
        if "new" in one
    )

    assert note == (
        "a new value of password ends the overlap at once: the value of revision 1 is dropped, and that of revision 2"
        " stays readable"
    )


def test_another_value_waits_for_pods() -> None:
    (note,) = (one for one in notes(plan(is_rotation=False, previous={"revision": 1})) if "new" in one)

    assert note == "a new value of password waits until no pod holds the value of revision 1"
