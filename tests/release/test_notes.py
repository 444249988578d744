"""The notes of a release are the changelog's section of its version, and a section that is not ready is refused."""

from __future__ import annotations

import pytest

from release.errors import ReleaseError
from release.notes import notes

_CHANGELOG = """\
# Changelog

## [0.2.0] \N{EN DASH} unreleased

### Added

- What comes.

## [0.1.1] \N{EN DASH} 2026-12-24

## [0.1.0] - 2026-11-27

### Added

- The first thing.
"""


def test_they_are_the_section_of_the_version() -> None:
    assert notes("0.1.0", _CHANGELOG) == "# Keyturn 0.1.0 (2026-11-27)\n\n### Added\n\n- The first thing.\n"


def test_a_snapshot_may_be_of_what_is_unreleased() -> None:
    assert (
        notes("0.2.0", _CHANGELOG, dated=False)
        == "# Keyturn 0.2.0 (unreleased)\n\n### Added\n\n- What comes.\n"
    )


@pytest.mark.parametrize(
    ("version", "sentence"),
    [
        pytest.param("0.2.0", "write '## [0.2.0] \N{EN DASH} YYYY-MM-DD'", id="without a date"),
        pytest.param("0.1.1", "the section [0.1.1] of CHANGELOG.md is empty", id="empty"),
        pytest.param("0.3.0", "CHANGELOG.md has no section '## [0.3.0]", id="absent"),
        pytest.param("0.1", "CHANGELOG.md has no section '## [0.1]", id="the beginning of another"),
    ],
)
def test_a_section_that_is_not_ready_is_refused(version: str, sentence: str) -> None:
    with pytest.raises(ReleaseError) as refused:
        notes(version, _CHANGELOG)

    assert sentence in str(refused.value)
