"""Patterns of issued keys and credentials: those of detect-secrets and some of ours.

Only the patterns of the scanner are used. Its checks of keys against services never run.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from keyturn.checklist.strength_estimate import bits_of
from keyturn.core.value import Value
from keyturn.kube import jwt

from .git import CannotLook
from .token_forms import TOKEN_FORMS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ALLOWED: Final = "pragma: allowlist secret"
"""Marks a line as reviewed; detect-secrets has the same comment."""

_NO_RULES: Final = (
    "what issued keys look like is known by the package bc-detect-secrets, which the operator's image leaves out;"
    " elsewhere install keyturn[cli]"
)
_PLACEHOLDER_BITS: Final = 20.0
"""Values with fewer bits are examples, such as password and changeme."""
_CANDIDATE: Final = re.compile(r"[A-Za-z0-9_+/=-]{16}|://|PRIVATE KEY|\dQ~")
"""A cheap pattern that every line with a finding matches, and most lines do not."""
_ESCAPES: Final = frozenset({"\\n", "\\r", "\\t"})
"""Escapes within a string whose letter is not part of the next word."""
_MAX_LINE_LENGTH: Final = 4096
_OVERLAP: Final = 512
_LEFT_OUT: Final = frozenset(
    {
        "ArtifactoryDetector",
        "AWSKeyDetector",
        "AzureStorageKeyDetector",
        "JwtTokenDetector",
        "PrivateKeyDetector",
    }
)
"""These match checksums of lock files and other random texts, and have a pattern of ours instead."""
_OURS: Final = (
    ("AWS Access Key", re.compile(r"(?:A3T[A-Z0-9]|ABIA|ACCA|AKIA|ASIA)[0-9A-Z]{16}")),
    (
        "Private Key",
        re.compile(
            r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----"
            r"(?:[\"'\s+]|\\{1,2}[nr]?){1,20}([A-Za-z0-9+/=]{16,80})"
        ),
    ),
)
_JWT: Final = re.compile(r"\b(eyJ[A-Za-z0-9_-]{8,})\.(eyJ[A-Za-z0-9_-]{8,})\.([A-Za-z0-9_-]{16,})")


@dataclass(frozen=True, slots=True)
class Hit:
    """A likely secret in a text."""

    rule: str
    line: int
    """Counted from 0."""
    secret: Value


def hits(text: str, is_late: Callable[[], bool]) -> Iterator[Hit]:
    """Yield likely secrets, except on allowed lines, within the time limit."""
    numbers, lines = _interesting(text)
    if not lines:
        return
    piece = "\n".join(lines)
    rules: dict[str, str] = {}
    for rule, finder in _rules():
        if is_late():
            return
        for secret in finder(piece):
            rules.setdefault(secret, rule)
    for secret, rule in rules.items():
        if is_late():
            return
        place = piece.find(secret)
        if place < 0 or not _stands_alone(piece, place, secret) or _is_example(secret):
            continue
        if ALLOWED not in _line_at(piece, place):
            yield Hit(rule, numbers[piece.count("\n", 0, place)], Value.of_text(secret))


def _is_example(secret: str) -> bool:
    return "EXAMPLE" in secret.upper() or bits_of(secret) < _PLACEHOLDER_BITS


def _interesting(text: str) -> tuple[list[int], list[str]]:
    """Return the lines that may have a finding, with their numbers.

    Very long lines are cut, which bounds the time of a pattern; both pieces include the cut.
    """
    found = [(number, line) for number, line in enumerate(text.split("\n")) if _CANDIDATE.search(line)]
    cut = [
        (number, line[start : start + _MAX_LINE_LENGTH])
        for number, line in found
        for start in range(0, max(1, len(line) - _OVERLAP), _MAX_LINE_LENGTH - _OVERLAP)
    ]
    return [number for number, _ in cut], [line for _, line in cut]


def _stands_alone(piece: str, place: int, secret: str) -> bool:
    """Whether a match is not part of a longer word, such as a checksum or a base64 image."""
    two, after = piece[max(place - 2, 0) : place], piece[place + len(secret) :][:1]
    before = "" if two in _ESCAPES else two[-1:]
    return not (before.isalnum() and secret[0].isalnum()) and not (after.isalnum() and secret[-1].isalnum())


def _line_at(piece: str, place: int) -> str:
    start = piece.rfind("\n", 0, place) + 1
    return piece[start:].partition("\n")[0]


def load() -> None:
    """Load the patterns before they are needed.

    Raises:
        CannotLook: detect-secrets is not installed.
    """
    try:
        _rules()
    except ModuleNotFoundError:
        raise CannotLook(_NO_RULES) from None


@functools.cache
def _rules() -> tuple[tuple[str, Callable[[str], Iterator[str]]], ...]:
    forms = ((f"{issuer} token", re.compile(form)) for issuer, form in TOKEN_FORMS)
    ours = tuple((name, functools.partial(_of_pattern, pattern)) for name, pattern in (*_OURS, *forms))
    return (*ours, ("JSON Web Token", _tokens), *_theirs())


def _of_pattern(pattern: re.Pattern[str], text: str) -> Iterator[str]:
    """Yield the groups of a pattern, or the whole match if a group is only its prefix."""
    for found in pattern.finditer(text):
        part = next((group for group in found.groups() if group), "")
        yield found[0] if not part or found[0].startswith(part) else part


def _tokens(text: str) -> Iterator[str]:
    """Yield JSON Web Tokens with a valid header and a signature."""
    for found in _JWT.finditer(text):
        if jwt.has_header(found[0].encode()):
            yield found[0]


def _theirs() -> Iterator[tuple[str, Callable[[str], Iterator[str]]]]:
    """Yield the pattern rules of detect-secrets; its rules by name and entropy have too many false positives."""
    from detect_secrets import plugins  # noqa: PLC0415  # on first use, which no pod has
    from detect_secrets.plugins.base import RegexBasedDetector  # noqa: PLC0415  # on first use

    for module in pkgutil.iter_modules(plugins.__path__):
        if module.name == "keyword":
            continue
        found: Any = importlib.import_module(f"{plugins.__name__}.{module.name}")
        for name, kind in inspect.getmembers(found, inspect.isclass):
            is_ours = kind.__module__ == found.__name__ and not inspect.isabstract(kind)
            if is_ours and name not in _LEFT_OUT and issubclass(kind, RegexBasedDetector):
                rule: RegexBasedDetector = kind()
                for pattern in rule.denylist:
                    yield rule.secret_type, functools.partial(_of_pattern, pattern)
