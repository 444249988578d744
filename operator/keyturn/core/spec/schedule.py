"""Schedule of rotations: interval or cron expression, from spec, class or default; due times, windows and overlap."""

import functools
import hashlib
import hmac
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise, takewhile
from typing import assert_never
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from keyturn.api.base import format_duration
from keyturn.api.rotation import AppliedBy, Cadence, Timing
from keyturn.core.errors import Stalled
from keyturn.core.reasons import ErrorReason

_UTC = "UTC"
_DEFAULT_JITTER = 10
_DEFAULT_OVERLAP = timedelta(hours=1)
_MIN_INTERVAL = timedelta(seconds=10)
_MIN_WINDOW = timedelta(minutes=1)
_FIELDS = (
    ("minute", "0 to 59"),
    ("hour", "0 to 23"),
    ("day of month", "1 to 31 or L"),
    ("month", "1 to 12 or JAN to DEC"),
    ("day of week", "0 to 7 or SUN to SAT"),
)
# Schedules are validated on this fixed range, so the result does not depend on the date: frequent ones by at most 400
# times, rare ones over ten years.
_FIRST_DAY, _LAST_DAY = datetime(2026, 1, 1, tzinfo=UTC), datetime(2036, 1, 1, tzinfo=UTC)
_MIN_TIMES, _MAX_TIMES = 2, 400


@dataclass(frozen=True, slots=True)
class Every:
    """Rotation by interval, up to `jitter` percent of it earlier."""

    interval: timedelta
    jitter: int


@dataclass(frozen=True, slots=True)
class Cron:
    """Rotation at fixed points in time."""

    expression: str
    time_zone: str


@dataclass(frozen=True, slots=True)
class Window:
    """Period in which a rotation may start: `duration` from each time of `opens`."""

    opens: Cron
    duration: timedelta


def cadence_of(*cadences: Timing | None) -> Every | Cron | None:
    """Return the first cadence that is set, or None; the jitter may come from a later one."""
    for cadence in cadences:
        if cadence and cadence.schedule:
            return Cron(cadence.schedule.cron, cadence.schedule.time_zone or _UTC)
        if cadence and cadence.every:
            jitters = (one.jitter for one in cadences if isinstance(one, Cadence) and one.jitter)
            return Every(cadence.every, int(next(jitters, f"{_DEFAULT_JITTER}%").removesuffix("%")))
    return None


def windows_of(*cadences: Cadence | None) -> tuple[Window, ...]:
    """Return the windows of the first cadence that sets them, even to an empty list."""
    named = (cadence.windows for cadence in cadences if cadence and cadence.windows is not None)
    return tuple(
        Window(Cron(window.cron, window.time_zone or _UTC), window.duration) for window in next(named, ())
    )


def overlap_of(cadences: Iterable[Timing | None]) -> timedelta:
    written = (cadence.overlap for cadence in cadences if cadence and cadence.overlap is not None)
    return next(written, _DEFAULT_OVERLAP)


def applied_by_of(*cadences: Timing | None) -> AppliedBy | None:
    """Return the first statement about what applies a new value outside of the Secret, or None."""
    return next((cadence.applied_by for cadence in cadences if cadence and cadence.applied_by), None)


def next_due(cadence: Every | Cron | None, last: datetime, uid: str) -> datetime | None:
    """Return when values generated at `last` are due, or None for no cadence.

    Missed due dates count as one, because the result depends on `last` only.
    """
    match cadence:
        case None:
            return None
        case Every():
            return last + cadence.interval - _jitter(cadence, uid)
        case Cron():
            return _next_tick(cadence, last)
        case _:
            assert_never(cadence)


def shortest_interval(cadence: Every | Cron | None) -> timedelta | None:
    """Return the shortest time between two rotations; None for no cadence."""
    match cadence:
        case Every():
            return cadence.interval * (100 - cadence.jitter) / 100
        case Cron():
            return shortest_pause(cadence)
        case None:
            return None
        case _:
            assert_never(cadence)


# Windows


def is_open(windows: tuple[Window, ...], now: datetime) -> bool:
    """Whether a rotation may start now: always without windows."""
    return not windows or bool(_open_since(windows, now))


def opening(windows: tuple[Window, ...], after: datetime) -> datetime:
    """Return the first time at or after `after` at which a rotation may start."""
    if is_open(windows, after):
        return after
    return min(_next_tick(window.opens, after) for window in windows)


