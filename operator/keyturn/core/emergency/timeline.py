"""Stages of a declared emergency: deadlines, acknowledgements, and the timeline."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby
from typing import Final

from keyturn.api.emergency import AffectedSecret, AffectedState, EmergencyRotation, TimelineEntry
from keyturn.core.errors import Stalled
from keyturn.core.labels import ACKNOWLEDGE_AUDIT, ACKNOWLEDGE_REPORT
from keyturn.core.reasons import TimelineReason
from keyturn.core.texts import first_of
from keyturn.core.times import clock, to_second

_MAX_NAME_LENGTH: Final = 256
REPORT_FILE: Final = "report.md"
"""The key of the incident document in its ConfigMap."""


@dataclass(frozen=True, slots=True)
class ResponseStage:
    """What is to be done in an emergency until a deadline."""

    time: timedelta
    """From the declaration to the deadline."""
    task: str
    done: str
    near: timedelta | None = None
    """Lead time of the warning before the deadline, as in the alert KeyturnEmergencyDeadline."""
    annotation: str | None = None
    """What acknowledges it."""


STAGES: Final[Mapping[str, ResponseStage]] = {
    "Rotated": ResponseStage(
        timedelta(minutes=1),
        "Rotate the secrets (at once)",
        "every secret that is generated here is rotated",
    ),
    "ServicesUpdated": ResponseStage(
        timedelta(hours=1),
        "Update all services (1 hour)",
        "no pod holds earlier values",
        timedelta(minutes=15),
    ),
    "AccessAudited": ResponseStage(
        timedelta(hours=24),
        "Audit access logs (24 hours)",
        "the access audit is acknowledged",
        timedelta(hours=4),
        ACKNOWLEDGE_AUDIT,
    ),
    "Documented": ResponseStage(
        timedelta(hours=48),
        "Document the incident (48 hours)",
        "the incident document is acknowledged",
        timedelta(hours=8),
        ACKNOWLEDGE_REPORT,
    ),
}


@dataclass(frozen=True, slots=True)
class EmergencyFacts:
    """Observation of an EmergencyRotation."""

    now: datetime
    """The API server's time."""
    emergency: EmergencyRotation
    declared_by: str
    rows: tuple[AffectedSecret, ...]
    trouble: Stalled | None = None
    """The error that keeps the report from being written."""
    refused: Stalled | None = None
    """The error that keeps the whole emergency from being handled."""
    contacts: Mapping[str, str] = field(default_factory=dict)
    """Contacts of the organisation by role."""
    absent: str | None = None
    """Which of the named values no selected secret has, and which there are."""
    lacks_document: bool = False
    """Whether every stage is reached, but the document does not have the last one."""

    @property
    def started(self) -> datetime:
        return self.emergency.metadata.creation_timestamp or self.now


def deadlines_of(started: datetime) -> dict[str, datetime]:
    return {name: started + stage.time for name, stage in STAGES.items()}


def open_stages(emergency: EmergencyRotation) -> dict[str, datetime]:
    """Return the deadlines of the stages that the status does not have as done."""
    status, started = emergency.status, emergency.metadata.creation_timestamp
    if started is None:
        return {}
    return {stage: time for stage, time in deadlines_of(started).items() if status.stage_times[stage] is None}


def report_name(emergency: EmergencyRotation) -> str:
    return f"{emergency.metadata.name}-report"


def who_acknowledges(emergency: EmergencyRotation, annotation: str) -> str | None:
    """Return the name in an acknowledging annotation, on one line of at most 256 characters; None if it is empty."""
    value = emergency.metadata.annotations.get(annotation, "")
    clean = "".join(letter if letter.isprintable() else " " for letter in value)
    return " ".join(clean.split())[:_MAX_NAME_LENGTH] or None


OPERATOR: Final = "keyturn"
_DETAIL: Final = "Secret"
_MAX_DETAILS: Final = 200
"""Maximum of entries about single secrets.

Later ones are counted in the last of their kind, and `secrets` is complete.
"""
_MAX_NAMES: Final = 20
_SENTENCES: Final[Mapping[AffectedState, str]] = {
    AffectedState.ROTATED: "new values are in the Secrets of",
    AffectedState.ROLLED_OUT: "no pod holds earlier values of",
    AffectedState.PODS_UNKNOWN: "whether pods hold earlier values is unknown, because they may not be listed, of",
    AffectedState.RELOAD_UNPROVEN: "whether workloads have read changed files again is not proven of",
    AffectedState.FAILED: "a rollout failed, or was rolled back, of",
    AffectedState.SUSPENDED: "nothing is written, since it is suspended, of",
    AffectedState.STALLED: "manual action is required for",
    AffectedState.NOTHING_TO_ROTATE: "no value is generated for",
    AffectedState.NOT_FOUND: "there is no ManagedSecret",
}


