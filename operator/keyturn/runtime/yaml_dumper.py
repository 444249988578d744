"""YAML that every parser reads alike: texts that some read as another type are quoted.

PyYAML quotes the numbers and booleans of YAML 1.1 as it reads them. The parser of kubectl and of other Go programs
reads more as such: 0899, 1e10, 0o17, y and n. Source: gopkg.in/yaml.v2, `resolve.go`.
"""

from __future__ import annotations

import re
from typing import Any, Final

import yaml

_NUMBER: Final = re.compile(
    r"(?:[-+]?(?:[.][0-9_]+|[0-9][0-9_]*(?:[.][0-9_]*)?)(?:[eE][-+]?[0-9_]+)?|[-+]?0[xXbBoO][-+]?[0-9a-fA-F_]+)\Z"
)
_LETTER: Final = re.compile(r"[yYnN]\Z")


class YamlDumper(yaml.SafeDumper):
    """YAML without anchors, which PyYAML writes for an object in two places."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True


YamlDumper.add_implicit_resolver("tag:yaml.org,2002:float", _NUMBER, list("+-.0123456789"))
YamlDumper.add_implicit_resolver("tag:yaml.org,2002:bool", _LETTER, list("yYnN"))


def dump(document: Any, **options: Any) -> str:
    """Serialise a document, with its keys in order; `options` are those of `yaml.dump`."""
    text: str = yaml.dump(document, Dumper=YamlDumper, sort_keys=False, **options)
    return text
