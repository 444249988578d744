from __future__ import annotations

import pytest

from keyturn.databases.engines._postgresql.quoting import identifier, identifiers, literal


@pytest.mark.parametrize(
    ("name", "quoted"),
    [("app", '"app"'), ('a"b', '"a""b"'), ("a'b;--", '"a\'b;--"'), ("Ä b", '"Ä b"'), ("a\\", '"a\\"')],
)
def test_a_name_is_quoted(name: str, quoted: str) -> None:
    assert identifier(name) == quoted


def test_names_are_separated_by_commas() -> None:
    assert identifiers("a", 'b"') == '"a", "b"""'


@pytest.mark.parametrize(
    ("text", "quoted"),
    [("", "''"), ("it's", "'it''s'"), ("a\\b", "E'a\\\\b'"), ("\\'", "E'\\\\'''"), ('"', "'\"'")],
)
def test_a_text_is_quoted(text: str, quoted: str) -> None:
    assert literal(text) == quoted


@pytest.mark.parametrize("quote", [identifier, literal])
def test_a_zero_byte_is_refused(quote: type[str]) -> None:
    with pytest.raises(ValueError, match="zero byte"):
        quote("a\0b")
