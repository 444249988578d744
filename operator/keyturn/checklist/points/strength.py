"""Point 1: every secret has at least 32 characters and 128 bits."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from keyturn.checklist.condition import told
from keyturn.core.policy.findings import Finding, Point, Verdict

from .base import PointCheck
from .trouble import find_or_explain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from keyturn.checklist.facts import Declared, Facts
    from keyturn.checklist.fingerprints import Held

    from .base import Checked

__all__ = ["SecretStrength", "look"]


async def look(facts: Facts, declared: list[Declared]) -> list[Finding]:
    """Judge managed values by recipe and class, and all others by an estimate."""
    held = await facts.list_held()
    by_recipe = {
        (one.secret.namespace, one.secret.name, one.managed.metadata.name, key)
        for one in declared
        for key in one.generated
    }
    made = [one for one in held if one.is_written and _origin(one) in by_recipe]
    others = [one for one in held if not one.is_written or _origin(one) not in by_recipe]
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


def _origin(one: Held) -> tuple[str, str, str, str]:
    """Return Secret, ManagedSecret and key of a value, also of a previous one."""
    return one.namespace, one.secret, one.owner, one.key.removesuffix(".previous")


class SecretStrength(PointCheck):
    """Judges managed values by recipe and class, and all others by an estimate."""

    kind: ClassVar[str] = Point.STRENGTH

    async def find(self, checked: Checked) -> list[Finding]:
        declared: list[Declared] = []

        async def list_declared() -> list[Finding]:
            declared.extend(await checked.facts.list_declared())
            return []

        # A cluster without Keyturn has values to judge as well.
        blind = await find_or_explain(Point.STRENGTH, list_declared, quiet=True)
        return blind + await look(checked.facts, declared)
