"""What the comparison says of Keyturn itself is so, and what it says of others has a source."""

import re
from pathlib import Path

from keyturn.stores.providers import discover
from keyturn.stores.providers.base import Capability

_PAGE = (Path(__file__).parents[2] / "docs" / "comparison.md").read_text()
_WRITES_ELSEWHERE = {"kubernetes"}
"""Only into another cluster, so that it does not say so for all of its stores."""
WRITTEN = {
    kind for kind, provider in discover().items() if Capability.WRITE in provider.capabilities
} | _WRITES_ELSEWHERE
"""The kinds of stores that values are pushed to."""


def test_the_stores_are_counted_right() -> None:
    assert f"| {len(discover())} kinds of stores |" in _PAGE
    assert f"| {len(WRITTEN)} of these |" in _PAGE


def test_each_source_is_named_and_used() -> None:
    used, named = (
        set(re.findall(form, _PAGE, re.MULTILINE)) for form in (r" \[\^(\d+)\]", r"^\[\^(\d+)\]: ")
    )

    assert used == named
    assert [
        note
        for note in re.findall(r"^\[\^\d+\]: .*(?:\n    .*)*", _PAGE, re.MULTILINE)
        if "https://" not in note
    ] == []
