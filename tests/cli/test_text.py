"""How tables and lengths of time read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from keyturn.cli.text import length, since, table, until

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("time", "written"),
    [
        (timedelta(0), "0s"),
        (timedelta(seconds=59.9), "59s"),
        (timedelta(seconds=60), "1m"),
        (timedelta(minutes=9, seconds=59), "9m59s"),
        (timedelta(minutes=10, seconds=59), "10m"),
        (timedelta(hours=7, minutes=59), "7h59m"),
        (timedelta(hours=8, minutes=59), "8h"),
        (timedelta(hours=3, seconds=20), "3h"),
        (timedelta(days=7, hours=23), "7d23h"),
        (timedelta(days=90, hours=23), "90d"),
        (timedelta(seconds=-5), "0s"),
    ],
    ids=str,
)
def test_a_length_of_time_has_two_units_at_most(time: timedelta, written: str) -> None:
    assert length(time) == written


@pytest.mark.parametrize(
    ("time", "written"),
    [
        (NOW + timedelta(days=3), "in 3d"),
        (NOW, "in 0s"),
        (NOW - timedelta(seconds=1), "1s late"),
        (None, "-"),
    ],
    ids=str,
)
def test_what_has_passed_is_late(time: datetime | None, written: str) -> None:
    assert until(time, NOW) == written


def test_what_never_was_is_a_dash() -> None:
    assert since(None, NOW) == "-"


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    assert table(("NAME", "STATE", "MESSAGE"), [("a", "", "one"), ("queue", "Ready", "")]) == (
        "NAME    STATE   MESSAGE\na       -       one\nqueue   Ready"
    )


def test_a_line_is_cut_where_the_terminal_ends() -> None:
    assert table(
        ("NAME", "MESSAGE"), [("a", "a long story")], width=13
    ) == "NAME   MESSAGE\na      a lon…".replace("NAME   MESSAGE", "NAME   MESSA…")


def test_a_line_that_just_fits_is_not_cut() -> None:
    assert table(("NAME", "WHY"), [("a", "a tale")], width=13) == "NAME   WHY\na      a tale"
