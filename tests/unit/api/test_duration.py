"""Durations as people write them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyturn.api.duration import Duration, Pause, format_duration, parse_duration

HINT = "write a duration such as 90d, 2160h or 1d12h (units s m h d w)"
duration: pydantic.TypeAdapter[timedelta] = pydantic.TypeAdapter(Duration)
pause: pydantic.TypeAdapter[timedelta] = pydantic.TypeAdapter(Pause)


@given(st.integers(0, 36500 * 86400).map(lambda count: timedelta(seconds=count)))
def test_a_duration_reads_as_it_was_written(length: timedelta) -> None:
    assert parse_duration(format_duration(length)) == length


@pytest.mark.parametrize(
    ("text", "length", "written"),
    [
        ("90d", timedelta(days=90), "90d"),
        ("2160h", timedelta(days=90), "90d"),
        ("1d12h", timedelta(hours=36), "1d12h"),
        ("2w", timedelta(days=14), "14d"),
        ("90m", timedelta(minutes=90), "1h30m"),
        ("1h1h", timedelta(hours=2), "2h"),
        ("007s", timedelta(seconds=7), "7s"),
        ("0s", timedelta(0), "0s"),
        ("36500d", timedelta(days=36500), "36500d"),
    ],
)
def test_units_combine_and_are_written_in_one_way(text: str, length: timedelta, written: str) -> None:
    assert parse_duration(text) == length
    assert format_duration(length) == written


@pytest.mark.parametrize(
    "text",
    ["", "90", "d", "90 d", "-1d", "1.5h", "1y", "1D", "1h ", "1h\n", "\u0661d", 90, None, ["1h"]],
    ids=repr,
)
def test_what_is_no_duration_is_refused(text: Any) -> None:
    with pytest.raises(ValueError, match=r"^write a duration such as 90d") as caught:
        parse_duration(text)
    assert str(caught.value) == HINT


@pytest.mark.parametrize("text", ["36501d", "36500d1s", f"{'9' * 30}w"], ids=["a day", "a second", "far"])
def test_more_than_a_century_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^write a duration of at most 36500d$"):
        parse_duration(text)


def test_a_duration_is_longer_than_zero_and_a_pause_may_be_nothing() -> None:
    with pytest.raises(pydantic.ValidationError, match="longer than zero"):
        duration.validate_python("0s")
    assert pause.validate_python("0s") == timedelta(0)
    assert duration.validate_python("1s") == timedelta(seconds=1)


def test_a_length_that_was_read_already_passes() -> None:
    assert duration.validate_python(timedelta(hours=1)) == timedelta(hours=1)
    assert duration.dump_python(timedelta(hours=1)) == "1h"
