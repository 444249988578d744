"""Git as a subprocess, which starts no program that the repository configures and fetches nothing."""

from __future__ import annotations

import os
import re
import subprocess
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

_TIMEOUT: Final = 60.0
_BLOBS_PER_PROCESS: Final = 1000
"""Blobs per git process: their names fit into a pipe, so that neither side blocks."""
_FIELDS: Final = 3
"""Fields of cat-file for an object: name, type and size."""
_OVERRIDES: Final = (
    *("-c", "core.fsmonitor=false"),
    *("-c", "core.hooksPath=/dev/null"),
    *("-c", "core.pager=cat"),
    *("-c", "core.excludesFile=/dev/null"),
    *("-c", "core.quotePath=false"),
    *("-c", "protocol.allow=never"),
    *("-c", "log.showSignature=false"),
    *("-c", "core.bigFileThreshold=1m"),
    *("-c", "core.commitGraph=false"),
)
"""Overrides of repository settings that could start a program or hide a commit."""
_AS_COMMITTED: Final = {"GIT_NO_REPLACE_OBJECTS": "1", "GIT_GRAFT_FILE": os.devnull}
"""Ignore replacements and grafts, which change commits and their parents."""


class CannotLook(Exception):  # noqa: N818  # it says why, and what to do
    """The repository cannot be read."""


