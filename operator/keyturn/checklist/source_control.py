"""Point 2: no secret is in a repository or its history, and Git ignores .env files.

What is a secret: the patterns of detect-secrets, values of Kubernetes Secrets in manifests, real values in a template
of a .env file. Of the scanner only patterns and comments are used; its checks of keys against services never run.
"""

import base64
import functools
import hmac
import io
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from keyturn.core.policy.checklist import Finding, Point, Verdict
from keyturn.core.value import Value
from keyturn.offline.dotenv.declaration import Copied, inferred
from keyturn.offline.dotenv.environments import TEMPLATES
from keyturn.runtime import yaml_text

from .git import CannotLook, Git, opened, shown
from .strength_estimate import bits_of

_EXAMPLE_BITS: Final = 20.0
"""Values with fewer bits are examples, such as password and changeme."""
_TEMPLATE_BITS: Final = 40.0
_CANDIDATE: Final = re.compile(r"[A-Za-z0-9_+/=-]{16}|://|PRIVATE KEY|pragma: ?(?:allow|white)list")
"""A cheap pattern that every line with a finding matches, and most lines do not."""
_LONGEST_LINE: Final = 4096
"""Characters of a line that are searched, which bounds the time of a pattern."""
_LEFT_OUT: Final = frozenset({"ArtifactoryDetector", "AzureStorageKeyDetector"})
"""Rules that match checksums of lock files and other random texts; those by name and entropy have no pattern."""
_TEMPLATE: Final = re.compile(
    rb"(?:^|/)\.env(?:\.[^/]+)?\.(?:%s)$|(?:^|/)example\.env$" % "|".join(TEMPLATES).encode()
)
_ENV_FILE: Final = re.compile(rb"(?:^|/)\.env(?:\.[^/]+)?$")
_IGNORED: Final = (b".env", b".env.development", b".env.production")
_MANIFEST: Final = re.compile(rb"\.(?:ya?ml|json)$", re.IGNORECASE)
_MANIFESTS: Final = ("--", "*.yaml", "*.yml", "*.json")
_SECRET: Final = re.compile(r"""kind["']?\s*:\s*["']?Secret["']?\s*[,}#\r\n]""")
_PLACEHOLDER: Final = re.compile(
    r"""
    ^\s*$ | ^\s*\$\w+\s*$ | ://[^$]*\$\w | \$\{\w[^{}]*\} | (?-i:\$[A-Z][A-Z0-9_]{2,}\b) | \{\{[^{}]*\}\} | <[^<>]*>
    | ^ENC\[ | ^(?:ref\+|vault:|op://) | \*{3} | \.{3} | (?<![a-z0-9])(?:todo|x{4,}(?![a-z0-9])) | x{8} | ^x{3,}$
    | change[-_ ]?(?:me|it|this) | your[-_ ] | example | placeholder | replace
    """,
    re.IGNORECASE | re.VERBOSE,
)
"""Each alternative takes a time in proportion to the text."""
_ROTATE: Final = "replace the value wherever it is used, and then take it out of the file"
_ROTATE_OLD: Final = (
    "replace the value wherever it is used: it stays readable in every clone,"
    " even after the history is rewritten"
)


def look(folder: Path) -> list[Finding]:
    """Check the files and every commit of the repository of a folder.

    Raises:
        CannotLook: detect-secrets or git is not installed, or git cannot read the files.
    """
    _rules()
    git = opened(folder)
    found = _Look(git)
    if git.has_tree:
        found.tree()
    found.history()
    if not any(one.verdict in {Verdict.FAIL, Verdict.UNKNOWN} for one in found.findings):
        found.add(Verdict.PASS, f"nothing secret in {found.read}")
    if skipped := ", ".join(f"{count} {what}" for what, count in sorted(git.skipped.items()) if count):
        found.add(Verdict.NOT_APPLICABLE, f"not checked: {skipped}")
    return found.findings


