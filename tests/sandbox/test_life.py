"""A control plane ends completely, however its end comes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

import sandbox
from sandbox import ControlPlane, SandboxError, runtime
from sandbox.harness import Kubectl, eventually
from tests.sandbox.helpers import processes_of, somebody_listens

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(sandbox.__file__).parents[1]
OWNER = """
import sys
from sandbox import ControlPlane
plane = ControlPlane.start(sys.argv[1])
print("ready", flush=True)
sys.stdin.read()
"""


def owner_of(name: str) -> subprocess.Popen[str]:
    """Start another Python process that owns a control plane, and wait until it is up."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, name],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def port_of(plane: ControlPlane) -> int:
    return urlsplit(plane.server).port or 0


def supervisor_of(plane: ControlPlane) -> int:
    assert plane._supervisor is not None
    return plane._supervisor.pid


def nothing_is_left(folder: Path) -> bool:
    return not processes_of(folder) and not folder.exists()


@pytest.fixture(scope="module")
def running() -> Iterator[ControlPlane]:
    """A control plane with a flag of its own, for tests that leave it running."""
    with ControlPlane.start(apiserver_flags=["--max-requests-inflight=123"]) as plane:
        yield plane


def test_stopping_leaves_nothing_behind_and_stopping_twice_is_stopping_once() -> None:
    with ControlPlane.start() as plane:
        assert len(processes_of(plane.folder)) == 6
        assert somebody_listens(port_of(plane))
        plane.stop()
        assert nothing_is_left(plane.folder)
        assert not somebody_listens(port_of(plane))
    assert nothing_is_left(plane.folder)


# Python takes SIGINT as an exception; by each other signal it ends as by SIGKILL.
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=lambda how: how.name)
def test_an_owner_that_dies_takes_its_plane_along(how: signal.Signals) -> None:
    with owner_of(f"owned-{how.name.lower()}") as owner:
        plane = ControlPlane.attach(f"owned-{how.name.lower()}")
        assert processes_of(plane.folder)
        owner.send_signal(how)
    eventually(lambda: nothing_is_left(plane.folder) and not somebody_listens(port_of(plane)))


def test_a_killed_supervisor_takes_its_programs_along() -> None:
    with ControlPlane.start() as plane:
        os.kill(supervisor_of(plane), signal.SIGKILL)
        eventually(lambda: not processes_of(plane.folder) and not somebody_listens(port_of(plane)))
    assert nothing_is_left(plane.folder)


def test_the_folder_of_a_killed_supervisor_is_swept_away() -> None:
    plane = ControlPlane.start()
    plane.detach()
    os.kill(supervisor_of(plane), signal.SIGKILL)
    eventually(lambda: not runtime.is_alive(plane.folder))
    runtime.sweep()
    assert not plane.folder.exists()
    plane.stop()


def test_two_planes_run_side_by_side(running: ControlPlane) -> None:
    with ControlPlane.start() as other:
        Kubectl(running.kubeconfig)("create", "namespace", "only-here")
        missing = Kubectl(other.kubeconfig).run("get", "namespace", "only-here")
    assert "NotFound" in missing.stderr


def test_a_name_is_given_once(running: ControlPlane) -> None:
    name = running.folder.name
    with pytest.raises(SandboxError, match=f"'{name}' is already up"):
        ControlPlane.start(name)
    assert processes_of(running.folder)


def test_a_program_that_cannot_start_is_named_with_its_log() -> None:
    with pytest.raises(SandboxError, match=r"(?s)kube-apiserver ended with code 1 .*unknown flag: --no-such"):
        ControlPlane.start("broken", apiserver_flags=["--no-such"])
    assert nothing_is_left(runtime.folder_of("broken"))


def test_more_flags_reach_the_api_server(running: ControlPlane) -> None:
    assert any("--max-requests-inflight=123" in command for command in processes_of(running.folder))
