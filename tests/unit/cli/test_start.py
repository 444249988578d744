"""A command answers soon, since it brings along only what it needs."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from keyturn.cli.commands import main


def test_help_cuts_no_sentence_off() -> None:
    _, commands = CliRunner().invoke(main, ["--help"]).output.split("\nSecrets in a cluster:")
    assert "..." not in commands


def test_help_groups_every_command_once() -> None:
    shown = [line.split() for line in CliRunner().invoke(main, ["--help"]).output.splitlines()]
    names = [words[0] for words in shown if words and words[0] in main.commands]

    assert sorted(names) == sorted(main.commands)


@pytest.mark.parametrize("command", sorted(main.commands))
def test_every_command_says_what_it_does_and_what_each_option_is(command: str) -> None:
    shown = CliRunner().invoke(main, [command, "--help"])

    assert shown.exit_code == 0
    assert main.commands[command].help
    assert "\\b" not in shown.output
