"""How a rotation looks from outside: each change of the status, when it comes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from sandbox.harness import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from .screen import Screen
    from .terminal import Terminal

_TIMEOUT = 600.0


def follow(terminal: Terminal, screen: Screen, has_ended: Callable[[dict[str, Any]], bool]) -> None:
    """Show each change of the status until it says what ends it.

    Raises:
        HarnessError: That takes too long.
    """
    began = time.monotonic()
    last = ""

    def is_over() -> bool:
        nonlocal last
        status = terminal.json("get ms auth-secrets -n shop").get("status", {})
        line = describe(status)
        if line != last:
            screen.change(time.monotonic() - began, line)
            last = line
        return has_ended(status)

    eventually(is_over, "the end of the rotation", _TIMEOUT)


def describe(status: dict[str, Any]) -> str:
    """Describe the progress of a rotation in one line."""
    step = status.get("rotation", {}).get("step", "at rest")
    workloads = ", ".join(f"{one['name']} {one['state']}" for one in status.get("workloads", ()))
    return f"revision {status.get('revision')}  {step:8}  {workloads}"


def runs(revision: int) -> Callable[[dict[str, Any]], bool]:
    """Return a check: every workload runs the revision, and no rotation is in progress."""

    def has_ended(status: dict[str, Any]) -> bool:
        current = all(one["state"] == "Current" for one in status.get("workloads", ()))
        return status.get("revision") == revision and "rotation" not in status and current

    return has_ended


def went_back(status: dict[str, Any]) -> bool:
    """Return whether Keyturn rolled back, because a workload did not become ready."""
    return any((one["type"], one["reason"]) == ("Stalled", "RolledBack") for one in status["conditions"])
