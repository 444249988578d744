"""Exceptions that end a reconcile: `Wait` is retried automatically, `Stalled` requires manual action."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

_Error = TypeVar("_Error", bound=Exception)


class Wait(Exception):  # noqa: N818 - it says what happens next, not what went wrong
    """The reconcile is retried after `after`; `reason` and `message` become a condition."""

    def __init__(self, reason: str, message: str, after: timedelta) -> None:
        self.reason = str(reason)  # plain text, which every serializer takes
        super().__init__(self.reason, message)
        self.message = message
        self.after = after


class Stalled(Exception):  # noqa: N818
    """Manual action is required; `message` says what to write or do instead.

    It is checked again after a minute, or at `again` if that is earlier.
    """

    def __init__(self, reason: str, message: str, again: datetime | None = None) -> None:
        self.reason = str(reason)  # plain text, which every serializer takes
        super().__init__(self.reason, message)
        self.message = message
        self.again = again


@dataclass(frozen=True, slots=True)
class Attempts:
    """Why something is not done yet, which failed or is in progress, and when it is attempted again."""

    error: Wait | Stalled
    again: datetime
    failures: int = 0
    """In a row."""


def copied(error: _Error) -> _Error:
    """Copy an error that is kept, to raise it.

    Each raise of one object adds the frames of the caller to its traceback, so they stay in memory with all that they
    refer to.
    """
    kind = type(error)
    copy = kind.__new__(kind, *error.args)  # without __init__, whose parameters differ
    vars(copy).update(vars(error))
    return copy
