"""A cluster with a real node and Keyturn in its own image, and what a test does to the operator's pods there."""

import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pytest_kind import KindCluster
from urllib3.exceptions import HTTPError

from release import image
from sandbox import ControlPlane
from sandbox.harness import HarnessError, Kubectl, eventually
from sandbox.node import images
from sandbox.node.real import RealNode
from tests.e2e.kind_node import KindNode
from tests.install.installation import BASE
from tests.support.objects import Objects
from tests.support.operator import BEGUN

NAMESPACE = "keyturn-system"
OPERATORS = "app.kubernetes.io/name=keyturn"
_OF_ITS_OWN = 1
"""The largest exit code of who ends itself, as who loses the Lease does."""
_END = 30.0


@dataclass(frozen=True, slots=True)
class Load:
    """What came of the requests that were sent while something happened."""

    sent: int
    failed: int
    errors: dict[str, int]
    env: list[str]
    """Fingerprints of the value that processes read at their start, in the order in which they answered first."""
    file: list[str]
    """Fingerprints of the value that was in the file, likewise."""


@dataclass(frozen=True, slots=True)
class Installed:
    """What `kubectl apply -k manifests/base` said, and how the replicas came up after it."""

    warnings: str
    seconds: float
    pods: int
    ended: list[str]
    """Which containers had ended by then: later tests end some themselves."""


