"""Rules of a SecretClass, and their violations by one ManagedSecret; strength of generated values."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Self

from keyturn.api.base import format_duration
from keyturn.api.secretclass import Enforcement, SecretClass
from keyturn.core.policy import ClassRule
from keyturn.core.spec import schedule
from keyturn.core.spec.desired import Desired
from keyturn.core.spec.schedule import Cron, Every, Window
from keyturn.core.texts import FEW, few, first_of

LEAST_LENGTH = 32
LEAST_BITS = 128


@dataclass(frozen=True, slots=True)
class Strength:
    """Length and entropy of a generated value."""

    length: int
    """Characters of the written form."""
    bits: float
    """Entropy: the binary logarithm of the number of possible values, all equally likely."""
    to_be_longer: str = "a larger length"
    """The change of the recipe for more characters, as a phrase after "write"."""
    to_be_stronger: str = "a larger length or exclude less"
    """The change of the recipe for more entropy, as a phrase after "write"."""

    @property
    def is_enough(self) -> bool:
        """Whether it meets the floor of 32 characters and 128 bits."""
        return self.length >= LEAST_LENGTH and self.bits >= LEAST_BITS


@dataclass(frozen=True, slots=True)
class Violation:
    """A violated rule, with what to write instead."""

    rule: str
    message: str
    fixed_by: frozenset[str] = frozenset()
    """Values whose rotation fixes the violation; empty if the spec must change."""
    item: str | None = None
    """The value that violates the rule, if it is a single one."""
    denied: bool = True
    """Whether its class blocks writes because of it."""

    @property
    def fixed_by_rotation(self) -> bool:
        return bool(self.fixed_by)


@dataclass(frozen=True, slots=True)
class Evidence:
    """Facts of one ManagedSecret that the rules of its class evaluate."""

    strengths: Mapping[str, Strength]
    """Strength of the values that the current recipes generate, by item; identifiers are left out."""
    cadence: Every | Cron | None = None
    rotates: frozenset[str] = frozenset()
    older: Mapping[str, Strength | None] = field(default_factory=dict)
    """Strength of values that other recipes generated; None if the recipe is unknown."""
    pulled: Mapping[str, int] = field(default_factory=dict)
    """Length in characters of the values that stores hold; their entropy is unknown."""
    equal_values: frozenset[str] = frozenset()
    """Values that are equal to those of another environment."""
    immutable: bool = False
    """The Secret is written once, so the API refuses a schedule."""
    windows: tuple[Window, ...] = ()
    """When rotations may start; empty for any time."""

    def of(self, is_meant: Callable[[str], bool]) -> Self:
        """Return it for some of the values."""
        return replace(
            self,
            strengths={name: one for name, one in self.strengths.items() if is_meant(name)},
            older={name: one for name, one in self.older.items() if is_meant(name)},
            pulled={name: one for name, one in self.pulled.items() if is_meant(name)},
            equal_values=frozenset(filter(is_meant, self.equal_values)),
        )


def violations_of(secret_class: SecretClass | None, found: Evidence) -> tuple[Violation, ...]:
    """Return the violated rules, in the order of RULES."""
    if secret_class is None:
        return ()
    found_by_rule = (violation for rule in RULES.values() for violation in rule(secret_class, found))
    return tuple(replace(one, denied=denies(secret_class)) for one in found_by_rule)


def violations_by_value(
    secret_class: SecretClass | None, desired: Desired, found: Evidence
) -> tuple[Violation, ...]:
    """Return the violated rules of the object's class, and of each value with a class or schedule of its own."""
    tables = {one.own: one for one in desired.timetables if one.own}
    alone = {one.name: one.secret_class for one in desired.items if one.secret_class or one.name in tables}
    violated = violations_of(secret_class, found.of(lambda name: name not in alone))
    for name, own_class in alone.items():
        evidence = found.of(name.__eq__)
        if name in tables:
            evidence = replace(evidence, cadence=tables[name].cadence)
        violated += tuple(
            one if one.item else replace(one, item=name, message=f"{name}: {one.message}")
            for one in violations_of(own_class or secret_class, evidence)
        )
    return violated


def denies(secret_class: SecretClass | None) -> bool:
    """Whether a violation blocks writes: true unless the class has enforcement Warn."""
    return secret_class is None or secret_class.spec.enforcement is not Enforcement.WARN


def joined_messages(violations: Iterable[Violation]) -> str:
    """Join the first violations into one text, each message after its rule, and count the others."""
    texts = [f"{violation.rule}: {violation.message}" for violation in violations]
    return first_of(texts, FEW, "; ")


# The rules


