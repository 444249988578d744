"""A command answers soon, since it brings along only what it needs."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.support.console import Console

_HEAVY = {
    "kopf",
    "prometheus_client",
    "cryptography",
    "google",
    "keyturn.controllers.manager",
    "keyturn.stores",
}


def modules_after(console: Console, *arguments: str) -> set[str]:
    """Run a command in a process of its own; return every module that it brought along."""
    script = (
        "import sys\n"
        "from keyturn.cli.commands import main\n"
        f"main({arguments!r}, standalone_mode=False)\n"
        "print(*sys.modules, file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=console.environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return set(done.stderr.split())


def test_a_look_at_the_status_brings_nothing_of_the_operator(console: Console) -> None:
    found = modules_after(console, "status", "-n", console.namespace)

    assert found & _HEAVY == set()
    assert "kubernetes" in found


def test_help_brings_nothing_but_click(console: Console) -> None:
    found = modules_after(console, "completion", "bash")

    assert found & {"aiohttp", "kubernetes", "orjson", "pydantic"} == set()
