"""Git repositories as tests make them, and what `keyturn audit` says of one."""

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from click.testing import CliRunner

from keyturn.cli.commands import main

_NOBODY = {
    "GIT_AUTHOR_NAME": "nobody",
    "GIT_AUTHOR_EMAIL": "nobody@shop.test",
    "GIT_COMMITTER_NAME": "nobody",
    "GIT_COMMITTER_EMAIL": "nobody@shop.test",
    "GIT_CONFIG_GLOBAL": os.devnull,
}


@dataclass(frozen=True, slots=True)
class Audit:
    """What the command printed and how it ended."""

    code: int
    printed: str
    errors: str

    @property
    def document(self) -> Any:
        return json.loads(self.printed)

    def found(self, verdict: str) -> list[tuple[str | None, str]]:
        """Return where it was found, and the evidence."""
        return [
            (one["where"], one["evidence"]) for one in self.document["findings"] if one["verdict"] == verdict
        ]


@dataclass(frozen=True, slots=True)
class Repository:
    """One repository."""

    folder: Path

    @classmethod
    def new(cls, folder: Path) -> Self:
        folder.mkdir()
        repository = cls(folder)
        repository.git("init", "--quiet", "--initial-branch=main")
        return repository

    def git(self, *arguments: str, given: bytes | None = None) -> bytes:
        return subprocess.run(
            ["git", *arguments],
            cwd=self.folder,
            input=given,
            env={**os.environ, **_NOBODY},
            check=True,
            capture_output=True,
            timeout=120,
        ).stdout

    def write(self, files: Mapping[str, str | bytes]) -> None:
        for name, content in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)

    def commit(self, files: Mapping[str, str | bytes]) -> None:
        self.write(files)
        self.git("add", "--force", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "a change")

    def audit(self, *options: str) -> Audit:
        return audit(self.folder, *options)


def audit(folder: Path, *options: str) -> Audit:
    """Run the command for a repository; without options about its form the answer is JSON."""
    form = () if "-o" in options else ("-o", "json")
    done = CliRunner().invoke(main, ["audit", "--repository", str(folder), *form, *options])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exc_info
    return Audit(done.exit_code, done.stdout, done.stderr)
