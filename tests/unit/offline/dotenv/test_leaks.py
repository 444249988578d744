"""That no value is printed, told in an error, or handed over where others read it, whatever happens."""

import itertools
import re
import secrets
import subprocess
import sys
from collections.abc import Callable, Mapping

import pytest

from tests.leaks.scan import leaks
from tests.unit.offline.dotenv.project_folder import Folder

_EXAMPLE = """\
PORT=3000
JWT_SECRET=
DB_PASSWORD=
DATABASE_URL=pg://${DB_PASSWORD}@db
# keyturn: ecKey publicKey=PUBLIC
SIGNING=
PUBLIC=
STRIPE_KEY=
"""
_COMMANDS = (
    ("init",),
    ("init", "--check"),
    ("init", "--environment=production", "--environment=staging"),
    ("init", "--rotate=JWT_SECRET", "--rotate=DB_PASSWORD"),
    ("init", "--rotate=STRIPE_KEY"),
    ("init", "--rotate=SIGNING"),
    ("render", "--to=dotenv"),
    ("render", "--to=compose"),
    ("render", "--to=kubernetes", "--environment=production"),
    ("run-with", "--", "true"),
    ("run-with", "--", "no-such-program"),
)
_SPOILED: Mapping[str, Callable[[str, str], str]] = {
    "as it is": lambda text, _: text,
    "an open quote": lambda text, canary: f"{text}BAD='{canary}",
    "no assignment": lambda text, canary: f"{text}{canary} {canary}\n",
    "NUL": lambda text, canary: f"{text}BAD={canary}\0",
    "twice": lambda text, canary: f"{text}JWT_SECRET={canary}\n",
    "no form for all": lambda text, canary: f"{text}BAD='{canary}\\'${{'\n",
    "control characters": lambda text, canary: f'{text}BAD="{canary}\\a"\n',
    "a reference to nothing": lambda text, canary: f"{text}BAD={canary}${{LOST}}\n",
    "a reference of its own": lambda text, canary: f"{text}BAD=${{{canary}}}\n",
    "a strange name": lambda text, canary: f"{text}B.A.D={canary}\n",
    "a wrong kind": lambda text, canary: f"{text.replace('SIGNING=', f'SIGNING={canary}#')}",
}


@pytest.mark.parametrize("spoiled", _SPOILED)
def test_no_command_prints_a_value(spoiled: str, folder: Folder) -> None:
    canary = f"canary-{secrets.token_urlsafe(24)}"
    folder.example(_EXAMPLE)
    folder.run("init")
    given = folder.text().replace("STRIPE_KEY=", f"STRIPE_KEY=sk-{secrets.token_urlsafe(24)}")
    folder.path.joinpath(".env.development").write_text(_SPOILED[spoiled](given, canary), newline="")
    known: set[bytes] = {canary.encode()}
    said: dict[str, bytes] = {}

    for command in _COMMANDS:
        known |= values_in(folder)
        said[" ".join(command)] = answer(folder, *command)
    known |= values_in(folder)

    assert len(known) > 8
    assert leaks(known, said) == set()


def test_an_error_that_is_unexpected_reports_no_value(folder: Folder) -> None:
    """The report of a defect of ours has neither what frames hold nor the text of the exception."""
    folder.example("JWT_SECRET=\n")
    folder.init()
    script = (
        "import keyturn.offline.dotenv.initialise as initialise\n"
        "from keyturn.cli.commands import main\n"
        "def broken(document, changes, making):\n"
        "    raise TypeError(f'{document!r} {making!r}')\n"
        "initialise._verified = broken\n"
        "main(['init', '--rotate=JWT_SECRET'])\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", script], cwd=folder.path, check=False, capture_output=True, timeout=60
    )

    assert b"Error: unexpected TypeError at " in done.stderr
    assert leaks(values_in(folder), {"the report": done.stderr}) == set()


def answer(folder: Folder, *command: str) -> bytes:
    """Return all that a command says, and that an error of ours would."""
    if command[0] == "run-with":
        done = folder.process(*command)
        return (done.stdout + done.stderr).encode()
    result = folder.run(*command)
    assert isinstance(result.exception, SystemExit | None), type(result.exception)
    return result.output.encode()


def values_in(folder: Folder) -> set[bytes]:
    """Return each value of every file, and each line of the keys: one alone may get out."""
    texts = [
        path.read_text(errors="replace") for path in folder.path.glob(".env.*") if path.name != ".env.example"
    ]
    found = itertools.chain.from_iterable(re.findall(r"[^\s'\"=:@]{16,}", text) for text in texts)
    return {text.encode() for text in found if not text.startswith(("pg://", "-----", "${"))}
