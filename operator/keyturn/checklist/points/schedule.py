"""Point 6: the rotation schedule is documented, matches the cluster, and nothing is overdue."""

from __future__ import annotations

from dataclasses import astuple, dataclass, fields
from datetime import timedelta
from typing import TYPE_CHECKING, ClassVar, Final

from keyturn.api.duration import format_duration
from keyturn.checklist.condition import told
from keyturn.checklist.unscheduled import unscheduled
from keyturn.core.policy.checklist import OVERDUE, reported_violations
from keyturn.core.policy.findings import Finding, Point, Verdict
from keyturn.core.reasons import ConditionReason
from keyturn.core.rotation.schedule_dates import recorded_due
from keyturn.core.spec.schedule import Cron, Every
from keyturn.core.status.summary import condition
from keyturn.generators import generator_for

from .base import PointCheck
from .trouble import find_or_explain

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from keyturn.api.managedsecret import ManagedSecret
    from keyturn.checklist.facts import Declared
    from keyturn.core.spec.desired import Desired

    from .base import Checked

__all__ = ["DocumentedSchedule", "document", "judged"]

_NEVER: Final = "never"
_GRACE: Final = timedelta(minutes=5)
"""The time after its date within which a running operator has reported that a rotation started, or is overdue."""
_CHECKED_RULES: Final = ("noSchedule", OVERDUE)
_HEADER: Final = (
    "Namespace",
    "ManagedSecret",
    "Class",
    "Priority",
    "Rotates",
    "Old value stays",
    "Windows",
    "Owner",
)
_APPLY: Final = "run keyturn rotate and apply the values where they are used, or write appliedBy: Application"
_RUNS: Final = "check keyturn status, and that the operator runs"
_WRITE: Final = "write it again: keyturn audit schedule > SCHEDULE.md, with the same -A or --namespace"


@dataclass(frozen=True, slots=True)
class _Row:
    """A row for one ManagedSecret; without times, so that it changes with the spec only."""

    namespace: str
    name: str
    secret_class: str
    priority: str
    rotates: str
    overlap: str
    windows: str
    owner: str

    @property
    def where(self) -> str:
        return f"{self.namespace}/{self.name}"


def document(declared: Iterable[Declared]) -> str:
    """Render the schedule as Markdown."""
    lines = (_line(astuple(row)) for row in _rows(declared))
    return "\n".join(
        [
            "# Rotation schedule",
            "",
            "Written by `keyturn audit schedule`; `keyturn audit --schedule` says where it is no longer true.",
            "",
            _line(_HEADER),
            _line(["---"] * len(_HEADER)),
            *lines,
            "",
        ]
    )


def judged(
    declared: list[Declared], namespace: str | None, committed: str | None, now: datetime
) -> list[Finding]:
    """Compare the cluster with the committed document, if any, and with the clock."""
    if not declared and committed is None:
        return [_finding(Verdict.NOT_APPLICABLE, "there is no ManagedSecret")]
    found = [*_late(declared, now)]
    if committed is None:
        found.append(
            _finding(
                Verdict.UNKNOWN,
                "no schedule was given, so it is unknown whether one is documented",
                "keyturn audit schedule > SCHEDULE.md, commit it, and name it with --schedule",
            )
        )
    else:
        found += _differences(list(_rows(declared)), _read(committed, namespace))
    return found or [
        _finding(Verdict.PASS, f"the schedule has all {len(declared)} ManagedSecrets; none is overdue")
    ]


def _late(declared: list[Declared], now: datetime) -> Iterator[Finding]:
    for one in declared:
        yield from _told(one, now)
        yield from _planned(one)


def _told(one: Declared, now: datetime) -> Iterator[Finding]:
    """Judge by the status and the clock, without spec and class."""
    status = one.managed.status
    if status.overdue:
        due = f" since {status.next_rotation_time:%Y-%m-%d %H:%M} UTC" if status.next_rotation_time else ""
        evidence = f"its rotation is overdue{due}"
        yield _finding(Verdict.FAIL, evidence, "keyturn status shows why", one.where)
    elif status.rotates_on_request:
        is_told = any(found.rule == OVERDUE for found in reported_violations(status))
        if is_told or _is_past(_due(one.managed, now), now):
            evidence = "its values are due, and they rotate on request only"
            yield _finding(Verdict.FAIL, evidence, _APPLY, one.where)
    else:
        yield from _untold(one, now)
    yield from told(one, Point.SCHEDULE, _CHECKED_RULES)


def _untold(one: Declared, now: datetime) -> Iterator[Finding]:
    """Judge a date that has passed since the operator wrote the status."""
    next_, due = one.managed.status.next_rotation_time, _due(one.managed, now)
    if next_ is None or not _is_past(next_, now):
        return
    # An earlier date than that of the schedule is that of a value that expires, a request, or a change in a store.
    is_of_schedule = due is not None and next_ >= due
    what = "its rotation was due" if is_of_schedule else "a rotation was to start"
    evidence = f"{what} at {next_:%Y-%m-%d %H:%M} UTC, and its status shows no newer values"
    yield _finding(Verdict.FAIL if is_of_schedule else Verdict.UNKNOWN, evidence, _RUNS, one.where)


def _due(managed: ManagedSecret, now: datetime) -> datetime | None:
    return recorded_due(managed, managed.status.last_rotation_time, now)


def _is_past(date: datetime | None, now: datetime) -> bool:
    return date is not None and now - date > _GRACE


