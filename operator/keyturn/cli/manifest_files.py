"""Reads the objects of the files, folders and standard input that -f names.

YAML is refused with the line and without a word of the text.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NoReturn

import click
import yaml

from keyturn.runtime import yaml_text

_SUFFIXES: Final = frozenset({".yaml", ".yml", ".json"})


class Unreadable(click.ClickException):
    """A manifest is invalid."""

    exit_code = 2


def objects_in(name: str, *, recursive: bool = False) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each object, also those of lists, after the name of its file for messages.

    Raises:
        Unreadable: A file cannot be read, is not valid YAML, or has a document or an item that is no object.
    """
    for where, content in _contents(name, recursive=recursive):
        for document in _loaded(where, content):
            if document is not None:
                yield from ((where, one) for one in _objects(where, document))


def _objects(where: str, document: Any, what: str = "a document") -> Iterator[dict[str, Any]]:
    """Yield an object, or the items of a list; those of a SecretList have no kind of their own."""
    if not isinstance(document, dict):
        raise Unreadable(f"{where} has {what} that is not a Kubernetes object")
    items, kind = document.get("items"), str(document.get("kind", ""))
    if not (kind.endswith("List") and isinstance(items, list)):
        yield document
        return
    kind_of_list = {"apiVersion": document.get("apiVersion"), "kind": kind.removesuffix("List")}
    for item in items:
        whole = kind_of_list | item if isinstance(item, dict) else item
        yield from _objects(where, whole, "a list with an item")


def _contents(name: str, *, recursive: bool) -> Iterator[tuple[str, bytes]]:
    if name == "-":
        yield "standard input", sys.stdin.buffer.read()
        return
    path = Path(name)
    try:
        found = _manifests_in(path, recursive=recursive) if path.is_dir() else [path]
        yield from ((str(file), file.read_bytes()) for file in found)
    except OSError as problem:
        raise Unreadable(f"{problem.filename or name} cannot be read: {problem.strerror}") from None


def _manifests_in(folder: Path, *, recursive: bool) -> list[Path]:
    found: list[Path] = []
    for parent, folders, names in os.walk(folder, onerror=_refuse):  # glob would pass over unreadable folders
        if not recursive:
            folders.clear()
        files = (Path(parent, name) for name in names)
        found += (file for file in files if file.suffix in _SUFFIXES and file.is_file())
    if not found:
        raise Unreadable(f"{folder} has no file that ends in .yaml, .yml or .json")
    return sorted(found)


def _refuse(problem: OSError) -> NoReturn:
    raise problem


def _loaded(where: str, content: bytes) -> list[Any]:
    problem = "this is not valid YAML"
    try:
        return yaml_text.load_all(content)
    except yaml.MarkedYAMLError as error:
        where += f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
    except yaml_text.TooManyAliases:
        problem = "its aliases repeat too much; write what they stand for instead of some of them"
    except (yaml.YAMLError, ValueError, RecursionError):
        pass
    hint = "; render a Helm chart by `helm template` first" if b"{{" in content else ""
    # Outside the handlers, so that the parser's error, which quotes lines that may have values, is not the context.
    raise Unreadable(f"{where}: {problem}{hint}")
