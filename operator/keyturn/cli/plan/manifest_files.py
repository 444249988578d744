"""Reads the objects of the files, folders and standard input that -f names."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from keyturn.cli.yaml_stream import YamlError, load_all

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["Unreadable", "read_documents"]

_SUFFIXES: Final = (".json", ".yaml", ".yml")


class Unreadable(click.ClickException):
    """A manifest is invalid."""

    exit_code = 2


def read_documents(names: Iterable[str]) -> list[dict[str, Any]]:
    """Return the objects of all files, also those within a List; a folder stands for the manifests in it.

    Raises:
        Unreadable: A file cannot be read, or is not valid YAML.
    """
    return [body for name in names for where, content in _contents(name) for body in _objects(where, content)]


def _contents(name: str) -> Iterator[tuple[str, bytes]]:
    """Yield each file of a name, with its own name for messages."""
    if name == "-":
        yield "standard input", sys.stdin.buffer.read()
        return
    path = Path(name)
    try:
        files = _manifests_in(path) if path.is_dir() else [path]
        yield from ((str(file), file.read_bytes()) for file in files)
    except OSError as problem:
        raise Unreadable(f"{problem.filename or name} cannot be read: {problem.strerror}") from None


def _manifests_in(folder: Path) -> list[Path]:
    """Return the manifests of a folder as kubectl selects them, without those of its subfolders."""
    found = sorted(file for file in folder.iterdir() if file.suffix in _SUFFIXES and file.is_file())
    if not found:
        raise Unreadable(f"{folder} has no file that ends in {', '.join(_SUFFIXES)}")
    return found


def _objects(where: str, content: bytes) -> list[dict[str, Any]]:
    try:
        documents = [one for one in load_all(content) if one is not None]
    except YamlError as problem:
        raise Unreadable(f"{where}{problem.where}: this is not valid YAML") from None
    if not all(isinstance(one, dict) for one in documents):
        raise Unreadable(f"{where} has a document that is not a Kubernetes object")
    lists = [
        one
        for one in documents
        if str(one.get("kind")).endswith("List") and isinstance(one.get("items"), list)
    ]
    return [*documents, *(one for list_ in lists for one in list_["items"] if isinstance(one, dict))]