@dataclass(slots=True)
class _Look:
    """Findings so far."""

    git: Git
    findings: list[Finding] = field(default_factory=list)
    read: str = ""
    _key: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    _known: set[tuple[str, str, bytes]] = field(default_factory=set)

    def add(self, verdict: Verdict, evidence: str, remedy: str = "", where: str = "", line: int = 0) -> None:
        self.findings.append(Finding(Point.SOURCE_CONTROL, verdict, evidence, remedy, where, line))

    def fail(self, evidence: str, remedy: str, where: str, line: int = 0) -> None:
        self.add(Verdict.FAIL, evidence, remedy, where, line)

    def is_new(self, rule: str, path: str, secret: bytes = b"") -> bool:
        """Whether this file had no such finding before; only digests are kept."""
        mark = rule, path, hmac.digest(self._key, secret, "sha256")
        is_new = mark not in self._known
        self._known.add(mark)
        return is_new

    def tree(self) -> None:
        paths = self.git.paths()
        # .gitignore at the top, and in each folder with a template of a .env file
        folders = {path.rpartition(b"/")[0] + b"/" for path in paths if _TEMPLATE.search(path)} - {b"/"}
        for folder in (b"", *sorted(folders)):
            if open_ := [shown(name) for name in _IGNORED if not self.git.is_ignored(folder + name)]:
                self.fail(
                    f"no .gitignore of the repository keeps {', '.join(open_)} out of Git",
                    "write the lines .env, .env.* and !.env.example into it; keyturn init does",
                    shown(folder + b".gitignore"),
                )
        if not self.findings:
            self.add(Verdict.PASS, ".gitignore keeps .env files out of Git")
        for path in paths:
            self._file(path, shown(path), self.git.content(path))
        self.read = f"the {len(paths)} files of the tree and "

    def _file(self, path: bytes, name: str, text: str | None) -> None:
        if _is_env_file(path) and self.is_new("file", name):
            remedy = f"run git rm --cached on it, ignore it, and {_ROTATE}"
            self.fail(f"{name} would be or is committed", remedy, name)
        if text is None:
            return
        if _TEMPLATE.search(path):
            for line, variable in _real_values(text):
                remedy = f"leave it empty there, and {_ROTATE}"
                self.fail(f"{variable} has what looks like a real value", remedy, name, line)
        for rule, line, secret in hits(name, text):
            if self.is_new(rule, name, secret.reveal()):
                self.fail(f"a line has what looks like: {rule}", _ROTATE, name, line + 1)
        if _MANIFEST.search(path):
            self._manifest(name, text, "", _ROTATE)

    def _manifest(self, name: str, text: str, when: str, remedy: str) -> None:
        if keys := sorted(key for key in keys_in(name, text) if self.is_new("manifest", name, key.encode())):
            listed = ", ".join(key if key.isprintable() else "…" for key in keys)
            remedy = f"declare a ManagedSecret or read them from a store, and {remedy}"
            self.fail(f"a Secret has values in the clear{when}: {listed}", remedy, name)

    def history(self) -> None:
        try:
            total = self.git.count()
            for commit, path, start, text in self.git.additions("--unified=0"):
                name, id_ = shown(path), commit[:12]
                if _is_env_file(path) and self.is_new("file", name):
                    self.fail(f"it was committed, last in {id_}", _ROTATE_OLD, name)
                for rule, line, secret in hits(name, text):
                    if self.is_new(rule, name, secret.reveal()):
                        evidence = f"line {start + line} held in commit {id_} what looks like: {rule}"
                        self.fail(evidence, _ROTATE_OLD, name)
            for commit, path, _, text in self.git.additions("--unified=1000000", *_MANIFESTS):
                self._manifest(shown(path), text, f" in commit {commit[:12]}", _ROTATE_OLD)
        except CannotLook as problem:
            self.add(Verdict.UNKNOWN, str(problem), "repair it or clone it again, then run the audit again")
            return
        self.read += f"the {total} commits of the history"
        if self.git.is_shallow:
            what = f"only the last {total} commits are in this clone"
            self.add(Verdict.UNKNOWN, what, "run git fetch --unshallow, then run the audit again")


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
        if is_secret and bits_of(real) >= _TEMPLATE_BITS and not _PLACEHOLDER.search(real):
            yield binding.original.line, shown(name.encode("utf-8", "replace"))


# Rules of detect-secrets


