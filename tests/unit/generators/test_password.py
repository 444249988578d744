"""Passwords and passphrases: their characters and words, and how hard they are to guess."""

from __future__ import annotations

import hashlib
import importlib.resources
import itertools
import math
import string
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyturn.api.base import Recipe
from keyturn.core.errors import Stalled
from keyturn.core.value import Value
from keyturn.generators import Strength, make
from keyturn.generators.password import Passphrase, Password, PasswordConfig, count_passwords, known_words

DRAWS = 300
CLASSES = {
    "lower": string.ascii_lowercase,
    "upper": string.ascii_uppercase,
    "digits": string.digits,
    "symbols": "-_.~",
}


def of(**settings: Any) -> Password:
    generator = make(Recipe({"password": settings}))
    assert isinstance(generator, Password)
    return generator


def tiny(length: int, *, allow_repeat: bool = True, **kept: str) -> Password:
    """Make a generator that has only the kept characters of each class, far under the floor."""
    known = string.ascii_letters + string.digits
    excluded = "".join(set(known) - set("".join(kept.values())))
    enabled = {name: name in kept for name in CLASSES}
    return Password(
        PasswordConfig(
            length=length,
            allow_repeat=allow_repeat,
            exclude=excluded,
            symbol_characters=kept.get("symbols", "-"),
            **enabled,
        )
    )


def drawn(generator: Password, times: int = DRAWS) -> list[str]:
    return [generator.draw().reveal().decode("ascii") for _ in range(times)]


def refusal(settings: Mapping[str, Any]) -> tuple[str, str]:
    with pytest.raises(Stalled) as refused:
        of(**settings)
    return refused.value.reason, refused.value.message


def characters_of(settings: Mapping[str, Any]) -> set[str]:
    return set("".join(drawn(of(**settings))))


@pytest.mark.parametrize("length", [32, 33, 64, 1024])
def test_it_is_as_long_as_asked_for(length: int) -> None:
    assert {len(password) for password in drawn(of(length=length), 20)} == {length}


@pytest.mark.parametrize(
    ("settings", "alphabet"),
    [
        ({}, string.ascii_letters + string.digits + "-_.~"),
        ({"symbols": False}, string.ascii_letters + string.digits),
        ({"digits": False}, string.ascii_letters + "-_.~"),
        ({"upper": False}, string.ascii_lowercase + string.digits + "-_.~"),
        ({"lower": False}, string.ascii_uppercase + string.digits + "-_.~"),
        ({"symbolCharacters": "!!@"}, string.ascii_letters + string.digits + "!@"),
        (
            {"exclude": "0O1lI~"},
            "".join(sorted(set(string.ascii_letters + string.digits + "-_.") - set("0O1lI"))),
        ),
        ({"upper": False, "digits": False, "symbols": False}, string.ascii_lowercase),
    ],
    ids=str,
)
def test_it_draws_from_the_whole_alphabet_and_nothing_else(
    settings: dict[str, Any], alphabet: Collection[str]
) -> None:
    # The rarest case, one of 66 characters missing in 9600, happens once in 10^61 runs.
    assert characters_of(settings) == set(alphabet)


@pytest.mark.parametrize("name", CLASSES)
def test_one_of_each_class_is_in_every_password(name: str) -> None:
    assert all(set(password) & set(CLASSES[name]) for password in drawn(of()))


def test_without_repeats_all_characters_differ() -> None:
    assert {len(set(password)) for password in drawn(of(allowRepeat=False))} == {32}


def test_a_symbol_written_twice_is_drawn_no_more_often() -> None:
    assert of(symbolCharacters="--_").strength() == of(symbolCharacters="-_").strength()


@pytest.mark.parametrize(
    ("classes", "length", "count"),
    [([2], 3, 8), ([2, 2], 1, 0), ([1, 1], 2, 2), ([3, 1], 4, 174), ([1, 1, 1, 1], 4, 24), ([], 0, 1)],
)
def test_passwords_are_counted(classes: list[int], length: int, count: int) -> None:
    assert count_passwords(classes, lambda characters: characters**length) == count


@given(classes=st.lists(st.integers(0, 3), max_size=4), length=st.integers(0, 4), repeats=st.booleans())
def test_the_count_is_that_of_trying_all(classes: list[int], length: int, *, repeats: bool) -> None:
    alphabet = [(index, member) for index, size in enumerate(classes) for member in range(size)]
    words = (
        itertools.product(alphabet, repeat=length) if repeats else itertools.permutations(alphabet, length)
    )
    tried = sum({index for index, _ in word} == set(range(len(classes))) for word in words)

    def arrange(characters: int) -> int:
        return characters**length if repeats else math.perm(characters, length)

    assert count_passwords(classes, arrange) == tried


@pytest.mark.parametrize(
    ("settings", "bits"),
    [
        ({"upper": False, "digits": False, "symbols": False}, 32 * math.log2(26)),
        ({"upper": False, "symbols": False}, math.log2(36**32 - 10**32 - 26**32)),
        (
            {"upper": False, "symbols": False, "allowRepeat": False},
            # Nobody gets 32 different characters out of one class, so the guarantee costs nothing.
            math.log2(math.perm(36, 32)),
        ),
    ],
    ids=["one class", "two classes", "no repeats"],
)
def test_the_entropy_is_that_of_the_passwords_that_are_left(settings: dict[str, Any], bits: float) -> None:
    strength = of(**settings).strength()
    assert strength is not None
    assert strength.bits == pytest.approx(bits)


