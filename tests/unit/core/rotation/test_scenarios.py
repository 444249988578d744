"""The scenarios in the docstring of `core.rotation` are what `next_step` decides."""

import re
from dataclasses import replace
from typing import Any, NamedTuple

import pytest

from keyturn.core import rotation
from keyturn.core.errors import Stalled
from keyturn.core.observation.observed import Consumer, Managed
from keyturn.core.rotation.decision import next_step
from keyturn.core.rotation.steps import RollOut
from keyturn.core.state.state import RollbackPause, StateFacts, Triggers
from tests.unit.core import builders as make

_NONE = "-"
_ROTATE: dict[str, Any] = {"rotation": {"trigger": "leaver"}, "rollout": {"debounce": "0s"}}


class Row(NamedTuple):
    """A line of the table."""

    state: str
    target: str
    api: str
    worker: str
    step: str


def rows() -> list[Row]:
    lines = (rotation.__doc__ or "").partition("next step\n")[2].partition("\n\n")[0].splitlines()
    return [Row(*re.split(r"  +", line[24:].strip(), maxsplit=4)) for line in lines]


def observed(row: Row) -> Managed:
    number = None if row.target == _NONE else int(row.target)
    is_handled = row.state not in {_NONE, "4"}
    seen = make.observed(
        {} if row.state in {_NONE, "1"} else _ROTATE,
        consumer("api", row.api),
        consumer("worker", row.worker),
        state=None if row.state == _NONE else state(row.state, handled="leaver" if is_handled else "before"),
        target=None if number is None else make.target(number),
        status={"revision": number, "secretName": "db"} if number else {},
    )
    return replace(seen, since=make.BEFORE)


def consumer(name: str, marked: str) -> Consumer:
    number = marked.removesuffix("!")
    return make.consumer(
        name,
        marker="" if marked == _NONE else f"db={number}",
        renewed=marked == _NONE,
        settled=not marked.endswith("!"),
        failed=marked.endswith("!"),
    )


def state(text: str, handled: str) -> StateFacts:
    current, _, newest = text.partition(" of ")
    numbers = range(int(newest or current), 0, -1)
    return make.state(
        *(make.revision(one, "Triggered" if one > 1 else "Created") for one in numbers),
        current=int(current),
        triggers=Triggers(spec=handled),
        rollback_pause=RollbackPause(int(newest), 1, make.NOW, failed=True) if newest else None,
    )


def decided(seen: Managed) -> str:
    try:
        step = next_step(seen)
    except Stalled:
        return "Stalled"
    return f"RollOut: {step.consumer.workload.key.name}" if isinstance(step, RollOut) else type(step).__name__


def test_the_scenarios_are_found() -> None:
    assert len(rows()) == 13


@pytest.mark.parametrize("row", rows(), ids=" ".join)
def test_a_row_names_the_next_step(row: Row) -> None:
    assert decided(observed(row)) == re.split(r"[,;]|: (?!api|worker)", row.step)[0]
