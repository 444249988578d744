"""What came of an attack, whether that is held, and how all of it is shown."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from tests.redteam.tenant import Served, Wait


@dataclass(frozen=True, slots=True)
class Limits:
    """What is held: a neighbour served in time, a loop that goes on, and the memory of manifests/base."""

    tenant: float = 5.0
    """Seconds to the first Secret."""
    hold: float = 0.1
    """Seconds of processor time in one call of the event loop."""
    memory: float = 400.0
    """MiB, of 512."""
    losses: int = 0
    """How often the operator may lose its Lease, and start again."""


LIMITS: Final = Limits()


class Hold(NamedTuple):
    """A call that held up the event loop."""

    place: str
    seconds: float
    processor: float


@dataclass(slots=True)
class Row:
    """One attack."""

    name: str
    findings: tuple[str, ...]
    served: list[Served] = field(default_factory=list)
    holds: list[Hold] = field(default_factory=list)
    memory: float = 0.0
    losses: int = 0
    """How often the operator lost its Lease."""
    broken: list[str] = field(default_factory=list)
    left_out: str = ""
    """Why it was not run."""

    def judge(self, limits: Limits = LIMITS) -> None:
        """Add what is not held, by numbers, to what the attack has found itself."""
        for what, wait in (("generated", self.generated), ("pulled", self.pulled)):
            if wait.own > limits.tenant:
                self.broken.append(f"a neighbour's first {what} value takes {wait.own:.1f} s")
        if (hold := self.longest) and hold.processor > limits.hold:
            self.broken.append(f"{hold.place} holds up the loop for {hold.processor:.2f} s")
        if self.memory > limits.memory:
            self.broken.append(f"the operator holds {self.memory:.0f} MiB")
        if self.losses > limits.losses:
            self.broken.append(f"the operator loses its Lease, in all {self.losses}x")

    @property
    def generated(self) -> Wait:
        return max((one.generated for one in self.served), key=_own, default=Wait(0.0))

    @property
    def pulled(self) -> Wait:
        return max((one.pulled for one in self.served), key=_own, default=Wait(0.0))

    @property
    def longest(self) -> Hold | None:
        """The call that worked longest; one that merely waited for a processor worked for none of that time."""
        return max(self.holds, key=lambda hold: hold.processor, default=None)


_MUCH: Final = 0.5
"""Seconds without a processor that are shown."""
_HEAD: Final = ("attack", "finding", "generated", "pulled", "longest hold", "memory", "")


def shown(rows: Iterable[Row]) -> str:
    """Return a table, and below it what is broken or left out."""
    every = list(rows)
    cells = [_HEAD, *(_cells(row) for row in every)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(_HEAD))]
    lines = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in cells]
    lines += [f"{row.name}: {why}" for row in every for why in row.broken]
    lines += [f"{row.name} is left out: {row.left_out}" for row in every if row.left_out]
    return "\n".join(lines)


def summary(row: Row) -> str:
    """Return one line, for who waits for the table."""
    _, _, *facts, verdict = _cells(row)
    return f"  {verdict}: {', '.join(map(' '.join, zip(_HEAD[2:-1], facts, strict=True)))}"


def _cells(row: Row) -> tuple[str, ...]:
    if row.left_out:
        return (row.name, ", ".join(row.findings), *["-"] * 4, "left out")
    hold = row.longest
    return (
        row.name,
        ", ".join(row.findings),
        _written(row.generated),
        _written(row.pulled),
        f"{hold.processor:.2f} s" if hold else "< 0.1 s",
        f"{row.memory:.0f} MiB",
        "BROKEN" if row.broken else "held",
    )


def _written(wait: Wait) -> str:
    return f"{wait.own:.1f} s" + (f" (+{wait.starved:.1f})" if wait.starved >= _MUCH else "")


def _own(wait: Wait) -> float:
    return wait.own