def test_what_the_guarantee_takes_off_is_counted_too() -> None:
    every = count_passwords([26, 26, 10, 4], lambda characters: characters**32)
    strength = of().strength()
    assert strength is not None
    assert (strength.bits, every < 66**32) == (math.log2(every), True)


@pytest.mark.parametrize("allow_repeat", [True, False], ids=["repeats", "no repeats"])
@pytest.mark.parametrize("length", [2, 3, 4])
def test_it_accepts_exactly_what_it_can_generate(length: int, *, allow_repeat: bool) -> None:
    generator = tiny(length, allow_repeat=allow_repeat, lower="ab", digits="01")
    words = ("".join(word) for size in range(6) for word in itertools.product("ab01-A", repeat=size))
    accepted = {word for word in words if generator.fits(Value.of_text(word))}
    # Of at most 224 passwords, one is missing from 10000 draws less than once in 10^17 runs.
    assert accepted == set(drawn(generator, 10_000))


@given(
    settings=st.fixed_dictionaries(
        {"length": st.integers(40, 64)},
        optional={
            "lower": st.booleans(),
            "digits": st.booleans(),
            "symbols": st.booleans(),
            "exclude": st.text("0O1lI-_", max_size=4),
        },
    )
)
def test_whatever_the_settings_it_accepts_what_it_generates(settings: dict[str, Any]) -> None:
    generator = of(**settings)
    assert generator.fits(generator.draw())


def test_every_accepted_password_is_equally_likely() -> None:
    generator = tiny(4, lower="abc", digits="0")
    counts = Counter(drawn(generator, 17_400))
    deviation = sum((count - 100) ** 2 / 100 for count in counts.values())
    # Chi-square with 173 degrees of freedom exceeds 309 once in a billion runs. Were one character of each
    # class put in first, about 510 would be expected.
    assert (len(counts), deviation < 309) == (174, True)


def test_every_character_is_equally_likely() -> None:
    counts = Counter("".join(drawn(of(length=1024, symbols=False, upper=False, digits=False), 65)))
    deviation = sum((count - 2560) ** 2 / 2560 for count in counts.values())
    # Chi-square with 25 degrees of freedom exceeds 93 once in a billion runs.
    assert (len(counts), deviation < 93) == (26, True)


@pytest.mark.parametrize(
    ("settings", "length", "bits"),
    [
        ({"length": 31}, 31, 187),
        ({"length": 0}, 0, 0),
        ({"lower": False, "upper": False, "symbols": False}, 32, 106),
        ({"upper": False, "symbols": False, "exclude": "abcd", "allowRepeat": False}, 32, 117),
    ],
    ids=["short", "empty", "few characters", "few characters and no repeats"],
)
def test_settings_under_the_floor_are_refused_with_their_strength(
    settings: dict[str, Any], length: int, bits: int
) -> None:
    reason, message = refusal(settings)
    assert reason == "TooWeak"
    assert {str(length), str(bits)} <= set(message.split())


@pytest.mark.parametrize(
    "settings",
    [
        {"length": -1},
        {"length": 1025},
        {"lower": False, "upper": False, "digits": False, "symbols": False},
        {"exclude": "0123456789"},
        {"allowRepeat": False, "lower": False, "symbols": False, "length": 40},
        {"symbolCharacters": "-ä"},
        {"symbolCharacters": ""},
    ],
    ids=["negative", "long", "all off", "class excluded", "repeats needed", "no ASCII", "no symbols"],
)
def test_impossible_settings_are_refused(settings: dict[str, Any]) -> None:
    assert refusal(settings)[0] == "InvalidGenerator"


HYPHENATED = {"drop-down", "felt-tip", "t-shirt", "yo-yo"}


def phrases(**settings: Any) -> Passphrase:
    generator = make(Recipe({"passphrase": settings}))
    assert isinstance(generator, Passphrase)
    return generator


def phrase(**settings: Any) -> str:
    return phrases(**settings).draw().reveal().decode("ascii")


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
    words = phrase().split("-")
    assert (len(words), set(words) <= known_words().keys()) == (10, True)


def test_it_has_as_many_words_as_asked_for_with_what_is_asked_for_between_them() -> None:
    assert len(phrase(words=12, separator=" . ").split(" . ")) == 12


def test_every_word_is_equally_likely() -> None:
    counts = Counter(word for _ in range(1500) for word in phrase(words=64).split("-"))
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
    assert phrases(**settings).strength() == Strength(length, bits, "more words", "more words")


@pytest.mark.parametrize(("words", "written", "bits"), [(9, 35, 116), (1, 3, 12), (0, 0, 0)])
def test_fewer_than_ten_words_are_refused_with_what_to_write(words: int, written: int, bits: int) -> None:
    with pytest.raises(Stalled, match=f"gives {written} characters and {bits} bits.*words: 10"):
        phrases(words=words)


@pytest.mark.parametrize("separator", ["", "x", "-X", "é", "12345", "\n"])
def test_a_separator_that_could_run_into_words_is_refused(separator: str) -> None:
    with pytest.raises(Stalled, match=r"passphrase\.separator: "):
        phrases(separator=separator)


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
    assert not phrases().fits(Value.of_text(spoil(phrase())))
