"""Who read a secret, as a report tells it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["Reader", "ReaderStatus", "Readership"]


class ReaderStatus(StrEnum):
    """Whether a reader had been there before the time that is asked for."""

    NEW = "new"
    KNOWN = "known"
    UNKNOWN = "unknown"
    """It was seen first while it was still being learned who reads what."""


@dataclass(frozen=True, slots=True)
class Reader:
    """One subject that read or changed a Secret, by itself or with all others of its namespace."""

    subject: str
    kind: str
    verbs: frozenset[str]
    first: datetime
    last: datetime
    count: int
    reach: str
    """What it asked for: this Secret, all of the namespace, or all of the cluster."""
    standing: ReaderStatus = ReaderStatus.UNKNOWN


@dataclass(frozen=True, slots=True)
class Readership:
    """Who read the secrets of a namespace that somebody asks about."""

    readers: tuple[tuple[str, Reader], ...] = ()
    """Each with the ManagedSecret, the last one first."""
    forgotten: int = 0
    """How often a reader of them was forgotten, since there was no room."""
    refused: tuple[Reader, ...] = ()
    """Who tried to read any of them and was refused, the last one first."""
    since: datetime | None = None
    """The first audit event that there is."""
