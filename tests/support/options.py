"""Runs `keyturn run` with options that name files of a folder."""

from pathlib import Path

from click.testing import CliRunner

from keyturn.cli.commands import main


def run(folder: Path, *options: str) -> tuple[int, str]:
    """Run it with options in which @ stands for the folder; return its exit code and what it printed."""
    given = [option.replace("@", f"{folder}/") for option in options]
    answer = CliRunner().invoke(main, ["run", "--all-namespaces", *given])
    return answer.exit_code, answer.output
