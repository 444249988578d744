"""Reasons come from the enums of keyturn.core.reasons: in the code, in the tables of the docs and in alerts."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from keyturn.api.base import docstrings_in
from keyturn.core import reasons
from keyturn.core.reasons import ErrorReason, EventReason
from tests.monitoring.rules import ALERTS

_ROOT = Path(__file__).parents[2]
_TAKEN_BY_CODE = {
    *(
        f"EmergencyReason.{name}"
        for name in reasons.EmergencyReason.__members__
        if name.startswith("SECRET_")
    ),
    *(f"TimelineReason.{name}" for name in reasons.TimelineReason.__members__),
}
"""Members that the code finds by the state of a secret or by the name of a stage."""


@cache
def texts() -> tuple[str, ...]:
    """Read the operator without the enums themselves."""
    folder = _ROOT / "operator" / "keyturn"
    paths = (path for path in folder.rglob("*.py") if path.parent != folder / "core" / "reasons")
    return tuple(path.read_text() for path in paths)


def calls_of(*names: str) -> Iterator[ast.Call]:
    """Return the calls of functions whose names end so; only files that have one of these names are parsed."""
    for text in texts():
        if any(f"{name}(" in text for name in names):
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.Call) and dotted(node.func).endswith(names):
                    yield node


def dotted(node: ast.expr) -> str:
    """Return a dotted name; `ast.unparse` takes seconds for every call."""
    match node:
        case ast.Name():
            return node.id
        case ast.Attribute():
            return f"{dotted(node.value)}.{node.attr}"
    return ""


def members_in_use(family: str) -> set[str]:
    """Return the members of an enum that the code names."""
    member = re.compile(rf"\b{family}\.[A-Z_]+\b")
    return {name for text in texts() for name in member.findall(text)}


@pytest.mark.parametrize("family", reasons.__all__)
def test_the_operator_uses_every_member(family: str) -> None:
    members = {f"{family}.{name}" for name in getattr(reasons, family).__members__}

    assert members - members_in_use(family) - _TAKEN_BY_CODE == set()


@pytest.mark.parametrize(
    ("names", "place"),
    [
        pytest.param(("Stalled", "Wait", "TookTooLong"), 0, id="errors"),
        pytest.param(("ConditionVerdict",), 1, id="conditions"),
        pytest.param(("events.record",), 1, id="Events"),
        pytest.param(("this.post", "this.warn"), 0, id="Events of a pass"),
    ],
)
def test_no_reason_is_a_literal(names: tuple[str, ...], place: int) -> None:
    given = [call.args[place] for call in calls_of(*names) if len(call.args) > place]

    assert given
    assert [ast.unparse(one) for one in given if isinstance(one, ast.Constant)] == []


def test_an_event_has_the_type_that_its_reason_names() -> None:
    types: dict[str, set[str]] = {}
    for call in calls_of("events.record", "this.post", "this.warn"):
        text = ast.unparse(call)
        called = text.partition("(")[0]
        both = ["NORMAL", "WARNING"] if "is_warning=" in text else ["NORMAL"]
        for name in re.findall(r"EventReason\.([A-Z_]+)", ast.unparse(call.args[called.endswith("record")])):
            words = re.findall(r"EventType\.([A-Z]+)\b", text) or both
            words = ["WARNING"] if called == "this.warn" else words
            types.setdefault(name, set()).update(word.title() for word in words)

    types["EMERGENCY_DECLARED"] = {"Normal"}  # the other of both is posted by a name that was chosen before
    assert types == {
        name: set(re.findall(r"\b(Normal|Warning)\b", row.split("|")[1]))
        for name, row in docstrings_in(EventReason.__module__)["EventReason"].items()
    }


def test_alerts_select_reasons_that_exist() -> None:
    expressions = "\n".join(rule["expr"] for rule in ALERTS.values())
    selected = re.findall(r'keyturn_stalled\{reason[=!]~?"([\w|]+)"', expressions)

    assert selected
    assert {code for codes in selected for code in codes.split("|")} <= set(ErrorReason)
