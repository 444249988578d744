"""Kinds of external stores: one module or folder per provider, found by its name.

A provider is a class with a settings model; `base.Provider` is the interface, with the contract of each method.
Modules whose name starts with `_` are shared.
`guard` decides which addresses may be reached; `errors` has the errors that a store may raise.

To add a provider, add a module and run the contract suite, tests/cluster/stores/providers/test_contract.py.

Imports: `kube` for stores in Kubernetes, `runtime`, `core`, `api`.
"""

import functools
import re
from collections.abc import Mapping
from typing import Any

from keyturn.runtime import imports

from .base import (
    Capability,
    Content,
    Policy,
    Provider,
    ProviderContext,
    Reference,
    RemoteValue,
    WriteResult,
    Written,
)

__all__ = [
    "Capability",
    "Content",
    "Policy",
    "Provider",
    "ProviderContext",
    "Reference",
    "RemoteValue",
    "WriteResult",
    "Written",
    "discover",
    "provider_of",
]


@functools.cache
def discover() -> Mapping[str, type[Provider[Any]]]:
    """Find the providers by their kind, in alphabetical order; no driver or SDK is imported for that."""
    return imports.discover(__name__, Provider)  # type: ignore[type-abstract]  # only its subclasses are created


def provider_of(kind: str) -> type[Provider[Any]] | None:
    """Return the provider of a kind, which begins with the name of its module; no other is imported for that."""
    name = re.split("[A-Z]", kind)[0]
    if name not in _modules():
        return None
    found = imports.plugins_in(f"{__name__}.{name}", Provider)  # type: ignore[type-abstract]  # as above
    return next((one for one in found if one.kind == kind), None)


@functools.cache
def _modules() -> tuple[str, ...]:
    return imports.module_names(__name__)
