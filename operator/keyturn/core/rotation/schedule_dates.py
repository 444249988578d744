"""When a rotation is due by its schedule, the present one or the one that the status records.

A rotation that a new or changed schedule made overdue is spread, so that many are no storm of restarts.
The status records the schedule that applies, and since when. A process that stops at any line finds the record, or
observes the change again later; neither starts a rotation before its date.
"""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final, assert_never

from keyturn.api.base import format_duration, parse_duration
from keyturn.api.managedsecret import ManagedSecret
from keyturn.api.secretclass import SecretClass
from keyturn.api.status import ScheduleStatus
from keyturn.core.errors import Stalled
from keyturn.core.observation.observed import Managed, Observed, once
from keyturn.core.reasons import ConditionReason
from keyturn.core.spec.desired import Desired
from keyturn.core.spec.items import Timetable
from keyturn.core.spec.schedule import Cron, Every, check, longest_pause, next_due, share_of
from keyturn.core.times import to_second

_DEFAULT_PART = 10
"""Divisor: the spread is this part of the interval."""
_SALT = b"keyturn.dev/spread"
_ON_REQUEST = "on request"
_NEXT = "; "
_EVERY: Final = re.compile(r"every ([0-9smhdw]+), jitter ([0-9]{1,2})%")
_CRON: Final = re.compile(r"(.+) \((.+)\)")


def natural_dates(observed: Managed) -> Mapping[Timetable, datetime]:
    """Return when each schedule alone has its values due, whenever it began to apply."""
    state, uid = observed.state, observed.uid
    dates = (
        (one, next_due(one.cadence, state.dates.get(one.own, state.rotated), uid))
        for one in observed.desired.timetables
    )
    return {one: due for one, due in dates if due}


@once
def scheduled_dates(observed: Managed) -> Mapping[Timetable, datetime]:
    """Return when each schedule has its values due; a date before the schedule applied moves behind that time.

    Values that rotate on request only are due at once, because nothing starts then.
    """
    dates = natural_dates(observed)
    return {one: due if due >= observed.now else _moved(due, one, observed) for one, due in dates.items()}


def _moved(due: datetime, table: Timetable, observed: Managed) -> datetime:
    """Return the date of a rotation that is due by the schedule alone."""
    applied = applied_schedule(observed)
    if applied is None or table.cadence is None or table.on_request:
        return due
    spread = _spread(table.cadence, observed.secret_class)
    if not due < applied.since <= observed.now + spread:
        return due
    date = applied.since + timedelta(seconds=int(spread.total_seconds() * share_of(observed.uid, _SALT)))
    return min(date, applied.due_before) if applied.due_before else date


def spread_since(observed: Managed) -> datetime | None:
    """Return since when the schedule applies that made a rotation overdue, if it is not due yet."""
    moved = scheduled_dates(observed)
    is_spread = any(due < observed.now < moved[one] for one, due in natural_dates(observed).items())
    applied = applied_schedule(observed)
    return applied.since if applied and is_spread else None


def applied_schedule(observed: Observed) -> ScheduleStatus | None:
    """Return the schedule that applies and since when, as the status records it; None without a schedule."""
    known = observed.managed.status.schedule
    if not isinstance(observed, Managed):
        return known
    text = _text_of(observed.desired)
    if text is None:
        return None
    if known and known.text == text:
        return known
    return ScheduleStatus(text=text, **_beginning(known, observed))


def _beginning(known: ScheduleStatus | None, observed: Managed) -> dict[str, datetime]:
    """Return since when a schedule applies that the status does not have: now, unless it may be as old as the values.

    A new object shows no change of its schedule. A date that an earlier schedule had set is never postponed.
    """
    status = observed.managed.status
    planned = None if status.rotates_on_request else status.next_rotation_time
    if known is None and status.revision is None:
        return {"since": to_second(observed.state.rotated)}
    return {"since": to_second(observed.now)} | ({"due_before": planned} if planned else {})


