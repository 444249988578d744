"""Point 2: no secret is in a repository or its history, and Git ignores .env files."""

from __future__ import annotations

import hmac
import io
import re
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from keyturn.checklist.strength_estimate import bits_of
from keyturn.core.policy.checklist import Finding, Point, Verdict
from keyturn.offline.dotenv.declaration import Copied, inferred

from .git import CannotLook, shown
from .rules import hits, is_placeholder, keys_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .git import Addition, Git

_MAX_FINDINGS: Final = 200
"""Maximum findings that are listed one by one."""
_PROGRESS_COMMITS: Final = 500
"""Commits between two reports of progress."""
_TEMPLATE_BITS: Final = 40.0
_TEMPLATE: Final = re.compile(
    rb"(?:^|/)\.env(?:\.[^/]+)?\.(?:example|sample|template|dist|defaults)$|(?:^|/)example\.env$"
)
_ENV_FILE: Final = re.compile(rb"(?:^|/)\.env(?:\.[^/]+)?$")
_IGNORED: Final = (b".env", b".env.development", b".env.production")
_MANIFEST: Final = re.compile(rb"\.(?:ya?ml|json)$", re.IGNORECASE)
_MANIFESTS: Final = ("--", "*.yaml", "*.yml", "*.json")
_ROTATE: Final = "replace the value wherever it is used, and then take it out of the file"
_ROTATE_OLD: Final = (
    "replace the value wherever it is used: it stays readable in every clone,"
    " even after the history is rewritten"
)


class _Late(Exception):  # noqa: N818  # it says what happened
    """The time limit was reached."""


def look(git: Git, is_late: Callable[[], bool], tell: Callable[[str], None]) -> Iterator[Finding]:
    """Check the files and every commit, within the time limit; `tell` receives the progress."""
    found = _Look(git, is_late, tell)
    if git.has_tree:
        found.tree()
    found.history()
    if not (found.failed or found.has_unknown):
        found.add(Verdict.PASS, f"nothing secret in {found.read}")
    if found.failed > _MAX_FINDINGS:
        more = f"{found.failed - _MAX_FINDINGS} more like these"
        found.add(Verdict.FAIL, more, "fix these, then run the audit again")
    skipped = ", ".join(f"{count} {what}" for what, count in sorted(git.skipped.items()) if count)
    if skipped:
        found.add(Verdict.NOT_APPLICABLE, f"not checked: {skipped}")
    yield from found.findings


