from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyturn.core import texts
from keyturn.core.texts import few, first_of, first_within
from tests.support.cases import case, cases


@cases(
    ("names", "text"),
    case("none", [], ""),
    case("one", ["a"], "a"),
    case("as many as are named", ["a", "b"], "a, b"),
    case("one more", ["a", "b", "c"], "a, b and 1 more"),
    case("two more", ["a", "b", "c", "d"], "a, b and 2 more"),
)
def test_a_few_are_named_and_the_others_counted(names: list[str], text: str) -> None:
    assert first_of(names, 2) == text


def test_texts_have_a_separator_of_their_own() -> None:
    assert first_of(["b: 1", "a: 2", "c: 3"], 2, "; ") == "b: 1; a: 2 and 1 more"


@cases(
    ("room", "text"),
    case("less than one", 3, "first and 2 more"),
    case("two", 28, "first; other and 1 more"),
    case("all", 60, "first; other; third"),
)
def test_as_many_messages_are_named_as_have_room(room: int, text: str) -> None:
    assert first_within(["first", "other", "third"], room) == text


def test_of_thousands_ten_are_named_in_order() -> None:
    text = few(f"a-{number:04}" for number in reversed(range(2000)))
    assert text.startswith("a-0000, a-0001, ")
    assert text.endswith(", a-0009 and 1990 more")


@given(st.binary(max_size=64))
def test_what_is_encoded_is_decoded_with_and_without_padding(content: bytes) -> None:
    written = texts.encode(content)
    padded = written + b"=" * (-len(written) % 4)
    assert texts.decode(written) == texts.decode(padded) == content
    assert texts.decode(written.decode()) == content
    assert not set(written) & set(b"+/=")


@pytest.mark.parametrize("written", ["a", "ä", b"a"])
def test_what_is_no_such_text_is_a_value_error(written: bytes | str) -> None:
    with pytest.raises(ValueError, match=r"."):
        texts.decode(written)
