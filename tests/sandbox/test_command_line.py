"""The command line brings a plane up, shows it and takes it down."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import sandbox
from sandbox import runtime
from sandbox.harness import Kubectl, eventually
from tests.sandbox.helpers import commands_of, processes_of

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(sandbox.__file__).parents[1]


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "sandbox", *arguments]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments), cwd=ROOT, check=False, capture_output=True, text=True, timeout=120
    )


def test_up_outlives_its_command_and_down_ends_it() -> None:
    up = run("up", "--name=by-hand")
    status = run("status", "--name=by-hand")
    kubeconfig = Path(status.stdout.partition("export KUBECONFIG=")[2].splitlines()[0])
    Kubectl(kubeconfig)("get", "nodes")
    down = run("down", "--name=by-hand")
    assert [done.returncode for done in (up, status, down)] == [0, 0, 0]
    assert f"export KUBECONFIG={kubeconfig}" in up.stdout
    assert status.stdout.count("running") == 5
    assert not processes_of(kubeconfig.parent)
    assert not kubeconfig.parent.exists()


def test_down_of_nothing_is_success() -> None:
    assert run("down", "--name=never-was").returncode == 0


def test_status_of_nothing_says_so() -> None:
    done = run("status", "--name=never-was")
    assert (done.returncode, done.stderr) == (1, "sandbox: no control plane 'never-was' is up\n")


def _frozen(folder: Path, program: str) -> int:
    """Stop a program of a plane as soon as it runs, so that the plane is not ready before it goes on."""
    found: list[int] = []

    def is_found() -> bool:
        found.extend(pid for pid, command in commands_of(folder) if program in command.partition(" ")[0])
        return bool(found)

    eventually(is_found, f"{program} of {folder.name}", 120)
    os.kill(found[0], signal.SIGSTOP)
    return found[0]


@pytest.fixture
def interrupted() -> Iterator[Path]:
    """Return the folder of a plane that no other test has, and end what a failed test leaves of it."""
    folder = runtime.folder_of(f"interrupted-{os.getpid()}")
    yield folder
    run("down", f"--name={folder.name}")


def test_up_that_is_interrupted_leaves_nothing_behind(interrupted: Path) -> None:
    up = command("up", f"--name={interrupted.name}")
    with subprocess.Popen(up, cwd=ROOT, stdout=subprocess.PIPE) as process:
        api_server = _frozen(interrupted, "kube-apiserver")
        process.send_signal(signal.SIGINT)
        with suppress(ProcessLookupError):
            os.kill(api_server, signal.SIGCONT)
        said, _ = process.communicate(timeout=120)
    assert (process.returncode, said) == (130, b"")
    assert not interrupted.exists()
    assert not processes_of(interrupted)


def test_a_real_node_of_an_older_release_is_refused_before_anything_starts() -> None:
    done = run("up", "--name=skewed", "--node=real", "--kubernetes=1.34")
    assert done.returncode == 1
    assert done.stderr == "sandbox: --node real is of Kubernetes 1.37: choose no other release for it\n"
