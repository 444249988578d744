"""Health of a store or of a database server, as the last check or request found it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Key = TypeVar("Key")


class Health(NamedTuple):
    """Reason and message of the condition Ready."""

    is_ready: bool
    reason: str
    message: str
    passes: bool = False
    """Whether the problem can pass without a change."""
    version: str | None = None
    """The version of a database server, if it answered."""
    started: str | None = None
    """When it was started, as it says."""


@dataclass(frozen=True, slots=True)
class HealthEvents(Generic[Key]):
    """Callbacks for changes of health."""

    turned: Callable[[Key], None] = lambda _: None
    """The health of a store or server changed."""
    recovered: Callable[[Key], None] = lambda _: None
    """It has become ready again; its users are to be reconciled."""


def reported(before: Health | None, after: Health) -> Health:
    """Return the health to report: a problem that passes is reported once, as its message may differ each time."""
    return before if before and after.passes and before.reason == after.reason else after
