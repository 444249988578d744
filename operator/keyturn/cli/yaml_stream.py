"""YAML streams that users name: parsed, or refused with the line and without a word of them."""

from __future__ import annotations

from typing import Any

import yaml

from keyturn.runtime import yaml_loader


class YamlError(ValueError):
    """A stream is refused; the parser's error would quote lines, which may have values."""

    def __init__(self, problem: str, line: int) -> None:
        super().__init__(problem)
        self.where = f", line {line}" if line else ""
        """The line, after the name of the file; empty if the parser does not know it."""


def load_all(content: bytes) -> list[Any]:
    """Return the documents of a stream.

    Raises:
        YamlError: It is not valid, or its aliases repeat too much.
    """
    problem, line = "this is not valid YAML", 0
    try:
        return yaml_loader.load_all(content)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
    except yaml_loader.TooManyAliases:
        problem = "its aliases repeat too much; write what they stand for instead of some of them"
    except (yaml.YAMLError, ValueError, RecursionError):
        pass
    raise YamlError(problem, line)  # outside the handlers, so that the parser's error is not the context
