"""Checks of a cluster: what `keyturn check` asks, and the operator at its start.

Modules
    election     versions of the API server, the leader and the command line; clocks; whether a replica leads
    schemas      fields of the installed CRDs
    rights       rights of the operator, and which manifest grants each
    deployment   pods of the operator; Pod Security and admission policies of its namespace

A check only reads; what it may not read is unknown, never in order.

Imports: `installation.crds`, `kube`, `core`, `api`.
"""

import enum
from dataclasses import dataclass
from typing import Self

__all__ = ["Point", "Result"]


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
    def ok(cls, name: str, found: str) -> Self:
        return cls(name, Result.OK, found)

    @classmethod
    def warn(cls, name: str, found: str, advice: str) -> Self:
        return cls(name, Result.WARN, found, advice)

    @classmethod
    def failed(cls, name: str, found: str, advice: str) -> Self:
        return cls(name, Result.FAILED, found, advice)

    @classmethod
    def unknown(cls, name: str, why: str) -> Self:
        """Return an unknown result, which is no success."""
        return cls(name, Result.WARN, f"unknown: {why}", "ask a cluster admin to run keyturn check")
