"""What was found about one point, and what to do about it."""

from __future__ import annotations

import enum
from dataclasses import dataclass

__all__ = ["Point", "Result"]


class Result(enum.StrEnum):
    """How a point is."""

    OK = "ok"
    WARN = "warn"
    """It works, or nothing could be found out."""
    FAILED = "failed"
    """The operator cannot do its work before somebody acts."""


@dataclass(frozen=True, slots=True)
class Point:
    """One line of the answer."""

    name: str
    result: Result
    found: str
    advice: str = ""
    """What to do; empty where nothing is to be done."""

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
        """Say that nothing was found out, which is no sign that all is well."""
        return cls(name, Result.WARN, f"unknown: {why}", "ask a cluster admin to run keyturn check")