@dataclass(frozen=True, slots=True)
class Machine:
    """One control plane with a real node, for as long as the block of `running` lasts."""

    kubeconfig: Path
    node: RealNode | KindNode
    kubectl: Kubectl
    objects: Objects
    """For waits: a process of kubectl at each look takes processor time from what is waited for."""
    plane: ControlPlane | None = None
    """The sandbox that it is; None on kind."""

    # The operator

    def pods(self) -> list[dict[str, Any]]:
        """Return the operator's pods that are not being deleted."""
        found = self.objects.all("Pod", NAMESPACE, labelSelector=OPERATORS)
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def leader(self) -> str:
        """Return the name of the pod that holds the Lease; empty where none does."""
        lease = self.objects.find("Lease", NAMESPACE, "keyturn")
        holder = lease["spec"].get("holderIdentity") if lease else None
        return (holder or "").partition("_")[0]

    def ended(self) -> list[str]:
        """Say of each of the operator's containers that has ended and was started again how and with which words.

        One that ended once, since it was held up for longer than its Lease, is left out.
        """
        found = []
        for pod in self.pods():
            for one in pod["status"].get("containerStatuses", ()):
                if one["restartCount"]:
                    name = pod["metadata"]["name"]
                    last = self.kubectl.run("logs", name, "-n", NAMESPACE, "--previous", "--tail=20")
                    how = one.get("lastState", {}).get("terminated", {})
                    if one["restartCount"] == 1 and _has_lost_lease(how, last.stdout):
                        continue
                    found.append(f"{name} has ended {one['restartCount']} times, last: {how}\n{last.stdout}")
        return found

    def wait_until_ready(self, replicas: int = 2, timeout: float = 60.0) -> None:
        def ready() -> bool:
            pods = self.pods()
            return len(pods) == replicas and all(map(is_ready, pods)) and self.leader() in names(pods)

        eventually(ready, f"{replicas} ready replicas, one of which leads", timeout)

    def seconds_until_another_leads(self, than: str) -> float:
        """Wait until another pod than `than` has taken the Lease; return how long that took."""
        began = time.monotonic()
        eventually(lambda: self.leader() not in {"", than}, f"a leader other than {than}")
        return time.monotonic() - began

    @contextmanager
    def holders(self) -> Iterator[Callable[[], list[str]]]:
        """Watch during the block who holds the Lease; call the result for all so far, empty where it was given up."""
        shown = '-o=jsonpath={.spec.holderIdentity}{"\\n"}'
        with TemporaryDirectory() as folder:
            file = Path(folder) / "holders"
            process = self.kubectl.begin("get", "lease", "keyturn", "-n", NAMESPACE, "-w", shown, into=file)
            seen: list[str] = []

            def read() -> list[str]:
                seen[:] = file.read_text().splitlines() if file.exists() else seen
                return seen

            try:
                eventually(lambda: bool(read()), "the first holder in the watch")
                yield read
                read()
            finally:
                process.kill()
                process.wait()

    def end(self, pod: str) -> None:
        """Ask the operator in a pod to end, and wait until the kubelet has started another in its place."""
        before = self._process_of(pod)
        os.kill(before, signal.SIGTERM)
        eventually(lambda: self._processes(pod) not in ([], [before]), f"another container in {pod}")

    def most_memory(self, pod: str) -> int:
        """Return the most bytes that the operator's process in a pod has had in memory at any time."""
        (line,) = [line for line in self._status_of(pod).splitlines() if line.startswith("VmHWM:")]
        return int(line.split()[1]) * 1024

    def peak(self, pod: str) -> int:
        """Return the most bytes that a pod's container was charged with since its start, cached files included."""
        cgroups = _cgroups_of(Path(f"/proc/{self._process_of(pod)}"))
        places = dict(line.split(":", 2)[1:] for line in cgroups.splitlines())
        if place := places.get("memory"):  # version 1
            return int(Path(f"/sys/fs/cgroup/memory{place}/memory.max_usage_in_bytes").read_text())
        return int(Path(f"/sys/fs/cgroup{places['']}/memory.peak").read_text())

    def cpu_seconds(self, pod: str) -> float:
        """Return the processor seconds that the operator's process in a pod has used since its start."""
        fields = Path(f"/proc/{self._process_of(pod)}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def queue_depth(self, pod: str) -> float:
        """Return how many objects wait for the operator in a pod, as its metrics say."""
        (line,) = [line for line in self.metrics(pod) if line.startswith("keyturn_queue_depth ")]
        return float(line.split()[1])

    def metrics(self, pod: str) -> list[str]:
        """Return what the operator in a pod tells Prometheus, line by line."""
        (ip,) = [one["status"]["podIP"] for one in self.pods() if one["metadata"]["name"] == pod]
        command = self.node.command(*self.node.fetch, f"http://{ip}:8080/metrics")
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=30)
        return done.stdout.splitlines()

    def secrets(self, namespace: str) -> int:
        """Count the Secrets of a namespace without reading them."""
        return self.objects.count("Secret", namespace)

    def story(self) -> str:
        """Return what explains a failure: pods, ManagedSecrets that are not ready, and the operator's last lines."""
        commands = (
            ("get", "pods", "--all-namespaces", "-o", "wide"),
            ("get", "ms", "--all-namespaces"),
            ("get", "lease", "-n", NAMESPACE),
            ("logs", self._leader_if_known(), "-n", NAMESPACE, "--tail=25"),
        )
        lines = [line for command in commands for line in self._said(command)[-25:]]
        return "\n".join([*lines, *self._ended_if_known()])

    def _leader_if_known(self) -> str:
        try:
            return self.leader()
        except (AssertionError, HTTPError):
            return ""

    def _ended_if_known(self) -> list[str]:
        try:
            return self.ended()
        except (HarnessError, AssertionError, HTTPError) as error:
            return [str(error)]

    def _said(self, command: tuple[str, ...]) -> list[str]:
        try:
            done = self.kubectl.run(*command)
        except HarnessError as error:
            return [str(error)]
        return (done.stdout + done.stderr).splitlines()

    def keep_logs(self, folder: Path) -> None:
        """Copy what the operator's pods have logged to where the gate against leaks looks for it."""
        for pod in self.kubectl.json("get", "pods", "-n", NAMESPACE, "-l", OPERATORS)["items"]:
            name = pod["metadata"]["name"]
            for arguments in ((), ("--previous",)):
                done = self.kubectl.run("logs", name, "-n", NAMESPACE, "--tail=-1", *arguments)
                if done.returncode == 0:
                    log = folder / f"{name}{''.join(arguments)}.log"
                    log.write_text(done.stdout)
                    BEGUN.add(log)

    def _status_of(self, pod: str) -> str:
        return Path(f"/proc/{self._process_of(pod)}/status").read_text()

    def _process_of(self, pod: str) -> int:
        (process,) = self._processes(pod)
        return process

    def _processes(self, pod: str) -> list[int]:
        (uid,) = [one["metadata"]["uid"] for one in self.pods() if one["metadata"]["name"] == pod]
        return [pid for pid in _processes_of(uid) if b"keyturn" in _command_line(pid)]

    # Applications

    @contextmanager
    def load(self, url: str, *, rate: int = 20) -> Iterator[list[Load]]:
        """Send requests from inside the node during the block, from the first answer on.

        The list has the outcome after it.
        """
        asks = ("load", f"--url={url}", f"--rate={rate}", "--for=5m", "--begin")
        command = self.node.command(self.node.app, *asks)
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        outcome: list[Load] = []
        try:
            assert process.stdout
            readable, _, _ = select.select([process.stdout], [], [], _END)
            assert readable, f"{url} gave no answer within {_END:.0f} s"
            assert process.stdout.readline() == "begun\n"
            yield outcome
            process.send_signal(signal.SIGTERM)
            said, _ = process.communicate(timeout=_END)
            found = json.loads(said)
            outcome.append(Load(*(found[key] for key in ("sent", "failed", "errors", "env", "file"))))
        finally:
            process.kill()
            process.wait()


