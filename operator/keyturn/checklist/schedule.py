"""Point 6: the rotation schedule is documented, matches the cluster, and nothing is overdue."""

import re
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Final, TypeAlias

from keyturn.api.base import format_duration
from keyturn.core.policy.checklist import OVERDUE, Finding, Point, Verdict, reported_violations
from keyturn.core.reasons import ConditionReason
from keyturn.core.rotation.schedule_dates import recorded_due
from keyturn.core.spec.desired import Desired
from keyturn.core.spec.items import Timetable
from keyturn.core.spec.schedule import Cron, Every
from keyturn.core.status.summary import condition
from keyturn.generators import generator_for

from .facts import Declared, Facts, find_or_explain, reported

_GRACE: Final = timedelta(minutes=5)
"""The time after its date within which a running operator has reported that a rotation started, or is overdue."""
_CHECKED_RULES: Final = ("noSchedule", "notApplied", OVERDUE)
_HEADER: Final = (
    *("Namespace", "ManagedSecret", "Class", "Priority", "Rotates", "Old value stays", "Windows", "Owner"),
)
_SERVER_PASSWORD: Final = re.compile(
    r"pgpassword|(^|[-_.])(db|database|postgres|postgresql|pg|mysql|mariadb|mongo|mongodb|redis|valkey|rabbitmq)"
    r"([-_.].*)?[-_.](password|passwd|pass|pwd)$",
    re.IGNORECASE,
)
"""A name such as `redis-password`; the policy keyturn-author-warnings has the same expression."""
_APPLY: Final = "run keyturn rotate and apply the values where they are used, or write appliedBy: Application"
_RUNS: Final = "check keyturn status, and that the operator runs"
_WRITE: Final = "write it again: keyturn audit schedule > SCHEDULE.md, with the same -A or --namespace"

_Row: TypeAlias = tuple[str, ...]
"""Cells of one ManagedSecret; without times, so that they change with the spec only."""


async def judge(facts: Facts, committed: str | None) -> list[Finding]:
    """Compare the rotation of each ManagedSecret with the committed document, if any, and with the clock."""
    declared = await facts.list_declared()

    async def list_classes() -> list[Finding]:
        await facts.list_classes()
        return []

    # A class sets schedules, so without the right to list them only the statuses are judged.
    unread = await find_or_explain(Point.SCHEDULE, list_classes) if declared else []
    if unread:
        return unread + [finding for one in declared for finding in _overdue(one, facts.now())]
    return judged(declared, facts.namespace, committed, facts.now())


def judged(
    declared: list[Declared], namespace: str | None, committed: str | None, now: datetime
) -> list[Finding]:
    """Judge all ManagedSecrets of a namespace, or of the cluster."""
    if not declared and committed is None:
        return [_finding(Verdict.NOT_APPLICABLE, "there is no ManagedSecret")]
    found = [finding for one in declared for finding in (*_overdue(one, now), *_planned(one))]
    if committed is None:
        evidence = "no schedule was given, so it is unknown whether one is documented"
        remedy = "keyturn audit schedule > SCHEDULE.md, commit it, and name it with --schedule"
        found.append(_finding(Verdict.UNKNOWN, evidence, remedy))
    else:
        found += _differences(_rows(declared), _read(committed, namespace))
    return found or [
        _finding(Verdict.PASS, f"the schedule has all {len(declared)} ManagedSecrets; none is overdue")
    ]


def unscheduled(desired: Desired) -> frozenset[str]:
    """Return the generated values that no schedule rotates; an immutable Secret is written once."""
    if desired.target_policy.immutable:
        return frozenset()
    rotates = _scheduled(desired)
    made = ((item.name, generator_for(item.recipe)) for item in desired.items if item.recipe)
    return frozenset(
        name
        for name, generator in made
        if name not in rotates and generator.strength() and not generator.ends
    )


def unapplied(desired: Desired) -> frozenset[str]:
    """Return the values that a schedule rotates, that nothing applies, and that a server checks by their names."""
    scheduled = _scheduled(desired)
    return frozenset(
        item.name
        for item in desired.items
        if item.name in scheduled
        and (item.own.applied_by if item.own else desired.applied_by) is None
        and any(_SERVER_PASSWORD.search(name) for name in (item.name, *item.keys.values()))
    )


def _scheduled(desired: Desired) -> frozenset[str]:
    return frozenset(name for one in desired.timetables if one.cadence for name in one.values)


