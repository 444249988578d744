"""Another controller on a fresh control plane: its program, CRDs, flags and objects are given by the user."""

from __future__ import annotations

import asyncio
import hashlib
import os
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import yaml

from sandbox import SandboxError
from sandbox.control import Control
from sandbox.harness import HarnessError, Kubectl, installation

from .cluster import NAMESPACE, prepared
from .errors import PeerError
from .load import Contender

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping
    from pathlib import Path

    from sandbox import ControlPlane

    from .cluster import Cluster
    from .template import Template

__all__ = ["Peer", "install", "running", "started"]

_PROGRAM = "peer"
_ACCOUNT = ("peer", "peer")
_TO_END = 5.0
_SUFFIXES = {".yaml", ".yml", ".json"}


@dataclass(frozen=True, slots=True)
class Peer:
    """What the user gave."""

    name: str
    version: str
    binary: Path
    crds: tuple[Path, ...]
    flags: tuple[str, ...]
    env: Mapping[str, str]
    template: Template
    condition: str = "Ready"

    def check(self) -> None:
        """Check what can be checked before a control plane starts.

        Raises:
            PeerError: The program or a CRD is missing.
        """
        if not self.binary.is_file():
            raise PeerError(f"there is no program {self.binary}")
        if not os.access(self.binary, os.X_OK):
            raise PeerError(f"the program {self.binary} is not executable")
        for path in self.crds:
            if not any(one.get("kind") == "CustomResourceDefinition" for one in _documents(path)):
                raise PeerError(f"{path} has no CustomResourceDefinition")

    def facts(self) -> dict[str, Any]:
        """Return what a table says of it; no path of this machine is in it."""
        return {
            "name": self.name,
            "version": self.version,
            "sha256": hashlib.sha256(self.binary.read_bytes()).hexdigest(),
            "flags": list(self.flags),
        }


@asynccontextmanager
async def running(peer: Peer) -> AsyncIterator[Contender]:
    """Run the peer on a fresh control plane until the block ends.

    Raises:
        PeerError: Its CRDs or objects do not apply, or it cannot be started.
    """
    async with prepared(partial(install, peer)) as cluster, started(peer, cluster) as contender:
        yield contender


@asynccontextmanager
async def started(peer: Peer, cluster: Cluster) -> AsyncIterator[Contender]:
    """Run the peer on a control plane that has what it needs, until the block ends.

    The plane's supervisor is its parent: it ends with the plane, also if this process is killed.

    Raises:
        PeerError: It cannot be started.
    """
    control, log = Control(cluster.plane.folder), cluster.folder / "peer.log"
    log.write_bytes(b"")
    try:
        await asyncio.to_thread(control.start, _PROGRAM, _command(peer, cluster.operator_kubeconfig), log)
    except SandboxError as error:
        raise PeerError(f"{peer.name}: {error}") from error
    try:
        yield Contender(
            peer.name,
            cluster,
            control.programs()[_PROGRAM].pid,
            f"system:serviceaccount:{':'.join(_ACCOUNT)}",
            peer.template,
            peer.condition,
            lambda: control.programs()[_PROGRAM].ended,
            log,
        )
    finally:
        await asyncio.to_thread(control.stop, _PROGRAM, _TO_END)


def _command(peer: Peer, kubeconfig: Path) -> list[str]:
    """Return its command line; the settings of Go's collector for the control plane are not for it."""
    env = {"KUBECONFIG": str(kubeconfig), "POD_NAMESPACE": _ACCOUNT[0], **peer.env}
    settings = [f"{name}={value}" for name, value in env.items()]
    return ["/usr/bin/env", "-u", "GOGC", *settings, str(peer.binary.absolute()), *peer.flags]


def install(peer: Peer, plane: ControlPlane, folder: Path) -> Path:
    """Install its CRDs and what its objects need; its ServiceAccount may do everything."""
    kubectl = Kubectl(plane.kubeconfig)
    try:
        for path in peer.crds:
            for body in _documents(path):
                kubectl("apply", "--server-side", "-f", "-", given=body)
        installation.wait_for_crds(kubectl)
        installation.create_namespace(kubectl, NAMESPACE)
        for body in _account():
            kubectl("apply", "-f", "-", given=body)
        peer.template.prepare(kubectl, NAMESPACE)
    except HarnessError as error:
        raise PeerError(f"what {peer.name} needs cannot be installed: {error}") from error
    return plane.service_account_kubeconfig(*_ACCOUNT, folder / "peer.kubeconfig")


def _account() -> Iterator[dict[str, Any]]:
    namespace, name = _ACCOUNT
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
    subject = {"kind": "ServiceAccount", "name": name, "namespace": namespace}
    binding = {"roleRef": role, "subjects": [subject], "metadata": {"name": name}}
    yield {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
    yield {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace}}
    yield {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", **binding}


def _documents(path: Path) -> list[dict[str, Any]]:
    """Return the objects of a file, or of the files of a folder.

    Raises:
        PeerError: There is no such file, or it is no YAML.
    """
    files = sorted(one for one in path.iterdir() if one.suffix in _SUFFIXES) if path.is_dir() else [path]
    try:
        found = [one for file in files for one in yaml.load_all(file.read_bytes(), yaml.CSafeLoader)]
    except (OSError, yaml.YAMLError) as error:
        raise PeerError(f"the CRDs {path} cannot be read: {error}") from error
    # A kustomization in the folder is no object of a cluster.
    return [
        one for one in found if isinstance(one, dict) and one.get("kind") != "Kustomization" and "kind" in one
    ]
