"""That a .env file is read as python-dotenv reads it, and changed in one place only."""

from __future__ import annotations

import contextlib
import io
import time

import pytest
from dotenv import dotenv_values
from hypothesis import assume, given
from hypothesis import strategies as st

from keyturn.offline.dotenv.declaration import declared_in
from keyturn.offline.dotenv.document import Document
from keyturn.offline.dotenv.files import Refused
from tests.support.machine_speed import pace

_PIECES = st.sampled_from(
    [
        "A",
        "B",
        "export ",
        "=",
        " = ",
        "'",
        '"',
        "x",
        "#",
        " # c",
        "\n",
        "\r\n",
        "\\",
        "\\n",
        "\t",
        "${A}",
        "ä",
        "\n\n",
        "''",
    ]
)
_TRICKS = {
    "plain": "A=1\nB=2\n",
    "no newline at the end": "A=1\nB=2",
    "CRLF": "A=1\r\n# c\r\nB=2\r\n",
    "export": "export A=1\n  export\tB=2\n",
    "blanks": "  A = 1  \n\tB\t=\t2\t\n",
    "single quotes": "A='1'\nB='it\\'s # no comment'\n",
    "double quotes": 'A="1"\nB="say \\"so\\" # no comment\\n"\n',
    "several lines": "A='1\n2\n3' # after\nB=\"4\n5\"\n",
    "comment after a value": "A=1 # one\nB=2#3\n",
    "comment in the place of a value": "A= # one\nB=\n",
    "empty": "A=\nB=''\n",
    "blank lines and comments": "\n\n# top\n\nA=1\n  # between\n\n\nB=2\n\n# end",
    "references": "A=1\nB=${A}-${C:-d}\n",
    "form feed": "A=1\n\x0c\nB=2\n",
    "unicode": "A=ä€😀\n",
    "nothing": "",
    "blank": " \n\t\n",
}


def read(text: str) -> Document:
    return Document.read(".env.test", text.encode())


@pytest.mark.parametrize("text", _TRICKS.values(), ids=_TRICKS)
def test_a_file_that_is_not_changed_keeps_every_byte(text: str) -> None:
    assert read(text).content == text.encode()


@pytest.mark.parametrize("text", _TRICKS.values(), ids=_TRICKS)
def test_a_file_is_read_as_python_dotenv_reads_it(text: str) -> None:
    theirs = dotenv_values(stream=io.StringIO(text, newline=""), interpolate=False)
    # A comment in the place of a value is none for shells and people.
    desired = {name: "" if value is None or value == "# one" else value for name, value in theirs.items()}

    assert dict(read(text).raw) == desired


@pytest.mark.parametrize(
    ("text", "desired"),
    [
        ("A=1\nB=2\n", "A=1\nB=new\n"),
        ("A=1\r\n# c\r\nB=2\r\n", "A=1\r\n# c\r\nB=new\r\n"),
        ("  export\tB=2\nA=1\n", "  export\tB=new\nA=1\n"),
        ("\tB\t=\t2\t\n", "\tB\t=\tnew\t\n"),
        ("B='it\\'s # no comment' # one\n", "B=new # one\n"),
        ('B="say \\"so\\"\\n"\t\n', "B=new\t\n"),
        ("B=2 # two\n", "B=new # two\n"),
        ("B=2#no comment\n", "B=new\n"),
        ("B= # two\n", "B=new # two\n"),
        ("B=\n", "B=new\n"),
        ("\n\n# top\n\n  B=2\n\n\n# end", "\n\n# top\n\n  B=new\n\n\n# end"),
    ],
    ids=lambda text: repr(text)[:24],
)
def test_one_value_is_replaced_and_everything_around_it_stays(text: str, desired: str) -> None:
    assert read(text).with_written({"B": "new"}).content == desired.encode()


@given(st.lists(_PIECES, max_size=25).map("".join))
def test_whatever_is_read_keeps_its_bytes_and_its_other_values(text: str) -> None:
    try:
        document = read(text)
        changed = document.with_written({"A": "new"})
    except Refused:
        assume(False)  # noqa: FBT003 - hypothesis
    assert document.content == text.encode()
    assert dict(changed.raw) == {**document.raw, "A": "new"}


@pytest.mark.parametrize(
    ("text", "desired"),
    [
        ("", "NEW=1\n"),
        ("A=1\n", "A=1\nNEW=1\n"),
        ("A=1", "A=1\nNEW=1\n"),
        ("A=1\r\nB=2", "A=1\r\nB=2\r\nNEW=1\r\n"),
        ("A=1\n# end", "A=1\n# end\nNEW=1\n"),
        ("# about A\nB=${NEW:-x}\n", "NEW=1\n# about A\nB=${NEW:-x}\n"),
    ],
    ids=[
        "an empty file",
        "to the end",
        "no newline at the end",
        "CRLF",
        "after a last comment",
        "above its reader",
    ],
)
def test_a_new_variable_comes_where_it_is_read(text: str, desired: str) -> None:
    assert read(text).with_written({"NEW": "1"}).content == desired.encode()


