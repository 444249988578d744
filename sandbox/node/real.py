"""One running node with a kubelet and containers: start, control by tests, end."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from sandbox import runtime
from sandbox.api import REAL, Api, nodes_are_ready
from sandbox.config import Layout
from sandbox.control import Control, Program
from sandbox.errors import SandboxError, output_of

from . import images, machine, programs, settings
from .keeper import remove_cgroups
from .settings import NodeLayout

_KEEPER, _RELAY = "node", "relay"
_FACTS = "node.json"
_SLICES = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
_END_PATIENCE = 15.0  # seconds; its containers end with it, and their cgroups are removed
_IMPORT_TIMEOUT = 300.0


class RealNode:
    """A node of a control plane that runs containers; it belongs to the plane and ends with it at the latest."""

    name = settings.NAME
    fetch = (
        sys.executable,
        "-c",
        "import sys, urllib.request as r; sys.stdout.buffer.write(r.urlopen(sys.argv[1], timeout=20).read())",
    )
    """The command that writes out what the address after it answers."""

    def __init__(self, layout: NodeLayout, api: Api, outside: Control) -> None:
        self._layout = layout
        self._api = api
        self._outside = outside
        self._inside = Control(layout.plane.folder, settings.CONTROL_SOCKET, "node-")
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

    def import_image(self, archive: Path) -> None:
        """Give the node the images of an OCI or docker archive."""
        if not archive.is_file():
            raise SandboxError(f"there is no image archive {archive}")
        self._ctr("import", "--digests=false", str(archive), trouble=f"take the images of {archive}")

    def tag(self, image: str, tag: str) -> str:
        """Give an image of the node another tag beside its own; returns the new name."""
        other = f"{image.rpartition(':')[0]}:{tag}"
        self._ctr("tag", "--force", image, other, trouble=f"tag {image}")
        return other

    def stop(self) -> None:
        """End the node and all in it, and make the plane forget it; a node that is gone is success."""
        at = self._layout
        for program in (_KEEPER, _RELAY):
            self._outside.stop(program, patience=_END_PATIENCE)
        remove_cgroups(machine.cgroups_of(at.cgroup))
        shutil.rmtree(at.folder, ignore_errors=True)
        sockets = (at.control_socket, at.containerd_socket, at.api_socket, at.kubelet_socket)
        for file in (*sockets, at.plane.folder / _FACTS):
            file.unlink(missing_ok=True)
        self._api.delete(f"{_SLICES}/kubernetes")
        self._api.delete(f"/api/v1/nodes/{settings.NAME}")

    def _boot(self, archives: Sequence[Path]) -> None:
        at = self._layout
        machine.make_cgroups(at.cgroup)
        keeper = settings.keeper_command(at, self._programs)
        self._outside.start(_KEEPER, keeper, patience=_END_PATIENCE)
        self._outside.wait_for(_KEEPER, "in its namespaces", at.control_socket.exists)
        self._outside.start(_RELAY, settings.outside_relay(at))
        for program, command in settings.commands(at, self._programs).items():
            self._inside.start(program, command)
            if program == settings.CONTAINERD:
                self._inside.wait_for(program, "listening", at.containerd_socket.exists)
        self._api.post(_SLICES, _api_endpoint())
        for archive in (*images.ensure().archives, *archives):
            self.import_image(archive)
        self._inside.wait_for(settings.KUBELET, "ready", lambda: nodes_are_ready(self._api, 1, REAL))

    def _ctr(self, *arguments: str, trouble: str) -> None:
        address = f"--address={self._layout.containerd_socket}"
        command = [str(self._programs.path("ctr")), address, "-n=k8s.io", "images", *arguments]
        output_of(command, _IMPORT_TIMEOUT, f"the node cannot {trouble}")


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
