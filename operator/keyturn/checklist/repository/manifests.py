"""Finds values of Kubernetes Secrets in manifests."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Any, Final

import yaml

from .rules import ALLOWED

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["MANIFEST", "keys_in"]

MANIFEST: Final = re.compile(rb"\.(ya?ml|json)(\.(tpl|tmpl|j2|erb|gotmpl))?$", re.IGNORECASE)
_SECRET: Final = re.compile(r"""kind["']?\s*:\s*["']?Secret["']?\s*[,}#\r\n]""")
_MAX_KEY_LENGTH: Final = 64
_PLACEHOLDER: Final = re.compile(
    r"""
    \s* | .*\{\{.*\}\}.* | \s*\$\w+\s* | .*\$\{\w[^{}]*\}.* | .*(?-i:\$[A-Z][A-Z0-9_]{2,}\b).*
    | [a-z][a-z0-9+.-]*://.*\$\w.* | \s*<[^>]*>\s* | .*\bREPLACE\w*\b.* | x{3,} | \*{3,} | \.{3,} | …
    | .*\bchange[-_ ]?(me|it|this)\b.* | (your|my|some|example|dummy|fake|placeholder|todo)\b.* | ENC\[.*\]
    | .*(placeholder|example).* | (ref\+|vault:|op://|AQICA).*
    """,
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)
_BLOCK: Final = re.compile(r"^(?P<indent>[ ]*)(?:data|stringData):[ \t]*(?:#.*)?$", re.MULTILINE)
_ENTRY: Final = re.compile(r"""^(?P<indent>[ ]+)["']?(?P<key>[-._A-Za-z0-9]+)["']?:[ \t]*(?P<value>.*)$""")


def keys_in(text: str) -> frozenset[str]:
    """Return the keys of Secrets with a real value; none if a text has no Secret."""
    if not _SECRET.search(text + "\n"):
        return frozenset()
    text = "\n".join(line for line in text.split("\n") if ALLOWED not in line)
    try:
        documents = list(yaml.load_all(text, Loader=yaml.CSafeLoader))
    except (yaml.YAMLError, RecursionError, ValueError):
        return frozenset(_keys_of_template(text))
    return frozenset(key for document in documents for secret in _secrets(document) for key in _keys(secret))


def _secrets(document: Any) -> Iterator[dict[str, Any]]:
    """Yield the Secrets of a document: itself, or the items of a list."""
    if not isinstance(document, dict):
        return
    items = document.get("items")
    for one in [document, *(items if isinstance(items, list) else ())]:
        if isinstance(one, dict) and one.get("kind") == "Secret" and "sops" not in one:
            yield one


def _keys(secret: dict[str, Any]) -> Iterator[str]:
    for block in ("data", "stringData"):
        values = secret.get(block)
        if not isinstance(values, dict):
            continue
        for key, value in values.items():
            if not _is_placeholder(value, is_encoded=block == "data"):
                yield str(key)[:_MAX_KEY_LENGTH]


def _is_placeholder(value: object, *, is_encoded: bool) -> bool:
    if not isinstance(value, str | bytes | int | float) or isinstance(value, bool):
        return True
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    if _PLACEHOLDER.fullmatch(text):
        return True
    if not is_encoded:
        return False
    try:
        return bool(_PLACEHOLDER.fullmatch(base64.b64decode(text, validate=False).decode()))
    except ValueError:
        return False


def _keys_of_template(text: str) -> Iterator[str]:
    """Parse the blocks of a template by line, since it is no valid YAML."""
    for found in _BLOCK.finditer(text):
        for line in text[found.end() + 1 :].split("\n"):
            entry = _ENTRY.match(line)
            if not entry or len(entry["indent"]) <= len(found["indent"]):
                break
            if not _is_placeholder(entry["value"].strip("\"' \r"), is_encoded=True):
                yield entry["key"][:_MAX_KEY_LENGTH]
