"""What can be wrong with a release."""

from __future__ import annotations


class ReleaseError(Exception):
    """It cannot be made; the sentence says why."""