@dataclass(slots=True)
class _Look:
    """Findings so far."""

    git: Git
    is_late: Callable[[], bool]
    tell: Callable[[str], None]
    findings: list[Finding] = field(default_factory=list)
    failed: int = 0
    has_unknown: bool = False
    read: str = ""
    _key: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    _known: set[tuple[str, str, bytes]] = field(default_factory=set)

    def add(self, verdict: Verdict, evidence: str, remedy: str = "", where: str = "", line: int = 0) -> None:
        self.has_unknown = self.has_unknown or verdict is Verdict.UNKNOWN
        self.findings.append(Finding(Point.SOURCE_CONTROL, verdict, evidence, remedy, where, line))

    def fail(self, evidence: str, remedy: str, where: str, line: int = 0) -> None:
        self.failed += 1
        if self.failed <= _MAX_FINDINGS:
            self.add(Verdict.FAIL, evidence, remedy, where, line)

    def is_new(self, rule: str, path: str, secret: bytes = b"") -> bool:
        """Whether this file had no such finding before; only digests are kept."""
        self._check_time()
        mark = rule, path, hmac.digest(self._key, secret, "sha256")
        is_new = mark not in self._known
        self._known.add(mark)
        return is_new

    def _check_time(self) -> None:
        if self.is_late():
            raise _Late

    def tree(self) -> None:
        paths, count = self.git.paths(), 0
        self._check_ignored(paths)
        try:
            for count, path in enumerate(paths):  # noqa: B007  # told if the time ends
                self._file(path, self.git.content(path))
        except _Late:
            self._unfinished(f"{count} of {len(paths)} files")
        self.read = f"the {len(paths)} files of the tree and "

    def _check_ignored(self, paths: list[bytes]) -> None:
        """Check .gitignore at the top, and in each folder with a template of a .env file."""
        folders = {b"", *(path.rpartition(b"/")[0] + b"/" for path in paths if _TEMPLATE.search(path))} - {
            b"/"
        }
        for folder in sorted(folders):
            open_ = [shown(name) for name in _IGNORED if not self.git.is_ignored(folder + name)]
            if open_:
                self.fail(
                    f"no .gitignore of the repository keeps {', '.join(open_)} out of Git",
                    "write the lines .env, .env.* and !.env.example into it; keyturn init does",
                    shown(folder + b".gitignore"),
                )
        if not self.failed:
            self.add(Verdict.PASS, ".gitignore keeps .env files out of Git")

    def _file(self, path: bytes, text: str | None) -> None:
        self._check_time()
        name = shown(path)
        if _is_env_file(path) and self.is_new("file", name):
            remedy = f"run git rm --cached on it, ignore it, and {_ROTATE}"
            self.fail(f"{name} would be or is committed", remedy, name)
        if text is None:
            return
        if _TEMPLATE.search(path):
            for line, variable in _real_values(text):
                self.fail(
                    f"{variable} has what looks like a real value",
                    f"leave it empty there, and {_ROTATE}",
                    name,
                    line,
                )
        for hit in hits(name, text):
            if self.is_new(hit.rule, name, hit.secret.reveal()):
                self.fail(f"a line has what looks like: {hit.rule}", _ROTATE, name, hit.line + 1)
        if _MANIFEST.search(path):
            self._manifest(name, text, "", _ROTATE)

    def _manifest(self, name: str, text: str, when: str, remedy: str) -> None:
        keys = sorted(key for key in keys_in(name, text) if self.is_new("manifest", name, key.encode()))
        if keys:
            listed = ", ".join(key if key.isprintable() else "…" for key in keys)
            remedy = f"declare a ManagedSecret or read them from a store, and {remedy}"
            self.fail(f"a Secret has values in the clear{when}: {listed}", remedy, name)

    def history(self) -> None:
        commits = set[str]()
        try:
            stashes = self.git.stashes()
            total = self.git.count(stashes)
            for one in self.git.additions(stashes, "--unified=0"):
                if one.commit not in commits and len(commits) % _PROGRESS_COMMITS == _PROGRESS_COMMITS - 1:
                    self.tell(f"{len(commits) + 1} of {total} commits")
                commits.add(one.commit)
                self._addition(shown(one.path), one)
            for one in self.git.additions(stashes, "--unified=1000000", *_MANIFESTS):
                self._manifest(shown(one.path), one.text, f" in commit {one.commit[:12]}", _ROTATE_OLD)
        except CannotLook as problem:
            self.add(Verdict.UNKNOWN, str(problem), "repair it or clone it again, then run the audit again")
        except _Late:
            self._unfinished(f"{len(commits)} of {total} commits, the newest first")
        else:
            self.read += f"the {total} commits of the history"
            if self.git.is_shallow:
                what = f"only the last {total} commits are in this clone"
                self.add(Verdict.UNKNOWN, what, "run git fetch --unshallow, then run the audit again")

    def _addition(self, name: str, one: Addition) -> None:
        self._check_time()
        commit = one.commit[:12]
        if _is_env_file(one.path) and self.is_new("file", name):
            self.fail(f"it was committed, last in {commit}", _ROTATE_OLD, name)
        for hit in hits(name, one.text):
            if self.is_new(hit.rule, name, hit.secret.reveal()):
                where = f"line {one.line + hit.line} held in commit {commit}"
                self.fail(f"{where} what looks like: {hit.rule}", _ROTATE_OLD, name)

    def _unfinished(self, how_far: str) -> None:
        self.add(
            Verdict.UNKNOWN, f"the time limit was reached after {how_far}", "allow more with --time-limit"
        )


def _is_env_file(path: bytes) -> bool:
    """Whether a path names a .env file with values, not a template."""
    return bool(_ENV_FILE.search(path)) and not _TEMPLATE.search(path)


def _real_values(text: str) -> Iterator[tuple[int, str]]:
    """Yield line and name of the variables of a template with a likely real value."""
    from dotenv.parser import parse_stream  # noqa: PLC0415  # on first use

    for binding in parse_stream(io.StringIO(text)):
        name, value = (binding.key or "")[:100], binding.value or ""
        login = re.match(r"[a-z][a-z0-9+.-]*://[^/\s:@]*:([^/\s@]+)@", value, re.IGNORECASE)
        is_secret = login or not isinstance(inferred(name, value, in_a_url=False).source, Copied)
        real = login[1] if login else value
        if is_secret and bits_of(real) >= _TEMPLATE_BITS and not is_placeholder(real):
            yield binding.original.line, shown(name.encode("utf-8", "replace"))
