"""When a rotation may start: inside a window, and what does not wait for one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.cluster.namespace import Space
    from tests.support.objects import Body


def at(hours: float, duration: str = "2h") -> Body:
    """Make a window that opens every day, so many hours from now."""
    opens = datetime.now(UTC) + timedelta(hours=hours)
    return {"cron": f"{opens.minute} {opens.hour} * * *", "duration": duration}


def opened() -> Body:
    return at(-1)


def closed() -> Body:
    return at(12)


def rewindow(space: Space, *windows: Body) -> None:
    space.respec(lambda spec: spec.setdefault("rotation", {}).update(windows=list(windows)))


def waiting(space: Space) -> Body:
    return space.until_condition("Rotating", "False", "WaitsForWindow")


def next_opening(window: Body) -> datetime:
    minute, hour, *_ = window["cron"].split()
    today = datetime.now(UTC).replace(hour=int(hour), minute=int(minute), second=0, microsecond=0)
    return today if today > datetime.now(UTC) else today + timedelta(days=1)


def test_a_trigger_waits_for_its_window_and_starts_in_it(space: Space) -> None:
    window = closed()
    space.managed(rotation={"windows": [window]})
    before = space.version("Secret", "auth")

    space.rotate()
    status = waiting(space)
    space.looked_at()
    assert space.version("Secret", "auth") == before
    assert datetime.fromisoformat(status["nextRotationTime"]) == next_opening(window)
    rewindow(space, closed(), opened())

    space.settled(revision=2)
