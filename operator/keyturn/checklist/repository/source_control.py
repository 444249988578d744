"""Point 2: no secret is in a repository or its history."""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from keyturn.core.policy.findings import Finding, Point, Verdict

from . import history, kept_out, tree
from .git import CannotLook, shown
from .manifests import MANIFEST, keys_in
from .rules import hits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .git import Git

_MAX_FINDINGS: Final = 200
"""Maximum findings that are listed one by one."""
_PROGRESS_COMMITS: Final = 500
"""Commits between two reports of progress."""
_ROTATE: Final = "replace the value wherever it is used, and then take it out of the file"
_ROTATE_OLD: Final = (
    "replace the value wherever it is used: it stays readable in every clone,"
    " even after the history is rewritten"
)


@dataclass(slots=True)
class _Look:
    """Findings so far."""

    git: Git
    clock: Callable[[], bool]
    tell: Callable[[str], None]
    has_ended: bool = False
    """Whether the time limit was reached."""
    skipped: tree.Skipped = field(default_factory=tree.Skipped)
    findings: list[Finding] = field(default_factory=list)
    more: int = 0
    _key: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    _known: set[tuple[str, str, bytes]] = field(default_factory=set)

    def is_late(self) -> bool:
        """Whether the time limit is reached; files of 1 MiB can take minutes, so it is checked also within one."""
        self.has_ended = self.has_ended or self.clock()
        return self.has_ended

    def is_new(self, rule: str, path: str, secret: bytes) -> bool:
        """Whether this file had no such finding before; only digests are kept."""
        mark = rule, path, hmac.digest(self._key, secret, "sha256")
        if mark in self._known:
            return False
        self._known.add(mark)
        return True

    def fail(self, evidence: str, remedy: str, path: str, line: int = 0) -> None:
        if len(self.findings) >= _MAX_FINDINGS:
            self.more += 1
            return
        self.findings.append(Finding(Point.SOURCE_CONTROL, Verdict.FAIL, evidence, remedy, path, line))


def look(git: Git, is_late: Callable[[], bool], tell: Callable[[str], None]) -> Iterator[Finding]:
    """Check the files and every commit, within the time limit; `tell` receives the progress."""
    found = _Look(git, is_late, tell)
    if git.has_tree:
        yield from _files(found)
    yield from _history(found)
    yield from found.findings
    if found.more:
        yield Finding(
            Point.SOURCE_CONTROL,
            Verdict.FAIL,
            f"{found.more} more like these",
            "fix these, then run the audit again",
        )
    if found.skipped.counts:
        yield Finding(Point.SOURCE_CONTROL, Verdict.NOT_APPLICABLE, f"not checked: {found.skipped}")


# Files


def _files(look: _Look) -> Iterator[Finding]:
    before, count = len(look.findings), 0
    there = tree.paths(look.git, tree.Skipped())
    yield from kept_out.ignored(look.git, there)
    for path, content in tree.files(look.git, look.skipped):
        if not look.is_late():
            _file(look, path, content)
        if look.has_ended:
            yield _unfinished(f"{count} of {len(there)} files")
            return
        count += 1
    if len(look.findings) == before:
        yield Finding(Point.SOURCE_CONTROL, Verdict.PASS, f"nothing secret in the {count} files of the tree")


def _file(look: _Look, path: bytes, content: bytes) -> None:
    text, name = content.decode("utf-8", "replace").replace("\r\n", "\n"), shown(path)
    if kept_out.is_env_file(path) and look.is_new("file", name, b""):
        look.fail(
            f"{name} would be or is committed", f"run git rm --cached on it, ignore it, and {_ROTATE}", name
        )
    if kept_out.TEMPLATE.search(path):
        look.findings += kept_out.templates(path, content)
    for hit in hits(text, look.is_late):
        if look.is_new(hit.rule, name, hit.secret.reveal()):
            look.fail(f"a line has what looks like: {hit.rule}", _ROTATE, name, hit.line + 1)
    if MANIFEST.search(path):
        _manifest(look, name, text, "")


