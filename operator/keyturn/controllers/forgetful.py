"""Where kopf keeps what it has seen and done of an object: nowhere.

kopf copies each object that an event tells of, twice, to compare it with what its own handlers have seen before.
We have no such handlers: what is new is decided by the mirror, and copies that nobody reads cost a third of an event.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .kopfshell import kopf

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["NoDiffs", "NoProgress"]


class NoDiffs(kopf.DiffBaseStorage):
    """Finds every object as it was: https://docs.kopf.dev/en/stable/configuration/#change-detection."""

    def build(self, **_: Any) -> Any:
        return {}

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None:
        """Keep nothing."""


class NoProgress(kopf.ProgressStorage):
    """Has nothing under way: https://docs.kopf.dev/en/stable/configuration/#handling-progress."""

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None:
        """Keep nothing."""

    def purge(self, **_: Any) -> None:
        """Keep nothing."""

    def touch(self, **_: Any) -> None:
        """Keep nothing."""

    def clear(self, *, essence: Mapping[str, Any]) -> Any:
        return essence
