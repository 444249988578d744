"""Kinds of external stores: one module per provider, found by its name.

A provider is a class with a settings model; `base.Provider` is the interface, with the contract of each method.
Modules whose name starts with `_` are shared or imported on first use, as clients of clouds are large.
`guard` decides which addresses may be reached; `errors` has the errors that a store may raise.

To add a provider, add a module and run the contract suite, tests/cluster/stores/providers/test_contract.py.

Imports: `kube` for stores in Kubernetes, `runtime`, `core`, `api`.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeGuard

from .base import Can, Content, Outcome, Policy, Provider, ProviderContext, Reference, RemoteValue, Written

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import ModuleType

__all__ = [
    "Can",
    "Content",
    "Outcome",
    "Policy",
    "Provider",
    "ProviderContext",
    "Reference",
    "RemoteValue",
    "Written",
    "discover",
    "provider_of",
]


@functools.cache
def discover() -> Mapping[str, type[Provider[Any]]]:
    """Find the providers by their kind, in alphabetical order; no SDK is imported for that."""
    found = {provider.kind: provider for provider in _classes()}
    return MappingProxyType(dict(sorted(found.items())))


def provider_of(kind: str) -> type[Provider[Any]] | None:
    """Return the provider of a kind, whose file is named as it is; the others' are not imported for that."""
    name = re.sub("[A-Z]", lambda capital: f"_{capital[0].lower()}", kind)
    found = _classes_in(name) if name in _modules() else ()
    return next((one for one in found if one.kind == kind), None)


def _classes() -> Iterator[type[Provider[Any]]]:
    for name in _modules():
        yield from _classes_in(name)


@functools.cache
def _modules() -> tuple[str, ...]:
    """Name the files that may be providers; what several of them share begins with an underscore."""
    return tuple(info.name for info in pkgutil.iter_modules(__path__) if not info.name.startswith("_"))


def _classes_in(name: str) -> Iterator[type[Provider[Any]]]:
    module = importlib.import_module(f"{__name__}.{name}")
    yield from (member for member in vars(module).values() if _is_provider_of(module, member))


def _is_provider_of(module: ModuleType, member: object) -> TypeGuard[type[Provider[Any]]]:
    return (
        inspect.isclass(member)
        and issubclass(member, Provider)
        and not inspect.isabstract(member)
        and member.__module__ == module.__name__
    )
