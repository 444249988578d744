"""The kubectl plugin as Krew installs it on a machine that has kubectl, and no Python of ours."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox import cache
from tests.conftest import ROOT
from tests.support.console import BIN
from tests.support.goprogram import built

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["BUILD_SECONDS", "Plugin", "archived", "krew", "release"]

BUILD_SECONDS = 600
"""A minute on two idle cores; seconds for one who has the cache."""
_MODULE = Path(__file__).with_name("krew-go")
_URL = "https://downloads.example.com/keyturn/v0.1.0"


def release(dist: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run what the Makefile runs, into a folder of the test."""
    return subprocess.run(
        [sys.executable, "-m", "release", f"--dist={dist}", *arguments],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=BUILD_SECONDS,
    )


def krew() -> Path:
    """Return Krew itself."""
    return built(_MODULE, "krew", 300, package="sigs.k8s.io/krew/cmd/krew")


def archived(into: Path | None = None) -> Path:
    """Return the archive of what is checked out, copied where asked; the cache keeps the last that was made."""
    folder = cache.root() / f"plugin-{_key()}"
    with cache.only_builder(folder.with_name("plugin"), "kubectl keyturn"):
        if not folder.exists():
            for older in folder.parent.glob("plugin-*"):
                shutil.rmtree(older)
            _make(folder)
        (made,) = folder.iterdir()
        return Path(shutil.copy(made, into)) if into else made


def _key() -> str:
    """Name the folder by all that decides what is made."""
    ours = (path for path in ROOT.glob("operator/**/*") if "__pycache__" not in path.parts and path.is_file())
    sources = sorted([*ours, *ROOT.glob("release/*.py"), *ROOT.glob("requirements*.txt")])
    contents = b"".join(path.read_bytes() for path in sources)
    return hashlib.sha256(sys.version.encode() + contents).hexdigest()[:16]


def _make(folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        made = Path(scratch) / "dist"
        done = release(made, "plugin")
        assert done.returncode == 0, done.stderr
        made.rename(folder)


@dataclass(frozen=True, slots=True)
class Plugin:
    """`kubectl keyturn` from an archive."""

    home: Path

    @classmethod
    def installed(cls, home: Path) -> Plugin:
        """Have a real Krew install the archive by the manifest that is made of it."""
        plugin = cls.with_krew(home)
        packed = archived(home)
        done = release(home, "krew", f"--url={_URL}")
        assert done.returncode == 0, done.stderr
        plugin.install(packed)
        return plugin

    @classmethod
    def with_krew(cls, home: Path) -> Plugin:
        """Prepare a machine that has kubectl and Krew; the plugin is still to be installed."""
        (home / "bin").mkdir()
        (home / "bin" / "kubectl").symlink_to(BIN / "kubectl")
        (home / "bin" / "kubectl-krew").symlink_to(krew())
        return cls(home)

    def install(self, archive: Path) -> None:
        """Install an archive by the manifest beside it."""
        manifest = archive.with_name("keyturn.yaml")
        self.kubectl("krew", "install", f"--manifest={manifest}", f"--archive={archive}")

    @property
    def environment(self) -> Mapping[str, str]:
        """Return all that there is: git comes from the system."""
        path = os.pathsep.join([str(self.home / "krew" / "bin"), str(self.home / "bin"), "/usr/bin", "/bin"])
        return {"PATH": path, "HOME": str(self.home), "KREW_ROOT": str(self.home / "krew")}

    def run(
        self, *arguments: str, kubeconfig: Path | None = None, cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        named = {"KUBECONFIG": str(kubeconfig)} if kubeconfig else {}
        return subprocess.run(
            ["kubectl", *arguments],
            env={**self.environment, **named},
            executable=self.home / "bin" / "kubectl",
            cwd=cwd,
            check=False,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def kubectl(self, *arguments: str, kubeconfig: Path | None = None, cwd: Path | None = None) -> str:
        """Run what must succeed; return what it prints."""
        done = self.run(*arguments, kubeconfig=kubeconfig, cwd=cwd)
        assert done.returncode == 0, done.stderr
        return done.stdout
