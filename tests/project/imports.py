"""What `keyturn run` can import, at its start or on first use, and which packages that is from."""

from __future__ import annotations

import ast
import importlib.metadata
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_CODE = Path(__file__).parents[2] / "operator"
_START = "keyturn.cli.run_command"
_FOUND_BY_NAME = ("keyturn.databases.engines.", "keyturn.generators.", "keyturn.stores.providers.")
"""Packages all of whose modules are loaded by who looks for them in their folders."""


def operator() -> frozenset[str]:
    """Name every module of others that is reached from `keyturn run`."""
    ours = dict(_ours())
    left = [_START, *(name for name in ours if name.startswith(_FOUND_BY_NAME))]
    observed: set[str] = set()
    others: set[str] = set()
    while left:
        name = left.pop()
        if name in observed:
            continue
        observed.add(name)
        found = set(_imported(name, ours[name]))
        left += ({*found, *(above for one in found for above in _above(one))}) & ours.keys()
        others |= {one for one in found if not one.startswith("keyturn")}
    return frozenset(others)


def packages_of(modules: Iterable[str]) -> set[str]:
    """Name the installed packages that bring one of these modules; a namespace such as `google` is of none."""
    desired = set(modules)
    return {
        canonicalize_name(one.metadata["Name"])
        for one in importlib.metadata.distributions()
        if not desired.isdisjoint(_modules_of(one))
    }


def with_requirements(asked: Iterable[Requirement]) -> set[str]:
    """Name the packages that are asked for, and all that these ask for, whatever the platform."""
    found: dict[str, set[str]] = {}
    left = list(asked)
    while left:
        one = left.pop()
        name = canonicalize_name(one.name)
        if name in found and one.extras <= found[name]:
            continue
        extras = found.setdefault(name, set())
        extras |= one.extras
        left += (more for more in _requirements(name) if _is_wanted(more, extras))
    return set(found)


def _requirements(name: str) -> list[Requirement]:
    try:
        return [Requirement(text) for text in importlib.metadata.requires(name) or ()]
    except importlib.metadata.PackageNotFoundError:
        return []  # another platform has it


def _is_wanted(one: Requirement, extras: Iterable[str]) -> bool:
    if one.marker is None or "extra" not in str(one.marker):
        return True
    return any(one.marker.evaluate({"extra": extra}) for extra in extras)


def _ours() -> Iterator[tuple[str, Path]]:
    for path in (_CODE / "keyturn").rglob("*.py"):
        yield _dotted(path.relative_to(_CODE)), path


def _dotted(path: Path) -> str:
    parts = [*path.parts[:-1], path.name.partition(".")[0]]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _above(name: str) -> Iterator[str]:
    while name := name.rpartition(".")[0]:
        yield name


def _imported(name: str, path: Path) -> Iterator[str]:
    """Name what a module imports while it runs, and what may be a module in it."""
    tree = ast.parse(path.read_text())
    for_types = {
        id(part)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for part in ast.walk(node)
    }
    package = name if path.stem == "__init__" else name.rpartition(".")[0]
    for node in ast.walk(tree):
        if id(node) in for_types:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.rsplit(".", node.level - 1)[0] if node.level else ""
            module = ".".join(part for part in (base, node.module) if part)
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def _modules_of(distribution: importlib.metadata.Distribution) -> Iterator[str]:
    for file in distribution.files or ():
        if file.suffix in {".py", ".so"}:
            yield _dotted(Path(file))
