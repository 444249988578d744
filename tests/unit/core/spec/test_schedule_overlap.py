"""What a spec and its class say together and cannot both mean."""

from __future__ import annotations

from typing import Any

import pytest

from keyturn.core.errors import Stalled
from keyturn.core.spec.desired import resolve_spec
from keyturn.core.spec.schedule import check_jitter, check_overlap
from tests.unit.core.builders import PASSWORD, managed, secret_class

Part = dict[str, Any]

KEPT = {**PASSWORD, "keepPrevious": True}
NIGHTLY = {"schedule": {"cron": "0 3 * * *"}}
WORKDAYS = {"schedule": {"cron": "0 3,9 * * 1-5"}}
_ENDS = "lasts until the next rotation, which can come after {} and ends it; write a shorter overlap"


def hold(rotation: Part | None, of_class: Part | None, item: Any = KEPT, template: str | None = None) -> None:
    found = managed({"data": [item], "rotation": rotation})
    wanted = resolve_spec(found, secret_class(rotation=of_class))
    check_jitter(found.spec.rotation, wanted.cadence)
    keeping = next((one.name for one in wanted.items if one.keep_previous), None)
    check_overlap(wanted.cadence, wanted.overlap, wanted.max_overlap, keeping, template)


@pytest.mark.parametrize(
    ("rotation", "of_class", "sentence"),
    [
        pytest.param(
            {"jitter": "5%"},
            NIGHTLY,
            "rotation.jitter spreads every, and the class has a schedule, which is exact;"
            " remove jitter, or write every",
            id="jitter over a schedule of the class",
        ),
        pytest.param(
            {"jitter": "5%"},
            {"overlap": "2h"},
            "rotation.jitter spreads every, and the class has no every; remove jitter, or write every",
            id="jitter over a class without an interval",
        ),
        pytest.param(
            {"every": "1h", "jitter": "0%", "overlap": "24h"},
            None,
            f"rotation.overlap (1d) {_ENDS.format('1h')}",
            id="an overlap of a day with an interval of an hour",
        ),
        pytest.param(
            {"every": "10d", "overlap": "9d"},
            None,
            f"rotation.overlap (9d) {_ENDS.format('9d')}",
            id="an overlap that the default jitter can reach",
        ),
        pytest.param(
            {"every": "1h"}, None, f"rotation.overlap (1h) {_ENDS.format('54m')}", id="the default overlap"
        ),
        pytest.param(
            {"every": "2h"},
            {"overlap": "4h"},
            f"rotation.overlap (4h) {_ENDS.format('1h48m')}",
            id="an overlap of the class",
        ),
        pytest.param(
            {**WORKDAYS, "overlap": "6h"},
            None,
            f"rotation.overlap (6h) {_ENDS.format('6h')}",
            id="an overlap that reaches the next moment of a schedule",
        ),
        pytest.param(
            {"overlap": "0s"},
            None,
            "keepPrevious of data item 'password' lasts as long as rotation.overlap, which is 0;"
            " write an overlap, or remove keepPrevious",
            id="no overlap to keep anything",
        ),
        pytest.param(
            None,
            {"overlap": "0s"},
            "keepPrevious of data item 'password' lasts as long as rotation.overlap, which is 0;"
            " write an overlap, or remove keepPrevious",
            id="a class without an overlap",
        ),
    ],
)
def test_what_contradicts_itself_is_refused(
    rotation: Part | None, of_class: Part | None, sentence: str
) -> None:
    with pytest.raises(Stalled) as caught:
        hold(rotation, of_class)

    assert (caught.value.reason, caught.value.message) == ("InvalidSchedule", sentence)


@pytest.mark.parametrize(
    ("rotation", "of_class", "item"),
    [
        pytest.param(None, None, KEPT, id="nothing written"),
        pytest.param({"jitter": "5%"}, {"every": "90d"}, KEPT, id="jitter over an interval of the class"),
        pytest.param({"every": "90d"}, {"jitter": "5%"}, KEPT, id="jitter of a class over an own interval"),
        pytest.param(
            {"every": "10d", "overlap": "215h"}, None, KEPT, id="an overlap that the jitter cannot reach"
        ),
        pytest.param({**WORKDAYS, "overlap": "5h"}, None, KEPT, id="an overlap within a schedule"),
        pytest.param({"every": "1h", "overlap": "24h"}, None, PASSWORD, id="an overlap that keeps nothing"),
        pytest.param({"overlap": "0s"}, None, PASSWORD, id="no overlap where nothing is kept"),
    ],
)
def test_what_can_be_meant_together_passes(rotation: Part | None, of_class: Part | None, item: Any) -> None:
    hold(rotation, of_class, item)


def test_a_template_reads_no_previous_value_that_the_next_rotation_ends() -> None:
    with pytest.raises(Stalled) as caught:
        hold({"every": "1h", "jitter": "0%", "overlap": "24h"}, None, PASSWORD, "JWT_KEYS")

    assert (caught.value.reason, caught.value.message) == (
        "InvalidSchedule",
        f"template 'JWT_KEYS' reads previous values, and rotation.overlap (1d) {_ENDS.format('1h')}",
    )


def test_a_template_may_read_previous_values_until_the_overlap_ends() -> None:
    hold({"every": "10d", "overlap": "1d"}, None, PASSWORD, "JWT_KEYS")
