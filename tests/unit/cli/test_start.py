"""A command answers soon, since it brings along only what it needs."""

import errno
import fcntl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from keyturn.cli.commands import main
from tests.support.console import BIN, Console
from tests.unit.checklist.git_repository import Repository
from tests.unit.cli.fake_api import FakeApi, fake_api, managed

_OF_THE_OPERATOR = {"kopf", "cryptography", "google", "keyturn.controllers.manager"}


@pytest.fixture
def api() -> Iterator[FakeApi]:
    with fake_api(FakeApi(managed("auth"))) as api:
        yield api


def modules_after(console: Console, names: Path, *arguments: str) -> set[str]:
    """Run a command in a process of its own; return its modules without the standard library's, by way of a file."""
    script = (
        "import sys\n"
        "from keyturn.cli.commands import main\n"
        "try:\n"
        f"    main({arguments!r}, standalone_mode=False)\n"
        "finally:\n"
        "    print(*sys.modules, sep='\\n', file=open(sys.argv[1], 'w'))\n"
    )
    subprocess.run(
        [sys.executable, "-c", script, names],
        env=console.environment(),
        capture_output=True,
        timeout=60,
        check=False,
    )
    found = names.read_text().split()
    return {one for one in found if one.partition(".")[0] not in sys.stdlib_module_names}


@pytest.mark.parametrize(
    ("command", "most"),
    [
        (("completion", "bash"), 32),
        (("version",), 116),
        (("status", "-n", "shop"), 119),
        (("check",), 193),
        (("plan", "auth", "-n", "shop"), 421),
    ],
    ids=lambda given: given[0] if isinstance(given, tuple) else None,
)
def test_a_command_imports_few_modules(
    command: tuple[str, ...], most: int, console: Console, tmp_path: Path
) -> None:
    found = modules_after(console, tmp_path / "names", *command)

    assert "click" in found
    assert found & _OF_THE_OPERATOR == set()
    assert found & {"kubernetes.client", "rich"} == set()
    assert ("aiohttp" in found) == (command[0] == "plan")  # which asks stores and databases too
    assert len(found) <= most


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


def test_ctrl_c_outside_of_a_cluster_ends_with_130(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(fcntl, "flock", interrupt)

    done = CliRunner().invoke(main, ["init", "--folder", str(tmp_path)])

    assert (done.exit_code, done.stdout, done.stderr) == (130, "", "interrupted\n")


def test_a_defect_is_one_sentence_without_the_text_of_the_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ValueError("hunter2")

    monkeypatch.setattr(fcntl, "flock", fail)

    done = CliRunner().invoke(main, ["init", "--folder", str(tmp_path)])

    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: unexpected ValueError at tests.unit.cli.test_start:")
    assert "hunter2" not in done.stderr


@pytest.mark.parametrize("command", [("completion", "bash"), ("version", "--client")], ids=" ".join)
def test_an_output_that_cannot_be_written_is_one_sentence(command: tuple[str, ...]) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [BIN / "keyturn", *command],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )

    sentence = "Error: the output cannot be written: No space left on device\n"
    assert (done.returncode, done.stderr) == (1, sentence)


def test_an_audit_whose_report_cannot_be_written_ends_with_2(tmp_path: Path) -> None:
    repository = Repository.new(tmp_path / "shop")
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [BIN / "keyturn", "audit", "--repository", repository.folder],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
            check=False,
        )

    assert done.returncode == 2
    assert done.stderr.endswith("Error: the output cannot be written: No space left on device\n")


@pytest.mark.parametrize(
    "error",
    [OSError(errno.EADDRINUSE, "Address already in use"), OSError(errno.EIO, "Input/output error", "x.yaml")],
    ids=["of an address", "of a file"],
)
def test_another_error_of_the_system_is_not_taken_for_one_of_the_output(
    error: OSError, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr(fcntl, "flock", refuse)

    done = CliRunner().invoke(main, ["init", "--folder", str(tmp_path)])

    assert done.exception is error


def test_an_error_that_ends_the_operator_is_left_to_its_log(monkeypatch: pytest.MonkeyPatch) -> None:
    error = OSError(errno.EIO, "Input/output error")

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("keyturn.cli.run_command._configure_logs", fail)

    done = CliRunner().invoke(main, ["run", "--all-namespaces"])

    assert done.exception is error
