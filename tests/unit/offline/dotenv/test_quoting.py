"""That what is written reads the same for everybody, or is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keyturn.core.value import Value
from keyturn.offline.dotenv.document import quoted
from keyturn.offline.dotenv.files import Refused
from tests.unit.offline.dotenv.env_readers import READERS

_MEAN = "'\"\\$`#~!=: \t\n%&;|<>(){}[]*?-_.aZ09nrtä€😀"
"""What means something to one of the readers, beside what means nothing."""


def file_of(values: list[str], folder: Path) -> tuple[Path, dict[str, str]]:
    """Write those of the values that are not refused."""
    found = {}
    lines = []
    for number, text in enumerate(values):
        name = f"V{number}"
        try:
            lines.append(f"{name}={quoted(name, Value.of_text(text))}\n")
        except Refused:
            continue
        found[name] = text
    path = folder / "values.env"
    path.write_text("".join(lines), newline="")
    return path, found


@pytest.mark.parametrize("reader", READERS)
@given(st.lists(st.text(_MEAN, max_size=12), min_size=30, max_size=60))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_value_reads_as_it_was(reader: str, tmp_path: Path, values: list[str]) -> None:
    path, desired = file_of(values, tmp_path)

    read = READERS[reader](path)

    assert {name: read[name] for name in desired} == desired


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    "text",
    [
        "",
        "plain",
        "~root",
        "a:~root",
        "a=~root",
        "a#b",
        "a #b",
        "#b",
        "two words",
        " blanks ",
        "it's",
        'a "b" c',
        'it\'s "so"',
        "back\\slash",
        "it's a back\\slash",
        "ends in \\",
        "\\\\server",
        "$HOME",
        "`id`",
        "$(id)",
        "a\nb",
        "-----BEGIN PRIVATE KEY-----\nMC4CAQ==\n-----END PRIVATE KEY-----\n",
        "'",
        '"',
        "ü€😀",
        "=",
        "a!b",
        "\\n",
        "it's \\n",
    ],
    ids=lambda text: repr(text)[:20],
)
def test_a_value_that_is_hard_to_quote_reads_as_it_was(reader: str, text: str, tmp_path: Path) -> None:
    path, desired = file_of([text], tmp_path)

    read = READERS[reader](path)

    assert desired == {"V0": text}
    assert read["V0"] == text


@pytest.mark.parametrize(
    "content",
    [
        b"a\x00b",
        b"a\rb",
        b"a\x1bb",
        b"\xff\xfe",
        b"${HOME}",
        b"it's $HOME",
        b"it's `id`",
        b"$HOME\\",
        b"$HOME\\\\a",
    ],
    ids=["NUL", "CR", "escape", "bytes", "reference", "dollar", "backquote", "backslash", "backslashes"],
)
def test_what_no_form_serves_is_refused_without_the_value(content: bytes) -> None:
    with pytest.raises(Refused) as refused:
        quoted("TOKEN", Value(b"canary" + content))

    assert "TOKEN" in str(refused.value)
    assert "canary" not in repr(refused.value)
    assert refused.value.__context__ is None


@pytest.mark.parametrize(
    "text", ["EFxXPTcZ+/aZ09==", "a-b_c.d", "postgresql://shop:pa-_.ss@db:5432/shop", "15m"]
)
def test_a_plain_value_has_no_quotes(text: str) -> None:
    assert quoted("V", Value.of_text(text)) == text
