"""The page on the command line has each command, and it explains each option."""

import re
from collections.abc import Iterator
from pathlib import Path

import click

from keyturn.cli.commands import main

_ROOT = Path(__file__).parents[2]
_PAGE = (_ROOT / "docs" / "cli.md").read_text()
_COMMON = re.compile(r"^\| `(?:-\w, )?(--[\w-]+)[^`]*` \| [^\s(].* \| .*\|$", re.MULTILINE)
_OWN = re.compile(r"^\| `(?:-\w, )?(--[\w-]+)[^|]* \| [^\s(]", re.MULTILINE)
_OF_EACH = ("--namespace", "--context", "--kubeconfig")
"""What a command that connects to a cluster has beside the common options that its row names."""


def commands(group: click.Group, path: str) -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        yield f"{path} {name}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")


def section(heading: str) -> str:
    return re.split(r"^##", _PAGE.partition(f"\n{heading}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]


def rows() -> dict[str, str]:
    """Return the row of each command with those of its options."""
    _, *parts = re.split(r"^\| \*\*(keyturn[\w -]*)\*\*", _PAGE, flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))


def test_every_command_has_a_row() -> None:
    assert sorted(rows()) == sorted(path for path, _ in commands(main, "keyturn"))


def test_every_option_has_a_meaning() -> None:
    common = set(_COMMON.findall(section("## Common options")))
    assert common.issuperset(_OF_EACH)
    for path, command in commands(main, "keyturn"):
        named = [one.opts[-1] for one in command.params if isinstance(one, click.Option)]
        own = _OWN.findall(rows()[path])
        _, _, listed = rows()[path].partition("Common options: ")
        shared = [*re.findall(r"`(-[\w-]+)`", listed.partition("\n")[0])]
        shared += _OF_EACH if "--context" in named else ()
        assert len(own) + len(shared) == len(named), path
        assert set(own) | common >= set(named), path
