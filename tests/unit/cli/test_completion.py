"""What shells and kubectl are told that may follow."""

import shlex
import subprocess
from functools import cache
from pathlib import Path

import click
import pytest

from keyturn.cli.commands import main
from keyturn.cli.options import completed
from tests.support.console import BIN, Console


def in_bash(console: Console, *words: str) -> list[str]:
    """Press Tab after these words in a bash that was told how to complete them."""
    array = " ".join(shlex.quote(word) for word in ("keyturn", *words))
    script = f"""
        {script_of_bash()}
        complete -p keyturn > /dev/null || exit 1
        COMP_WORDS=({array}); COMP_CWORD={len(words)}
        _keyturn_completion keyturn
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(
        ["bash", "--norc", "-c", script],
        env=console.environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


@cache
def script_of_bash() -> str:
    """Return what a user sources; the console script takes half a second to print it."""
    done = subprocess.run(
        [BIN / "keyturn", "completion", "bash"], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout


def test_no_name_is_offered_where_the_cluster_is_silent(tmp_path: Path) -> None:
    silent = tmp_path / "kubeconfig"
    # An address of the range for documentation: nobody answers, and nobody refuses (RFC 5737).
    silent.write_text(
        '{"current-context": "a", "contexts": [{"name": "a", "context": {"cluster": "a"}}], "users": [],'
        ' "clusters": [{"name": "a", "cluster": {"server": "https://192.0.2.1"}}]}'
    )

    # In bash it has a minute; the attempt to connect would take more than two.
    assert in_bash(Console(silent, "shop"), "rotate", "") == []


def test_no_name_is_offered_where_there_is_no_cluster(tmp_path: Path) -> None:
    assert in_bash(Console(None, "shop", {"HOME": str(tmp_path)}), "rotate", "") == []


@pytest.mark.parametrize(
    "command", ["status", "plan", "history", "rotate", "refresh", "rollback", "suspend", "resume"]
)
def test_each_command_that_takes_names_completes_them(command: str) -> None:
    (argument,) = (one for one in main.commands[command].params if isinstance(one, click.Argument))

    assert argument._custom_shell_complete is completed
