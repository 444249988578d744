"""Which rules of the checklist a managed secret breaks, with or without a class, and to which point each belongs.

They never keep anything from being written: what a class asks for does that, if it says so.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from .finding import Point
from .policy import Violation

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime

__all__ = ["GRACE", "NO_SIGNS", "POINTS", "Broken", "Signs", "broken_in", "broken_of", "findings_of"]

GRACE: Final = timedelta(minutes=1)
"""An old value is out of the Secret so long after its overlap at the latest, where all is well."""
_MOST_NAMED: Final = 10

POINTS: Final[Mapping[str, Point]] = {
    # Of a class.
    "minLength": Point.STRENGTH,
    "minEntropyBits": Point.STRENGTH,
    "maxInterval": Point.SCHEDULE,
    "distinctAcrossEnvironments": Point.ENVIRONMENTS,
    # Of the checklist.
    "weakValue": Point.STRENGTH,
    "sharedValue": Point.ENVIRONMENTS,
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


@dataclass(frozen=True, slots=True)
class Broken:
    """A rule that a condition says to be broken, in its words."""

    rule: str
    message: str


def findings_of(signs: Signs) -> tuple[Violation, ...]:
    """Name every rule that is broken, in the order of the points."""
    return tuple(_findings(signs))


def broken_of(text: str) -> tuple[str, ...]:
    """Name the rules that the message of a condition says to be broken."""
    return tuple(one.rule for one in broken_in(text))


def broken_in(text: str) -> tuple[Broken, ...]:
    """Read such a message back: each rule with what it says."""
    return tuple(Broken(found[1], found[2]) for found in _TOLD.finditer(text))


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
            "sharedValue",
            f"{name} has the same value as in another environment; rotate it, such as by the annotation"
            " keyturn.dev/rotate",
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


_RULE: Final = "|".join(POINTS)
_TOLD: Final = re.compile(rf"(?:^|; )({_RULE}): (.*?)(?=; (?:{_RULE}): |$)", re.DOTALL)
