"""Markers on pod templates: written the same way every time, read whatever people wrote."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyturn.core.observation.workload import read_marker, write_marker

names = st.from_regex(r"[a-z0-9]([-a-z0-9.]{0,20}[a-z0-9])?", fullmatch=True)


@given(st.dictionaries(names, st.integers(0, 10**10 - 1)))
def test_a_marker_reads_as_it_was_written(revisions: dict[str, int]) -> None:
    assert read_marker(write_marker(revisions)) == revisions


@given(st.permutations(["db=1", "api=2", "tls=3"]))
def test_a_marker_does_not_depend_on_the_order(entries: list[str]) -> None:
    assert write_marker(read_marker(",".join(entries))) == "api=2,db=1,tls=3"


@given(st.text())
def test_whatever_people_write_can_be_read(text: str) -> None:
    assert all(number >= 0 for number in read_marker(text).values())


@pytest.mark.parametrize(
    "marker",
    [
        "",
        ",",
        "db",
        "db=",
        "db=x",
        "db=-1",
        "db=1.5",
        "db= 1",
        "db=\u0661",
        "db=²",
        "db=1=2",
        f"db={'9' * 5000}",
    ],
    ids=lambda marker: repr(marker[:8]),
)
def test_what_is_no_marker_is_ignored(marker: str) -> None:
    assert read_marker(marker) == {}
