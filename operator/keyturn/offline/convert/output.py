"""Writes converted objects as YAML, with the lost meaning as comments above each."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import yaml

from keyturn.runtime.invisible_characters import is_visible
from keyturn.runtime.yaml_dumper import YamlDumper

from .reading import Weight, grouped

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .reading import Finding, Manifest

_COMMENT_WIDTH = 110
_WIDTH = 2**16
"""No text is folded."""


def written(manifests: Iterable[Manifest]) -> str:
    """Serialise manifests as one YAML stream."""
    return "---\n".join(_document(manifest) for manifest in manifests)


def printable(text: str) -> str:
    """Replace control characters, so that foreign text ends no line and reaches no terminal as a command."""
    return "".join(letter if letter.isprintable() and is_visible(letter) else " " for letter in text)


def _document(manifest: Manifest) -> str:
    lines = [f"from {manifest.source}"] if manifest.source else []
    for finding in grouped(manifest.findings):
        if finding.weight is Weight.LOST:
            lines += _comment(finding)
    comment = "".join(f"# {printable(line)}".rstrip() + "\n" for line in lines)
    text = _dumped(manifest.body, as_it_is=True)
    return comment + (text if is_visible(text) else _dumped(manifest.body, as_it_is=False))


def _comment(finding: Finding) -> Iterator[str]:
    sentence = printable(f"TODO {finding.field} {finding.what}: {finding.remedy}")
    yield from textwrap.wrap(sentence, _COMMENT_WIDTH, subsequent_indent="  ", break_on_hyphens=False)
    yield from (f"    {line}" for line in finding.quoted.splitlines())


def _dumped(body: dict[str, Any], *, as_it_is: bool) -> str:
    return yaml.dump(body, Dumper=_Dumper, sort_keys=False, allow_unicode=as_it_is, width=_WIDTH)


class _Dumper(YamlDumper):
    """Writes texts of several lines as blocks."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text and not any(line.endswith((" ", "\t")) for line in text.split("\n")) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)
