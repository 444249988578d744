"""What a release's notes say: the section of CHANGELOG.md about its version."""

from __future__ import annotations

import re
from pathlib import Path

from .errors import ReleaseError

__all__ = ["notes"]

_CHANGELOG = Path(__file__).parents[1] / "CHANGELOG.md"
_DASH = "\N{EN DASH}"
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


def notes(version: str, changelog: str | None = None, *, dated: bool = True) -> str:
    """Return the section of a version under a title; where it is `dated`, one without a date is refused."""
    text = _CHANGELOG.read_text() if changelog is None else changelog
    section = re.search(
        rf"^## \[{re.escape(version)}\](?P<when>.*)\n(?P<body>(?:(?!## ).*\n?)*)", text, re.MULTILINE
    )
    if section is None:
        raise ReleaseError(
            f"CHANGELOG.md has no section '## [{version}] {_DASH} DATE'; write what has changed there"
        )
    when, body = section["when"].strip(f" {_DASH}-"), section["body"].strip()
    if not body:
        raise ReleaseError(f"the section [{version}] of CHANGELOG.md is empty; write what has changed there")
    if dated and not _DATE.fullmatch(when):
        raise ReleaseError(
            f"the section [{version}] of CHANGELOG.md says {when or 'nothing'!r} where a release has its date; "
            f"write '## [{version}] {_DASH} YYYY-MM-DD', or make a snapshot"
        )
    return f"# Keyturn {version} ({when or 'unreleased'})\n\n{body}\n"
