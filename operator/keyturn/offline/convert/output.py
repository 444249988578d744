"""Writes converted objects as YAML, with the findings as comments above each."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import yaml

from keyturn.runtime.invisible_characters import is_visible
from keyturn.runtime.yaml_dumper import YamlDumper

from .findings import Weight, grouped

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from .findings import Finding
    from .model import Manifest

__all__ = ["printable", "written"]

_WIDTH = 110
_FLOW_WIDTH = 2**16
"""Width that keeps flow mappings on one line."""


def written(manifests: Iterable[Manifest]) -> str:
    """Serialise manifests as one YAML stream."""
    return "---\n".join(_document(manifest) for manifest in manifests)


def _document(manifest: Manifest) -> str:
    comment = "".join(f"# {printable(line)}".rstrip() + "\n" for line in _comment(manifest))
    body = _laid_out(manifest.body)
    text = _dumped(body, as_it_is=True)
    return comment + (text if is_visible(text) else _dumped(body, as_it_is=False))


def _dumped(body: Mapping[str, Any], *, as_it_is: bool) -> str:
    return yaml.dump(body, Dumper=_Dumper, sort_keys=False, allow_unicode=as_it_is, width=_FLOW_WIDTH)


def _comment(manifest: Manifest) -> Iterator[str]:
    if manifest.source:
        yield f"from {manifest.source}"
    for finding in grouped(manifest.findings):
        if finding.weight is Weight.LOST:
            yield from _lines(finding)


def _lines(finding: Finding) -> Iterator[str]:
    sentence = f"TODO {finding.field} {finding.what}: {finding.remedy}"
    yield from textwrap.wrap(printable(sentence), _WIDTH, subsequent_indent="  ", break_on_hyphens=False)
    yield from (f"    {line}" for line in finding.quoted.splitlines())


def printable(text: str) -> str:
    """Escape control characters, so that foreign text ends no line and reaches no terminal as a command."""
    return "".join(letter if letter.isprintable() and is_visible(letter) else " " for letter in text)


class _Dumper(YamlDumper):
    """Writes references in flow style, and texts of several lines as blocks."""


class _InOneLine(dict[str, Any]):
    """A mapping in flow style."""


def _laid_out(body: Any) -> Any:
    match body:
        case dict():
            return {name: _laid_out_as(str(name), one) for name, one in body.items()}
        case list():
            return [_laid_out(one) for one in body]
        case _:
            return body


def _laid_out_as(name: str, body: Any) -> Any:
    laid_out = _laid_out(body)
    return _InOneLine(laid_out) if isinstance(body, dict) and (name.endswith("Ref") or not body) else laid_out


def _line(dumper: yaml.SafeDumper, mapping: _InOneLine) -> yaml.MappingNode:
    return dumper.represent_mapping("tag:yaml.org,2002:map", mapping, flow_style=True)


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text and not any(line.endswith((" ", "\t")) for line in text.split("\n")) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)
_Dumper.add_representer(_InOneLine, _line)
