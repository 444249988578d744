"""Git as a subprocess that starts no program of the repository: files of the tree, additions of all commits."""

import os
import re
import stat
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import IO, Final

_TIMEOUT: Final = 60.0
_MAX_BYTES: Final = 1024 * 1024
"""Largest file of the tree, largest addition of the history."""
_BINARY_WITHIN: Final = 8000  # as in git
_SUBMODULE: Final = b"160000"
_OVERRIDES: Final = (
    *("-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "core.pager=cat"),
    *("-c", "core.excludesFile=/dev/null", "-c", "core.quotePath=false", "-c", "protocol.allow=never"),
    *("-c", "log.showSignature=false", "-c", "core.commitGraph=false"),
)
"""Overrides of repository settings that could start a program or hide a commit."""
_ENVIRONMENT: Final = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "LC_ALL": "C",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_GRAFT_FILE": os.devnull,
}
_LOG: Final = (
    *("log", "--all", "--patch", "--cc", "--text", "--full-index", "--no-renames", "--root"),
    *("--no-ext-diff", "--no-textconv", "--no-color", "--no-notes", "--no-decorate", "--no-show-signature"),
    *("--src-prefix=", "--dst-prefix=", "--submodule=short", "--ignore-submodules=none"),
    "--format=commit %H",
)
_HEADER: Final = re.compile(
    rb"commit (?P<commit>[0-9a-f]{40,64})\n|diff --(?P<kind>git|cc|combined) (?P<file>.*)\n"
    rb"|(?P<hunk>@{2,}) .*\+(?P<start>\d+)",
    re.DOTALL,
)
_END: Final = b"commit " + b"0" * 40 + b"\n"


class CannotLook(Exception):  # noqa: N818  # it says why, and what to do
    """The repository cannot be read."""


