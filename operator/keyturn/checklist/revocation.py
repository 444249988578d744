"""Point 8: old values are no longer handed out once their overlap is over."""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING

from .finding import Finding, Point, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from .facts import Declared
    from .held import Held

__all__ = ["judged"]

_GRACE = timedelta(minutes=1)
_PREVIOUS = ".previous"


def judged(declared: list[Declared], held: list[Held] | None, now: datetime) -> list[Finding]:
    """Judge every ManagedSecret; without `held`, the Secrets themselves may not be read."""
    kept: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for one in held or ():
        if one.key.endswith(_PREVIOUS) and one.owner:
            kept[one.namespace, one.secret].append(one.key)
    found = [finding for one in declared for finding in _of(one, kept, now)]
    if not any(one.verdict is Verdict.FAIL or one.verdict is Verdict.UNKNOWN for one in found):
        evidence = f"of {len(declared)} ManagedSecrets none hands an old value out after its overlap"
        found.append(_finding(Verdict.PASS, evidence))
    if held is None or any(not one.owner for one in held):
        evidence = "of values that Keyturn does not manage nobody knows"
        found.append(_finding(Verdict.NOT_APPLICABLE, evidence, "declare a ManagedSecret for them"))
    return found


def _of(one: Declared, kept: dict[tuple[str, str], list[str]], now: datetime) -> Iterator[Finding]:
    previous = one.managed.status.previous
    if previous is None:
        if keys := kept.get((one.secret.namespace, one.secret.name)):
            evidence = f"its overlap is over, and the Secret still has {', '.join(sorted(keys))}"
            yield _finding(Verdict.FAIL, evidence, "see what keyturn status says of it", one.where)
    elif previous.valid_until is None:
        yield _finding(
            Verdict.UNKNOWN,
            f"revision {previous.revision} is revoked once every workload runs on the next one, and one does not",
            "see what keyturn status says of its workloads",
            one.where,
        )
    elif previous.valid_until + _GRACE < now:
        yield _finding(
            Verdict.FAIL,
            f"revision {previous.revision} was to be revoked at {previous.valid_until:%Y-%m-%d %H:%M} UTC",
            "see what keyturn status says of it, and whether the operator is up",
            one.where,
        )


def _finding(verdict: Verdict, evidence: str, remedy: str = "", where: str = "") -> Finding:
    return Finding(Point.REVOCATION, verdict, evidence, remedy, where)
