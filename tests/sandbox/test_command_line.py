"""The command line brings a plane up, shows it and takes it down."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import sandbox
from sandbox import runtime
from tests.sandbox.helpers import processes_of
from tests.support.kubectl import Kubectl, eventually

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
    kubeconfig = Path(run("kubeconfig", "--name=by-hand").stdout.strip())
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


def test_up_that_is_interrupted_leaves_nothing_behind() -> None:
    folder = runtime.folder_of("interrupted")
    with subprocess.Popen(command("up", "--name=interrupted"), cwd=ROOT, stdout=subprocess.PIPE) as process:
        eventually(lambda: len(processes_of(folder)) > 1)
        process.send_signal(signal.SIGINT)
    assert process.returncode == 130
    assert not folder.exists()
    assert not processes_of(folder)
