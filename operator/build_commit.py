"""Writes the commit into a wheel while hatchling builds it: $KEYTURN_COMMIT, else what git says of this folder."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_PATIENCE = 10
_DIGITS = "12"


class CommitHook(BuildHookInterface[Any]):
    """Adds `keyturn/commit.txt`, which `keyturn.runtime.build` reads; a build without git and variable has none."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the file, except to an editable install, which is a checkout."""
        commit = os.environ.get("KEYTURN_COMMIT") or _of_git(Path(self.root))
        if version == "editable" or not commit:
            return
        self._folder = tempfile.TemporaryDirectory(prefix="keyturn-build-")
        path = Path(self._folder.name) / "commit.txt"
        path.write_text(f"{commit}\n", encoding="ascii")
        build_data["force_include"][str(path)] = "keyturn/commit.txt"


def _of_git(root: Path) -> str:
    command = ["git", "describe", "--always", "--dirty", "--exclude=*", f"--abbrev={_DIGITS}"]
    if not (root / ".git").exists():  # git would find one of a folder further up, which is another project's
        return ""
    try:
        done = subprocess.run(
            command, cwd=root, check=False, capture_output=True, text=True, timeout=_PATIENCE
        )
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