def min_length(secret_class: SecretClass, found: Evidence) -> Iterator[Violation]:
    minimum = secret_class.spec.min_length
    if minimum is None:
        return
    asks = f"and class {secret_class.metadata.name} asks for {minimum}"
    for name, strength in found.strengths.items():
        if strength.length < minimum:
            yield Violation(
                ClassRule.MIN_LENGTH,
                f"{name} would have {strength.length} characters {asks}; write {strength.to_be_longer}",
                item=name,
            )
    for name, length in found.pulled.items():
        if length < minimum:
            shorter = f"{name} in its store is too short"
            yield Violation(
                ClassRule.MIN_LENGTH, f"{shorter}, {asks}; store a longer one", frozenset({name}), name
            )
    for name, strength in _known(found.older):
        if strength.length < minimum:
            yield _outdated(ClassRule.MIN_LENGTH, name, f"has {strength.length} characters {asks}")


def min_entropy_bits(secret_class: SecretClass, found: Evidence) -> Iterator[Violation]:
    minimum = secret_class.spec.min_entropy_bits
    if minimum is None:
        return
    asks = f"and class {secret_class.metadata.name} asks for {minimum}"
    for name, strength in found.strengths.items():
        if strength.bits < minimum:
            yield Violation(
                ClassRule.MIN_ENTROPY_BITS,
                f"{name} would have {math.floor(strength.bits)} bits of entropy {asks};"
                f" write {strength.to_be_stronger}",
                item=name,
            )
    for name, strength in _known(found.older):
        if strength.bits < minimum:
            yield _outdated(
                ClassRule.MIN_ENTROPY_BITS, name, f"has {math.floor(strength.bits)} bits of entropy {asks}"
            )
    for name, known in found.older.items():
        if known is None:
            yield _outdated(
                ClassRule.MIN_ENTROPY_BITS, name, f"was adopted, so its entropy is unknown, {asks}"
            )


def max_interval(secret_class: SecretClass, found: Evidence) -> Iterator[Violation]:
    maximum = secret_class.spec.max_interval
    if maximum is None or not found.strengths:
        return
    allows = f"class {secret_class.metadata.name} allows {format_duration(maximum)} at most"
    if found.immutable:
        yield Violation(
            ClassRule.MAX_INTERVAL,
            f'an immutable Secret is never rotated and {allows}; write immutable: false, className: "", or the'
            " name of a class without maxInterval",
        )
    elif flaw := _too_rare(found.cadence, maximum):
        yield Violation(ClassRule.MAX_INTERVAL, f"{flaw[0]} and {allows}; {flaw[1]}")
    elif pause := _too_long_closed(found.windows, maximum):
        yield Violation(
            ClassRule.MAX_INTERVAL,
            f"rotation.windows stay closed for up to {format_duration(pause)} and {allows}; write a window that opens"
            " more often",
        )
    elif left_out := sorted(found.strengths.keys() - found.rotates):
        yield Violation(
            ClassRule.MAX_INTERVAL,
            f"rotation.only leaves out {few(left_out)} and {allows}; name it too, or remove only",
        )


def distinct_across_environments(secret_class: SecretClass, found: Evidence) -> Iterator[Violation]:
    if not secret_class.spec.distinct_across_environments:
        return
    for name in sorted(found.equal_values):
        yield _outdated(
            ClassRule.DISTINCT,
            name,
            f"has the same value as in another environment, which class {secret_class.metadata.name} forbids",
        )


RULES: Mapping[str, Callable[[SecretClass, Evidence], Iterator[Violation]]] = {
    ClassRule.MIN_LENGTH: min_length,
    ClassRule.MIN_ENTROPY_BITS: min_entropy_bits,
    ClassRule.MAX_INTERVAL: max_interval,
    ClassRule.DISTINCT: distinct_across_environments,
}


def _outdated(rule: str, name: str, flaw: str) -> Violation:
    """Return a violation by an existing value, which a rotation fixes."""
    message = f"{name} {flaw}; rotate it, such as by the annotation keyturn.dev/rotate"
    return Violation(rule, message, frozenset({name}), name)


def _known(older: Mapping[str, Strength | None]) -> Iterator[tuple[str, Strength]]:
    return ((name, strength) for name, strength in older.items() if strength is not None)


def _too_long_closed(windows: tuple[Window, ...], most: timedelta) -> timedelta | None:
    """Return the longest time between two openings, if a value would be older than `most` before a window opens."""
    pauses = [schedule.longest_pause(window.opens) for window in windows]
    pause = min(pauses, default=most)
    return pause if pause > most else None


def _too_rare(cadence: Every | Cron | None, most: timedelta) -> tuple[str, str] | None:
    """Return what is too rare and what to write instead, or None."""
    instead = f"write rotation.every: {format_duration(most)} or less"
    match cadence:
        case None:
            return "no schedule is set", instead
        case Every(interval) if interval > most:
            return f"rotation.every is {format_duration(interval)}", instead
        case Cron() if (pause := schedule.longest_pause(cadence)) > most:
            return (
                f"rotation.schedule has a gap of {format_duration(pause)}",
                "write a more frequent one",
            )
    return None
