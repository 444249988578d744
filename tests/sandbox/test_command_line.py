"""The command line brings a plane up, shows it and takes it down."""

import subprocess
import sys
from pathlib import Path

import pytest

import sandbox
from sandbox import ControlPlane, SandboxError, runtime
from sandbox.harness import Kubectl
from tests.sandbox.helpers import processes_of

ROOT = Path(sandbox.__file__).parents[1]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sandbox", *arguments]
    return subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, timeout=120)


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


def test_status_of_nothing_says_so() -> None:
    done = run("status", "--name=never-was")
    assert (done.returncode, done.stderr) == (1, "sandbox: no control plane 'never-was' is up\n")


def test_a_real_node_of_an_older_release_is_refused_before_anything_starts() -> None:
    done = run("up", "--name=skewed", "--node=real", "--kubernetes=1.34")
    assert done.returncode == 1
    assert done.stderr == "sandbox: --node real is of Kubernetes 1.37: choose no other release for it\n"


def test_a_program_that_cannot_start_is_named_with_its_log() -> None:
    with pytest.raises(SandboxError, match=r"(?s)kube-apiserver ended with code 1 .*unknown flag: --no-such"):
        ControlPlane.start("broken", apiserver_flags=["--no-such"])
    folder = runtime.folder_of("broken")
    assert not folder.exists()
    assert not processes_of(folder)