@dataclass(frozen=True, slots=True)
class Blob:
    """Content of one file of a commit."""

    name: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Git:
    """One repository."""

    folder: Path
    has_tree: bool
    """Whether there is a working tree; a bare repository has none."""
    is_shallow: bool

    @property
    def _tree(self) -> Path | None:
        """Return the working tree; otherwise `core.worktree` and `core.bare` of the repository would decide."""
        return self.folder if self.has_tree else None

    def lines(self, *arguments: str, end: bytes = b"\n", given: bytes = b"") -> list[bytes]:
        """Return git's output by line."""
        done = _run(self.folder, arguments, given=given, tree=self._tree)
        return [line for line in done.stdout.split(end) if line]

    def why_ignored(self, path: bytes) -> tuple[bytes, bytes] | None:
        """Return file and pattern by which git ignores a path, or which exempts it."""
        asked = ("check-ignore", "--no-index", "--verbose", "-z", "--stdin")
        done = _run(self.folder, asked, may_fail=True, given=path + b"\0", tree=self._tree)
        source, _, pattern, *_ = [*done.stdout.split(b"\0"), b"", b"", b""]
        return (source, pattern) if source else None

    @contextmanager
    def stream(self, *arguments: str, given: bytes) -> Iterator[IO[bytes]]:
        """Stream git's output; an early end of the block terminates git.

        It must read all that is given before it writes.

        Raises:
            CannotLook: git failed.
        """
        with subprocess.Popen(
            _command(self.folder, arguments, self._tree),
            env=_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as process:
            assert process.stdin is not None, "it was asked for"  # noqa: S101
            assert process.stdout is not None, "it was asked for"  # noqa: S101
            try:
                with suppress(BrokenPipeError):  # git has failed, as its exit code says
                    process.stdin.write(given)
                    process.stdin.close()
                yield process.stdout
                if process.wait(_TIMEOUT):
                    raise _broken(arguments[0], self.folder)
            finally:
                process.kill()

    def blobs(self, names: Sequence[str], largest: int) -> Iterator[Blob]:
        """Yield the blobs of these names, except missing and large ones."""
        for start in range(0, len(names), _BLOBS_PER_PROCESS):
            group = self._small(names[start : start + _BLOBS_PER_PROCESS], largest)
            with self._batch("--batch", group) as answer:
                for name in group:
                    facts = answer.readline().split()
                    if len(facts) != _FIELDS:
                        raise _broken("cat-file", self.folder)
                    yield Blob(name, answer.read(int(facts[2])))
                    answer.read(1)

    def _small(self, names: Sequence[str], largest: int) -> list[str]:
        with self._batch("--batch-check", names) as answer:
            facts = [line.split() for line in answer]
        return [
            name
            for name, fact in zip(names, facts, strict=False)
            if fact[1] == b"blob" and int(fact[2]) <= largest
        ]

    @contextmanager
    def _batch(self, how: str, names: Sequence[str]) -> Iterator[IO[bytes]]:
        with subprocess.Popen(
            _command(self.folder, ("cat-file", how), self._tree),
            env=_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as process:
            assert process.stdin is not None, "it was asked for"  # noqa: S101
            assert process.stdout is not None, "it was asked for"  # noqa: S101
            try:
                process.stdin.write("".join(f"{name}\n" for name in names).encode())
                process.stdin.close()
                yield process.stdout
            finally:
                process.kill()


def opened(folder: Path) -> Git:
    """Find the repository of a folder.

    Raises:
        CannotLook: There is none, or git refuses to read it.
    """
    if not folder.is_dir():
        raise CannotLook(f"there is no folder {folder}; name one that is a Git repository")
    found = _run(folder, ("rev-parse", "--is-shallow-repository", "--absolute-git-dir"), may_fail=True)
    if found.returncode:
        raise CannotLook(_why(folder, found.stderr))
    is_shallow, where = found.stdout.removesuffix(b"\n").split(b"\n", 1)
    top = _top(folder.resolve(), os.path.realpath(where))
    return Git(top or folder, has_tree=top is not None, is_shallow=is_shallow == b"true")


def _top(folder: Path, repository: bytes) -> Path | None:
    """Return the folder whose `.git` is the repository; its settings are ignored."""
    for one in (folder, *folder.parents):
        entry = one / ".git"
        if not entry.exists():
            continue
        leads_to = _run(one, ("rev-parse", "--resolve-git-dir", str(entry)), may_fail=True)
        if not leads_to.returncode and os.path.realpath(leads_to.stdout.removesuffix(b"\n")) == repository:
            return one
    return None


def shown(path: bytes) -> str:
    """Escape a path for a terminal."""
    text = path.decode("utf-8", "surrogateescape")
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def _why(folder: Path, said: bytes) -> str:
    if b"dubious ownership" in said:
        return (
            f"git does not trust {folder}, which another user owns;"
            f" run: git config --global --add safe.directory {folder.resolve()}"
        )
    if re.search(rb"not a git repository", said, re.IGNORECASE):
        return f"{folder} is no Git repository; name one with --repository"
    return f"git cannot read {folder}; run git status there to see why"


def _broken(command: str, folder: Path) -> CannotLook:
    return CannotLook(f"git {command} fails in {folder}; run git fsck there to see why")


def _run(
    folder: Path,
    arguments: Sequence[str],
    *,
    may_fail: bool = False,
    given: bytes = b"",
    tree: Path | None = None,
) -> subprocess.CompletedProcess[bytes]:
    try:
        done = subprocess.run(
            _command(folder, arguments, tree),
            env=_environment(),
            input=given,
            capture_output=True,
            check=False,
            timeout=_TIMEOUT,
        )
    except FileNotFoundError:
        raise CannotLook("git is not installed; install it, or leave out --repository") from None
    except subprocess.TimeoutExpired:
        raise CannotLook(f"git {arguments[0]} took more than {_TIMEOUT:.0f} s in {folder}") from None
    if done.returncode and not may_fail:
        raise _broken(arguments[0], folder)
    return done


def _command(folder: Path, arguments: Sequence[str], tree: Path | None) -> list[str]:
    place = ("-C", str(folder)) if tree is None else ("-C", str(folder), "--work-tree", str(tree))
    return ["git", *_OVERRIDES, "--no-pager", *place, *arguments]


def _environment() -> Mapping[str, str]:
    """Return the environment without variables that select another repository or start a program."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("GIT_")}
    quiet = {"GIT_TERMINAL_PROMPT": "0", "GIT_NO_LAZY_FETCH": "1", "GIT_OPTIONAL_LOCKS": "0"}
    return {**kept, **quiet, **_AS_COMMITTED, "LC_ALL": "C"}
