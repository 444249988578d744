"""Where the one program of the kubectl plugin starts: as `kubectl keyturn`, or to complete it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from keyturn.cli import commands

if TYPE_CHECKING:
    from collections.abc import MutableMapping

__all__ = ["restore", "start"]


def start() -> None:
    restore(os.environ, getattr(sys, "_MEIPASS", ""))
    del commands.main.commands["run"]  # the operator is an image; the clients of its stores are not in here
    if Path(sys.argv[0]).name.startswith("kubectl_complete-"):
        commands.kubectl_completion()
    else:
        commands.kubectl_plugin()


def restore(environment: MutableMapping[str, str], libraries: str) -> None:
    """Take out what PyInstaller's loader put in: git, login plugins and `run-with` start programs of others."""
    if libraries in environment.get("LD_LIBRARY_PATH", "").split(os.pathsep):
        del environment["LD_LIBRARY_PATH"]
    if (before := environment.pop("LD_LIBRARY_PATH_ORIG", None)) is not None:
        environment["LD_LIBRARY_PATH"] = before
    for name in [name for name in environment if name.startswith("_PYI_")]:
        del environment[name]


if __name__ == "__main__":
    start()
