"""YAML streams that users name: parsed, or refused with the line and without a word of them."""

from __future__ import annotations

from typing import Any

import yaml

from keyturn.runtime import yaml_loader

__all__ = ["YamlError", "load_all"]


class YamlError(ValueError):
    """A stream is not valid YAML; the parser's error would quote lines, which may have values."""

    def __init__(self, line: int) -> None:
        super().__init__("not valid YAML")
        self.where = f", line {line}" if line else ""
        """The line, after the name of the file; empty if the parser does not know it."""


def load_all(content: bytes) -> list[Any]:
    """Return the documents of a stream.

    Raises:
        YamlError: It is not valid.
    """
    line = 0
    try:
        return yaml_loader.load_all(content)
    except yaml.MarkedYAMLError as problem:
        line = problem.problem_mark.line + 1 if problem.problem_mark else 0
    except (yaml.YAMLError, ValueError, RecursionError):
        pass
    raise YamlError(line)  # outside the handlers, so that the parser's error is not the context
