"""When a managed secret is due for new values."""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from typing import assert_never
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from .errors import Stalled
from .wanted import Cron, Every

__all__ = ["check", "next_due"]

_SHORTEST = timedelta(seconds=10)


def next_due(cadence: Every | Cron | None, last: datetime, uid: str) -> datetime | None:
    """Return when values made at `last` are due, or None if never.

    Several due dates that went by unseen count as one: the answer depends on `last` only.
    """
    match cadence:
        case None:
            return None
        case Every():
            return last + cadence.interval - _taken_off(cadence, uid)
        case Cron():
            return _next_tick(cadence, last)
        case _:
            assert_never(cadence)


def check(cadence: Every | Cron | None) -> None:
    """Refuse a cadence that the schema cannot judge.

    Raises:
        Stalled: With what to write instead.
    """
    match cadence:
        case Every() if cadence.interval < _SHORTEST:
            raise Stalled("InvalidSchedule", "rotation.every is too short; write 10s or longer")
        case Cron():
            _next_tick(cadence, datetime(2026, 1, 1, tzinfo=UTC))


def _taken_off(cadence: Every, uid: str) -> timedelta:
    # Derived from the UID, so that it is the same after every restart and differs between objects:
    # secrets created together do not all turn together.
    digest = hmac.digest(uid.encode(), b"keyturn.dev/jitter", hashlib.sha256)
    fraction = int.from_bytes(digest[:8]) / 2**64
    seconds = cadence.interval.total_seconds() * cadence.jitter / 100 * fraction
    return timedelta(seconds=int(seconds))


def _next_tick(cron: Cron, after: datetime) -> datetime:
    try:
        ticks = CronSim(cron.expression, after.astimezone(ZoneInfo(cron.time_zone)))
        return next(ticks).astimezone(UTC)
    except CronSimError:
        raise Stalled(
            "InvalidSchedule",
            f"schedule.cron {cron.expression!r} is no cron expression;"
            ' write minute, hour, day of month, month and day of week, such as "0 3 1 */3 *"',
        ) from None
    except StopIteration:
        raise Stalled(
            "InvalidSchedule", f"schedule.cron {cron.expression!r} never comes; write a date that exists"
        ) from None
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: a region alone, such as Europe
        raise Stalled(
            "InvalidSchedule",
            f"schedule.timeZone {cron.time_zone!r} is unknown; write an IANA name such as Europe/Berlin",
        ) from None
