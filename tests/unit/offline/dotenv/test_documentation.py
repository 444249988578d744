"""That docs/local.md shows what the commands print, on the example that it names."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.support.console import BIN

_EXAMPLE = ROOT / "manifests" / "examples" / "compose"
_PAGE = (ROOT / "docs" / "local.md").read_text()
_CONSOLE = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return shutil.copytree(_EXAMPLE, tmp_path / "shop")


def repeated(block: str, folder: Path) -> str:
    """Type the commands of a block again; return it with what they print now."""
    commands = re.findall(r"^\$ (.*)$", block, re.MULTILINE)
    script = "".join(
        f"echo {_quoted('$ ' + command)}\n(exit $code)\n{command}\ncode=$?\n" for command in commands
    )
    done = subprocess.run(
        ["bash", "-c", f"code=0\n{script}"],
        cwd=folder,
        env={**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "LC_ALL": "C.UTF-8"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        text=True,
        timeout=120,
    )
    return done.stdout


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def test_the_page_shows_what_is_printed(project: Path) -> None:
    blocks = _CONSOLE.findall(_PAGE)

    assert len(blocks) >= 6
    assert [repeated(block, project) for block in blocks] == blocks


def test_every_hint_of_the_page_is_understood(tmp_path: Path) -> None:
    hints = re.findall(r"^\| `(# keyturn: .*?)` \|", _PAGE, re.MULTILINE)
    lines = [f"{hint}\nVARIABLE_{number}=x\n" for number, hint in enumerate(hints)]
    (tmp_path / ".env.example").write_text(f"JWT_PUBLIC_KEY=\nCI_PASSWORD=\n{''.join(lines)}")

    done = subprocess.run(
        [BIN / "keyturn", "init"], cwd=tmp_path, check=False, capture_output=True, text=True
    )

    assert len(hints) == 6
    assert (done.returncode, done.stderr) == (3, "")
    assert done.stdout.splitlines()[-1] == ".env.development: VARIABLE_4 is missing"
