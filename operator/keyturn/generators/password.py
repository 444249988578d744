"""Generators password and passphrase: characters of several classes, or words that people read, type and dictate."""

import functools
import importlib.resources
import itertools
import math
import re
import secrets
import string
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Annotated

import pydantic

from keyturn.api.base import Schema, Spelled, rules
from keyturn.core.errors import Stalled
from keyturn.core.policy.rules import LEAST_BITS, LEAST_LENGTH, Strength
from keyturn.core.reasons import ErrorReason
from keyturn.core.value import Value

from .base import SingleValue

_MAX_LENGTH = 1024
_CLASSES = ("lower", "upper", "digits", "symbols")
_PUNCTUATION = r"^[!-/:-@\x5b-\x60\x7b-~]+$"

_ALL_OFF = "a password needs characters; leave at least one of lower, upper, digits and symbols on"
_NO_PUNCTUATION = "symbolCharacters takes ASCII punctuation only, such as -_.~; write symbols: false for none"
_NOT_PRINTABLE = "exclude takes printable ASCII characters without spaces, such as 0O1lI"


class PasswordConfig(Schema):
    """A password of random characters."""

    model_config = pydantic.ConfigDict(
        json_schema_extra=rules(
            (" || ".join(f"!has(self.{name}) || self.{name}" for name in _CLASSES), _ALL_OFF),
            (
                "!has(self.symbolCharacters) || !has(self.symbols) || self.symbols",
                "symbols: false makes symbolCharacters useless; remove one of them",
            ),
        )
    )

    length: int = pydantic.Field(
        32,
        ge=0,
        le=_MAX_LENGTH,
        json_schema_extra=rules(
            (
                f"self >= {LEAST_LENGTH}",
                f"a password needs at least {LEAST_LENGTH} characters; write length: {LEAST_LENGTH} or more",
            )
        ),
    )
    """How many characters it has; 32 if absent."""
    lower: bool = True
    """Whether lower-case letters are drawn, at least one of them; true if absent."""
    upper: bool = True
    """Whether upper-case letters are drawn, at least one of them; true if absent."""
    digits: bool = True
    """Whether digits are drawn, at least one of them; true if absent."""
    symbols: bool = True
    """Whether symbolCharacters are drawn, at least one of them; true if absent."""
    symbol_characters: str = pydantic.Field(
        "-_.~", max_length=64, json_schema_extra=rules((f"self.matches(r'{_PUNCTUATION}')", _NO_PUNCTUATION))
    )
    """The ASCII punctuation that counts as symbols; -_.~ if absent, which URLs carry unescaped."""
    exclude: str = pydantic.Field(
        "", max_length=128, json_schema_extra=rules(("self.matches('^[!-~]*$')", _NOT_PRINTABLE))
    )
    """Characters that are never drawn, such as 0O1lI."""
    allow_repeat: bool = True
    """Whether a character may occur more than once; true if absent."""


def count_passwords(classes: Collection[int], arrange: Callable[[int], int]) -> int:
    """Return the number of passwords that use every one of disjoint classes of these sizes.

    `arrange` returns the number of passwords over a number of characters without that condition. Those that lack a
    class are subtracted by inclusion-exclusion over the missing classes.
    """
    subsets = itertools.chain.from_iterable(
        itertools.combinations(classes, lacking) for lacking in range(len(classes) + 1)
    )
    return sum((-1) ** len(lacked) * arrange(sum(classes) - sum(lacked)) for lacked in subsets)


