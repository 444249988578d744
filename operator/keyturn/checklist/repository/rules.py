"""What is a secret in a text: the patterns of detect-secrets, and values of Kubernetes Secrets in manifests.

Of the scanner only patterns and comments are used. Its checks of keys against services never run.
"""

from __future__ import annotations

import base64
import functools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import yaml

from keyturn.checklist.strength_estimate import bits_of
from keyturn.core.value import Value

from .git import CannotLook

if TYPE_CHECKING:
    from collections.abc import Iterator

_NO_RULES: Final = (
    "what issued keys look like is known by the package bc-detect-secrets, which the operator's image leaves out;"
    " elsewhere install keyturn[cli]"
)
_EXAMPLE_BITS: Final = 20.0
"""Values with fewer bits are examples, such as password and changeme."""
_CANDIDATE: Final = re.compile(r"[A-Za-z0-9_+/=-]{16}|://|PRIVATE KEY|pragma: ?(?:allow|white)list")
"""A cheap pattern that every line with a finding matches, and most lines do not."""
_LONGEST_LINE: Final = 4096
"""Characters of a line that are searched, which bounds the time of a pattern."""
_LEFT_OUT: Final = frozenset({"ArtifactoryDetector", "AzureStorageKeyDetector"})
"""Rules that match checksums of lock files and other random texts; those by name and entropy have no pattern."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A likely secret in a text."""

    rule: str
    line: int
    """Counted from 0."""
    secret: Value


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
def _rules() -> tuple[Any, ...]:
    from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class  # noqa: PLC0415  # on first use
    from detect_secrets.plugins.base import RegexBasedDetector  # noqa: PLC0415  # on first use, which no pod has

    kinds = get_mapping_from_secret_type_to_class().values()
    return tuple(
        kind() for kind in kinds if issubclass(kind, RegexBasedDetector) and kind.__name__ not in _LEFT_OUT
    )


def hits(name: str, text: str) -> Iterator[Hit]:
    """Yield the likely secrets of a file, except those that a comment of detect-secrets allows."""
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
        if _stands_alone(piece, place, secret) and not _is_example(secret):
            number = numbers[piece.count("\n", 0, place)]
            if not _is_allowed(name, lines[number], lines[number - 1] if number else ""):
                yield Hit(rule, number, Value.of_text(secret))


def _is_example(secret: str) -> bool:
    return "EXAMPLE" in secret.upper() or bits_of(secret[:256], _EXAMPLE_BITS) < _EXAMPLE_BITS


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

    return bool(
        is_line_allowlisted(name, line[-_LONGEST_LINE:], CodeSnippet([before[-_LONGEST_LINE:], line], 0, 1))
    )


# Manifests

_SECRET: Final = re.compile(r"""kind["']?\s*:\s*["']?Secret["']?\s*[,}#\r\n]""")
_MAX_KEY_LENGTH: Final = 64
_PLACEHOLDER: Final = re.compile(
    r"""
    ^\s*$ | ^\s*\$\w+\s*$ | ://[^$]*\$\w | \$\{\w[^{}]*\} | (?-i:\$[A-Z][A-Z0-9_]{2,}\b) | \{\{[^{}]*\}\} | <[^<>]*>
    | ^ENC\[ | ^(?:ref\+|vault:|op://) | \*{3} | \.{3} | (?<![a-z0-9])(?:todo|x{4,}(?![a-z0-9])) | x{8} | ^x{3,}$
    | change[-_ ]?(?:me|it|this) | your[-_ ] | example | placeholder | replace
    """,
    re.IGNORECASE | re.VERBOSE,
)
"""Each alternative takes a time in proportion to the text."""


class _Loader(yaml.CSafeLoader):
    """Merges no keys (`<<`), of which a small file can copy very many."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Leave the key as it is."""


_Loader.add_constructor("tag:yaml.org,2002:merge", lambda _, node: str(node.value))


def keys_in(name: str, text: str) -> frozenset[str]:
    """Return the keys of Secrets with a real value; none if a text has no Secret, or is no YAML."""
    if not _SECRET.search(text + "\n"):
        return frozenset()
    lines = [line for line in text.split("\n") if not (line.startswith("{{") or _is_allowed(name, line, ""))]
    filled = re.sub(r"\{\{[^{}]*\}\}", "placeholder", "\n".join(lines))
    try:
        documents = [one for one in yaml.load_all(filled, Loader=_Loader) if isinstance(one, dict)]
    except (yaml.YAMLError, RecursionError, ValueError):
        return frozenset()
    secrets = (
        item for one in documents for item in (one, *(one.get("items") or ())) if isinstance(item, dict)
    )
    blocks = {  # aliases repeat a block or a value, which is examined once
        id(block): block
        for secret in secrets
        if secret.get("kind") == "Secret" and "sops" not in secret
        for block in (secret.get("data"), secret.get("stringData"))
        if isinstance(block, dict)
    }
    values = {
        id(value): value for block in blocks.values() for value in block.values() if isinstance(value, str)
    }
    real = {
        number for number, value in values.items() if not _stands_for_a_value(value.strip()[:_LONGEST_LINE])
    }
    return frozenset(
        str(key)[:_MAX_KEY_LENGTH]
        for block in blocks.values()
        for key, value in block.items()
        if id(value) in real
    )


def _stands_for_a_value(text: str) -> bool:
    """Whether a text, or what it encodes, is a placeholder."""
    try:
        decoded = base64.b64decode(text, validate=True).decode()
    except ValueError:
        decoded = text
    return is_placeholder(text) or is_placeholder(decoded)


def is_placeholder(text: str) -> bool:
    """Whether a text stands for a value."""
    return bool(_PLACEHOLDER.search(text))