def starts_at(due: datetime, windows: tuple[Window, ...], now: datetime) -> datetime:
    """Return when a rotation due at `due` starts, or since when it could have started.

    A window that has closed unused counts no more; the next opening follows.
    """
    if not windows:
        return due
    if now <= due:
        return opening(windows, due)
    since = _open_since(windows, now)
    return max(due, min(since)) if since else opening(windows, now)


def _open_since(windows: tuple[Window, ...], now: datetime) -> list[datetime]:
    """Return the opening times of the windows that are open now."""
    # The first opening whose window ends after `now`: if it is in the past, the window is open.
    opened = (_next_tick(window.opens, now - window.duration) for window in windows)
    return [moment for moment in opened if moment <= now]


# Checks that the CRD schema cannot do.


def check(cadence: Every | Cron | None, windows: tuple[Window, ...] = (), value: str = "") -> None:
    """Validate a cadence, of `value` if it has its own, and windows.

    Raises:
        Stalled: InvalidSchedule, with what to write instead.
    """
    if flaw := _flaw(cadence, windows):
        raise Stalled(ErrorReason.INVALID_SCHEDULE, f"data item {value!r}: {flaw}" if value else flaw)


@functools.lru_cache(maxsize=1024)
def _flaw(cadence: Every | Cron | None, windows: tuple[Window, ...]) -> str | None:
    return next(_flaws(cadence, windows), None)


def _flaws(cadence: Every | Cron | None, windows: tuple[Window, ...]) -> Iterator[str]:
    match cadence:
        case Every() if cadence.interval < _MIN_INTERVAL:
            yield "rotation.every is too short; write 10s or longer"
        case Cron():
            yield from _flaws_of_cron(cadence, "rotation.schedule")
    for place, window in enumerate(windows):
        field = f"rotation.windows[{place}]"
        yield from _flaws_of_cron(window.opens, field)
        if window.duration < _MIN_WINDOW:
            yield f"{field}.duration is too short; write 1m or longer"
        elif _never_closes(window):
            yield f"{field} opens again before it has closed and is always open; write a shorter duration"


def _flaws_of_cron(cron: Cron, field: str) -> Iterator[str]:
    if not _has_zone(cron):
        yield f"{field}.timeZone {cron.time_zone!r} is unknown; write an IANA name such as Europe/Berlin"
    elif flaw := _flaw_of_syntax(cron.expression):
        yield f"{field}.cron {cron.expression!r} {flaw}"
    elif not _has_times(cron):
        yield f"{field}.cron {cron.expression!r} never comes; write a date that exists"


