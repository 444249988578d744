"""One running node with a kubelet and containers: start, control by tests, end."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Self

from sandbox import nodes, runtime
from sandbox.api import Api
from sandbox.control import Control, wait_for
from sandbox.errors import SandboxError

from . import images, machine, programs, settings
from .keeper import remove_cgroups
from .settings import NodeLayout

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from sandbox.config import Layout
    from sandbox.control import Program

_KEEPER, _RELAY = "node", "node-relay"
_FACTS = "node.json"
_SLICES = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
_END_PATIENCE = 15.0  # seconds; its containers end with it, and their cgroups are removed
_IMPORT_TIMEOUT = 300.0


class RealNode:
    """A node of a control plane that runs containers; it belongs to the plane and ends with it at the latest."""

    def __init__(self, layout: NodeLayout, api: Api, outside: Control) -> None:
        self._layout = layout
        self._api = api
        self._outside = outside
        self._inside = Control(layout.plane.folder, layout.control_socket)
        self._programs = programs.ensure()

    @classmethod
    def start(cls, plane: Layout, api: Api, control: Control, archives: Sequence[Path]) -> Self:
        """Bring up the node of a plane and wait until it is ready; `archives` hold more images for it."""
        prepare(plane.folder, archives)
        (port,) = runtime.free_ports(1)
        layout = NodeLayout(plane, port)
        if layout.folder.exists():
            raise SandboxError(f"{plane.folder.name!r} has a real node already")
        node = cls(layout, api, control)
        settings.write_all(layout, node._programs)
        (plane.folder / _FACTS).write_text(json.dumps({"port": port}))
        try:
            node._boot(archives)
        except BaseException:
            node.stop()
            raise
        return node

    @classmethod
    def attach(cls, plane: Layout, api: Api, control: Control) -> Self | None:
        """Return the node of a running plane, or None if it has none."""
        try:
            facts = json.loads((plane.folder / _FACTS).read_text())
        except FileNotFoundError:
            return None
        return cls(NodeLayout(plane, facts["port"]), api, control)

    @property
    def name(self) -> str:
        return settings.NAME

    @property
    def app(self) -> Path:
        """The application of `images.APP` as a program, such as for `command(node.app, "load", …)`."""
        return images.ensure().app

    def programs(self) -> Mapping[str, Program]:
        """Return what runs in the node and what has ended, by name; the process numbers are the node's own.

        Empty if the node itself has ended.
        """
        keeper = self._outside.programs().get(_KEEPER)
        if keeper is None or keeper.ended is not None:
            return {}
        return self._inside.programs()

    def command(self, *command: str | Path) -> list[str]:
        """Return `command` so that it runs in the node's network, where addresses of pods and Services work."""
        pid = self._layout.pid_file.read_text()
        return ["nsenter", f"--target={pid}", "--net", "--", *map(str, command)]

    @property
    def fetch(self) -> tuple[str, ...]:
        """The command that writes out what the address after it answers."""
        ask = "import sys, urllib.request as r; sys.stdout.buffer.write(r.urlopen(sys.argv[1], timeout=20).read())"
        return sys.executable, "-c", ask

    def import_image(self, archive: Path) -> tuple[str, ...]:
        """Give the node the images of an OCI or docker archive; returns their names."""
        if not archive.is_file():
            raise SandboxError(f"there is no image archive {archive}")
        self._ctr("import", "--digests=false", str(archive), trouble=f"take the images of {archive}")
        listed = self._ctr("list", "--quiet", trouble="list its images")
        return tuple(name for name in listed.splitlines() if not name.startswith("sha256:"))

    def tag(self, image: str, tag: str) -> str:
        """Give an image of the node another tag beside its own; returns the new name."""
        other = f"{image.rpartition(':')[0]}:{tag}"
        self._ctr("tag", "--force", image, other, trouble=f"tag {image}")
        return other

    def stop_kubelet(self) -> None:
        """Kill the kubelet: containers run on, the control plane hears nothing more of the node."""
        self._inside.stop(settings.KUBELET, patience=0.0)

    def start_kubelet(self) -> None:
        """Start the kubelet again and wait until the node is ready."""
        self._start(settings.KUBELET, settings.kubelet_command(self._layout, self._programs))
        self._wait_until_ready()

    def stop(self) -> None:
        """End the node and all in it, and make the plane forget it; a node that is gone is success."""
        at = self._layout
        for program in (_KEEPER, _RELAY):
            self._outside.stop(program, patience=_END_PATIENCE)
        remove_cgroups(machine.cgroups_of(at.cgroup))
        shutil.rmtree(at.folder, ignore_errors=True)
        for file in (
            at.plane.folder / at.control_socket,
            at.containerd_socket,
            at.api_socket,
            at.kubelet_socket,
        ):
            file.unlink(missing_ok=True)
        (at.plane.folder / _FACTS).unlink(missing_ok=True)
        self._api.delete(f"{_SLICES}/kubernetes")
        self._api.delete(f"/api/v1/nodes/{settings.NAME}")

    def _boot(self, archives: Sequence[Path]) -> None:
        at = self._layout
        outside, within = settings.relay_commands(at)
        machine.make_cgroups(at.cgroup)
        keeper = settings.keeper_command(at, self._programs)
        self._outside.start(_KEEPER, keeper, at.log(_KEEPER), patience=_END_PATIENCE)
        socket = at.plane.folder / at.control_socket
        wait_for(self._outside, _KEEPER, at.log(_KEEPER), "in its namespaces", socket.exists)
        self._outside.start(_RELAY, outside, at.log(_RELAY))
        self._start(settings.RELAY, within)
        self._start(settings.NAMES, settings.names_command(at))
        self._start(settings.CONTAINERD, settings.containerd_command(at, self._programs))
        self._wait(settings.CONTAINERD, "listening", at.containerd_socket.exists)
        self._start(settings.KUBELET, settings.kubelet_command(at, self._programs))
        self._start(settings.KUBE_PROXY, settings.kube_proxy_command(at, self._programs))
        self._api.post(_SLICES, _api_endpoint())
        for archive in (*images.ensure().archives, *archives):
            self.import_image(archive)
        self._wait_until_ready()

    def _wait_until_ready(self) -> None:
        # Both: the node's last word may be that of a kubelet that was killed.
        plane = self._layout.plane
        kubelet = Api.at(
            f"https://127.0.0.1:{self._layout.port}", plane.ca_file, *plane.certificate("kubelet-client")
        )
        self._wait(
            settings.KUBELET,
            "ready",
            lambda: kubelet.answers("/healthz") and nodes.are_ready(self._api, 1, nodes.REAL),
        )

    def _start(self, program: str, command: Sequence[str]) -> None:
        self._inside.start(program, command, self._layout.log(program))

    def _wait(self, program: str, what: str, reached: Callable[[], bool]) -> None:
        wait_for(self._inside, program, self._layout.log(program), what, reached)

    def _ctr(self, *arguments: str, trouble: str) -> str:
        address = f"--address={self._layout.containerd_socket}"
        command = [str(self._programs.path("ctr")), address, "-n=k8s.io", "images", *arguments]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=_IMPORT_TIMEOUT)
        if done.returncode != 0:
            raise SandboxError(f"the node cannot {trouble}: {done.stderr.strip()}")
        return done.stdout


def prepare(folder: Path, archives: Sequence[Path]) -> None:
    """Check and build all that a node needs before anything of it starts; `folder` is where its data will be."""
    machine.check(folder)
    missing = [str(archive) for archive in archives if not archive.is_file()]
    if missing:
        raise SandboxError(f"there is no image archive {', '.join(missing)}")
    build()


def build() -> tuple[Path, Path]:
    """Return the folders of what every real node is made of, building first what is not in the cache."""
    return programs.ensure().folder, images.ensure().folder


def _api_endpoint() -> dict[str, object]:
    """Return where pods reach the API server; it names no endpoint itself, for it listens on loopback only."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "kubernetes", "labels": {"kubernetes.io/service-name": "kubernetes"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [settings.ADDRESS], "conditions": {"ready": True}}],
        "ports": [{"name": "https", "port": settings.API_PORT, "protocol": "TCP"}],
    }
