"""Imports of plugins, which a package has one module each for, and of modules without their unused dependencies."""

import importlib
import importlib.util
import inspect
import pkgutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType, ModuleType
from typing import ClassVar, Protocol, TypeVar


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


@contextmanager
def unseen(*modules: str) -> Iterator[None]:
    """Make imports of these modules fail during the context, except those that are already loaded."""
    # None makes Python raise ModuleNotFoundError.
    with _replaced({name: None for name in modules if name not in sys.modules}):
        yield


def import_alone(name: str, *others: str) -> ModuleType:
    """Import a module without the `__init__` of its package and without `others`, whose attributes are None for it.

    Later imports of the package are whole. If it is loaded already, its own module is returned.

    Raises:
        ModuleNotFoundError: The package is absent.
    """
    package = name.partition(".")[0]
    if package in sys.modules:
        return importlib.import_module(name)
    spec = importlib.util.find_spec(package)
    if spec is None:
        raise ModuleNotFoundError(name=package)
    bare = _StandIn(package)
    bare.__path__ = list(spec.submodule_search_locations or ())
    absent = {other: _StandIn(other) for other in others if other not in sys.modules}
    with _replaced({package: bare, **absent}):
        try:
            return importlib.import_module(name)
        finally:
            for loaded in [one for one in sys.modules if one.startswith(f"{package}.")]:
                sys.modules.pop(loaded)


class _StandIn(ModuleType):
    """Module whose attributes are all None."""

    def __getattr__(self, name: str) -> None:
        return None


@contextmanager
def _replaced(modules: Mapping[str, ModuleType | None]) -> Iterator[None]:
    sys.modules.update(modules)  # type: ignore[arg-type]  # Python takes None
    try:
        yield
    finally:
        for name in modules:
            sys.modules.pop(name, None)
