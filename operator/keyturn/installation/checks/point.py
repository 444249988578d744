"""Result of one check, with advice."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Result(enum.StrEnum):
    """Result of a check."""

    OK = "ok"
    WARN = "warn"
    """It works, or the result is unknown."""
    FAILED = "failed"
    """The operator cannot work; manual action required."""


@dataclass(frozen=True, slots=True)
class Point:
    """One line of the output."""

    name: str
    result: Result
    found: str
    advice: str = ""
    """What to do; empty if nothing."""

    @classmethod
    def ok(cls, name: str, found: str) -> Point:
        return cls(name, Result.OK, found)

    @classmethod
    def warn(cls, name: str, found: str, advice: str) -> Point:
        return cls(name, Result.WARN, found, advice)

    @classmethod
    def failed(cls, name: str, found: str, advice: str) -> Point:
        return cls(name, Result.FAILED, found, advice)

    @classmethod
    def unknown(cls, name: str, why: str) -> Point:
        """Return an unknown result, which is no success."""
        return cls(name, Result.WARN, f"unknown: {why}", "ask a cluster admin to run keyturn check")
