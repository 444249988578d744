"""Discovery of the classes that a package has one module each for: generators, providers, points of the checklist."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class _Plugin(Protocol):
    kind: ClassVar[str]


P = TypeVar("P", bound=_Plugin)


def discover(package: str, base: type[P]) -> Mapping[str, type[P]]:
    """Find the plugins of a package by their kind, in alphabetical order."""
    found = [plugin for name in module_names(package) for plugin in plugins_in(f"{package}.{name}", base)]
    return MappingProxyType({plugin.kind: plugin for plugin in sorted(found, key=lambda one: one.kind)})


def module_names(package: str) -> tuple[str, ...]:
    """Name the modules of a package that may have plugins.

    A name with an underscore in front is a shared module, or one that is imported on first use.
    """
    modules = pkgutil.iter_modules(importlib.import_module(package).__path__)
    return tuple(module.name for module in modules if not module.name.startswith("_"))


def plugins_in(module: str, base: type[P]) -> Iterator[type[P]]:
    """Yield the classes below `base` that a module defines and that are not abstract."""
    for member in vars(importlib.import_module(module)).values():
        is_defined_here = inspect.isclass(member) and member.__module__ == module
        if is_defined_here and issubclass(member, base) and not inspect.isabstract(member):
            yield member
