"""Text and document of a plan of one SecretClass."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from keyturn.cli.text import clock, room, table

from .class_effects import Becomes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .class_effects import Effect
    from .class_plan import ClassPlan

__all__ = ["class_document", "class_lines"]


def class_lines(plan: ClassPlan) -> Iterator[str]:
    """Yield the lines of a plan for people."""
    yield _title(plan)
    facts = list(_facts(plan))
    if facts:
        yield ""
        yield from facts
    if plan.effects:
        yield ""
        header = ("MANAGEDSECRET", "BECOMES", "STARTS", "WHAT HAPPENS")
        yield table(header, [_cells(one) for one in plan.effects], room())


def _title(plan: ClassPlan) -> str:
    kinds = [text for text, holds in (("new", plan.is_new), ("default", plan.is_default)) if holds]
    which = f" ({', '.join(kinds)})" if kinds else ""
    counts = Counter(one.becomes for one in plan.effects)
    becomes = (
        ", ".join(f"{counts[kind]} {kind}" for kind in Becomes if counts[kind])
        or "none due, overdue or violating"
    )
    return f"SecretClass {plan.name}{which}: applying this would make {becomes}, of {plan.followers} that follow it"


def _facts(plan: ClassPlan) -> Iterator[str]:
    if plan.refusal:
        yield f"  {'Refused':<13}{plan.refusal.reason}: {plan.refusal.message}"
    for note in plan.notes:
        yield f"  {'Note':<13}{note}"


def _cells(one: Effect) -> list[str]:
    return [str(one.key), one.becomes, clock(one.starts) if one.starts else "", one.message]


def class_document(plan: ClassPlan) -> dict[str, Any]:
    """Return a plan for programs."""
    return {
        "kind": "SecretClass",
        "name": plan.name,
        "refusals": [{"reason": one.reason, "message": one.message} for one in (plan.refusal,) if one],
        "isNew": plan.is_new,
        "isDefault": plan.is_default,
        "managedSecrets": plan.followers,
        "effects": [
            {
                "namespace": one.key.namespace,
                "name": one.key.name,
                "becomes": str(one.becomes),
                "startsAt": one.starts,
                "message": one.message,
            }
            for one in plan.effects
        ],
        "notes": list(plan.notes),
    }
