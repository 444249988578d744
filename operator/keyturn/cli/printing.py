"""How what was found is printed: for people, or as JSON for programs; and no letter of it that cannot be seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from keyturn.letters import seen

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["print_document", "print_json", "print_lines"]


def print_json(document: Mapping[str, Any]) -> None:
    """Print a document with its times in UTC and whole seconds."""
    import orjson  # noqa: PLC0415  # every command prints lines, few of them JSON

    look = orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z | orjson.OPT_OMIT_MICROSECONDS
    print_document(f"{orjson.dumps(document, option=look).decode()}\n")


def print_lines(*lines: str, err: bool = False) -> None:
    click.echo(seen("\n".join(lines)), err=err)


def print_document(text: str) -> None:
    """Print a text with the line ends that it has."""
    click.echo(seen(text), nl=False)
