"""What an emergency's timeline gets: each thing once, in order, and nothing is ever taken out."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from keyturn.api.emergency import AffectedState, TimelineEntry
from keyturn.core.labels import ACKNOWLEDGE_AUDIT, ACKNOWLEDGE_REPORT

from .deadlines import NEAR, who_acknowledges

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from keyturn.api.emergency import AffectedSecret

    from .deadlines import EmergencyFacts

__all__ = ["DEADLINE_MISSED", "DEADLINE_NEAR", "DECLARED", "OPERATOR", "added"]

OPERATOR = "keyturn"
DECLARED = "Declared"
DEADLINE_MISSED = "DeadlineMissed"
DEADLINE_NEAR = "DeadlineNear"
_DETAIL = "Secret"
_MOST_DETAILS = 200
"""Entries about single secrets; what comes after is counted into the last of its kind, and `secrets` has it all."""
_MOST_NAMES = 20
_SENTENCES: Mapping[AffectedState, str] = {
    AffectedState.ROTATED: "new values are in the Secrets of",
    AffectedState.ROLLED_OUT: "every workload runs on the new values of",
    AffectedState.FAILED: "a rollout failed, or was taken back, of",
    AffectedState.SUSPENDED: "nothing is written, since it is suspended, of",
    AffectedState.STALLED: "a person must act for",
    AffectedState.NOTHING_TO_ROTATE: "nothing is generated here of",
    AffectedState.NOT_FOUND: "there is no ManagedSecret",
}
_STAGES: Mapping[str, str] = {
    "Rotated": "every secret that is generated here is rotated",
    "ServicesUpdated": "every workload runs on the new values",
    "AccessAudited": "the access audit is acknowledged",
    "Documented": "the incident document is acknowledged",
}
_ANNOTATIONS = {"AccessAudited": ACKNOWLEDGE_AUDIT, "Documented": ACKNOWLEDGE_REPORT}


def added(
    found: EmergencyFacts, stamps: Mapping[str, datetime | None], deadlines: Mapping[str, datetime]
) -> list[TimelineEntry]:
    """Return the timeline with all that is new; a reason and a time identify an entry about the whole."""
    timeline = list(found.emergency.status.timeline)
    told = {(one.reason, one.time) for one in timeline}
    stages = [one for one in _of_stages(found, stamps, deadlines) if (one.reason, one.time) not in told]
    for one in sorted([*stages, *_of_secrets(found)], key=_order):
        timeline = _with_detail(timeline, one) if one.reason.startswith(_DETAIL) else [*timeline, one]
    return timeline


def _order(one: TimelineEntry) -> tuple[datetime, int]:
    """Tell of what happened in the same second as it follows from each other."""
    ranks = [DECLARED, "SecretRotated", "Rotated"]
    return one.time, ranks.index(one.reason) if one.reason in ranks else len(ranks) + (one.reason in _STAGES)


def _of_stages(
    found: EmergencyFacts, stamps: Mapping[str, datetime | None], deadlines: Mapping[str, datetime]
) -> list[TimelineEntry]:
    """Tell what happens once."""
    told = [_entry(found.started, DECLARED, f"declared: {found.emergency.spec.reason}", found.declared_by)]
    for stage, stamp in stamps.items():
        due, end = deadlines[stage], stamp or found.now
        if stamp:
            told.append(_entry(stamp, stage, _STAGES[stage], _who(found, stage)))
        if end > due:
            told.append(_entry(due, DEADLINE_MISSED, f"{stage} was due at {due:%Y-%m-%d %H:%M:%S} UTC"))
        elif stamp is None and stage in NEAR and end >= due - NEAR[stage]:
            what = f"{stage} is due at {due:%Y-%m-%d %H:%M:%S} UTC"
            told.append(_entry(due - NEAR[stage], DEADLINE_NEAR, what))
    return told


def _who(found: EmergencyFacts, stage: str) -> str:
    name = _ANNOTATIONS.get(stage)
    return (who_acknowledges(found.emergency, name) if name else None) or OPERATOR


def _of_secrets(found: EmergencyFacts) -> Iterator[TimelineEntry]:
    before = {one.name: one.state for one in found.emergency.status.secrets}
    turned = [one for one in found.rows if one.state in _SENTENCES and before.get(one.name) is not one.state]
    order = list(AffectedState)
    by_state = sorted(turned, key=lambda one: order.index(one.state))
    for state, rows in groupby(by_state, key=lambda one: one.state):
        some = list(rows)
        what = f"{_SENTENCES[state]} {_named(some)}"
        count = len(some) if len(some) > 1 else None
        yield _entry(_time(some, found.now), f"{_DETAIL}{state}", what).model_copy(update={"count": count})


def _time(rows: list[AffectedSecret], now: datetime) -> datetime:
    """Say when the last of them turned, as far as that was noted."""
    if rows[0].state is AffectedState.ROTATED:
        return max(one.rotated_at or now for one in rows)
    return now


def _named(rows: list[AffectedSecret]) -> str:
    names = [one.name for one in rows]
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more


def _with_detail(timeline: list[TimelineEntry], new: TimelineEntry) -> list[TimelineEntry]:
    """Put an entry at the end, or count it into the last of its kind where there are many already."""
    same = [place for place, one in enumerate(timeline) if one.reason == new.reason]
    details = sum(one.reason.startswith(_DETAIL) for one in timeline)
    if not same or details < _MOST_DETAILS:
        return [*timeline, new]
    place = same[-1]
    last = timeline[place]
    counted = last.model_copy(update={"count": (last.count or 1) + (new.count or 1), "until": new.time})
    return [*timeline[:place], counted, *timeline[place + 1 :]]


def _entry(time: datetime, reason: str, what: str, who: str = OPERATOR) -> TimelineEntry:
    return TimelineEntry(time=time.replace(microsecond=0), reason=reason, what=what, who=who or "unknown")
