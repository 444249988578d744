"""The commands of a page of the documentation, run as they are written."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import ROOT
from tests.install.helm import program

_KUBECTL = Path(shutil.which("kubectl", path=f"{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}") or "kubectl")
_ELSEWHERE = "docker "
"""Commands of another machine: there is no registry here."""
_MAKE_CHART = "make chart"
"""It runs as in the Makefile, with the folder of the copy for `dist`."""


def blocks(page: str, section: str) -> list[list[str]]:
    """Return the commands of each block in a section of a page of docs/install."""
    text = (ROOT / "docs" / "install" / f"{page}.md").read_text()
    _, found, rest = text.partition(f"\n## {section}\n")
    assert found, f"{page}.md has no section {section!r}"
    chosen = rest.partition("\n## ")[0]
    written = re.findall(r"^( *)```console\n(.*?)^\1```$", chosen, re.MULTILINE | re.DOTALL)
    return [list(_commands(textwrap.dedent(block))) for _, block in written]


def _commands(block: str) -> Iterator[str]:
    """Join the lines of a command; what it printed, which is shown below it, is left out."""
    command: list[str] = []
    for line in [*block.splitlines(), "$ "]:
        if line.startswith("$ "):
            if command:
                yield "\n".join(command)
            command = [line.removeprefix("$ ")]
        elif command[-1].endswith("\\") or ("<<'EOF'" in command[0] and command[-1] != "EOF"):
            command.append(line)


@dataclass(frozen=True, slots=True)
class Checkout:
    """A copy of what the commands name, and the cluster that they are for."""

    folder: Path
    kubeconfig: Path

    @classmethod
    def of(cls, folder: Path, kubeconfig: Path) -> Checkout:
        for name in ("crds", "manifests"):
            shutil.copytree(ROOT / name, folder / name)
        return cls(folder, kubeconfig)

    def run(self, *commands: str) -> str:
        """Run the commands; each has to succeed. Return what all of them said."""
        return "".join(self._run(one) for one in commands if not one.startswith(_ELSEWHERE))

    def walk(self, page: str, section: str, block: int | None = None) -> str:
        """Run a section of a page, or one block of it."""
        found = blocks(page, section)
        return self.run(*(one for each in (found if block is None else [found[block]]) for one in each))

    def _run(self, command: str) -> str:
        if command == _MAKE_CHART:
            make = [sys.executable, "-m", "release", f"--dist={self.folder / 'dist'}", "chart"]
            subprocess.run(make, cwd=ROOT, check=True, capture_output=True, timeout=60)
            return ""
        path = f"{_KUBECTL.parent}:{program().parent}:{os.environ['PATH']}"
        ours = {key: value for key, value in os.environ.items() if not key.startswith(("HELM_", "KUBE"))}
        done = subprocess.run(
            ["/bin/bash", "-euo", "pipefail", "-c", command],
            cwd=self.folder,
            env={**ours, "PATH": path, "HOME": str(self.folder), "KUBECONFIG": str(self.kubeconfig)},
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=180,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout
