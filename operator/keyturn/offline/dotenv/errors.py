"""Error of a command on .env files."""

from __future__ import annotations

__all__ = ["Refused"]


class Refused(Exception):  # noqa: N818 - it says what to do, not what went wrong
    """Nothing was changed; the message has the remedy and no value."""
