"""Times and durations: the precision of the API, whole seconds, and the form for people; exponential back-off."""

from datetime import datetime, timedelta
from typing import TypeVar

NOTHING = "-"
_UNITS = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))
_SINGLE_UNIT_FROM = {"d": 8, "h": 8, "m": 10, "s": 0}
"""By unit, the count from which on the next smaller unit is left out."""


def time_of(text: str | None) -> datetime | None:
    """Return the time in an annotation, with time zone; None if a user wrote something else into it."""
    try:
        time = datetime.fromisoformat(text) if text else None
    except ValueError:
        return None
    return time if time and time.tzinfo else None


def to_second(time: datetime) -> datetime:
    """Return a time without its fraction of a second, as the API server keeps it."""
    return time.replace(microsecond=0)


def may_precede(time: datetime, change: datetime) -> bool:
    """Whether something may have happened before a change: in whole seconds, also in the second of the change."""
    return time <= change


def pause_end(last: datetime | None, pause: timedelta, now: datetime) -> datetime | None:
    """Return when the pause since the last time ends; None if it is over, or if the clock was set back since."""
    return last + pause if last is not None and last <= now < last + pause else None


def length(time: timedelta) -> str:
    """Format a duration in one or two units, such as 45s, 3h20m or 89d."""
    rest, counts = max(0, int(time.total_seconds())), []
    for unit, seconds in _UNITS:
        count, rest = divmod(rest, seconds)
        counts.append((count, unit))
    first = next((place for place, (count, _) in enumerate(counts) if count), len(counts) - 1)
    (count, unit), *smaller = counts[first:]
    more = "".join(f"{one}{name}" for one, name in smaller[:1] if one and count < _SINGLE_UNIT_FROM[unit])
    return f"{count}{unit}{more}"


def since(time: datetime | None, now: datetime) -> str:
    """Format the time since `time`, or "-" for None."""
    return NOTHING if time is None else length(now - time)


def until(time: datetime | None, now: datetime) -> str:
    """Format the time until `time`, such as "in 3h", or how late it is."""
    if time is None:
        return NOTHING
    return f"in {length(time - now)}" if time >= now else f"{length(now - time)} late"


def clock(time: datetime) -> str:
    """Format a time like log timestamps, in UTC."""
    return f"{time:%Y-%m-%d %H:%M:%S} UTC"


_MAX_DOUBLINGS = 16
"""Beyond it a pause would overflow after days of failures."""

T = TypeVar("T", float, "timedelta")


def backoff(first: T, attempts: int, longest: T) -> T:
    """Return the pause after failures in a row: `first`, doubled with each further one, at most `longest`."""
    return min(first * 2.0 ** min(max(attempts - 1, 0), _MAX_DOUBLINGS), longest)
