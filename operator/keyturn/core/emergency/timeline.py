"""Stages of a declared emergency: facts, deadlines, acknowledgements, and entries of the timeline."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby

from keyturn.api.emergency import AffectedSecret, AffectedState, EmergencyRotation, TimelineEntry
from keyturn.core.errors import Stalled
from keyturn.core.labels import ACKNOWLEDGE_AUDIT, ACKNOWLEDGE_REPORT
from keyturn.core.reasons import TimelineReason
from keyturn.core.texts import first_of
from keyturn.core.times import to_second

STAGES: Mapping[str, timedelta] = {
    "Rotated": timedelta(minutes=1),  # "at once"
    "ServicesUpdated": timedelta(hours=1),
    "AccessAudited": timedelta(hours=24),
    "Documented": timedelta(hours=48),
}
"""Deadline of each stage, from the declaration."""
NEAR: Mapping[str, timedelta] = {
    "ServicesUpdated": timedelta(minutes=15),
    "AccessAudited": timedelta(hours=4),
    "Documented": timedelta(hours=8),
}
"""Lead time of the warning before a deadline, as in the alert KeyturnEmergencyDeadline."""


def deadlines_of(started: datetime) -> Mapping[str, datetime]:
    return {stage: started + pause for stage, pause in STAGES.items()}


_MAX_NAME_LENGTH = 256


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
    lacks_document: bool = False
    """Whether every stage is reached, but the document does not have the last one."""

    @property
    def started(self) -> datetime:
        return self.emergency.metadata.creation_timestamp or self.now


def report_name(emergency: EmergencyRotation) -> str:
    return f"{emergency.metadata.name}-report"


def who_acknowledges(emergency: EmergencyRotation, annotation: str) -> str | None:
    """Return the name in an acknowledging annotation, on one line of at most 256 characters; None if it is empty."""
    value = emergency.metadata.annotations.get(annotation, "")
    clean = "".join(letter if letter.isprintable() else " " for letter in value)
    return " ".join(clean.split())[:_MAX_NAME_LENGTH] or None


OPERATOR = "keyturn"
_DETAIL = "Secret"
_MAX_DETAILS = 200
"""Maximum of entries about single secrets.

Later ones are counted in the last of their kind, and `secrets` is complete.
"""
_MAX_NAMES = 20
_SENTENCES: Mapping[AffectedState, str] = {
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
_STAGES: Mapping[str, str] = {
    "Rotated": "every secret that is generated here is rotated",
    "ServicesUpdated": "no pod holds earlier values",
    "AccessAudited": "the access audit is acknowledged",
    "Documented": "the incident document is acknowledged",
}
_ANNOTATIONS = {"AccessAudited": ACKNOWLEDGE_AUDIT, "Documented": ACKNOWLEDGE_REPORT}
_RANKS: Mapping[str, int] = {
    TimelineReason.DECLARED: 0,
    TimelineReason.SECRET_ROTATED: 1,
    TimelineReason.ROTATED: 2,
}
"""Causal order of entries of the same second, before all others."""


def added(
    found: EmergencyFacts, stamps: Mapping[str, datetime | None], deadlines: Mapping[str, datetime]
) -> list[TimelineEntry]:
    """Return the timeline with new entries; reason and time identify an entry about the whole emergency."""
    timeline = list(found.emergency.status.timeline)
    recorded = {(entry.reason, entry.time) for entry in timeline}
    stages = [
        entry for entry in _of_stages(found, stamps, deadlines) if (entry.reason, entry.time) not in recorded
    ]
    for entry in sorted([*stages, *_of_secrets(found)], key=_order):
        timeline = _with_detail(timeline, entry) if entry.reason.startswith(_DETAIL) else [*timeline, entry]
    return timeline


def _order(one: TimelineEntry) -> tuple[datetime, int]:
    """Sort key: entries of the same second are in causal order."""
    return one.time, _RANKS.get(one.reason, len(_RANKS) + (one.reason in _STAGES))


def _of_stages(
    found: EmergencyFacts, stamps: Mapping[str, datetime | None], deadlines: Mapping[str, datetime]
) -> list[TimelineEntry]:
    """Return the entries that occur once: declaration, stages and deadlines."""
    entries = [
        _entry(
            found.started,
            TimelineReason.DECLARED,
            f"declared: {found.emergency.spec.reason}",
            _unverified(found.declared_by),
        )
    ]
    for stage, stamp in stamps.items():
        due, end = deadlines[stage], stamp or found.now
        if stamp:
            entries.append(_entry(stamp, stage, _STAGES[stage], _who(found, stage)))
        if end > due:
            entries.append(
                _entry(due, TimelineReason.DEADLINE_MISSED, f"{stage} was due at {due:%Y-%m-%d %H:%M:%S} UTC")
            )
        elif stamp is None and stage in NEAR and end >= due - NEAR[stage]:
            what = f"{stage} is due at {due:%Y-%m-%d %H:%M:%S} UTC"
            entries.append(_entry(due - NEAR[stage], TimelineReason.DEADLINE_NEAR, what))
    return entries


def _who(found: EmergencyFacts, stage: str) -> str:
    name = _ANNOTATIONS.get(stage)
    return _unverified(who_acknowledges(found.emergency, name)) if name else OPERATOR


def _unverified(name: str | None) -> str:
    """Mark a name that a client may choose; the API server's audit log has the account."""
    return f"{name or 'unknown'} (not verified)"


