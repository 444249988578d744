"""What looks like an issued key or a login: the rules of detect-secrets, and a few of ours.

Of the scanner only its patterns are used. It could also ask services whether a key is valid; that is never done.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import json
import pkgutil
import re
from base64 import urlsafe_b64decode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from keyturn.checklist.strength_estimate import bits_of
from keyturn.core.value import Value

from .git import CannotLook

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["ALLOWED", "Hit", "hits", "load"]

ALLOWED: Final = "pragma: allowlist secret"
"""What a line says whose content was looked at by a person; detect-secrets has the same."""

_NO_RULES: Final = (
    "what issued keys look like is known by the package bc-detect-secrets, which the operator's image leaves out;"
    " elsewhere install keyturn[cli]"
)
_PLACEHOLDER_BITS: Final = 20.0
"""What has fewer is password, changeme and the like: an example, or no secret worth the name."""
_INTERESTING: Final = re.compile(r"[A-Za-z0-9_+/=-]{16}|://|PRIVATE KEY")
"""What every line has that a rule finds something in, and most lines do not."""
_ESCAPES: Final = frozenset({"\\n", "\\r", "\\t"})
"""How a break is written within a string, so that its letter is none of the word behind it."""
_LONGEST_LINE: Final = 4096
_OVERLAP: Final = 512
_LEFT_OUT: Final = frozenset({"AzureStorageKeyDetector", "PrivateKeyDetector", "JwtTokenDetector"})
"""They take checksums of lock files for keys, or have rules of ours instead."""
_OURS: Final = (
    ("Azure Storage Account access key", re.compile(r"AccountKey=([A-Za-z0-9+/]{86}==)")),
    (
        "Private Key",
        re.compile(
            r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----"
            r"(?:[\"'\s+]|\\{1,2}[nr]?){1,20}([A-Za-z0-9+/=]{16,80})"
        ),
    ),
    ("Age Key", re.compile(r"\b(AGE-SECRET-KEY-1[A-Z0-9]{58})\b")),
    ("GitHub Token", re.compile(r"\b(github_pat_[A-Za-z0-9_]{80,90})\b")),
    ("GitLab Token", re.compile(r"\b(glpat-[A-Za-z0-9_-]{20,})\b")),
    ("Google API Key", re.compile(r"\b(AIza[A-Za-z0-9_-]{35})(?![A-Za-z0-9_-])")),
    ("Vault Token", re.compile(r"\b(hv[sb]\.[A-Za-z0-9_-]{24,200})\b")),
)
_JWT: Final = re.compile(r"\b(eyJ[A-Za-z0-9_-]{8,})\.(eyJ[A-Za-z0-9_-]{8,})\.([A-Za-z0-9_-]{16,})")


@dataclass(frozen=True, slots=True)
class Hit:
    """A place in a text where something looks like a secret."""

    rule: str
    line: int
    """Counted from 0."""
    secret: Value


def hits(text: str) -> Iterator[Hit]:
    """Find what looks like a secret, but on lines that say that they are allowed to."""
    numbers, lines = _interesting(text)
    if not lines:
        return
    piece = "\n".join(lines)
    for rule, secret in {(rule, secret): None for rule, finder in _rules() for secret in finder(piece)}:
        place = piece.find(secret)
        if place < 0 or not _stands_alone(piece, place, secret) or _is_example(secret):
            continue
        if ALLOWED not in _line_at(piece, place):
            yield Hit(rule, numbers[piece.count("\n", 0, place)], Value.of_text(secret))


def _is_example(secret: str) -> bool:
    return "EXAMPLE" in secret.upper() or bits_of(secret) < _PLACEHOLDER_BITS


def _interesting(text: str) -> tuple[list[int], list[str]]:
    """Return the lines in which something can be found, with their numbers.

    Lines so long that a pattern could take for ever are cut; what lies on a cut is in both pieces.
    """
    found = [(number, line) for number, line in enumerate(text.split("\n")) if _INTERESTING.search(line)]
    cut = [
        (number, line[start : start + _LONGEST_LINE])
        for number, line in found
        for start in range(0, max(1, len(line) - _OVERLAP), _LONGEST_LINE - _OVERLAP)
    ]
    return [number for number, _ in cut], [line for _, line in cut]


def _stands_alone(piece: str, place: int, secret: str) -> bool:
    """Say whether it is not a part of a longer word, such as a checksum or a picture in base64."""
    two, after = piece[max(place - 2, 0) : place], piece[place + len(secret) :][:1]
    before = "" if two in _ESCAPES else two[-1:]
    return not (before.isalnum() and secret[0].isalnum()) and not (after.isalnum() and secret[-1].isalnum())


def _line_at(piece: str, place: int) -> str:
    start = piece.rfind("\n", 0, place) + 1
    return piece[start:].partition("\n")[0]


def load() -> None:
    """Load the rules, which a look at a repository would do on its way.

    Raises:
        CannotLook: There are none here.
    """
    try:
        _rules()
    except ModuleNotFoundError:
        raise CannotLook(_NO_RULES) from None


@functools.cache
def _rules() -> tuple[tuple[str, Callable[[str], Iterator[str]]], ...]:
    ours = tuple((name, functools.partial(_of_pattern, pattern)) for name, pattern in _OURS)
    return (*ours, ("JSON Web Token", _tokens), *_theirs())


def _of_pattern(pattern: re.Pattern[str], text: str) -> Iterator[str]:
    """Take what a pattern has in parentheses for the secret, unless that is only how it begins."""
    for found in pattern.finditer(text):
        part = next((group for group in found.groups() if group), "")
        yield found[0] if not part or found[0].startswith(part) else part


def _tokens(text: str) -> Iterator[str]:
    """Find JSON Web Tokens whose header is one; an example without a signature is none."""
    for found in _JWT.finditer(text):
        try:
            header = json.loads(urlsafe_b64decode(found[1] + "=" * (-len(found[1]) % 4)))
        except ValueError:
            continue
        if isinstance(header, dict) and "alg" in header:
            yield found[0]


def _theirs() -> Iterator[tuple[str, Callable[[str], Iterator[str]]]]:
    """Take every rule of detect-secrets that is a pattern; its guesses by names and entropy find too much."""
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
