"""Which rules of the checklist a managed secret breaks, with or without a class, and to which point each belongs.

They never keep anything from being written: what a class asks for does that, if it says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from keyturn.api.status import MOST_VIOLATIONS, PolicyStatus, PolicyViolation
from keyturn.core.legacy_status import legacy_violations

from .findings import Point, Verdict
from .rules import DISTINCT, Violation

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime

    from keyturn.api.status import ManagedSecretStatus

__all__ = [
    "GRACE",
    "NO_SIGNS",
    "POINTS",
    "All",
    "Signs",
    "findings_of",
    "judged",
    "policy_of",
    "told_twins",
    "told_violations",
]

GRACE: Final = timedelta(minutes=1)
"""An old value is out of the Secret so long after its overlap at the latest, where all is well."""
_MOST_NAMED: Final = 10
_SHARED: Final = "sharedValue"

POINTS: Final[Mapping[str, Point]] = {
    # Of a class.
    "minLength": Point.STRENGTH,
    "minEntropyBits": Point.STRENGTH,
    "maxInterval": Point.SCHEDULE,
    DISTINCT: Point.ENVIRONMENTS,
    # Of the checklist.
    "weakValue": Point.STRENGTH,
    _SHARED: Point.ENVIRONMENTS,
    "noSchedule": Point.SCHEDULE,
    "overdue": Point.SCHEDULE,
    "notRevoked": Point.REVOCATION,
}
"""By rule the point of the checklist that it is about."""


@dataclass(frozen=True, slots=True)
class Signs:
    """What the checklist is held against, of one managed secret."""

    weak: frozenset[str] = frozenset()
    """The keys whose values no recipe has made and that are certainly weak."""
    shared: frozenset[str] = frozenset()
    """The values of production that another environment has as well."""
    unscheduled: frozenset[str] = frozenset()
    """The made values that nothing replaces, and that do not end by themselves."""
    is_overdue: bool = False
    kept_since: datetime | None = None
    """When the old values that are still there should have been taken out."""


NO_SIGNS: Final = Signs()


def findings_of(signs: Signs) -> tuple[Violation, ...]:
    """Name every rule that is broken, in the order of the points."""
    return tuple(_findings(signs))


def policy_of(broken: Iterable[Violation]) -> PolicyStatus | None:
    """Return what the status has of the broken rules; nothing where none is broken."""
    told = [PolicyViolation(rule=one.rule, item=one.item, message=one.message) for one in broken]
    return PolicyStatus(violations=told[:MOST_VIOLATIONS]) if told else None


def told_violations(status: ManagedSecretStatus) -> tuple[PolicyViolation, ...]:
    """Return the broken rules that a status has; rules that this version does not know are left out."""
    told = status.policy.violations if status.policy else legacy_violations(status)
    return tuple(one for one in told if one.rule in POINTS)


def told_twins(status: ManagedSecretStatus) -> frozenset[str]:
    """Return the values that another environment has as well, as a status has them."""
    rules = (DISTINCT, _SHARED)
    return frozenset(one.item for one in told_violations(status) if one.rule in rules and one.item)


def _findings(signs: Signs) -> Iterator[Violation]:
    if signs.weak:
        # Not why: that it is short, or a known default, would be a hint for whoever reads it.
        yield Violation(
            "weakValue",
            f"{_few(signs.weak)} does not reach 32 characters and 128 bits, as far as can be told;"
            " replace it where it comes from, best by one that is generated",
        )
    for name in sorted(signs.shared):
        yield Violation(
            _SHARED,
            f"{name} has the same value as in another environment; rotate it, such as by the annotation"
            " keyturn.dev/rotate",
            item=name,
        )
    if signs.unscheduled:
        yield Violation(
            "noSchedule",
            f"nothing says when {_few(signs.unscheduled)} rotates; write rotation.every, or a class that does",
        )
    if signs.is_overdue:
        yield Violation("overdue", "a rotation is due and has not begun; see what keyturn status says of it")
    if signs.kept_since:
        yield Violation(
            "notRevoked",
            f"the values before should have been taken out of the Secret at {signs.kept_since:%Y-%m-%d %H:%M} UTC;"
            " see what keyturn status says of it",
        )


def _few(names: Iterable[str]) -> str:
    """Name some: a Secret can have thousands of keys, and a status should not."""
    known = sorted(names)
    more = f" and {len(known) - _MOST_NAMED} more" if len(known) > _MOST_NAMED else ""
    return ", ".join(known[:_MOST_NAMED]) + more


@dataclass(frozen=True, slots=True)
class All:
    """Every ManagedSecret that is served, taken together."""

    count: int = 0
    broken: frozenset[str] = frozenset()
    """The rules that any of them breaks."""
    has_environments: bool = False
    """They are in namespaces of production and of another environment."""
    keeps_old: bool = False
    """One keeps old values until a workload runs on the new ones, whenever that is."""


def judged(every: All) -> Mapping[Point, Verdict]:
    """Judge each point that ManagedSecrets tell of; whether a schedule is written down, none of them knows."""
    well = {
        Point.STRENGTH: Verdict.PASS,
        Point.ENVIRONMENTS: Verdict.PASS if every.has_environments else Verdict.UNKNOWN,
        Point.SCHEDULE: Verdict.UNKNOWN,
        Point.REVOCATION: Verdict.UNKNOWN if every.keeps_old else Verdict.PASS,
    }
    if not every.count:
        return dict.fromkeys(well, Verdict.NOT_APPLICABLE)
    failed = {POINTS[rule] for rule in every.broken}
    return {point: Verdict.FAIL if point in failed else verdict for point, verdict in well.items()}
