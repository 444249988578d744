"""These commands need no cluster, so they bring nothing along that speaks to one, and are there at once."""

import subprocess
import sys

import pytest

from tests.unit.offline.dotenv.project_folder import Folder

_OF_THE_OPERATOR = {
    "kopf",
    "kubernetes",
    "aiohttp",
    "prometheus_client",
    "keyturn.kube",
    "keyturn.controllers.context",
}
_OF_GENERATORS = {"pydantic", "liquid", "cryptography", "yaml", "keyturn.generators"}


def modules_after(folder: Folder, *arguments: str) -> set[str]:
    """Run a command in a process of its own; return every module that it brought along."""
    script = (
        "import os, sys\n"
        "from keyturn.cli.commands import main\n"
        "os.execvpe = lambda *_: sys.exit()\n"
        "try:\n"
        f"    main({arguments!r}, standalone_mode=False)\n"
        "finally:\n"
        "    print(*sys.modules, file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=folder.path,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return set(done.stderr.split())


@pytest.fixture
def shop(folder: Folder) -> Folder:
    folder.example("TOKEN=\nURL=pg://${TOKEN}@db\n")
    folder.init()
    return folder


@pytest.mark.parametrize(
    "arguments", [("init",), ("render", "--to=kubernetes"), ("run-with", "true")], ids=" ".join
)
def test_nothing_of_the_operator_is_brought_along(arguments: tuple[str, ...], shop: Folder) -> None:
    found = modules_after(shop, *arguments)

    assert "dotenv.parser" in found
    assert found & _OF_THE_OPERATOR == set()


def test_a_program_is_started_with_nothing_of_the_generators(shop: Folder) -> None:
    assert modules_after(shop, "run-with", "true") & _OF_GENERATORS == set()


def test_values_are_made_without_the_engine_of_templates(folder: Folder) -> None:
    folder.example("TOKEN=\n")

    assert modules_after(folder, "init") & {"liquid", "cryptography"} == set()