class Password(SingleValue[PasswordConfig]):
    """Draws characters until every enabled class is among them."""

    kind = "password"
    Config = PasswordConfig

    def __init__(self, config: PasswordConfig) -> None:
        super().__init__(config)
        self._classes = _classes(config)
        self._alphabet = bytes(sorted(itertools.chain.from_iterable(self._classes.values())))
        for flaw in self._flaws():
            raise Stalled(ErrorReason.INVALID_GENERATOR, flaw)
        self._strength = Strength(config.length, self._bits(config.length))

    def draw(self) -> Value:
        # Rejection sampling: accepted draws stay equally likely, unlike with one character of each class placed
        # first.
        # Source: https://docs.python.org/3/library/secrets.html#recipes-and-best-practices
        while not self._has_every_class(drawn := self._draw()):
            pass
        return Value(drawn)

    def fits(self, value: Value) -> bool:
        content = value.reveal()
        used = frozenset(content)
        return (
            len(content) == self.config.length
            and used <= frozenset(self._alphabet)
            and (self.config.allow_repeat or len(used) == len(content))
            and self._has_every_class(content)
        )

    def strength(self) -> Strength:
        return self._strength

    def remedy(self) -> str:
        lengths = range(max(self.config.length, LEAST_LENGTH), _MAX_LENGTH + 1)
        enough = next((length for length in lengths if self._bits(length) >= LEAST_BITS), None)
        if enough is None:
            return "allow more characters"
        return f"write length: {enough} or more"

    def _draw(self) -> bytes:
        if not self.config.allow_repeat:
            return bytes(secrets.SystemRandom().sample(self._alphabet, self.config.length))
        # One random number below the count of all passwords, split into digits: one system call instead of one for
        # each.
        base = len(self._alphabet)
        number = secrets.randbelow(base**self.config.length)
        drawn = bytearray()
        for _ in range(self.config.length):
            number, digit = divmod(number, base)
            drawn.append(self._alphabet[digit])
        return bytes(drawn)

    def _has_every_class(self, content: bytes) -> bool:
        return all(not members.isdisjoint(content) for members in self._classes.values())

    def _bits(self, length: int) -> float:
        sizes = [len(members) for members in self._classes.values()]
        count = count_passwords(sizes, lambda characters: self._arrange(characters, length))
        return math.log2(count) if count else 0

    def _arrange(self, characters: int, length: int) -> int:
        # math.perm is 0 if there are fewer characters than places.
        return characters**length if self.config.allow_repeat else math.perm(characters, length)

    def _flaws(self) -> Iterator[str]:
        """Yield what is wrong, for rules that CEL cannot compute or the CRD of another version lacks."""
        if not re.search(_PUNCTUATION, self.config.symbol_characters):
            yield _NO_PUNCTUATION
        if not self._classes:
            yield _ALL_OFF
        for name, members in self._classes.items():
            if not members:
                yield f"exclude leaves no {name}; write {name}: false or exclude fewer characters"
        if not self.config.allow_repeat and self.config.length > len(self._alphabet):
            lack = f"{self.config.length} of {len(self._alphabet)} characters cannot all differ"
            yield f"{lack}; write allowRepeat: true or allow more characters"


def _classes(config: PasswordConfig) -> Mapping[str, frozenset[int]]:
    every = (string.ascii_lowercase, string.ascii_uppercase, string.digits, config.symbol_characters)
    enabled = (config.lower, config.upper, config.digits, config.symbols)
    excluded = frozenset(config.exclude.encode())
    return {
        name: frozenset(members.encode()) - excluded
        for name, members, is_enabled in zip(_CLASSES, every, enabled, strict=True)
        if is_enabled
    }


_MIN_WORDS = 10

Separator = Annotated[
    str,
    Spelled(
        r"^[ -@\[-`{-~]{1,4}$",
        "separator takes one to four digits, blanks or marks of ASCII, such as -; letters look like words",
        4,
    ),
]


class PassphraseConfig(Schema):
    """A passphrase of words of the EFF's long word list."""

    words: int = pydantic.Field(
        _MIN_WORDS,
        ge=0,
        le=64,
        json_schema_extra=rules(
            (
                f"self >= {_MIN_WORDS}",
                f"{LEAST_BITS} bits of entropy need {_MIN_WORDS} words; write words: {_MIN_WORDS} or more",
            )
        ),
    )
    """How many words it has; 10 if absent."""
    separator: Separator = "-"
    """The text between the words; - if absent."""


@functools.cache
def known_words() -> Mapping[str, None]:
    """Return the EFF's long word list without its four hyphenated words, so that a phrase splits unambiguously."""
    listed = importlib.resources.files("xkcdpass") / "static" / "eff-long"
    return dict.fromkeys(word for word in listed.read_text("ascii").split() if word.isalpha())


@functools.cache
def _drawable() -> tuple[str, ...]:
    return tuple(known_words())


class Passphrase(SingleValue[PassphraseConfig]):
    """Draws every word from the whole list, so a word may repeat."""

    kind = "passphrase"
    Config = PassphraseConfig

    def draw(self) -> Value:
        words = (secrets.choice(_drawable()) for _ in range(self.config.words))
        return Value.of_text(self.config.separator.join(words))

    def fits(self, value: Value) -> bool:
        try:
            words = value.reveal().decode("ascii").split(self.config.separator)
        except UnicodeDecodeError:
            return False
        return len(words) == self.config.words and all(word in known_words() for word in words)

    def strength(self) -> Strength:
        """Return the length of the shortest phrase; draws are never rejected, so all phrases are equally likely."""
        shortest = min(len(word) for word in _drawable())
        written = self.config.words * shortest + max(self.config.words - 1, 0) * len(self.config.separator)
        return Strength(written, self.config.words * math.log2(len(_drawable())), "more words", "more words")

    def remedy(self) -> str:
        return f"write words: {_MIN_WORDS} or more"
