"""What shells and kubectl are told that may follow."""

import subprocess
from dataclasses import replace

import pytest

from tests.cluster.namespace import Space, password
from tests.support.console import BIN, Console, cells
from tests.unit.cli.test_completion import in_bash


def patient(console: Console) -> Console:
    """Return a console whose Tab key waits a minute for a busy machine."""
    return replace(console, env={**console.env, "KEYTURN_COMPLETION_TIMEOUT": "60"})


def test_bash_completes_commands(console: Console) -> None:
    assert in_bash(console, "r") == [
        *("refresh", "render", "restore", "resume", "rollback", "rotate"),
        *("run", "run-with"),
    ]


def test_bash_completes_options(console: Console) -> None:
    assert in_bash(console, "rotate", "--k") == ["--kubeconfig"]


def test_bash_completes_how_to_print(console: Console) -> None:
    assert in_bash(console, "status", "-o", "") == ["table", "wide", "json", "yaml", "name"]


@pytest.mark.parametrize("command", ["status", "rollback"], ids=["of several names", "of one name"])
def test_bash_completes_names_from_the_cluster(command: str, space: Space, console: Console) -> None:
    for name in ("auth-a", "auth-b", "queue"):
        space.manage(password(), name=name)

    assert in_bash(patient(console), command, "-n", space.namespace, "au") == ["auth-a", "auth-b"]


@pytest.mark.parametrize(
    ("shell", "sign"), [("zsh", "compdef _keyturn_completion keyturn"), ("fish", "complete --no-files")]
)
def test_other_shells_have_scripts_too(shell: str, sign: str, console: Console) -> None:
    done = subprocess.run(
        ["keyturn", "completion", shell],
        env=console.environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert sign in done.stdout


@pytest.mark.parametrize(
    ("shell", "answer"),
    [
        ("zsh", ["plain", "rotate", "Rotate the generated values now."]),
        ("fish", ["plain,rotate\tRotate the generated values now."]),
    ],
)
def test_other_shells_are_answered_with_help(shell: str, answer: list[str], console: Console) -> None:
    asked = {
        "_KEYTURN_COMPLETE": f"{shell}_complete",
        "COMP_WORDS": "keyturn ro" if shell == "zsh" else "ro",
        "COMP_CWORD": "1" if shell == "zsh" else "ro",
    }

    done = subprocess.run(
        ["keyturn"],
        env={**console.environment(), **asked},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    lines = done.stdout.splitlines()
    place = lines.index(answer[0]) if shell == "fish" else lines.index(answer[1]) - 1
    assert lines[place : place + len(answer)] == answer


# kubectl


def test_kubectl_finds_the_plugin(space: Space, console: Console) -> None:
    space.managed()

    done = subprocess.run(
        [str(BIN / "kubectl"), "keyturn", "status", "-n", space.namespace],
        env=console.environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert cells(done.stdout) == cells(console("status"))


def test_the_plugin_names_itself_as_kubectl_does(console: Console) -> None:
    done = subprocess.run(
        ["kubectl", "keyturn", "rotate", "--help"],
        env=console.environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert done.stdout.startswith("Usage: kubectl keyturn rotate [OPTIONS] [NAME]...\n")


def test_kubectl_completes_names_from_the_cluster(space: Space, console: Console) -> None:
    space.manage(password(), name="auth-a")

    done = subprocess.run(
        ["kubectl", "__complete", "keyturn", "rotate", "-n", space.namespace, "au"],
        env=patient(console).environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert done.stdout.split() == ["auth-a", ":4"]
