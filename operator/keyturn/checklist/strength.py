"""Point 1: every secret has at least 32 characters and 128 bits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keyturn.core.policy.findings import Finding, Point, Verdict

from .condition import told

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .facts import Declared, Facts
    from .fingerprints import Held

__all__ = ["look"]


async def look(facts: Facts, declared: list[Declared]) -> list[Finding]:
    """Judge managed values by recipe and class, and all others by an estimate."""
    held = await facts.list_held()
    by_recipe = {(one.secret.namespace, one.secret.name, key) for one in declared for key in one.generated}
    made = [one for one in held if (one.namespace, one.secret, _without_suffix(one.key)) in by_recipe]
    others = [one for one in held if (one.namespace, one.secret, _without_suffix(one.key)) not in by_recipe]
    weak = [*_weak(others)]
    # A value that the operator found weak too is listed once; findings of the operator alone are listed as well.
    known = frozenset({one.where for one in weak})
    found = [finding for one in declared for finding in told(one, Point.STRENGTH, _double(one, known))] + weak
    if not found:
        evidence = f"{len(made)} values are generated; none of {len(others)} others looks weak"
        found = [Finding(Point.STRENGTH, Verdict.PASS, evidence)]
    return found


def _double(one: Declared, known: frozenset[str]) -> frozenset[str]:
    return frozenset({"weakValue"}) if str(one.secret) in known else frozenset()


def _weak(held: list[Held]) -> Iterator[Finding]:
    for one in held:
        if one.is_weak:
            # Without a reason: that a value is short or a known default would help an attacker who reads the report.
            yield Finding(
                Point.STRENGTH,
                Verdict.FAIL,
                f"key {one.key} looks weak: estimated below 32 characters or 128 bits",
                "replace it, best by a ManagedSecret: adopt: IfUnowned takes this Secret over, and keyturn rotate"
                " makes a new value",
                one.where,
            )


def _without_suffix(key: str) -> str:
    return key.removesuffix(".previous")
