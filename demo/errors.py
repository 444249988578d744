"""What can end the demo before its end."""

from __future__ import annotations


class DemoError(RuntimeError):
    """Something was not reached; the message says what, in a sentence."""
