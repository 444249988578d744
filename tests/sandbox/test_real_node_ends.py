"""A real node ends completely, however its end comes, and two of them do not meet."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import sandbox
from sandbox import ControlPlane, SandboxError, runtime
from sandbox.harness import Kubectl, eventually
from sandbox.node import machine
from tests.sandbox.helpers import containers_of, leftovers_of, node_leftovers_of
from tests.sandbox.pods import pod

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox import RealNode

ROOT = Path(sandbox.__file__).parents[1]
OWNER = """
import sys
from sandbox import ControlPlane
plane = ControlPlane.start(sys.argv[1], fake_nodes=0)
plane.start_node()
print("ready", flush=True)
sys.stdin.read()
"""


def run_pod(plane: ControlPlane) -> None:
    """Run a container, and wait until its process is there."""
    kubectl = Kubectl(plane.kubeconfig)
    kubectl("apply", "-f", "-", given=pod("app"))
    kubectl("wait", "pod/app", "--for=condition=Ready", "--timeout=60s")
    assert len(containers_of(plane.folder)) >= 2


def node_of(plane: ControlPlane) -> RealNode:
    assert plane.node is not None
    return plane.node


def nothing_is_left(folder: Path) -> bool:
    return leftovers_of(folder) == []


def only_files_are_left(folder: Path) -> bool:
    return all(left.startswith(str(folder)) for left in leftovers_of(folder))


@contextmanager
def real_node(plane: ControlPlane) -> Iterator[None]:
    plane.start_node()
    try:
        yield
    finally:
        plane.stop_node()


@pytest.fixture
def owned() -> Iterator[tuple[ControlPlane, subprocess.Popen[str]]]:
    """A plane with a real node and a container, and the process that owns it."""
    name = "owned-with-node"
    command = [sys.executable, "-c", OWNER, name]
    with subprocess.Popen(command, cwd=ROOT, stdin=-1, stdout=-1, text=True) as owner:
        try:
            assert owner.stdout is not None
            assert owner.stdout.readline() == "ready\n"
            plane = ControlPlane.attach(name)
            run_pod(plane)
            yield plane, owner
        finally:
            owner.kill()


def test_a_killed_owner_takes_the_node_along(owned: tuple[ControlPlane, subprocess.Popen[str]]) -> None:
    plane, owner = owned
    owner.send_signal(signal.SIGKILL)
    eventually(lambda: nothing_is_left(plane.folder), "an end without leftovers")


def test_a_killed_supervisor_takes_the_node_along_and_the_next_plane_sweeps_its_files() -> None:
    with ControlPlane.start(fake_nodes=0) as plane:
        plane.start_node()
        run_pod(plane)
        assert plane._supervisor is not None
        os.kill(plane._supervisor.pid, signal.SIGKILL)
        eventually(lambda: only_files_are_left(plane.folder), "an end but for files")
        runtime.sweep()
        assert nothing_is_left(plane.folder)


def test_a_killed_keeper_ends_its_node_and_leaves_that_of_another_plane_which_has_no_overlayfs(
    troubled: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ControlPlane.start(fake_nodes=0) as other, real_node(troubled):
        monkeypatch.setattr(machine, "snapshotter", lambda _: "native")
        other.start_node()
        for plane in (troubled, other):
            run_pod(plane)
        os.kill(troubled.programs()["node"].pid, signal.SIGKILL)
        eventually(lambda: containers_of(troubled.folder) == [], "no container left")
        assert (troubled.programs()["node"].ended, node_of(troubled).programs()) == (-9, {})
        assert node_of(other).programs()["kubelet"].ended is None
        assert len(containers_of(other.folder)) >= 2
    assert (node_leftovers_of(troubled.folder), leftovers_of(other.folder)) == ([], [])


def test_cgroups_of_a_plane_whose_folder_is_gone_are_swept_away() -> None:
    name = machine.cgroup_name(runtime.root() / "long-gone")
    machine.make_cgroups(name)
    runtime.sweep()
    assert not [path for path in machine.cgroups_of(name) if path.exists()]


def test_up_that_is_interrupted_while_the_node_starts_leaves_nothing_behind() -> None:
    folder = runtime.folder_of(f"interrupted-with-node-{os.getpid()}")
    sandbox, name = (sys.executable, "-m", "sandbox"), f"--name={folder.name}"
    try:
        with subprocess.Popen(
            [*sandbox, "up", name, "--node=real"], cwd=ROOT, stdout=subprocess.PIPE
        ) as process:
            eventually((folder / "node.sock").exists, "the start of the node")
            process.send_signal(signal.SIGINT)
        assert process.returncode == 130
        assert nothing_is_left(folder)
    finally:
        subprocess.run([*sandbox, "down", name], cwd=ROOT, check=False, timeout=120)


def test_a_node_that_cannot_start_is_named_with_its_log_and_leaves_its_plane_as_it_was(
    troubled: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sandbox.node.settings.ADDRESS", "10.244.255.999")
    with pytest.raises(SandboxError, match=r"(?s)node ended with code 1 before it was .*illegal IP address"):
        troubled.start_node()
    assert troubled.node is None
    assert node_leftovers_of(troubled.folder) == []
    assert "127.0.0.1" not in Kubectl(troubled.kubeconfig)("get", "nodes")