def _of_secrets(found: EmergencyFacts) -> Iterator[TimelineEntry]:
    before = {row.name: row for row in found.emergency.status.secrets}
    turned = [row for row in found.rows if row.state in _SENTENCES and _is_new(row, before.get(row.name))]
    order = list(AffectedState)
    by_state = sorted(turned, key=lambda row: order.index(row.state))
    for state, rows in groupby(by_state, key=lambda row: row.state):
        some = list(rows)
        what = f"{_SENTENCES[state]} {_named(some)}"
        count = len(some) if len(some) > 1 else None
        time = max(_time(row, before.get(row.name), found.now) for row in some)
        yield _entry(time, TimelineReason(f"{_DETAIL}{state}"), what).model_copy(update={"count": count})


def _is_new(row: AffectedSecret, before: AffectedSecret | None) -> bool:
    return before is None or before.state is not row.state


def _time(row: AffectedSecret, before: AffectedSecret | None, now: datetime) -> datetime:
    """Return when a row reached its state: at the first rotation when it was rotated, else now.

    A secret that was rotated or rolled back before has entries since then, which this one follows.
    """
    is_first = before is None or (before.rotated_at is None and before.state is not AffectedState.FAILED)
    return row.rotated_at or now if row.state is AffectedState.ROTATED and is_first else now


def _named(rows: list[AffectedSecret]) -> str:
    return first_of([row.name for row in rows], _MAX_NAMES)


def _with_detail(timeline: list[TimelineEntry], new: TimelineEntry) -> list[TimelineEntry]:
    """Append an entry, or count it in the last of its kind if there are _MAX_DETAILS entries."""
    same = [place for place, entry in enumerate(timeline) if entry.reason == new.reason]
    details = sum(entry.reason.startswith(_DETAIL) for entry in timeline)
    if not same or details < _MAX_DETAILS:
        return [*timeline, new]
    place = same[-1]
    last = timeline[place]
    counted = last.model_copy(update={"count": (last.count or 1) + (new.count or 1), "until": new.time})
    return [*timeline[:place], counted, *timeline[place + 1 :]]


def _entry(time: datetime, reason: str, what: str, who: str = OPERATOR) -> TimelineEntry:
    return TimelineEntry(time=to_second(time), reason=reason, what=what, who=who or "unknown")
