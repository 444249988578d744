"""Where values come from and go to outside: one file per kind of store, found by its name."""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeGuard

from .base import Can, Content, Found, Given, Outcome, Policy, Provider, Reference, Written

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import ModuleType

__all__ = [
    "Can",
    "Content",
    "Found",
    "Given",
    "Outcome",
    "Policy",
    "Provider",
    "Reference",
    "Written",
    "discover",
]


@functools.cache
def discover() -> Mapping[str, type[Provider[Any]]]:
    """Find the providers by their kind, in alphabetical order; no SDK is imported for that."""
    found = {provider.kind: provider for provider in _classes()}
    return MappingProxyType(dict(sorted(found.items())))


def _classes() -> Iterator[type[Provider[Any]]]:
    for info in pkgutil.iter_modules(__path__):
        if info.name.startswith("_"):  # what several of them share
            continue
        module = importlib.import_module(f"{__name__}.{info.name}")
        yield from (member for member in vars(module).values() if _is_provider_of(module, member))


def _is_provider_of(module: ModuleType, member: object) -> TypeGuard[type[Provider[Any]]]:
    return (
        inspect.isclass(member)
        and issubclass(member, Provider)
        and not inspect.isabstract(member)
        and member.__module__ == module.__name__
    )