def _manifest(look: _Look, name: str, text: str, commit: str) -> None:
    keys = sorted(key for key in keys_in(text) if look.is_new("manifest", name, key.encode()))
    if not keys:
        return
    listed = ", ".join(key if key.isprintable() else "…" for key in keys)
    where = f" in commit {commit[:12]}" if commit else ""
    look.fail(
        f"a Secret has values in the clear{where}: {listed}",
        f"declare a ManagedSecret or read them from a store, and {_ROTATE_OLD if commit else _ROTATE}",
        name,
    )


# History


def _history(look: _Look) -> Iterator[Finding]:
    before, progress = len(look.findings), history.Progress()
    try:
        stashes = history.stashes(look.git)
        total = history.count(look.git, stashes)
        _commits(look, stashes, progress, total)
    except CannotLook as problem:
        remedy = "repair it or clone it again, then run the audit again"
        yield Finding(Point.SOURCE_CONTROL, Verdict.UNKNOWN, str(problem), remedy)
        return
    if not progress.is_over:
        yield _unfinished(f"{progress.commits} of {total} commits, the newest first")
    elif look.git.is_shallow:
        yield Finding(
            Point.SOURCE_CONTROL,
            Verdict.UNKNOWN,
            f"only the last {total} commits are in this clone",
            "run git fetch --unshallow, then run the audit again",
        )
    elif len(look.findings) == before and not look.more:
        what = "nothing more" if before else "nothing secret"
        yield Finding(Point.SOURCE_CONTROL, Verdict.PASS, f"{what} in the {total} commits of the history")


def _commits(look: _Look, stashes: bytes, progress: history.Progress, total: int) -> None:
    later, told = dict[str, tuple[str, str]](), 0
    for one in history.added(look.git, stashes, progress):
        if look.is_late():
            return
        if progress.commits >= told + _PROGRESS_COMMITS:
            told = progress.commits
            look.tell(f"{told} of {total} commits")
        _addition(look, one, later)
    progress.is_over = not look.has_ended and _blobs(look, later)


def _unfinished(how_far: str) -> Finding:
    return Finding(
        Point.SOURCE_CONTROL,
        Verdict.UNKNOWN,
        f"the time limit was reached after {how_far}",
        "allow more with --time-limit",
    )


def _addition(look: _Look, one: history.Added, later: dict[str, tuple[str, str]]) -> None:
    name = shown(one.path)
    if kept_out.is_env_file(one.path) and look.is_new("file", name, b""):
        look.fail(f"it was committed, last in {one.commit[:12]}", _ROTATE_OLD, name)
    if one.text is None or MANIFEST.search(one.path):
        later.setdefault(one.blob, (name, one.commit))
    if one.text is None:
        return
    for hit in hits(one.text, look.is_late):
        if look.is_new(hit.rule, name, hit.secret.reveal()):
            look.fail(
                f"line {one.line + hit.line} held in commit {one.commit[:12]} what looks like: {hit.rule}",
                _ROTATE_OLD,
                name,
            )


def _blobs(look: _Look, later: dict[str, tuple[str, str]]) -> bool:
    """Check whole files: manifests, and what git treats as binary, which a repository's settings may only claim.

    Return whether the time sufficed.
    """
    read = 0
    for blob in look.git.blobs(list(later), tree.LARGEST):
        read += 1
        if look.is_late():
            return False
        name, commit = later[blob.name]
        if tree.is_binary(blob.content):
            look.skipped.note("binary files of the history")
            continue
        text = blob.content.decode("utf-8", "replace").replace("\r\n", "\n")
        if MANIFEST.search(name.encode("utf-8", "replace")):
            _manifest(look, name, text, commit)
        for hit in hits(text, look.is_late):
            if look.is_new(hit.rule, name, hit.secret.reveal()):
                look.fail(f"commit {commit[:12]} holds what looks like: {hit.rule}", _ROTATE_OLD, name)
    if missing := len(later) - read:
        look.skipped.counts["large or missing files of the history"] += missing
    return not look.has_ended