def timeline_of(found: EmergencyFacts, stamps: Mapping[str, datetime | None]) -> list[TimelineEntry]:
    """Return the timeline with new entries; reason and time identify an entry about the whole emergency."""
    timeline = list(found.emergency.status.timeline)
    recorded = {(entry.reason, entry.time) for entry in timeline}
    declared, *stages = _of_stages(found, stamps)
    for entry in sorted((declared, *_of_secrets(found), *stages), key=lambda one: one.time):
        if entry.reason.startswith(_DETAIL):
            timeline = _with_detail(timeline, entry)
        elif (entry.reason, entry.time) not in recorded:
            timeline.append(entry)
    return timeline


def _of_stages(found: EmergencyFacts, stamps: Mapping[str, datetime | None]) -> Iterator[TimelineEntry]:
    """Yield the entries that occur once: declaration, stages and deadlines."""
    what = f"declared: {found.emergency.spec.reason}"
    yield _entry(found.started, TimelineReason.DECLARED, what, _unverified(found.declared_by))
    for name, stage in STAGES.items():
        due = found.started + stage.time
        stamp = stamps[name]
        end = stamp or found.now
        if stamp:
            by = (
                _unverified(who_acknowledges(found.emergency, stage.annotation)) if stage.annotation else None
            )
            yield _entry(stamp, name, stage.done, by or OPERATOR)
        if end > due:
            yield _entry(due, TimelineReason.DEADLINE_MISSED, f"{name} was due at {clock(due)}")
        elif stamp is None and stage.near and end >= due - stage.near:
            yield _entry(due - stage.near, TimelineReason.DEADLINE_NEAR, f"{name} is due at {clock(due)}")


def _unverified(name: str | None) -> str:
    """Mark a name that a client may choose; the API server's audit log has the account."""
    return f"{name or 'unknown'} (not verified)"


def _of_secrets(found: EmergencyFacts) -> Iterator[TimelineEntry]:
    """Yield an entry for each state that secrets have reached now, with their number."""
    before = {row.name: row for row in found.emergency.status.secrets}
    order = list(AffectedState)
    turned = [
        row
        for row in found.rows
        if row.state in _SENTENCES and not ((known := before.get(row.name)) and known.state is row.state)
    ]
    by_state = sorted(turned, key=lambda row: order.index(row.state))
    for state, group in groupby(by_state, key=lambda row: row.state):
        rows = list(group)
        names = first_of([row.name for row in rows], _MAX_NAMES)
        time = max(_reached(row, before.get(row.name), found.now) for row in rows)
        entry = _entry(time, TimelineReason(f"{_DETAIL}{state}"), f"{_SENTENCES[state]} {names}")
        yield entry.model_copy(update={"count": len(rows) if len(rows) > 1 else None})


def _reached(row: AffectedSecret, before: AffectedSecret | None, now: datetime) -> datetime:
    """Return when a row reached its state: at the first rotation when it was rotated, else now.

    A secret that was rotated or rolled back before has entries since then, which this one follows.
    """
    is_first = before is None or (before.rotated_at is None and before.state is not AffectedState.FAILED)
    return row.rotated_at or now if row.state is AffectedState.ROTATED and is_first else now


def _with_detail(timeline: list[TimelineEntry], new: TimelineEntry) -> list[TimelineEntry]:
    """Append an entry, or count it in the last of its kind if there are _MAX_DETAILS entries."""
    same = [place for place, entry in enumerate(timeline) if entry.reason == new.reason]
    details = sum(entry.reason.startswith(_DETAIL) for entry in timeline)
    if not same or details < _MAX_DETAILS:
        return [*timeline, new]
    last = timeline[same[-1]]
    counted = last.model_copy(update={"count": (last.count or 1) + (new.count or 1), "until": new.time})
    return [*timeline[: same[-1]], counted, *timeline[same[-1] + 1 :]]


def _entry(time: datetime, reason: str, what: str, who: str = OPERATOR) -> TimelineEntry:
    return TimelineEntry(time=to_second(time), reason=reason, what=what, who=who)