def test_of_a_variable_that_is_there_twice_the_last_counts_as_for_programs() -> None:
    assert read("A=1\nA=2\n").raw == {"A": "2"}


def test_a_variable_that_is_there_twice_is_not_changed() -> None:
    with pytest.raises(Refused, match=r"A is there more than once, in lines 1 and 3; keep one"):
        read("A=1\n\nA=2\n").with_written({"A": "3"})


@pytest.mark.parametrize(
    "text",
    ["A='canary", 'A="canary\nB=1', "A='x'canary\n", "canary secret\n", "=canary\n", "export =canary\n"],
)
def test_a_line_that_cannot_be_read_is_named_and_not_quoted(text: str) -> None:
    with pytest.raises(Refused, match=r"^\.env\.test line 2 is not") as refused:
        read(f"OK=1\n{text}")

    assert "canary" not in str(refused.value)
    assert refused.value.__context__ is None


@pytest.mark.parametrize(
    "content",
    [
        b"A=\xff\n",
        b"A=1\x00\n",
        "A=1\n".encode("utf-16"),
        b"#" * (64 * 1024 + 1),
        b"A=" + b"${B}" * 101,
        b"A=x" + b" " * 1000 + b"y",
        b"A=\n" * 1001,
        b"\xef\xbb\xbfA=1\n",
    ],
    ids=["invalid UTF-8", "NUL", "UTF-16", "too large", "references", "blanks", "variables", "a mark"],
)
def test_what_is_no_env_file_is_refused(content: bytes) -> None:
    with pytest.raises(Refused) as refused:
        Document.read(".env.test", content)

    assert str(refused.value).startswith(".env.test ")
    assert refused.value.__context__ is None


@pytest.mark.parametrize(
    "text",
    [
        "".join(f"T{number}_KEY=\n" for number in range(1000)),
        f"A=x{' ' * 999}y\n" * 60,
        "#\n" * 32000 + "A=\n",
        "A=" + "${x" * 99 + "x" * 60000,
        'A="\n' * 16000,
        "\n" * 65000 + "A=1",
    ],
    ids=["secrets", "blanks", "comments", "references", "quotes", "blank lines"],
)
def test_a_hostile_file_is_read_or_refused_soon(text: str) -> None:
    began = time.process_time()

    with contextlib.suppress(Refused):
        declared_in(read(text))

    assert time.process_time() - began < 5 * pace()


# References


@pytest.mark.parametrize(
    ("text", "desired"),
    [
        ("A=1\nB=${A}2\n", "12"),
        ("A=1\nB='${A}2'\n", "12"),
        ("B=${OUTSIDE}\n", "there"),
        ("OUTSIDE=here\nB=${OUTSIDE}\n", "here"),
        ("B=${NOWHERE:-else}\n", "else"),
        ("B=$A\n", "$A"),
    ],
    ids=["above", "in single quotes", "outside", "the file goes first", "a default", "without braces"],
)
def test_a_reference_is_filled_in_as_python_dotenv_does(
    text: str, desired: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUTSIDE", "there")

    document = read(text)

    assert document.values({"OUTSIDE": "there"})["B"] == desired
    assert list(document.unset({"OUTSIDE": "there"})) == []
    assert dotenv_values(stream=io.StringIO(text))["B"] == desired


def test_a_reference_that_leads_nowhere_is_reported_with_its_line() -> None:
    document = read("# c\n\nB=${A}x\nA=1\n")

    assert document.values()["B"] == "x"
    assert [(one.name, other, one.line) for one, other in document.unset()] == [("B", "A", 3)]


@pytest.mark.parametrize(
    "line",
    ["'A'=1", "A.B=1", "A\x1b[2J=1", "canary", "canary # c", "A='canary'#c", "A=#canary"],
    ids=repr,
)
def test_a_line_that_programs_read_in_different_ways_is_refused_and_not_printed(line: str) -> None:
    with pytest.raises(Refused) as refused:
        read(f"OK=1\n{line}\n")

    assert str(refused.value).startswith(
        ".env.test line 2 is not read alike by compose, python-dotenv and shells"
    )
    assert line not in str(refused.value)


def test_lines_that_double_each_other_are_refused() -> None:
    text = "A0=" + "x" * 1000 + "\n" + "".join(f"A{n}=${{A{n - 1}}}${{A{n - 1}}}\n" for n in range(1, 40))

    with pytest.raises(Refused, match="has values of more than 1048576 characters together"):
        read(text).values()
