"""Finds values of Kubernetes Secrets in manifests."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Any, Final

import yaml

from .rules import ALLOWED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MANIFEST: Final = re.compile(rb"\.(ya?ml|json)(\.(tpl|tmpl|j2|erb|gotmpl))?$", re.IGNORECASE)
_SECRET: Final = re.compile(r"""kind["']?\s*:\s*["']?Secret["']?\s*[,}#\r\n]""")
_MAX_KEY_LENGTH: Final = 64
_WHOLE_PLACEHOLDER: Final = re.compile(
    r"""
    \s*\$\w+\s* | [a-z][a-z0-9+.-]*://.*\$\w.* | \s*<[^>]*>\s* | x{3,} | \*{3,} | \.{3,} | …
    | (your|my|some|example|dummy|fake|placeholder|todo)\b.* | ENC\[.*\] | (ref\+|vault:|op://|AQICA).*
    """,
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)
_PLACEHOLDER_WITHIN: Final = re.compile(
    r"""
    \$\{\w[^{}]*\} | (?-i:\$[A-Z][A-Z0-9_]{2,}\b) | \bREPLACE | \bchange[-_ ]?(me|it|this)\b | placeholder | example
    """,
    re.IGNORECASE | re.VERBOSE,
)
"""Each pattern takes a time in proportion to the value."""
_BLOCK: Final = re.compile(r"(?P<indent>[ ]*)(?:data|stringData):[ \t]*(?:#.*)?")
_ENTRY: Final = re.compile(r"""(?P<indent>[ ]+)["']?(?P<key>[-._A-Za-z0-9]+)["']?:[ \t]*(?P<value>.*)""")
_MERGE: Final = "tag:yaml.org,2002:merge"
_MAX_MERGED: Final = 100_000


class _Loader(yaml.CSafeLoader):
    """Limits the keys that merges (`<<`) copy: a small file can have very many."""

    merged = 0

    def flatten_mapping(self, node: yaml.MappingNode) -> Any:
        for key, value in node.value:
            if key.tag != _MERGE:
                continue
            for one in value.value if isinstance(value, yaml.SequenceNode) else (value,):
                if isinstance(one, yaml.MappingNode):
                    self.flatten_mapping(one)
                    self.merged += len(one.value)
                if self.merged > _MAX_MERGED:
                    raise yaml.YAMLError
        return super().flatten_mapping(node)


def keys_in(text: str) -> frozenset[str]:
    """Return the keys of Secrets with a real value; none if a text has no Secret."""
    if not _SECRET.search(text + "\n"):
        return frozenset()
    lines = [line for line in text.split("\n") if ALLOWED not in line]
    try:
        documents = list(yaml.load_all("\n".join(lines), Loader=_Loader))
    except (yaml.YAMLError, RecursionError, ValueError):
        return frozenset(_keys_of_template(lines))
    return frozenset(_keys(secret for document in documents for secret in _secrets(document)))


def _secrets(document: Any) -> Iterator[dict[str, Any]]:
    """Yield the Secrets of a document: itself, or the items of a list."""
    if not isinstance(document, dict):
        return
    items = document.get("items")
    for one in [document, *(items if isinstance(items, list) else ())]:
        if isinstance(one, dict) and one.get("kind") == "Secret" and "sops" not in one:
            yield one


def _keys(secrets: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Yield the keys with a real value; what aliases repeat is examined once."""
    blocks = {
        (id(values), block): values
        for secret in secrets
        for block in ("data", "stringData")
        if isinstance(values := secret.get(block), dict)
    }
    examined: dict[tuple[int, str], bool] = {}
    for (_, block), values in blocks.items():
        for key, value in values.items():
            one = id(value), block
            if one not in examined:
                examined[one] = _is_placeholder(value, is_encoded=block == "data")
            if not examined[one]:
                yield _name(key)


def _name(key: object) -> str:
    try:
        return str(key)[:_MAX_KEY_LENGTH]
    except ValueError:
        return "…"  # a number with thousands of digits


def _is_placeholder(value: object, *, is_encoded: bool) -> bool:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return False
    if not isinstance(value, str | bytes):
        return True
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    if _reads_as_placeholder(text):
        return True
    if not is_encoded:
        return False
    try:
        return _reads_as_placeholder(base64.b64decode(text, validate=False).decode())
    except ValueError:
        return False


def _reads_as_placeholder(text: str) -> bool:
    begins = text.find("{{")
    if not text.strip() or (begins >= 0 and text.find("}}", begins + 2) >= 0):
        return True
    return bool(_WHOLE_PLACEHOLDER.fullmatch(text) or _PLACEHOLDER_WITHIN.search(text))


def _keys_of_template(lines: Iterable[str]) -> Iterator[str]:
    """Parse the blocks of a template by line, since it is no valid YAML."""
    around: list[int] = []
    """Indents of the blocks around a line."""
    for line in lines:
        if entry := _ENTRY.fullmatch(line):
            around = [indent for indent in around if indent < len(entry["indent"])]
            if around and not _is_placeholder(entry["value"].strip("\"' \r"), is_encoded=True):
                yield entry["key"][:_MAX_KEY_LENGTH]
        else:
            around = []
        if block := _BLOCK.fullmatch(line):
            around.append(len(block["indent"]))
