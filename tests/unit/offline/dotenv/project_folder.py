"""A folder with a .env.example, and the commands on it."""

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from click.testing import CliRunner, Result
from dotenv import dotenv_values

from keyturn.cli.commands import main
from tests.support import forked_cli

EXAMPLE = """\
# The shop's settings.
NODE_ENV=development
PORT=3000

# Signs the tokens of logins.
JWT_SECRET=your_jwt_secret_here
JWT_EXPIRES_IN=15m
# keyturn: bytes length=32 encoding=hex
TWOFA_ENCRYPTION_KEY=
POSTGRES_PASSWORD=
DATABASE_URL="postgresql://shop:${POSTGRES_PASSWORD}@db:5432/shop"
STRIPE_SECRET_KEY=
"""


@dataclass(frozen=True, slots=True)
class Folder:
    """A project on a laptop."""

    path: Path

    def put(self, name: str, content: str | bytes, mode: int = 0o644) -> Path:
        path = self.path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        path.chmod(mode)
        return path

    def example(self, content: str | bytes) -> None:
        self.put(".env.example", content)

    def env(self, content: str | bytes, environment: str = "development") -> None:
        self.put(f".env.{environment}", content, 0o600)

    def text(self, environment: str = "development") -> str:
        return self.content(environment).decode()

    def content(self, environment: str = "development") -> bytes:
        return (self.path / f".env.{environment}").read_bytes()

    def values(self, environment: str = "development") -> dict[str, str | None]:
        """Read the values as python-dotenv gives them to a program."""
        return dict(dotenv_values(self.path / f".env.{environment}"))

    def value(self, name: str, environment: str = "development") -> str:
        found = self.values(environment)[name]
        assert found is not None
        return found

    def everything(self) -> dict[str, tuple[bytes, int]]:
        """Return each file with its rights, so that two looks can be compared."""
        files = (path for path in self.path.rglob("*") if path.is_file() and not path.is_symlink())
        return {
            str(path.relative_to(self.path)): (path.read_bytes(), path.stat().st_mode & 0o7777)
            for path in files
        }

    def run(self, command: str, *arguments: str | Path) -> Result:
        return CliRunner().invoke(main, [command, "--folder", str(self.path), *map(str, arguments)])

    def init(self, *arguments: str | Path) -> str:
        """Fill files where nothing is left for a person; return what was printed."""
        done = self.run("init", *arguments)
        assert done.exit_code == 0, done.output
        return done.output

    def refusal(self, command: str, *arguments: str | Path) -> str:
        """Run a command that must be refused with one sentence and change nothing; return it."""
        before = self.everything()
        done = self.run(command, *arguments)
        assert (done.exit_code, done.stdout) == (1, "")
        assert done.stderr.startswith("Error: ")
        assert done.stderr.count("\n") == 1
        assert self.everything() == before
        return done.stderr.removeprefix("Error: ").strip()

    def process(
        self, *arguments: str, env: Mapping[str, str] | None = None, given: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run the command line in a process of its own; tests of the start run the console script."""
        inherited = {name: text for name, text in os.environ.items() if not name.startswith("KUBE")}
        environment = {**inherited, **(env or {})}
        return forked_cli.run(arguments, environment, given=given, timeout=60, folder=self.path)
