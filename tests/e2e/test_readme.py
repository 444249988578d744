"""The commands below the first example of the README run as they are written, and print what it shows.

PostgreSQL is a pod of the example, as on the cluster of a user, and psql in it tells why a login is refused.
"""

import re
import subprocess
from collections.abc import Iterator

import pytest

from sandbox.databases import image
from tests.conftest import ROOT
from tests.e2e.machine import Machine
from tests.support.console import Console

_NAMESPACE = "shop"
_MARK = "--- exit code "
_REFUSED = "2"
"""The exit code of psql, and of kubectl, for a connection that failed."""
_TIMEOUT = 240.0
_NOT_SHOWN = "…"


@pytest.fixture
def console(operators: Machine) -> Iterator[Console]:
    """The shell of a user, on a node that has the image of PostgreSQL."""
    operators.node.import_image(image.archive())
    yield Console(operators.kubeconfig, _NAMESPACE)
    operators.objects.delete("Namespace", "", _NAMESPACE)


def test_the_new_password_is_accepted_and_the_old_one_refused_as_the_readme_shows(console: Console) -> None:
    shown = list(commands())
    script = "".join(f"{command}\necho '{_MARK}'$?\n" for command, _ in shown)
    done = subprocess.run(
        ["bash", "-c", script],
        stdin=subprocess.DEVNULL,
        env=console.environment(),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        text=True,
        timeout=_TIMEOUT,
    )
    printed = re.split(rf"^{_MARK}(\d+)\n", done.stdout, flags=re.MULTILINE)

    for (command, lines), text, code in zip(shown, printed[::2], printed[1::2], strict=False):
        assert is_shown(lines, text), f"$ {command}\n{text}"
        assert code == (
            _REFUSED if lines[-1:] == [f"command terminated with exit code {_REFUSED}"] else "0"
        ), text
    assert len(printed) == 2 * len(shown) + 1, "the shell has run every command"


def test_the_password_that_is_refused_was_accepted() -> None:
    ends = [lines[0] for command, lines in commands() if command.startswith("login ")]
    assert [re.findall(r"as user|authentication failed for user", line) for line in ends] == [
        ["as user"],
        ["authentication failed for user"],
    ]


def commands() -> Iterator[tuple[str, list[str]]]:
    """Yield each command of the block that rotates, with the lines that it is shown to print."""
    readme = (ROOT / "README.md").read_text()
    blocks = re.findall(r"^```console\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    (block,) = (one for one in blocks if "keyturn rotate" in one)
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, *lines = part.splitlines()
        yield command, lines


def is_shown(lines: list[str], text: str) -> bool:
    """Say whether a command has printed its lines; times and addresses differ, and some are left out."""
    printed = [without_chance(line) for line in text.splitlines()]
    expected = [without_chance(line) for line in lines]
    if expected[:1] == [_NOT_SHOWN]:
        printed, expected = printed[1 - len(expected) :], expected[1:]
    return not lines or printed == expected


def without_chance(line: str) -> str:
    line = re.sub(r"^ *[\d.]+ s  ", "", line)
    return re.sub(r"\b\d+\.\d+\.\d+\.\d+\b", "<address>", line)