@contextmanager
def running(logs: Path, made: KindCluster | None = None) -> Iterator[Machine]:
    """Give the node of a kind cluster the images; without one, start a control plane with a real node.

    What the operator's pods have logged by its end is in the folder `logs`.
    """
    with ExitStack() as stack:
        plane: ControlPlane | None = None
        node: RealNode | KindNode
        if made is None:
            plane = stack.enter_context(ControlPlane.start(fake_nodes=0))
            node, kubeconfig = plane.start_node([image.archive()]), plane.kubeconfig
        else:
            node, kubeconfig = KindNode(made), made.kubeconfig_path
            Kubectl(kubeconfig)("wait", "node", "--all", "--for=condition=Ready", "--timeout=55s")
            node.prepare([image.archive(), *images.ensure().archives])
        objects = stack.enter_context(Objects.of(kubeconfig))
        machine = Machine(kubeconfig, node, Kubectl(kubeconfig), objects, plane)
        yield machine
        machine.keep_logs(logs)


def install(machine: Machine) -> Installed:
    """Apply manifests/base as the README says, and wait for both replicas."""
    done = machine.kubectl.run("apply", "-k", str(BASE))
    assert done.returncode == 0, done.stderr
    began = time.monotonic()
    machine.kubectl("rollout", "status", "deployment/keyturn", "-n", NAMESPACE, "--timeout=60s")
    seconds = time.monotonic() - began
    return Installed(done.stderr, seconds, len(machine.pods()), machine.ended())


def is_ready(pod: dict[str, Any]) -> bool:
    conditions = {one["type"]: one["status"] for one in pod["status"].get("conditions", ())}
    return conditions.get("Ready") == "True"


def names(pods: list[dict[str, Any]]) -> set[str]:
    return {pod["metadata"]["name"] for pod in pods}


def restarts(pods: list[dict[str, Any]]) -> int:
    return sum(one["restartCount"] for pod in pods for one in pod["status"].get("containerStatuses", ()))


def killed(pods: list[dict[str, Any]]) -> list[str]:
    """Name the pods whose container has ended by no decision of its own, such as for want of memory."""
    found = []
    for pod in pods:
        for one in pod["status"].get("containerStatuses", ()):
            ended = one.get("lastState", {}).get("terminated", {"exitCode": 0})
            if ended["exitCode"] > _OF_ITS_OWN or ended.get("reason") == "OOMKilled":
                found.append(pod["metadata"]["name"])
    return found


def _has_lost_lease(how: dict[str, Any], log: str) -> bool:
    """Say whether a container ended because it did not renew its Lease in time, and not by an error."""
    is_lost = '"event":"leadership lost"' in log.replace(": ", ":") and "not renewed in time" in log
    return is_lost and how.get("exitCode") == _OF_ITS_OWN and "process failed" not in log


def _processes_of(uid: str) -> list[int]:
    """Return the processes of a pod as the machine numbers them."""
    names = (f"pod{uid}", f"pod{uid.replace('-', '_')}")  # of cgroupfs, of systemd
    found = (folder for folder in Path("/proc").glob("[0-9]*"))
    return [int(folder.name) for folder in found if any(name in _cgroups_of(folder) for name in names)]


def _cgroups_of(process: Path) -> str:
    try:
        return (process / "cgroup").read_text()
    except OSError:  # it has ended
        return ""


def _command_line(process: int) -> bytes:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return b""
