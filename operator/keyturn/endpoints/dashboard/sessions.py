"""Sessions of viewers: in memory, for minutes, without their tokens."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from datetime import datetime

    from keyturn.kube.callers import Caller

__all__ = ["LONGEST", "Answers", "Session", "Sessions"]

Answers: TypeAlias = dict[tuple[str, str], tuple[bool, float]]
"""Permissions by resource and namespace, with the loop time at which they expire."""

LONGEST: Final = timedelta(minutes=30)
_MAX_SESSIONS: Final = 200
_MAX_SESSIONS_PER_VIEWER: Final = 5
_ID_BYTES: Final = 32


@dataclass(slots=True)
class Session:
    """An authenticated viewer."""

    viewer: Caller
    ends: datetime
    proof: str = field(default_factory=lambda: secrets.token_urlsafe(_ID_BYTES), repr=False)
    """CSRF token: hidden in the forms of our pages, where another site cannot read it."""
    answers: Answers = field(default_factory=dict)
    """Cached permissions for the namespaces with objects."""
    named: Answers = field(default_factory=dict)
    """Cached permissions for the namespaces that requests have named last."""


class Sessions:
    """All sessions; they end with the process."""

    def __init__(self) -> None:
        self._open: dict[str, Session] = {}

    def begin(self, viewer: Caller, token_ends: datetime | None, now: datetime) -> tuple[str, Session]:
        """Create a session until the token expires or the limit is reached; return its ID, which is confidential."""
        self._sweep(now)
        mine = [key for key, one in self._open.items() if one.viewer.name == viewer.name]
        for key in mine[: max(0, len(mine) - _MAX_SESSIONS_PER_VIEWER + 1)]:
            del self._open[key]
        if len(self._open) >= _MAX_SESSIONS:
            del self._open[next(iter(self._open))]
        key = secrets.token_urlsafe(_ID_BYTES)
        latest = now + LONGEST
        session = Session(viewer, min(latest, token_ends or latest))
        self._open[key] = session
        return key, session

    def find(self, key: str, now: datetime) -> Session | None:
        self._sweep(now)
        return self._open.get(key)

    def end(self, key: str) -> None:
        self._open.pop(key, None)

    def __len__(self) -> int:
        return len(self._open)

    def _sweep(self, now: datetime) -> None:
        for key in [key for key, one in self._open.items() if one.ends <= now]:
            del self._open[key]
