"""Passphrases: their words, and how hard they are to guess."""

from __future__ import annotations

import hashlib
import importlib.resources
import math
from collections import Counter
from typing import Any

import pytest

from keyturn.api.recipe import Recipe
from keyturn.core.errors import Stalled
from keyturn.core.value import Value
from keyturn.generators import Strength, make
from keyturn.generators.passphrase import Passphrase, known_words

HYPHENATED = {"drop-down", "felt-tip", "t-shirt", "yo-yo"}


def of(**settings: Any) -> Passphrase:
    generator = make(Recipe({"passphrase": settings}))
    assert isinstance(generator, Passphrase)
    return generator


def drawn(**settings: Any) -> str:
    return of(**settings).draw().reveal().decode("ascii")


def test_the_list_is_the_long_one_of_the_eff() -> None:
    """As published by the EFF, each word in a line; the sum is that of its words, sorted."""
    listed = (importlib.resources.files("xkcdpass") / "static" / "eff-long").read_text("ascii").split()
    assert (len(listed), len(set(listed)), min(listed), max(listed)) == (7776, 7776, "abacus", "zoom")
    digest = hashlib.sha256("\n".join(sorted(listed)).encode()).hexdigest()
    assert digest == "abae49761b88f3f1ba31ef944bea1f61b795a3cd7e1cfb7d276ed45bf77967ba"


def test_words_with_a_hyphen_are_left_out_so_that_a_phrase_is_split_in_one_way_only() -> None:
    assert len(known_words()) == 7776 - len(HYPHENATED)
    assert HYPHENATED.isdisjoint(known_words())


def test_it_has_ten_words_with_hyphens_between_them() -> None:
    words = drawn().split("-")
    assert (len(words), set(words) <= known_words().keys()) == (10, True)


def test_it_has_as_many_words_as_asked_for_with_what_is_asked_for_between_them() -> None:
    assert len(drawn(words=12, separator=" . ").split(" . ")) == 12


def test_every_word_is_equally_likely() -> None:
    counts = Counter(word for _ in range(1500) for word in drawn(words=64).split("-"))
    expected = 1500 * 64 / 7772
    deviation = sum((counts[word] - expected) ** 2 / expected for word in known_words())
    # Chi-square with 7771 degrees of freedom exceeds 8543 once in a billion runs.
    assert deviation < 8543


@pytest.mark.parametrize(
    ("settings", "length", "bits"),
    [
        ({}, 10 * 3 + 9, 10 * math.log2(7772)),
        ({"words": 16}, 16 * 3 + 15, 16 * math.log2(7772)),
        ({"separator": " -- "}, 10 * 3 + 9 * 4, 10 * math.log2(7772)),
    ],
    ids=str,
)
def test_the_strength_is_that_of_the_words_and_of_the_shortest_phrase(
    settings: dict[str, Any], length: int, bits: float
) -> None:
    assert of(**settings).strength() == Strength(length, bits, "more words", "more words")


@pytest.mark.parametrize(("words", "written", "bits"), [(9, 35, 116), (1, 3, 12), (0, 0, 0)])
def test_fewer_than_ten_words_are_refused_with_what_to_write(words: int, written: int, bits: int) -> None:
    with pytest.raises(Stalled) as refusal:
        of(words=words)
    assert refusal.value.message == (
        f"passphrase gives {written} characters and {bits} bits of entropy, at least 32 and 128 are needed;"
        " write words: 10 or more"
    )


@pytest.mark.parametrize("separator", ["", "x", "-X", "é", "12345", "\n"])
def test_a_separator_that_could_run_into_words_is_refused(separator: str) -> None:
    with pytest.raises(Stalled) as refusal:
        of(separator=separator)
    assert refusal.value.message == (
        "passphrase.separator: separator takes one to four digits, blanks or marks of ASCII, such as -;"
        " letters look like words"
    )


@pytest.mark.parametrize(
    "spoil",
    [
        lambda phrase: phrase.upper(),
        lambda phrase: phrase.replace("-", "_"),
        lambda phrase: f"{phrase}-",
        lambda phrase: f"{phrase}-zoom",
        lambda phrase: f"{phrase[:-3]}xyz",
        lambda phrase: f"{phrase}\n",
    ],
    ids=["upper case", "another separator", "an empty word", "a word more", "no word", "a newline"],
)
def test_it_refuses_what_it_would_write_otherwise(spoil: Any) -> None:
    assert not of().fits(Value.of_text(spoil(drawn())))
