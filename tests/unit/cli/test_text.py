"""How tables and lengths of time read."""

import json
import re
import sys
import unicodedata
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from keyturn.cli import printing
from keyturn.cli.commands import main
from keyturn.cli.printing import print_json, print_lines, table
from keyturn.core.times import length, since, until
from keyturn.runtime.invisible_characters import is_visible, make_visible

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("time", "written"),
    [
        (timedelta(0), "0s"),
        (timedelta(seconds=59.9), "59s"),
        (timedelta(seconds=60), "1m"),
        (timedelta(minutes=9, seconds=59), "9m59s"),
        (timedelta(minutes=10, seconds=59), "10m"),
        (timedelta(hours=7, minutes=59), "7h59m"),
        (timedelta(hours=8, minutes=59), "8h"),
        (timedelta(hours=3, seconds=20), "3h"),
        (timedelta(days=7, hours=23), "7d23h"),
        (timedelta(days=90, hours=23), "90d"),
        (timedelta(seconds=-5), "0s"),
    ],
    ids=str,
)
def test_a_length_of_time_has_two_units_at_most(time: timedelta, written: str) -> None:
    assert length(time) == written


@pytest.mark.parametrize(
    ("time", "written"),
    [
        (NOW + timedelta(days=3), "in 3d"),
        (NOW, "in 0s"),
        (NOW - timedelta(seconds=1), "1s late"),
        (None, "-"),
    ],
    ids=str,
)
def test_what_has_passed_is_late(time: datetime | None, written: str) -> None:
    assert until(time, NOW) == written


def test_what_never_was_is_a_dash() -> None:
    assert since(None, NOW) == "-"


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    assert table(("NAME", "STATE", "MESSAGE"), [("a", "", "one"), ("queue", "Ready", "")]) == (
        "NAME    STATE   MESSAGE\na       -       one\nqueue   Ready"
    )


def test_the_last_column_takes_the_rest_of_the_terminal_in_several_lines() -> None:
    rows = [("a", "Stalled", "there is no SecretClass; create it"), ("b", "Ready", "")]
    assert table(("NAME", "STATE", "MESSAGE"), rows, width=46).splitlines() == [
        "NAME   STATE     MESSAGE",
        "a      Stalled   there is no SecretClass;",
        "                 create it",
        "b      Ready",
    ]


def test_a_last_column_without_room_has_lines_of_its_own() -> None:
    name = "a-name-of-thirty-characters-aa"
    rows = [(name, "there is no SecretClass; create it")]
    assert table(("NAME", "MESSAGE"), rows, width=40).splitlines() == [
        f"{'NAME':<30}   MESSAGE",
        name,
        "    there is no SecretClass; create it",
    ]


def test_no_word_of_a_message_is_lost_at_any_width() -> None:
    message = (
        "SecretClassNotFound: there is no SecretClass 'api-keys'; create it or write one of these: internal"
    )
    for width in range(1, 200):
        shown = table(("NAME", "STATE", "MESSAGE"), [("auth", "Stalled", message)], width)
        assert message.replace(" ", "") in "".join(shown.split()), width


def test_a_line_that_just_fits_is_not_wrapped() -> None:
    assert table(("NAME", "WHY"), [("a", "a tale")], width=13) == "NAME   WHY\na      a tale"


def test_a_terminal_gets_no_column_that_is_empty_in_every_row() -> None:
    rows = [("a", "-", "1", ""), ("b", "", "-", "")]
    assert (
        table(("NAME", "NEXT", "REVISION", "MESSAGE"), rows, width=80)
        == "NAME   REVISION\na      1\nb      -"
    )


def test_what_is_no_terminal_gets_every_column_and_every_letter() -> None:
    long = "word " * 100
    rows = [("a", "", long)]
    header, row = table(("NAME", "NEXT", "MESSAGE"), rows).splitlines()
    assert (header, row) == ("NAME   NEXT   MESSAGE", f"a      -      {long.rstrip()}")


@pytest.mark.parametrize(
    ("terminal", "environment", "coloured"),
    [
        (True, {}, True),
        (False, {}, False),
        (True, {"NO_COLOR": "1"}, False),
        (True, {"NO_COLOR": ""}, True),
        (True, {"TERM": "dumb"}, False),
    ],
    ids=["a terminal", "a pipe", "NO_COLOR", "NO_COLOR that is empty", "TERM=dumb"],
)
def test_states_have_a_colour_on_terminals_that_take_one(
    *, terminal: bool, environment: dict[str, str], coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, text in environment.items():
        monkeypatch.setenv(name, text)
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal)

    shown = table(("NAME", "STATE", "MESSAGE"), [("a", "Failed", "Ready")])
    failed = "\x1b[31mFailed\x1b[0m" if coloured else "Failed"

    assert shown == f"NAME   STATE    MESSAGE\na      {failed}   Ready"


def test_a_colour_that_a_user_wrote_into_an_object_is_printed_by_its_number(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_lines(table(("NAME", "STATE"), [("\x1b[31ma", "\x1b[32mReady")]))
    assert capsys.readouterr().out.splitlines()[1] == r"\u001b[31ma   \u001b[32mReady"


HIDDEN = "a\u202eb\u2066c\x1b[31md\x9be\u200bf\xadg\U000e0041h\u3164i"
SHOWN = r"a\u202eb\u2066c\u001b[31md\u009be\u200bf\u00adg\udb40\udc41h\u3164i"


def test_no_letter_that_is_not_seen_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    print_lines(HIDDEN, "two\tthree")
    assert capsys.readouterr().out == f"{SHOWN}\ntwo\tthree\n"


def test_letters_that_are_not_seen_are_escaped_in_json_and_are_the_same(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_json({"owner": HIDDEN, HIDDEN: "Jörg 😀"})
    printed = capsys.readouterr().out
    assert (is_visible(printed), "Jörg 😀" in printed) == (True, True)
    assert json.loads(printed) == {"owner": HIDDEN, HIDDEN: "Jörg 😀"}


def test_columns_are_as_wide_as_what_is_shown_and_a_cell_is_one_line() -> None:
    assert table(("A", "B"), [("\u202e", "x\ny"), ("plain", "z\n")]).splitlines() == [
        "A        B",
        r"\u202e   x y",
        "plain    z",
    ]


def test_every_control_and_format_character_of_unicode_is_shown_by_its_number() -> None:
    hidden = [
        letter
        for letter in map(chr, range(sys.maxunicode + 1))
        if unicodedata.category(letter) in {"Cc", "Cf", "Cs", "Zl", "Zp"} and letter not in "\n\t"
    ]
    assert [f"{ord(letter):x}" for letter in hidden if is_visible(letter)] == []
    assert re.fullmatch(r"(\\u[0-9a-f]{4})+", make_visible("".join(hidden)))


def test_letters_of_languages_and_signs_are_as_they_are() -> None:
    text = "Größe, Ελληνικά, русский, עברית, العربية, हिन्दी, 日本語, 한국어, é, ❤️, €"
    assert make_visible(text) == text


def test_an_error_is_printed_without_letters_that_are_not_seen(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["audit", "--repository", str(tmp_path / "a\u202eb")])
    assert (done.exit_code, r"a\u202eb" in done.output, is_visible(done.output)) == (2, True, True)


def test_commands_print_by_one_module() -> None:
    folder = Path(printing.__file__).parent
    texts_of_ours = {"commands.py", "offline_commands.py", "printing.py", "run_command.py"}
    found = (file for file in folder.rglob("*.py") if "click.echo(" in file.read_text())
    assert {file.relative_to(folder).as_posix() for file in found} == texts_of_ours