def _planned(one: Declared) -> Iterator[Finding]:
    """Judge whether the spec has a schedule, unless a rule of its class reports that."""
    current, stalled = condition(one.managed, "WorkloadsCurrent"), condition(one.managed, "Stalled")
    is_refused = current is not None and current.reason == ConditionReason.SPEC_NOT_FOLLOWED
    if one.desired is None or is_refused:
        evidence = "its spec cannot be followed, so when it rotates is unknown"
        verdict = Verdict.FAIL if stalled and stalled.status == "True" else Verdict.UNKNOWN
        yield _finding(verdict, evidence, "keyturn status shows what to change", one.where)
    elif not any(told(one, Point.SCHEDULE, _CHECKED_RULES)) and (names := unscheduled(one.desired)):
        left_out = f"rotation.only leaves out {', '.join(sorted(names))}"
        evidence = left_out if one.desired.cadence else "it has no rotation schedule"
        yield _finding(Verdict.FAIL, evidence, "write rotation.every, or use a class that has one", one.where)
    elif one.managed.status.observed_generation != one.managed.metadata.generation:
        evidence = "the operator has not reconciled its spec, so whether it is overdue is unknown"
        yield _finding(Verdict.UNKNOWN, evidence, "check that the operator runs", one.where)


def _differences(rows: list[_Row], committed: list[_Row]) -> Iterator[Finding]:
    here, there = {row.where: row for row in rows}, {row.where: row for row in committed}
    for where in sorted(here.keys() | there.keys()):
        if where not in there:
            yield _finding(Verdict.FAIL, "the schedule does not have it", _WRITE, where)
        elif where not in here:
            yield _finding(Verdict.FAIL, "the schedule has it, and the cluster does not", _WRITE, where)
        elif here[where] != there[where]:
            names = [field.name for field in fields(_Row) if _differs(here[where], there[where], field.name)]
            columns = ", ".join(_HEADER[_columns()[name]] for name in names)
            yield _finding(Verdict.FAIL, f"the schedule differs from the cluster: {columns}", _WRITE, where)


def _differs(one: _Row, other: _Row, name: str) -> bool:
    return bool(getattr(one, name) != getattr(other, name))


def _columns() -> dict[str, int]:
    return {field.name: place for place, field in enumerate(fields(_Row))}


def _rows(declared: Iterable[Declared]) -> Iterator[_Row]:
    for one in sorted(declared, key=lambda it: it.where):
        metadata, spec = one.managed.metadata, one.managed.spec
        cells = (
            metadata.namespace,
            metadata.name,
            one.secret_class.metadata.name if one.secret_class else spec.class_name or "",
            one.secret_class.spec.priority or "" if one.secret_class else "",
            _rotates(one.desired),
            format_duration(one.desired.overlap) if one.desired and one.desired.cadence else "",
            _windows(one.desired),
            spec.owner or "",
        )
        yield _Row(*(_cell(cell) for cell in cells))


def _rotates(desired: Desired | None) -> str:
    if desired is None:
        return "unknown: see its status"
    if not any(item.recipe for item in desired.items):
        return "where it comes from"
    asked = ", on request" if desired.on_request else ""
    match desired.cadence:
        case Every(interval):
            return f"every {format_duration(interval)}{asked}"
        case Cron(expression, zone):
            return f"at {expression} ({zone}){asked}"
    if desired.target_policy.immutable:
        return "once"
    ends = any(generator_for(item.recipe).ends for item in desired.items if item.recipe)
    return "before it ends" if ends and not unscheduled(desired) else _NEVER


def _windows(desired: Desired | None) -> str:
    windows = desired.windows if desired else ()
    return ", ".join(
        f"{one.opens.expression} ({one.opens.time_zone}) for {format_duration(one.duration)}"
        for one in windows
    )


def _cell(text: str) -> str:
    """Escape a text for a table cell."""
    shown = "".join(one if one.isprintable() else " " for one in text).strip()
    return shown.replace("\\", "/").replace("|", "/").replace("<", "(").replace("`", "'")


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _read(text: str, namespace: str | None) -> list[_Row]:
    """Parse the rows of a document; of one namespace if only that is checked."""
    lines = (line.strip() for line in text.splitlines() if line.startswith("|"))
    cells = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    rows = [_Row(*row) for row in cells if len(row) == len(_HEADER)]
    return [row for row in rows if not _is_heading(row) and namespace in {None, row.namespace}]


def _is_heading(row: _Row) -> bool:
    """Whether it is the heading of the table, or the line below it, which formatters lengthen."""
    return row.namespace == _HEADER[0] or not row.namespace.strip("-:")


def _finding(verdict: Verdict, evidence: str, remedy: str = "", where: str = "") -> Finding:
    return Finding(Point.SCHEDULE, verdict, evidence, remedy, where)


class DocumentedSchedule(PointCheck):
    """Compares the rotation of each ManagedSecret with the committed document."""

    kind: ClassVar[str] = Point.SCHEDULE

    async def find(self, checked: Checked) -> list[Finding]:
        facts = checked.facts
        declared = await facts.list_declared()

        async def list_classes() -> list[Finding]:
            await facts.list_classes()
            return []

        # A class sets schedules, so without the right to list them only the statuses are judged.
        blind = await find_or_explain(Point.SCHEDULE, list_classes) if declared else []
        if blind:
            return blind + [finding for one in declared for finding in _told(one, facts.now())]
        return judged(declared, facts.namespace, checked.schedule, facts.now())
