"""How what was found is printed: for people, or as JSON for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
import orjson

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["print_json", "print_lines"]

_LOOK = orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z | orjson.OPT_OMIT_MICROSECONDS


def print_json(document: Mapping[str, Any]) -> None:
    """Print a document with its times in UTC and whole seconds."""
    click.echo(orjson.dumps(document, option=_LOOK).decode())


def print_lines(*lines: str) -> None:
    click.echo("\n".join(lines))