def _overdue(one: Declared, now: datetime) -> Iterator[Finding]:
    """Judge by the status and the clock, without spec and class."""
    status = one.managed.status
    due = recorded_due(one.managed, status.last_rotation_time, now)
    if status.overdue:
        since = f" since {status.next_rotation_time:%Y-%m-%d %H:%M} UTC" if status.next_rotation_time else ""
        yield _finding(Verdict.FAIL, f"its rotation is overdue{since}", "keyturn status shows why", one.where)
    elif status.rotates_on_request:
        is_reported = any(found.rule == OVERDUE for found in reported_violations(status))
        if is_reported or _is_past(due, now):
            yield _finding(
                Verdict.FAIL, "its values are due, and they rotate on request only", _APPLY, one.where
            )
    elif (next_ := status.next_rotation_time) and _is_past(next_, now):
        # An earlier date than that of the schedule comes from an expiry, a request, or a change in a store.
        is_of_schedule = due is not None and next_ >= due
        what = "its rotation was due" if is_of_schedule else "a rotation was to start"
        evidence = f"{what} at {next_:%Y-%m-%d %H:%M} UTC, and its status shows no newer values"
        yield _finding(Verdict.FAIL if is_of_schedule else Verdict.UNKNOWN, evidence, _RUNS, one.where)
    yield from reported(one, Point.SCHEDULE, _CHECKED_RULES)


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
    elif not any(reported(one, Point.SCHEDULE, _CHECKED_RULES)) and (names := unscheduled(one.desired)):
        left_out = f"rotation.only leaves out {', '.join(sorted(names))}"
        evidence = left_out if one.desired.cadence else "it has no rotation schedule"
        yield _finding(Verdict.FAIL, evidence, "write rotation.every, or use a class that has one", one.where)
    elif one.managed.status.observed_generation != one.managed.metadata.generation:
        evidence = "the operator has not reconciled its spec, so whether it is overdue is unknown"
        yield _finding(Verdict.UNKNOWN, evidence, "check that the operator runs", one.where)


# The document


def document(declared: Iterable[Declared]) -> str:
    """Render the schedule as Markdown."""
    note = "Written by `keyturn audit schedule`; `keyturn audit --schedule` says where it is no longer true."
    lines = map(_line, (_HEADER, ["---"] * len(_HEADER), *_rows(declared)))
    return "\n".join(["# Rotation schedule", "", note, "", *lines, ""])


def _differences(rows: Iterable[_Row], committed: Iterable[_Row]) -> Iterator[Finding]:
    here, there = {row[:2]: row for row in rows}, {row[:2]: row for row in committed}
    for name in sorted(here.keys() | there.keys()):
        if here.get(name) == there.get(name):
            continue
        evidence = "the schedule differs from the cluster"
        if name not in there:
            evidence = "the schedule does not have it"
        elif name not in here:
            evidence = "the schedule has it, and the cluster does not"
        yield _finding(Verdict.FAIL, evidence, _WRITE, "/".join(name))


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
        yield tuple(map(_cell, cells))


def _text_of(table: Timetable) -> str:
    """Return the schedule of some values; empty without one."""
    on_request = ", on request" if table.on_request else ""
    match table.cadence:
        case Every(interval):
            return f"every {format_duration(interval)}{on_request}"
        case Cron(expression, zone):
            return f"at {expression} ({zone}){on_request}"
        case _:
            return ""


def _rotates(desired: Desired | None) -> str:
    if desired is None:
        return "unknown: see its status"
    if not any(item.recipe for item in desired.items):
        return "where it comes from"
    texts = ((one.own, _text_of(one)) for one in desired.timetables)
    if known := [f"{own}: {text}" if own else text for own, text in texts if text]:
        return "; ".join(known)
    if desired.target_policy.immutable:
        return "once"
    ends = any(generator_for(item.recipe).ends for item in desired.items if item.recipe)
    return "before it ends" if ends and not unscheduled(desired) else "never"


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
    """Parse the rows of a document, also as formatters leave it; of one namespace if only that is checked."""
    lines = (line.strip() for line in text.splitlines() if line.startswith("|"))
    rows = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines]
    return [
        row
        for row in rows
        if len(row) == len(_HEADER)
        and row[0] != _HEADER[0]
        and row[0].strip("-:")
        and namespace in {None, row[0]}
    ]


def _finding(verdict: Verdict, evidence: str, remedy: str = "", where: str = "") -> Finding:
    return Finding(Point.SCHEDULE, verdict, evidence, remedy, where)
