"""The error of the harness."""

from __future__ import annotations

from sandbox.errors import SandboxError


class HarnessError(SandboxError):
    """A command failed, or a condition did not hold in time; the message says which."""