def _has_zone(cron: Cron) -> bool:
    try:
        ZoneInfo(cron.time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: a region alone, such as Europe
        return False
    return True


def _flaw_of_syntax(expression: str) -> str | None:
    """Check each field separately: CronSim reports a date that does not exist like a syntax error."""
    fields = expression.split()
    if len(fields) != len(_FIELDS):
        return (
            "is no cron expression;"
            ' write minute, hour, day of month, month and day of week, such as "0 3 1 */3 *"'
        )
    for place, (field, (name, limits)) in enumerate(zip(fields, _FIELDS, strict=True)):
        if not _parses(field, place):
            return f"has the invalid {name} {field!r}; write *, {limits}, or a range from low to high"
    return None


def _parses(field: str, place: int) -> bool:
    alone = ["*"] * len(_FIELDS)
    alone[place] = field
    try:
        CronSim(" ".join(alone), _FIRST_DAY)
    except CronSimError:
        return False
    return True


def _has_times(cron: Cron) -> bool:
    try:
        return any(True for _ in _ticks(cron, _FIRST_DAY))
    except CronSimError:
        return False


def _never_closes(window: Window) -> bool:
    moments = _sample(window.opens)
    shows_all = moments[-1] - moments[0] >= _repeats_after(window.opens)
    return shows_all and longest_pause(window.opens) <= window.duration


def _repeats_after(cron: Cron) -> timedelta:
    """Return the period after which a usual schedule repeats."""
    _, hour, day, month, weekday = cron.expression.split()
    if (day, month) != ("*", "*"):
        return timedelta(days=366)
    if weekday != "*":
        return timedelta(days=7)
    return timedelta(hours=1) if hour == "*" else timedelta(days=1)


# Jitter and overlap, with the cadence of the class


def check_jitter(written: Cadence | None, cadence: Every | Cron | None) -> None:
    """Check that there is an interval that the jitter of the spec can spread.

    Raises:
        Stalled: InvalidSchedule, with what to write instead.
    """
    if written is None or written.jitter is None or isinstance(cadence, Every):
        return
    has = "has a schedule, which is exact" if cadence else "has no every"
    raise Stalled(
        ErrorReason.INVALID_SCHEDULE,
        f"rotation.jitter spreads every, and the class {has}; remove jitter, or write every",
    )


def check_overlap(
    cadence: Every | Cron | None,
    overlap: timedelta,
    max_overlap: timedelta | None,
    keeping: str | None,
    template: str | None = None,
) -> None:
    """Check that the overlap can last as the spec says.

    `keeping` is an item with keepPrevious, `template` one that reads previous values.

    Raises:
        Stalled: InvalidSchedule, with what to write instead.
    """
    flaw = None
    if max_overlap is not None and max_overlap < overlap:
        flaw = (
            f"rotation.maxOverlap ({format_duration(max_overlap)}) ends the overlap before rotation.overlap"
            f" ({format_duration(overlap)}) is over; write a longer maxOverlap"
        )
    elif keeping is not None and not overlap:
        flaw = (
            f"keepPrevious of data item {keeping!r} lasts as long as rotation.overlap, which is 0;"
            " write an overlap, or remove keepPrevious"
        )
    elif (keeping is not None or template is not None) and (cut := _flaw_of_overlap(cadence, overlap)):
        flaw = cut if keeping is not None else f"template {template!r} reads previous values, and {cut}"
    if flaw:
        raise Stalled(ErrorReason.INVALID_SCHEDULE, flaw)


def check_gather(gather: timedelta | None, cadences: Iterable[Every | Cron | None]) -> None:
    """Check that values do not rotate together each time because of rotation.gather.

    Raises:
        Stalled: InvalidSchedule, with what to write instead.
    """
    shortest = min((pause for one in cadences if (pause := shortest_interval(one))), default=None)
    if gather and shortest and gather >= shortest:
        raise Stalled(
            ErrorReason.INVALID_SCHEDULE,
            f"rotation.gather ({format_duration(gather)}) is as long as the shortest interval, so that every value"
            " would rotate each time; write a shorter one",
        )


def _flaw_of_overlap(cadence: Every | Cron | None, overlap: timedelta) -> str | None:
    pause = shortest_interval(cadence)
    if pause is None or overlap < pause:
        return None
    return (
        f"rotation.overlap ({format_duration(overlap)}) lasts until the next rotation, which can come after"
        f" {format_duration(pause)} and ends it; write a shorter overlap"
    )


# Times of a schedule.


@functools.lru_cache(maxsize=1024)
def longest_pause(cron: Cron) -> timedelta:
    """Return the longest time between two consecutive times of a schedule, estimated from at most 400 of them."""
    return max(later - earlier for earlier, later in pairwise(_sample(cron)))


@functools.lru_cache(maxsize=1024)
def shortest_pause(cron: Cron) -> timedelta:
    """Return the shortest time between two consecutive times of a schedule, from the same sample."""
    return min(later - earlier for earlier, later in pairwise(_sample(cron)))


def _sample(cron: Cron) -> list[datetime]:
    """Return times of a schedule in UTC, without daylight saving: at least 2, at most 400."""
    moments = islice(_ticks(replace(cron, time_zone="UTC"), _FIRST_DAY), _MAX_TIMES)
    first = list(islice(moments, _MIN_TIMES))
    return [*first, *takewhile(lambda moment: moment < _LAST_DAY, moments)]


def _jitter(cadence: Every, uid: str) -> timedelta:
    # Derived from the UID: stable over restarts and different per object, so secrets created together are not rotated
    # together.
    fraction = share_of(uid, b"keyturn.dev/jitter")
    seconds = cadence.interval.total_seconds() * cadence.jitter / 100 * fraction
    return timedelta(seconds=int(seconds))


def share_of(uid: str, salt: bytes) -> float:
    """Return a number of 0 to 1 (excluded) that is fixed for an object, and independent for each salt."""
    digest = hmac.digest(uid.encode(), salt, hashlib.sha256)
    return int.from_bytes(digest[:8]) / 2**64


# Cached: a reconcile computes the same next time about ten times, and it stays the same between reconciles.
@functools.lru_cache(maxsize=4096)
def _next_tick(cron: Cron, after: datetime) -> datetime:
    return next(_ticks(cron, after))


def _ticks(cron: Cron, after: datetime) -> Iterator[datetime]:
    """Yield the times of a schedule after `after`; none if it has none."""
    for local in CronSim(cron.expression, after.astimezone(ZoneInfo(cron.time_zone))):
        moment = local.astimezone(UTC)
        # In the repeated hour of a clock change, CronSim can return a time that is not after `after`.
        if moment > after:
            yield moment
