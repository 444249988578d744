"""Imports a module without the dependencies that it loads and Keyturn does not use."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


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
