"""`keyturn status`, `history` and what programs read of them."""

import re
from datetime import UTC, datetime
from typing import Any

import pytest

from keyturn.api import NEVER_RECONCILED
from keyturn.cli.managed import Reader, found_in, shown_in
from keyturn.cli.options import Output, Selection
from keyturn.cli.status import StatusRow, cells_of, details_of, document, revisions_of, rows_of
from keyturn.core.status.summary import SummaryState
from tests.conftest import ROOT
from tests.unit.cli.fake_api import managed

_PAGE = (ROOT / "docs" / "cli.md").read_text()
_TIME, _NO_TIME = "2026-11-02T03:04:05Z", "0000-11-02T03:04:05Z"
_NOW = datetime(2026, 11, 3, tzinfo=UTC)
_READERS = pytest.mark.parametrize("read", [found_in, shown_in], ids=["with the models", "without them"])


def test_every_state_is_documented() -> None:
    _, _, table = _PAGE.partition("| state | meaning |\n|---|---|\n")

    assert re.findall(r"^\| `(\w+)` \|", table.partition("\n\n")[0], re.MULTILINE) == list(SummaryState)


def row(read: Reader, body: dict[str, Any]) -> StatusRow:
    (found,) = rows_of([read(body)], _NOW)
    return found


def full(time: str = _TIME) -> dict[str, Any]:
    """Make a status with every part that is shown, one of which has a `time`."""
    return managed(
        "auth",
        spec={"className": "standard", "owner": "team-auth"},
        lastRotationTime=_TIME,
        nextRotationTime=_TIME,
        workloads=[
            {"kind": "Deployment", "name": "web", "via": ["env"], "state": "Current", "revision": 1},
            {"kind": "Deployment", "name": "job", "state": "Rolling", "message": "1 of 2 pods"},
        ],
        values=[{"name": "password", "schedule": "every 1d", "lastRotationTime": time}],
        credentials=[
            {"login": "app_a", "revision": 1, "phase": "Closed", "since": _TIME, "provenAt": _TIME},
            {"login": "app_b", "revision": 2, "phase": "Proven", "since": time},
        ],
        unrevokedLeases={"count": 1, "validUntil": _TIME, "message": "not revoked"},
        rotation={"id": "u/2", "reason": "RotationDue", "step": "Push", "startedAt": time, "attempts": 2},
        previous={"revision": 1, "validUntil": time},
    )


@pytest.mark.parametrize("time", [_TIME, _NO_TIME], ids=["whole", "with times that no calendar has"])
def test_an_object_shows_the_same_without_the_models(time: str) -> None:
    seen, found = row(shown_in, full(time)), row(found_in, full(time))

    assert seen.summary == found.summary
    assert cells_of(seen, Output.WIDE, Selection()) == cells_of(found, Output.WIDE, Selection())
    assert details_of(seen) == details_of(found)
    assert document(seen) == document(found)
    assert revisions_of(seen.found) == revisions_of(found.found)


@_READERS
def test_a_status_that_only_the_crd_filled_in_is_empty(read: Reader) -> None:
    waiting = {"type": "Ready", "status": "False", "reason": "Pending", "message": "not yet"}
    body = managed("auth") | {
        "status": {
            "observedGeneration": -1,
            "conditions": [{**waiting, "lastTransitionTime": NEVER_RECONCILED}],
        }
    }

    shown = row(read, body)

    assert shown.summary.state is SummaryState.UNSEEN
    assert (shown.found.managed.status.conditions, document(shown)["workloadsTotal"]) == ([], 0)
