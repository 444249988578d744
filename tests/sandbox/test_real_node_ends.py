"""A control plane and its real node end completely, however their end comes."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import sandbox
from sandbox import ControlPlane, api, runtime
from sandbox.harness import Kubectl, eventually
from sandbox.node import images, keeper, machine
from tests.sandbox.helpers import containers_of, leftovers_of

ROOT = Path(sandbox.__file__).parents[1]
OWNER = """
import sys
from sandbox import ControlPlane
plane = ControlPlane.start(sys.argv[1], fake_nodes=0)
plane.start_node()
print("ready", flush=True)
sys.stdin.read()
"""


POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "app"},
    "spec": {
        "nodeSelector": {api.NODE: api.REAL},
        "containers": [
            {
                "name": "main",
                "image": images.APP,
                "readinessProbe": {"httpGet": {"path": "/ready", "port": 8080}},
            }
        ],
    },
}


def run_pod(plane: ControlPlane) -> None:
    """Run a container, and wait until its process is there."""
    kubectl = Kubectl(plane.kubeconfig)
    kubectl("apply", "-f", "-", given=POD)
    kubectl("wait", "pod/app", "--for=condition=Ready", "--timeout=60s")
    assert len(containers_of(plane.folder)) >= 2


def nothing_is_left(folder: Path) -> bool:
    return leftovers_of(folder) == []


def only_files_are_left(folder: Path) -> bool:
    return all(left.startswith(str(folder)) for left in leftovers_of(folder))


def kernel_settings() -> dict[str, str]:
    names = (*keeper.KERNEL_SETTINGS, "net/ipv4/ip_forward")
    return {name: (Path("/proc/sys") / name).read_text() for name in names}


def test_a_killed_owner_takes_the_node_along() -> None:
    before, command = kernel_settings(), [sys.executable, "-c", OWNER, "owned-with-node"]
    with subprocess.Popen(command, cwd=ROOT, stdin=-1, stdout=-1, text=True) as owner:
        try:
            assert owner.stdout is not None
            assert owner.stdout.readline() == "ready\n"
            plane = ControlPlane.attach("owned-with-node")
            run_pod(plane)
        finally:
            owner.send_signal(signal.SIGKILL)
    eventually(lambda: nothing_is_left(plane.folder), "an end without leftovers")
    assert kernel_settings() == before


def test_a_killed_supervisor_takes_the_node_along_and_the_next_plane_sweeps_its_files() -> None:
    with ControlPlane.start(fake_nodes=0) as plane:
        plane.start_node()
        run_pod(plane)
        assert plane._supervisor is not None
        os.kill(plane._supervisor.pid, signal.SIGKILL)
        eventually(lambda: only_files_are_left(plane.folder), "an end but for files")
        runtime.sweep()
        assert nothing_is_left(plane.folder)


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


def test_cgroups_of_a_plane_whose_folder_is_gone_are_swept_away() -> None:
    name = machine.cgroup_name(runtime.root() / "long-gone")
    machine.make_cgroups(name)
    runtime.sweep()
    assert not [path for path in machine.cgroups_of(name) if path.exists()]
