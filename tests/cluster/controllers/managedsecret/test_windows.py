"""When a rotation may start: inside a window, and what does not wait for one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from keyturn.core.value import Value
from sandbox.harness import eventually
from tests.cluster.namespace import password
from tests.cluster.workloads import deployment, env

if TYPE_CHECKING:
    from tests.cluster.classes import Class
    from tests.cluster.namespace import Space
    from tests.cluster.store_objects import Stores
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


def test_the_message_names_the_moment(space: Space) -> None:
    window = closed()
    space.managed(rotation={"windows": [window]})

    space.rotate()
    waiting(space)

    condition = space.condition("Rotating")
    assert condition
    assert condition["message"] == (
        f"the next rotation starts when a window opens: {next_opening(window):%Y-%m-%d %H:%M} UTC"
    )


def test_a_trigger_in_an_open_window_starts_at_once(space: Space) -> None:
    space.managed(rotation={"windows": [opened()]})

    space.rotated()


def test_what_is_due_waits_for_its_window(space: Space) -> None:
    space.managed(rotation={"every": "90d", "jitter": "0%", "windows": [closed()]})
    space.age(90.02)
    status = waiting(space)
    assert (status["revision"], status["overdue"]) == (1, False)

    rewindow(space, opened())

    space.settled(revision=2)


def test_a_window_that_opens_automatically_starts_what_waits(space: Space) -> None:
    # Windows open on full minutes; this one leaves time to ask for the rotation before.
    opens = datetime.now(UTC) + timedelta(minutes=1, seconds=20)
    window = {"cron": f"{opens.minute} {opens.hour} * * *", "duration": "2h"}
    space.managed(password(), rotation={"windows": [window]})

    space.rotate()
    waiting(space)
    eventually(lambda: space.status()["revision"] == 2, "revision 2", timeout=90)

    made = datetime.fromisoformat(space.settled(revision=2)["lastRotationTime"])
    assert timedelta(0) <= made - opens.replace(second=0, microsecond=0) < timedelta(seconds=30)


def test_a_window_that_was_missed_makes_a_rotation_overdue_and_the_next_one_serves_it(space: Space) -> None:
    window = closed()
    space.managed(rotation={"every": "90d", "jitter": "0%", "windows": [window]})
    space.age(91)

    status = waiting(space)

    assert status["overdue"]
    assert datetime.fromisoformat(status["nextRotationTime"]) == next_opening(window)


def test_the_next_rotation_is_moved_into_a_window(space: Space) -> None:
    window = {"cron": "0 2 * * 6", "timeZone": "Europe/Berlin", "duration": "3h"}

    status = space.managed(rotation={"every": "90d", "jitter": "0%", "windows": [window]})

    due = datetime.fromisoformat(status["lastRotationTime"]) + timedelta(days=90)
    start = datetime.fromisoformat(status["nextRotationTime"])
    assert due <= start < due + timedelta(days=7)
    assert start == due or (start.weekday(), start.minute) == (5, 0)


def test_the_class_gives_windows_and_the_spec_takes_them_away(space: Space, class_: Class) -> None:
    class_.write(rotation={"windows": [closed()]})
    space.managed(className=class_.name)
    space.rotate()
    waiting(space)

    rewindow(space)

    space.settled(revision=2)


def test_a_value_that_changed_in_a_store_waits_for_its_window(space: Space, files: Stores) -> None:
    files.keep("token", "first")
    window = closed()
    space.managed(files.from_file("token"), password(), refreshInterval="10s", rotation={"windows": [window]})
    space.run(deployment("api", env("auth", "token")))
    before = space.values()

    files.keep("token", "second")
    status = waiting(space)
    assert datetime.fromisoformat(status["nextRotationTime"]) == next_opening(window)
    assert (space.values(), space.generation("Deployment", "api")) == (before, 1)

    rewindow(space, opened())
    space.settled(revision=2)
    assert space.values() == before | {"token": Value(b"second")}
    assert space.generation("Deployment", "api") == 2


def test_a_value_that_changed_in_a_store_ignores_windows_on_request(space: Space, files: Stores) -> None:
    files.keep("token", "first")
    space.managed(
        files.from_file("token"),
        refreshInterval="10s",
        refresh={"ignoreWindows": True},
        rotation={"windows": [closed()]},
    )

    files.keep("token", "second")

    space.settled(revision=2)


def test_a_loss_waits_for_no_window(space: Space) -> None:
    space.managed(rotation={"windows": [closed()]})
    space.respec(lambda spec: spec.update(suspend=True))
    space.looked_at()
    for name in ("auth", "auth-keyturn"):
        space.delete("Secret", name)

    space.respec(lambda spec: spec.update(suspend=False))

    space.settled(revision=2)


def test_a_change_of_the_spec_waits_for_no_window_and_the_trigger_still_does(space: Space) -> None:
    space.managed(password(), rotation={"windows": [closed()]})
    before = space.values()
    space.rotate()
    waiting(space)

    space.respec(lambda spec: spec["data"].append({"name": "added", "generate": {"bytes": {}}}))
    space.until_revision("2")
    waiting(space)

    after = space.values()
    assert after.keys() == {"password", "added"}
    assert after["password"] == before["password"]
    rewindow(space, opened())
    space.settled(revision=3)
    assert space.values()["password"] != before["password"]


@pytest.mark.parametrize(
    ("window", "sentence"),
    [
        pytest.param(
            {"cron": "0 2 30 2 *", "duration": "3h"},
            "rotation.windows[0].cron '0 2 30 2 *' never comes; write a date that exists",
            id="never",
        ),
        pytest.param(
            {"cron": "0 2 * * *", "duration": "1d"},
            "rotation.windows[0] opens again before it has closed and is always open; write a shorter duration",
            id="always",
        ),
        pytest.param(
            {"cron": "0 2 * * *", "duration": "1h", "timeZone": "Europe/Berlim"},
            "rotation.windows[0].timeZone 'Europe/Berlim' is unknown; write an IANA name such as Europe/Berlin",
            id="nowhere",
        ),
    ],
)
def test_a_window_that_cannot_be_kept_to_is_said(window: Body, sentence: str, space: Space) -> None:
    space.manage(rotation={"windows": [window]})

    assert space.stalled("InvalidSchedule") == sentence
