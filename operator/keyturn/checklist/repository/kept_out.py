"""Checks that Git ignores .env files, and that their templates have no real values."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from keyturn.checklist.strength_estimate import bits_of
from keyturn.core.policy.findings import Finding, Point, Verdict
from keyturn.offline.dotenv.inference import Copied, inferred

from .git import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .git import Git

TEMPLATE: Final = re.compile(
    rb"(?:^|/)\.env(?:\.[^/]+)?\.(?:example|sample|template|dist|defaults)$|(?:^|/)example\.env$"
)
ENV_FILE: Final = re.compile(rb"(?:^|/)\.env(?:\.[^/]+)?$")
_WANTED: Final = (b".env", b".env.development", b".env.production")
_TEMPLATE_BITS: Final = 40.0
_PLACEHOLDER: Final = re.compile(
    r".*(change[-_ ]?(me|it|this)|your[-_ ]|example|placeholder|replace|(?<![a-z0-9])(todo|x{4,}(?![a-z0-9]))|x{8,}"
    r"|<[^>]*>|\$\{|\*{3,}|\.{3,}).*",
    re.IGNORECASE,
)
_LOGIN: Final = re.compile(r"[a-z][a-z0-9+.-]*://[^/\s:@]*:([^/\s@]+)@", re.IGNORECASE)


def is_env_file(path: bytes) -> bool:
    """Whether a path names a .env file with values, not a template."""
    return bool(ENV_FILE.search(path)) and not TEMPLATE.search(path)


def ignored(git: Git, paths: Iterable[bytes]) -> Iterator[Finding]:
    """Check .gitignore at the top, and in each folder with a template of a .env file."""
    folders = {b""} | {path.rpartition(b"/")[0] for path in paths if TEMPLATE.search(path)}
    lacking = {folder: _lacking(git, folder) for folder in sorted(folders)}
    for folder, names in lacking.items():
        if names:
            listed = ", ".join(shown(name) for name in names)
            yield Finding(
                Point.SOURCE_CONTROL,
                Verdict.FAIL,
                f"no .gitignore of the repository keeps {listed} out of Git",
                "write the lines .env, .env.* and !.env.example into it; keyturn init does",
                shown(folder + b"/.gitignore" if folder else b".gitignore"),
            )
    if not any(lacking.values()):
        yield Finding(Point.SOURCE_CONTROL, Verdict.PASS, ".gitignore keeps .env files out of Git")


def _lacking(git: Git, folder: bytes) -> list[bytes]:
    return [name for name in _WANTED if not _is_ignored(git, folder + b"/" + name if folder else name)]


def _is_ignored(git: Git, path: bytes) -> bool:
    """Whether git ignores a path by a file that every clone has."""
    found = git.why_ignored(path)
    if found is None:
        return False
    source, pattern = found
    is_shared = source.rpartition(b"/")[2] == b".gitignore" and not source.startswith(b"/")
    return is_shared and not pattern.startswith(b"!")


def templates(path: bytes, content: bytes) -> Iterator[Finding]:
    """Yield the variables of a template with a likely real value."""
    for number, name, value in _entries(content):
        if _is_real(name, value):
            yield Finding(
                Point.SOURCE_CONTROL,
                Verdict.FAIL,
                f"{shown(name.encode('utf-8', 'replace'))} has what looks like a real value",
                "leave it empty there, and replace the value wherever it is used: everyone who can read the"
                " repository knows it",
                shown(path),
                number,
            )


def _entries(content: bytes) -> Iterator[tuple[int, str, str]]:
    """Yield the assignments, parsed as by the programs that read the file."""
    import io  # noqa: PLC0415  # on first use, with the next one

    from dotenv.parser import parse_stream  # noqa: PLC0415  # on first use

    for binding in parse_stream(io.StringIO(content.decode("utf-8", "replace"))):
        if binding.key and binding.value:
            yield binding.original.line, binding.key[:100], binding.value


def _is_real(name: str, value: str) -> bool:
    if login := _LOGIN.match(value):
        return bits_of(login[1]) >= _TEMPLATE_BITS and not _PLACEHOLDER.fullmatch(login[1])
    if _PLACEHOLDER.fullmatch(value.strip()):
        return False
    is_secret = not isinstance(inferred(name, value, in_a_url=False).source, Copied)
    return is_secret and bits_of(value) >= _TEMPLATE_BITS