@dataclass(frozen=True, slots=True)
class Git:
    """One repository."""

    folder: Path
    has_tree: bool
    """Whether there is a working tree; a bare repository has none."""
    is_shallow: bool
    skipped: Counter[str] = field(default_factory=Counter)
    """What was not read, with its number."""

    def is_ignored(self, path: bytes) -> bool:
        """Whether git ignores a path by a file that every clone has."""
        command = self._command("check-ignore", "--no-index", "--verbose", "-z", "--stdin")
        source, _, pattern, *_ = [*_run(command, path + b"\0").stdout.split(b"\0"), b"", b"", b""]
        is_shared = source.rpartition(b"/")[2] == b".gitignore" and not source.startswith(b"/")
        return is_shared and not pattern.startswith(b"!")

    def paths(self) -> list[bytes]:
        """Return the files that are tracked, or that `git add .` would add."""
        entries = [line.partition(b"\t") for line in self._lines("ls-files", "-z", "--stage", end=b"\0")]
        tracked = dict.fromkeys(path for facts, _, path in entries if not facts.startswith(_SUBMODULE))
        submodules = {path for facts, _, path in entries if facts.startswith(_SUBMODULE)}
        self.skipped["submodules, which are repositories of their own"] += len(submodules)
        new = self._lines("ls-files", "-z", "--others", "--exclude-standard", end=b"\0")
        return [*tracked, *(path for path in new if not path.endswith(b"/"))]

    def content(self, path: bytes) -> str | None:
        """Return the text of a file of the working tree; None, and counted, if it is skipped."""
        file = self.folder / os.fsdecode(path)
        try:
            if stat.S_ISREG(file.lstat().st_mode):
                with file.open("rb") as opened:
                    return self._text(opened.read(_MAX_BYTES + 1))
        except FileNotFoundError:
            return None  # deleted, and the deletion is not committed
        except OSError:
            pass
        self.skipped["links, and files that you may not read"] += 1
        return None

    def count(self) -> int:
        """Return the number of commits that references reach."""
        return int((self._lines("rev-list", "--all", "--count") or [b"0"])[0])

    def additions(self, *options: str) -> Iterator[tuple[str, bytes, int, str]]:
        """Yield commit, path, line and text of the lines that commits added, the newest commit first.

        Of a merge, these are the lines that no parent has. Context, which `options` may request, is a part of them.

        Raises:
            CannotLook: git failed.
        """
        commit, path, start, parents, lines = "", b"", 0, 0, list[bytes]()
        with subprocess.Popen(
            self._command(*_LOG, *options),
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as process:
            assert process.stdout is not None, "it was asked for"  # noqa: S101
            for line in chain(_bounded(process.stdout), (_END,)):
                # In a hunk, each line of a file has a mark before it, so none is taken for a header.
                header = _HEADER.match(line)
                if header and lines:
                    if text := self._text(b"".join(lines)):
                        yield commit, path, start, text
                    lines = []
                if header is None:
                    marks = line[:parents]
                    if marks and set(marks).isdisjoint(b"-\\" if parents == 1 else b"-\\ "):
                        lines.append(line[parents:])
                elif header["commit"]:
                    commit, parents = header["commit"].decode(), 0
                elif header["file"]:
                    path, parents = _path(header["file"], is_twice=header["kind"] == b"git"), 0
                else:
                    start, parents = int(header["start"]), len(header["hunk"]) - 1
        if process.returncode:
            raise CannotLook(f"git log fails in {self.folder}; run git fsck there to see why")

    def _text(self, content: bytes) -> str | None:
        if b"\0" in content[:_BINARY_WITHIN]:
            self.skipped["binary files"] += 1
        elif len(content) > _MAX_BYTES:
            self.skipped["files larger than 1 MiB"] += 1
        else:
            return content.decode("utf-8", "replace").replace("\r\n", "\n")
        return None

    def _lines(self, *arguments: str, end: bytes = b"\n") -> list[bytes]:
        done = _run(self._command(*arguments))
        if done.returncode:
            raise CannotLook(f"git fails in {self.folder}; run git fsck there to see why")
        return [line for line in done.stdout.split(end) if line]

    def _command(self, *arguments: str) -> list[str]:
        """Return a command; without the working tree, `core.worktree` of the repository would decide."""
        tree = ("--work-tree", str(self.folder)) if self.has_tree else ()
        return ["git", *_OVERRIDES, "--no-pager", "-C", str(self.folder), *tree, *arguments]


def opened(folder: Path) -> Git:
    """Find the repository of a folder.

    Raises:
        CannotLook: There is none, or git refuses to read it.
    """
    home = folder.resolve()
    if not home.is_dir():
        raise CannotLook(f"there is no folder {folder}; name one that is a Git repository")
    arguments = ("rev-parse", "--is-shallow-repository", "--absolute-git-dir")
    found = _run(["git", *_OVERRIDES, "-C", str(folder), *arguments])
    if found.returncode:
        raise CannotLook(_why(folder, found.stderr))
    is_shallow, where = found.stdout.removesuffix(b"\n").split(b"\n", 1)
    is_inside = home.is_relative_to(Path(os.fsdecode(where)).resolve())  # of a bare repository
    tree = next((one for one in (home, *home.parents) if (one / ".git").exists() and not is_inside), None)
    return Git(tree or folder, has_tree=tree is not None, is_shallow=is_shallow == b"true")


def shown(path: bytes) -> str:
    """Escape a path for a terminal."""
    text = path.decode("utf-8", "surrogateescape")
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def _bounded(log: IO[bytes]) -> Iterator[bytes]:
    """Yield the lines of a log; of a very long line, its start."""
    while line := log.readline(_MAX_BYTES):
        yield line if line.endswith(b"\n") else line + b"\n"
        while line and not line.endswith(b"\n"):
            line = log.readline(_MAX_BYTES)


def _path(written: bytes, *, is_twice: bool) -> bytes:
    """Return the path of a header, in which it may appear twice, with a blank between, and in quotes with escapes."""
    path = written[: len(written) // 2] if is_twice else written
    return path[1:-1].decode("unicode_escape").encode("latin-1") if path.startswith(b'"') else path


def _why(folder: Path, said: bytes) -> str:
    if b"dubious ownership" in said:
        remedy = f"git config --global --add safe.directory {folder.resolve()}"
        return f"git does not trust {folder}, which another user owns; run: {remedy}"
    if re.search(rb"not a git repository", said, re.IGNORECASE):
        return f"{folder} is no Git repository; name one with --repository"
    return f"git cannot read {folder}; run git status there to see why"


def _run(command: list[str], given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(
            command, env=_environment(), input=given, capture_output=True, check=False, timeout=_TIMEOUT
        )
    except FileNotFoundError:
        raise CannotLook("git is not installed; install it, or leave out --repository") from None
    except subprocess.TimeoutExpired:
        raise CannotLook(f"git took more than {_TIMEOUT:.0f} s; run git status there to see why") from None


def _environment() -> Mapping[str, str]:
    """Return the environment without variables that select another repository or start a program."""
    return {name: text for name, text in os.environ.items() if not name.startswith("GIT_")} | _ENVIRONMENT
