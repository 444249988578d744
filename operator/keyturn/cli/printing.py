"""Prints results as text, JSON or YAML, with control and invisible characters escaped."""

from __future__ import annotations

import errno
import os
import sys
from typing import TYPE_CHECKING, Any, Final

import click

from keyturn.runtime.invisible_characters import make_visible

from .colours import Shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .options import Output

_WRITE_ERRORS: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


def print_data(document: Mapping[str, Any], output: Output) -> None:
    """Print a document as JSON, or as YAML with the same content."""
    if output == "yaml":
        _print_yaml(document)
    else:
        print_json(document)


def print_json(document: Mapping[str, Any]) -> None:
    """Print a document with times in UTC and whole seconds."""
    print_document(f"{_json(document).decode()}\n")


def print_names(names: Iterable[str], kind: str = "managedsecret") -> None:
    """Print objects as `kubectl get -o name` does, for use in shells."""
    print_lines(*(f"{kind}.keyturn.dev/{name}" for name in names))


def print_lines(*lines: str, err: bool = False) -> None:
    if lines:
        click.echo(
            "\n".join(line if isinstance(line, Shown) else make_visible(line) for line in lines), err=err
        )


def print_document(text: str) -> None:
    """Print a text with its own line ends."""
    click.echo(make_visible(text), nl=False)


def output_failure(error: OSError) -> click.ClickException | None:
    """Return the message of a failed write to standard output, whose buffer is discarded; None of another error."""
    if error.filename is not None or error.errno not in _WRITE_ERRORS:
        return None
    # Python would write the buffer at its end, and fail again.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
    return click.ClickException(f"the output cannot be written: {error.strerror}")


def _json(document: Mapping[str, Any]) -> bytes:
    import orjson  # noqa: PLC0415  # every command prints lines, few of them JSON

    look = orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z | orjson.OPT_OMIT_MICROSECONDS
    return orjson.dumps(document, option=look)


def _print_yaml(document: Mapping[str, Any]) -> None:
    import orjson  # noqa: PLC0415

    from keyturn.runtime import yaml_dumper  # noqa: PLC0415

    # By way of JSON, for equal times; YAML escapes invisible characters.
    click.echo(yaml_dumper.dump(orjson.loads(_json(document)), width=1000), nl=False)
