"""Generator passphrase: words that people can read, type and dictate."""

from __future__ import annotations

import functools
import importlib.resources
import math
import secrets
from typing import TYPE_CHECKING, Annotated

import pydantic

from keyturn.api.base import Schema, rules
from keyturn.api.spelled import Spelled
from keyturn.core.policy.strength import LEAST_BITS, Strength
from keyturn.core.value import Value

from .base import SingleValue

if TYPE_CHECKING:
    from collections.abc import Mapping

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