def _text_of(desired: Desired) -> str | None:
    """Return what decides about the dates, as text; a schedule of a single value after the name of the value."""
    texts = ((one.own, text_of_schedule(one)) for one in desired.timetables)
    return _NEXT.join(f"{own}: {text}" if own else text for own, text in texts if text) or None


def text_of_schedule(table: Timetable) -> str | None:
    """Return an interval with its jitter, or an expression with its time zone; None without a schedule."""
    suffix = f", {_ON_REQUEST}" if table.on_request else ""
    match table.cadence:
        case None:
            return None
        case Every() as every:
            return f"every {format_duration(every.interval)}, jitter {every.jitter}%{suffix}"
        case Cron() as cron:
            return f"{cron.expression} ({cron.time_zone}){suffix}"
        case _:
            assert_never(table.cadence)


def recorded_due(
    managed: ManagedSecret,
    rotated: datetime | None,
    now: datetime,
    dates: Mapping[str, datetime] = MappingProxyType({}),
) -> datetime | None:
    """Return the second at which values of `rotated` are due by the schedule in the status; it needs no spec.

    `dates` has the time of each value that has a schedule of its own.
    """
    recorded = managed.status.schedule
    if recorded is None or rotated is None:
        return None
    texts = (one.rpartition(": ") for one in recorded.text.split(_NEXT))
    # A time in the future is that of a clock that was wrong.
    dues = (
        next_due(_cadence_of(text), min(dates.get(own, rotated), now), managed.metadata.uid)
        for own, _, text in texts
    )
    return min((to_second(due) for due in dues if due), default=None)


def _cadence_of(text: str) -> Every | Cron | None:
    """Return the cadence of a text by `_text_of`; None for any other text."""
    text = text.removesuffix(f", {_ON_REQUEST}")
    every, cron = _EVERY.fullmatch(text), _CRON.fullmatch(text)
    cadence: Every | Cron | None = Cron(cron[1], cron[2]) if cron else None
    try:
        if every:
            cadence = Every(parse_duration(every[1]), int(every[2]))
        check(cadence)
    except (ValueError, Stalled):
        return None
    return cadence


def _spread(cadence: Every | Cron, secret_class: SecretClass | None) -> timedelta:
    """Return the time over which overdue rotations are spread, at most an interval."""
    of_class = secret_class.spec.rotation if secret_class else None
    limit = of_class.spread if of_class else None
    pause = cadence.interval if isinstance(cadence, Every) else longest_pause(cadence)
    return pause / _DEFAULT_PART if limit is None else min(limit, pause)


# Without a spec that can be followed, or without the state


def last_known_time(observed: Observed) -> datetime | None:
    """Return the next date in the status; if the schedule did not set it, the date of the recorded schedule.

    A date before that of the schedule, and before a value expires, is that of an emergency, or of a request or a
    change in a store that waits for a window. Without the state it is unknown which values expire.
    """
    known, due = observed.managed.status.next_rotation_time, recorded_time(observed)
    if known is None or (due is not None and known >= due):
        return known or due
    return due if observed.state or _was_asked(observed) else known


def recorded_time(observed: Observed) -> datetime | None:
    """Return when values are due by the recorded schedule, or because one expires; stores renew leases."""
    state, managed = observed.state, observed.managed
    rotated, dates = (state.rotated, state.dates) if state else (managed.status.last_rotation_time, {})
    times = [recorded_due(managed, rotated, observed.now, dates)]
    if state:
        times += [
            to_second(life.renew) for name, life in state.lives.items() if name not in state.leases_by_item
        ]
    return min((time for time in times if time), default=None)


def stays_overdue(observed: Observed) -> bool:
    """Whether the rotation that was overdue by the status is still not done."""
    if not observed.managed.status.overdue:
        return False
    due = recorded_time(observed) if observed.state else None
    return due is None or due <= observed.now


def _was_asked(observed: Observed) -> bool:
    """Whether the last known rotation may have been asked for by something else than a date."""
    waits = ("Rotating", ConditionReason.WAITS_FOR_WINDOW)
    reported = ((one.type, one.reason) for one in observed.managed.status.conditions)
    return bool(observed.emergencies) or waits in reported