@functools.cache
def _rules() -> tuple[Any, ...]:
    try:
        from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class  # noqa: PLC0415  # on first use, which no pod has
        from detect_secrets.plugins.base import RegexBasedDetector  # noqa: PLC0415  # the same
    except ModuleNotFoundError:
        raise CannotLook(
            "what issued keys look like is known by the package bc-detect-secrets, which the operator's image leaves"
            " out; elsewhere install keyturn[cli]"
        ) from None
    kinds = get_mapping_from_secret_type_to_class().values()
    return tuple(
        kind() for kind in kinds if issubclass(kind, RegexBasedDetector) and kind.__name__ not in _LEFT_OUT
    )


def hits(name: str, text: str) -> Iterator[tuple[str, int, Value]]:
    """Yield rule, line from 0 and text of likely secrets, except those that a comment of detect-secrets allows."""
    lines = text.split("\n")
    numbers = [number for number, line in enumerate(lines) if _CANDIDATE.search(line)]
    piece = "\n".join(lines[number][:_LONGEST_LINE] for number in numbers)
    found: dict[str, str] = {}
    for rule in _rules() if piece else ():
        is_valid = getattr(rule, "is_formally_valid", bool)
        for match in (match for pattern in rule.denylist for match in pattern.finditer(piece)):
            part = next((group for group in match.groups() if group), "")
            secret = match[0] if match[0].startswith(part) else part  # some groups are only a prefix
            if is_valid(secret):
                found.setdefault(secret, rule.secret_type)
    for secret, rule in found.items():
        place = piece.find(secret)
        is_example = "EXAMPLE" in secret.upper() or bits_of(secret[:256], _EXAMPLE_BITS) < _EXAMPLE_BITS
        if _stands_alone(piece, place, secret) and not is_example:
            number = numbers[piece.count("\n", 0, place)]
            if not _is_allowed(name, lines[number], lines[number - 1] if number else ""):
                yield rule, number, Value.of_text(secret)


def _stands_alone(piece: str, place: int, secret: str) -> bool:
    """Whether a match is not part of a longer word, such as a checksum; a token with a mark may be longer."""
    before, after = piece[max(place - 2, 0) : place], piece[place + len(secret) :][:1]
    is_begun = before[-1:].isalnum() and before not in {"\\n", "\\r", "\\t"}
    return not (is_begun and secret[0].isalnum()) and not (after.isalnum() and secret.isalnum())


def _is_allowed(name: str, line: str, before: str) -> bool:
    if "pragma:" not in line + before:
        return False  # the patterns of the library take long for a line with very many blanks
    from detect_secrets.filters.allowlist import is_line_allowlisted  # noqa: PLC0415  # on first use
    from detect_secrets.util.code_snippet import CodeSnippet  # noqa: PLC0415  # on first use

    snippet = CodeSnippet([before[-_LONGEST_LINE:], line], 0, 1)
    return bool(is_line_allowlisted(name, line[-_LONGEST_LINE:], snippet))


# Manifests


def keys_in(name: str, text: str) -> frozenset[str]:
    """Return the keys of Secrets with a real value; none if a text has no Secret, or is no YAML."""
    if not _SECRET.search(text + "\n"):
        return frozenset()
    lines = [line for line in text.split("\n") if not (line.startswith("{{") or _is_allowed(name, line, ""))]
    try:
        loaded = yaml_text.load_all(re.sub(r"\{\{[^{}]*\}\}", "placeholder", "\n".join(lines)))
    except (yaml.YAMLError, RecursionError, ValueError):
        return frozenset()
    documents = [one for one in loaded if isinstance(one, dict)]
    return frozenset(
        key[:64]
        for secret in (item for one in documents for item in (one, *(one.get("items") or ())))
        if isinstance(secret, dict) and secret.get("kind") == "Secret" and "sops" not in secret
        for block in (secret.get("data"), secret.get("stringData"))
        if isinstance(block, dict)
        for key, value in block.items()
        if isinstance(value, str) and not _stands_for_a_value(value.strip()[:_LONGEST_LINE])
    )


def _stands_for_a_value(text: str) -> bool:
    """Whether a text, or what it encodes, is a placeholder."""
    try:
        decoded = base64.b64decode(text, validate=True).decode()
    except ValueError:
        decoded = text
    return bool(_PLACEHOLDER.search(text) or _PLACEHOLDER.search(decoded))
