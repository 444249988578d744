"""Display of states, times and links."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from keyturn.core.status.summary import SummaryState
from keyturn.core.times import NOTHING, clock, since, until

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

__all__ = ["ROOT", "ago", "exact", "in_time", "link", "tone_of"]

ROOT: Final = "/ui"

_TONES: Final[Mapping[SummaryState, str]] = {
    SummaryState.NOT_READY: "warn",
    SummaryState.CRD_OUTDATED: "warn",
    SummaryState.BEHIND: "warn",
    SummaryState.NOT_SYNCED: "warn",
    SummaryState.NOT_COMPLIANT: "warn",
    SummaryState.SUSPENDED: "calm",
    SummaryState.HELD: "calm",
    SummaryState.ROTATING: "busy",
    SummaryState.OVERLAPPING: "busy",
    SummaryState.DUE: "busy",
    SummaryState.READY: "good",
}


def tone_of(state: SummaryState) -> str:
    """Return the colour of a state; the page has its name as well."""
    return _TONES.get(state, "bad")


def exact(time: datetime | None) -> str:
    return clock(time) if time else NOTHING


def ago(time: datetime | None, now: datetime) -> str:
    """Return how long ago a time was, and the time."""
    return f"{since(time, now)} ago ({exact(time)})" if time else NOTHING


def in_time(time: datetime | None, now: datetime) -> str:
    """Return in how long a time comes, and the time."""
    return f"{until(time, now)} ({exact(time)})" if time else NOTHING


def link(kind: str, namespace: str, name: str) -> str:
    return f"{ROOT}/{kind}/{quote(namespace, safe='')}/{quote(name, safe='')}"
