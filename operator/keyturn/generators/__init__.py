"""Generators of values: one class per kind, with a minimum strength.

`generator_for(recipe)` returns the generator of a recipe; `make` builds one without the cache of recipes. `kinds`
and `Generator` describe what exists, for CRDs.

A generator is a class with a `Config` model. It defines how to `generate` a value, whether it `accepts` an existing
one, and the strength of its values. `base` has the interface.

Modules whose name starts with `_` are shared, or imported on first use, as cryptography is large.

To add a generator, add a module, run `make generate`, and add an example; the contract suite is
tests/unit/generators/test_contract.py.

Imports: `runtime` (TLS limits), `core`, `api`.
"""

import functools
import math
from collections.abc import Mapping
from typing import Any

import pydantic

from keyturn import generators
from keyturn.api.base import Recipe, validation_sentence
from keyturn.core.errors import Stalled
from keyturn.core.policy.rules import LEAST_BITS, LEAST_LENGTH, Strength
from keyturn.core.reasons import ErrorReason
from keyturn.runtime import imports

from .base import Generator, GeneratorContext, Outputs, SingleValue

__all__ = [
    "LEAST_BITS",
    "LEAST_LENGTH",
    "Generator",
    "GeneratorContext",
    "Outputs",
    "SingleValue",
    "Strength",
    "discover",
    "generator_for",
    "make",
]


@functools.cache
def discover() -> Mapping[str, type[Generator[Any]]]:
    """Return the generator classes by kind, in alphabetical order."""
    return imports.discover(__name__, Generator)  # type: ignore[type-abstract]  # only its subclasses are created


def make(recipe: Recipe) -> Generator[Any]:
    """Return the generator of a recipe.

    Raises:
        Stalled: InvalidGenerator: it does not exist or its settings are invalid; TooWeak: it is below the floor.
    """
    generator_class = discover().get(recipe.kind)
    if generator_class is None:
        kinds = ", ".join(discover())
        raise Stalled(
            ErrorReason.INVALID_GENERATOR, f"there is no generator {recipe.kind!r}; write one of {kinds}"
        )
    try:
        config = generator_class.Config.model_validate(recipe.settings)
    except pydantic.ValidationError as error:
        raise Stalled(ErrorReason.INVALID_GENERATOR, validation_sentence(error, recipe.kind)) from error
    generator = generator_class(config)
    _check_strength(generator)
    return generator


def _check_strength(generator: Generator[Any]) -> None:
    strength = generator.strength()
    if strength is None or strength.is_enough:
        return
    bits = math.floor(strength.bits)  # so that 127.9 bits are not reported as 128
    raise Stalled(
        ErrorReason.TOO_WEAK,
        f"{generator.kind} gives {strength.length} characters and {bits} bits of entropy, "
        f"at least {LEAST_LENGTH} and {LEAST_BITS} are needed; {generator.remedy()}",
    )


@functools.lru_cache(maxsize=1024)
def _cached(text: str) -> Generator[Any]:
    return generators.make(Recipe.model_validate_json(text))


def generator_for(recipe: Recipe) -> Generator[Any]:
    """Return the generator of a recipe, from a cache: most secrets of a cluster share a few recipes.

    Raises:
        Stalled: The recipe is invalid.
    """
    return _cached(recipe.text)
