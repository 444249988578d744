"""Archives of the command line leave out only what no command needs."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from dotenv import dotenv_values

from release import packing, plugin, portable

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_RUN = """
import json, sys
sys.modules |= dict.fromkeys(json.loads(sys.argv.pop(1)))  # None: the import of it fails
from keyturn.cli.commands import main
main(["init"])
"""
_HINTS = ("password length=40", "passphrase words=10", "bytes length=32", "rsaKey")


def _modules_of(distributions: Iterable[str]) -> list[str]:
    wanted = set(distributions)
    found = importlib.metadata.packages_distributions()
    return [module for module, names in found.items() if wanted & set(names)]


@pytest.mark.parametrize(
    "left_out", [plugin.LEFT_OUT, _modules_of(portable.LEFT_OUT)], ids=["plugin", "portable archive"]
)
def test_values_and_templates_need_nothing_that_is_left_out(left_out: Iterable[str], tmp_path: Path) -> None:
    generated = "".join(f"# keyturn: {hint}\nV{number}=\n" for number, hint in enumerate(_HINTS))
    (tmp_path / ".env.example").write_text(f"{generated}# keyturn: template\nURL='db://{{{{ V0 }}}}'\n")

    done = subprocess.run(
        [sys.executable, "-c", _RUN, json.dumps(list(left_out))],
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert done.returncode == 0, done.stderr[-500:]
    found = dotenv_values(tmp_path / ".env.development")
    assert found["URL"] == f"db://{found['V0']}"


@pytest.mark.parametrize(
    ("name", "is_kept"), [("root", True), ("en", True), ("en_US", True), ("de", False), ("en_GB", False)]
)
def test_of_babel_the_english_locales_are_kept(name: str, *, is_kept: bool) -> None:
    assert (packing.UNUSED_LOCALES.fullmatch(f"babel/locale-data/{name}.dat") is None) is is_kept
