"""Generates missing values with the operator's generators and templates, from the values of the file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from keyturn import generators, templates
from keyturn.api.recipe import Recipe
from keyturn.core.errors import Stalled

from .errors import Refused
from .sources import MAIN

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime

    from keyturn.core.value import Value
    from keyturn.generators import Generator, Outputs

    from .declaration import Declaration, DeclaredVariable, Part
    from .sources import Made

__all__ = ["Making", "generate_missing", "generator_of", "outputs_of"]

_VALUE = "value"


@dataclass(slots=True)
class Making:
    """Generated values, and why others could not be generated."""

    fresh: dict[str, Value] = field(default_factory=dict)
    """By variable."""
    lacking: dict[str, str] = field(default_factory=dict)
    """Why a variable has no value."""


def generate_missing(
    declaration: Declaration, present: Mapping[str, Value], now: datetime, renew: frozenset[str] | None = None
) -> Making:
    """Generate missing values; with `renew` regenerate these variables and all that depend on them, and no others.

    Raises:
        Refused: A recipe or a template is invalid.
    """
    making = Making()
    by_secret: dict[str, Outputs] = {}
    for part in _issuers_first(declaration.parts):
        _Work(part, present, now, renew, making, by_secret).do()
    return making


def generator_of(made: Made, place: str) -> Generator[Any]:
    """Return the generator of a recipe.

    Raises:
        Refused: It does not exist, has invalid settings, or is too weak.
    """
    try:
        generator = generators.make(Recipe({made.kind: dict(made.settings)}))
    except Stalled as stalled:
        sentence = f"{place}: {stalled.message}"
    else:
        _hold_to_settings(made, generator, place)
        return generator
    raise Refused(sentence)


def _hold_to_settings(made: Made, generator: Generator[Any], place: str) -> None:
    """Reject unknown settings, as the API server does."""
    there = {field.alias or name for name, field in generator.Config.model_fields.items()}
    if unknown := sorted(made.settings.keys() - there):
        hint = f"it has {', '.join(sorted(there))}" if there else "it has none"
        raise Refused(f"{place}: {made.kind} has no setting {', '.join(unknown)}; {hint}")


def outputs_of(item: DeclaredVariable, place: str) -> dict[str, str]:
    """Return the variable of each output of an item, if it has one.

    Raises:
        Refused: It names an unknown output.
    """
    if item.made is None:
        return {_VALUE: item.variables[MAIN]}
    generator = generator_of(item.made, place)
    named = {output: variable for output, variable in item.variables.items() if output != MAIN}
    if unknown := sorted(named.keys() - set(generator.outputs)):
        there = ", ".join(generator.outputs)
        raise Refused(f"{place}: {item.made.kind} makes no {', '.join(unknown)}; it makes {there}")
    if MAIN not in item.variables:
        return named
    return {_main(generator, named): item.variables[MAIN], **named}


def _main(generator: Generator[Any], named: Mapping[str, str]) -> str:
    """Return the output for the variable with the recipe: the first secret one without another variable."""
    left = [output for output in generator.outputs if output not in named]
    secret = [output for output in left if output not in generator.public]
    return (secret or left or list(generator.outputs))[0]


def _issuers_first(parts: Iterable[Part]) -> list[Part]:
    """Sort the parts so that a certificate follows its issuer."""
    return sorted(parts, key=lambda part: any(_signer(part, item) for item in part.items))


def _signer(part: Part, item: DeclaredVariable) -> str | None:
    return generator_of(item.made, f"{part.name}, {item.name}").issuer_secret if item.made else None


@dataclass(slots=True)
class _Work:
    """One part during generation."""

    part: Part
    present: Mapping[str, Value]
    now: datetime
    renew: frozenset[str] | None
    making: Making
    by_secret: dict[str, Outputs]
    """Values of each part, by key of its Secret."""
    outputs: dict[str, Outputs] = field(default_factory=dict)
    touched: set[str] = field(default_factory=set)
    """Items with a new value."""

    def do(self) -> None:
        for item in self._in_order():
            self._settle(item)
        self._render()
        self.by_secret[self.part.name] = {
            key: value for outputs in self.outputs.values() for key, value in outputs.items()
        }

    def _in_order(self) -> Iterator[DeclaredVariable]:
        left, known = list(self.part.items), {item.name for item in self.part.items}
        done: set[str] = set()
        while left:
            ready = [item for item in left if self._needs(item) <= done]
            if not ready:
                name = left[0].name
                lacking = sorted(self._needs(left[0]) - known)
                reason = (
                    f"needs {', '.join(lacking)}, which there is not" if lacking else "is made from itself"
                )
                raise Refused(f"{self.part.name}: {name} {reason}")
            yield from ready
            done |= {item.name for item in ready}
            left = [item for item in left if item.name not in done]

    def _needs(self, item: DeclaredVariable) -> frozenset[str]:
        return generator_of(item.made, self._place(item)).needs if item.made else frozenset()

    def _place(self, item: DeclaredVariable) -> str:
        return f"{self.part.name}, {item.name}"

    def _settle(self, item: DeclaredVariable) -> None:
        """Find the outputs of an item, or generate them."""
        by_output = outputs_of(item, self._place(item))
        found = {output: self.present[name] for output, name in by_output.items() if name in self.present}
        is_whole = found.keys() == by_output.keys()
        if is_whole and not self._is_to_turn(item, by_output):
            self.outputs[item.name] = found
        elif item.literal is not None:
            self._take(item, by_output, {_VALUE: item.literal})
        elif item.made is None:
            return  # manual action required
        elif self.renew is not None and not self._is_to_turn(item, by_output):
            return  # reported as missing: another variable was requested
        elif found and not self._is_to_turn(item, by_output):
            there = ", ".join(sorted(by_output[output] for output in found))
            lacking = dict.fromkeys(by_output.values(), f"it belongs to {there}, which is there: rotate that")
            self.making.lacking |= {name: why for name, why in lacking.items() if name not in self.present}
        else:
            self._make(item, by_output)

    def _is_to_turn(self, item: DeclaredVariable, by_output: Mapping[str, str]) -> bool:
        if self.renew is None or item.made is None:
            return False
        return not self.renew.isdisjoint(by_output.values()) or not self._needs(item).isdisjoint(self.touched)

    def _make(self, item: DeclaredVariable, by_output: Mapping[str, str]) -> None:
        assert item.made is not None, "the caller has looked"  # noqa: S101
        generator = generator_of(item.made, self._place(item))
        signer = generator.issuer_secret
        lacking = generator.needs - self.outputs.keys() or (
            {signer} - self.by_secret.keys() if signer else set()
        )
        if lacking:
            why = f"it is made from {', '.join(sorted(lacking))}, which is not here"
            self.making.lacking |= dict.fromkeys(by_output.values(), why)
            return
        issuer = self.by_secret[signer] if signer else None
        try:
            made = generator.generate(generators.GeneratorContext(self.now, self.outputs, issuer=issuer))
        except Stalled as stalled:
            sentence = f"{self._place(item)}: {stalled.message}"
        else:
            self._take(item, by_output, made)
            return
        raise Refused(sentence)

    def _take(self, item: DeclaredVariable, by_output: Mapping[str, str], made: Outputs) -> None:
        self.outputs[item.name] = made
        self.touched.add(item.name)
        self.making.fresh |= {name: made[output] for output, name in by_output.items()}

    def _render(self) -> None:
        if not self.part.templates:
            return  # without the engine, whose import is slow
        names = {item.name: tuple(outputs_of(item, self._place(item))) for item in self.part.items}
        try:
            templates.check(self.part.templates, names)
            desired = {
                name: text for name, text in self.part.templates.items() if self._is_to_render(name, text)
            }
            self.making.fresh |= templates.render(desired, self.outputs, self.now)
        except templates.TemplateFailed as failed:
            sentence = failed.flaw
        except Stalled as stalled:
            sentence = stalled.message
        else:
            return
        raise Refused(f"{self.part.name}: {sentence}")

    def _is_to_render(self, name: str, text: str) -> bool:
        read = templates.inputs(text, [item.name for item in self.part.items]) - {templates.NOW}
        if lacking := sorted(read - self.outputs.keys()):
            if name not in self.present:
                self.making.lacking[name] = f"it is rendered of {', '.join(lacking)}, which is missing"
            return False
        return name not in self.present or (self.renew is not None and not read.isdisjoint(self.touched))
