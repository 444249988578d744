"""The program that Krew installs is the command line, and needs no Python."""

from __future__ import annotations

import os
import re
import secrets
import string
import subprocess
from typing import TYPE_CHECKING

import pyrage
import pytest
from dotenv import dotenv_values
from pyrage import x25519

from keyturn.cli.commands import main
from release.entry import restore
from tests.conftest import ROOT
from tests.release.installed import BUILD_SECONDS, Plugin
from tests.support.console import BIN, Console, cells

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cluster.namespace import Space
    from tests.unit.checklist.git_repository import Repository

pytestmark = pytest.mark.timeout(BUILD_SECONDS)


def here(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the same command from the Python package."""
    return subprocess.run(
        [BIN / "kubectl-keyturn", *arguments],
        env={"PATH": os.environ["PATH"]},
        cwd=cwd,
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )


def without_time(report: str) -> str:
    """Remove from a report when it was made."""
    return re.sub(r"\d\d:\d\d:\d\d UTC", "now", report)


def test_krew_puts_it_where_kubectl_finds_it(plugin: Plugin) -> None:
    link = plugin.home / "krew" / "bin" / "kubectl-keyturn"

    assert link.resolve() == plugin.home / "krew" / "store" / "keyturn" / "v0.1.0" / "kubectl-keyturn"
    assert str(link) in plugin.kubectl("plugin", "list")


@pytest.mark.parametrize("command", sorted({*main.commands} - {"run"}))
def test_a_command_is_there_and_says_the_same(command: str, plugin: Plugin) -> None:
    assert plugin.kubectl("keyturn", command, "--help") == here(command, "--help").stdout


def test_the_operator_is_not_there(plugin: Plugin) -> None:
    done = plugin.run("keyturn", "run", "--all-namespaces")

    assert (done.returncode, "No such command 'run'" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    "question", [("status",), ("status", "auth"), ("plan", "auth"), ("history", "auth")], ids=" ".join
)
def test_it_says_of_a_cluster_what_the_command_line_says(
    question: tuple[str, ...], plugin: Plugin, space: Space, console: Console
) -> None:
    space.managed()

    said = plugin.kubectl("keyturn", *question, "-n", space.namespace, kubeconfig=console.kubeconfig)

    assert cells(said) == cells(console(*question))
    assert len(cells(said)) > 1


def test_it_rotates(plugin: Plugin, space: Space, console: Console) -> None:
    space.managed()

    plugin.kubectl(
        "keyturn", "rotate", "auth", "--wait", "-n", space.namespace, kubeconfig=console.kubeconfig
    )

    assert space.settled()["revision"] == 2


def test_it_has_every_generator_and_every_store(plugin: Plugin) -> None:
    assert plugin.kubectl("keyturn", "crds") == here("crds").stdout


def test_it_makes_values_without_a_cluster(plugin: Plugin, tmp_path: Path) -> None:
    hints = ("passphrase words=10", "bytes length=32", "password length=40", "rsaKey")
    (tmp_path / ".env.example").write_text(
        "".join(f"# keyturn: {hint}\nVALUE_{number}=\n" for number, hint in enumerate(hints))
        + "# keyturn: template\nURL='db://{{ VALUE_2 | url_encode }}'\n"
    )

    plugin.kubectl("keyturn", "init", cwd=tmp_path)

    found = dotenv_values(tmp_path / ".env.development")
    assert all(found.values())
    assert str(found["VALUE_0"]).count("-") == 9
    assert str(found["URL"]).startswith("db://")


def test_what_it_starts_has_the_environment_that_it_was_started_with(plugin: Plugin, tmp_path: Path) -> None:
    (tmp_path / ".env.development").write_text("A=1\n")

    said = plugin.kubectl("keyturn", "run-with", "--", "/usr/bin/env", cwd=tmp_path)

    names = {line.partition("=")[0] for line in said.splitlines()}
    assert names == {"A", "KUBECTL_PATH", *plugin.environment}


def test_it_knows_issued_keys_in_a_repository(plugin: Plugin, repository: Repository) -> None:
    token = "ghp_" + "".join(secrets.choice(string.ascii_letters) for _ in range(36))
    repository.commit({"deploy.sh": f"export TOKEN={token}\n"})
    question = ("audit", "--repository", str(repository.folder), "--only", "source-control")

    done = plugin.run("keyturn", *question)

    assert (done.returncode, without_time(done.stdout)) == (1, without_time(here(*question).stdout))
    assert "deploy.sh" in done.stdout
    assert token not in done.stdout


def test_it_prints_a_report_as_a_page(plugin: Plugin, repository: Repository) -> None:
    repository.commit({"a.py": "print(1)\n"})
    question = ("audit", "--repository", str(repository.folder), "--only", "source-control", "-o", "html")

    done = plugin.run("keyturn", *question)

    assert without_time(done.stdout) == without_time(here(*question).stdout)
    assert done.stdout.startswith("<!doctype html>")


def test_it_backs_up(plugin: Plugin, space: Space, console: Console, tmp_path: Path) -> None:
    space.managed()
    keeper = x25519.Identity.generate()
    target = tmp_path / "backup.age"
    question = (
        "backup",
        "--recipient",
        str(keeper.to_public()),
        "--output",
        str(target),
        "-n",
        space.namespace,
    )

    plugin.kubectl("keyturn", *question, kubeconfig=console.kubeconfig)

    assert b"auth" in pyrage.decrypt(target.read_bytes(), [keeper])


def test_it_converts(plugin: Plugin) -> None:
    question = (
        "convert",
        "-f",
        str(ROOT / "tests" / "unit" / "offline" / "convert" / "cases" / "live" / "input.yaml"),
        "--lenient",
    )

    assert plugin.kubectl("keyturn", *question) == here(*question).stdout


def test_kubectl_completes_it_once_it_has_the_other_name(plugin: Plugin) -> None:
    folder = plugin.home / "krew" / "bin"
    link = folder / "kubectl_complete-keyturn"
    link.symlink_to("kubectl-keyturn")
    try:
        said = plugin.kubectl("__complete", "keyturn", "sta")
    finally:
        link.unlink()

    assert said.splitlines() == ["status", ":4"]


def test_it_says_under_which_terms_its_parts_are(plugin: Plugin) -> None:
    store = plugin.home / "krew" / "store" / "keyturn" / "v0.1.0"

    assert (store / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()
    assert {"aiohttp", "click", "cryptography", "pydantic", "python"} <= {
        path.name for path in store.glob("licenses/*")
    }
    assert not {path.name for path in store.glob("licenses/*")} & {
        "kopf",
        "botocore",
        "pyinstaller",
        "pytest",
    }


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"LD_LIBRARY_PATH": "/bundle"}, {}),
        ({"LD_LIBRARY_PATH": "/bundle:/mine", "LD_LIBRARY_PATH_ORIG": "/mine"}, {"LD_LIBRARY_PATH": "/mine"}),
        ({"LD_LIBRARY_PATH": "/mine"}, {"LD_LIBRARY_PATH": "/mine"}),
        ({"_PYI_ARCHIVE_FILE": "x", "PATH": "/bin"}, {"PATH": "/bin"}),
    ],
    ids=["nothing before", "something before", "nothing put in", "its own marks"],
)
def test_only_what_the_loader_put_in_is_taken_out(before: dict[str, str], after: dict[str, str]) -> None:
    restore(before, "/bundle")

    assert before == after
