"""What keeps a command from being done."""

from __future__ import annotations

__all__ = ["Refused"]


class Refused(Exception):  # noqa: N818 - it says what to do, not what went wrong
    """Nothing was changed; the sentence says what to write or do instead, and holds no value."""
