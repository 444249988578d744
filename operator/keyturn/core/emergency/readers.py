"""Readers of a Secret as the emergency report lists them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class ReaderStatus(StrEnum):
    """Whether a reader is older than the start of the requested period."""

    NEW = "new"
    KNOWN = "known"
    UNKNOWN = "unknown"
    """It appeared first during the learning period."""


@dataclass(frozen=True, slots=True)
class Reader:
    """A subject that read or changed a Secret, directly or with a request for a whole namespace or cluster."""

    subject: str
    kind: str
    verbs: frozenset[str]
    first: datetime
    last: datetime
    count: int
    reach: str
    """Scope of its requests: this Secret, all of the namespace, or all of the cluster."""
    status: ReaderStatus = ReaderStatus.UNKNOWN


@dataclass(frozen=True, slots=True)
class Readership:
    """Readers of the affected secrets of a namespace."""

    readers: tuple[tuple[str, Reader], ...] = ()
    """Readers with the name of the ManagedSecret, the latest first."""
    forgotten: int = 0
    """About how many readers were dropped for lack of space."""
    refused: tuple[Reader, ...] = ()
    """Subjects whose requests were denied, the latest first."""
    since: datetime | None = None
    """Time of the first audit event."""
