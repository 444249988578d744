"""Another controller on a fresh control plane: its program, CRDs, flags and objects are given by the user."""

from __future__ import annotations

import asyncio
import hashlib
import os
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import yaml

from sandbox import SandboxError
from sandbox.control import Control
from sandbox.harness import HarnessError, Kubectl, installation
from sandbox.supervisor import COLLECT_LATER

from .cluster import NAMESPACE, prepared
from .contender import Contender, Running
from .errors import PeerError
from .system import CONTROLLER, RELOADER

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping
    from pathlib import Path

    from sandbox import ControlPlane

    from .cluster import Cluster
    from .template import Template

_NAMESPACE = "peer"
_ACCOUNTS = {CONTROLLER: "peer", RELOADER: "reloader"}
"""What each program is called on the control plane, as a process and as a ServiceAccount."""
_TO_END = 5.0
_SUFFIXES = {".yaml", ".yml", ".json"}


@dataclass(frozen=True, slots=True)
class Program:
    """A program that the user gave."""

    name: str
    version: str
    binary: Path
    flags: tuple[str, ...]
    env: Mapping[str, str]

    def check(self) -> None:
        """Check that it can be started.

        Raises:
            PeerError: It is missing, or not executable.
        """
        if not self.binary.is_file():
            raise PeerError(f"there is no program {self.binary}")
        if not os.access(self.binary, os.X_OK):
            raise PeerError(f"the program {self.binary} is not executable")

    def facts(self) -> dict[str, Any]:
        """Return what a table says of it; no path of this machine is in it."""
        return {
            "name": self.name,
            "version": self.version,
            "sha256": hashlib.sha256(self.binary.read_bytes()).hexdigest(),
            "flags": list(self.flags),
        }


@dataclass(frozen=True, slots=True)
class Peer:
    """What the user gave."""

    controller: Program
    crds: tuple[Path, ...]
    template: Template
    condition: str
    refresh: str
    """The annotation by which an object is read again from its store."""
    reloader: Program | None = None
    """The program that restarts workloads."""

    @property
    def programs(self) -> dict[str, Program]:
        """Its programs by part of the system."""
        return {CONTROLLER: self.controller, **({RELOADER: self.reloader} if self.reloader else {})}

    def check(self) -> None:
        """Check what can be checked before a control plane starts.

        Raises:
            PeerError: A program or a CRD is missing.
        """
        for program in self.programs.values():
            program.check()
        for path in self.crds:
            if not any(one.get("kind") == "CustomResourceDefinition" for one in _documents(path)):
                raise PeerError(f"{path} has no CustomResourceDefinition")

    def facts(self) -> dict[str, Any]:
        """Return what a table says of it."""
        more = {RELOADER: self.reloader.facts()} if self.reloader else {}
        return {**self.controller.facts(), **more}


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
    async with AsyncExitStack() as stack:
        programs = {
            part: await stack.enter_async_context(_process(program, part, cluster))
            for part, program in peer.programs.items()
        }
        name = " and ".join(program.name for program in peer.programs.values())
        yield Contender(name, cluster, programs, peer.template, peer.condition, peer.refresh)


@asynccontextmanager
async def _process(program: Program, part: str, cluster: Cluster) -> AsyncIterator[Running]:
    account = _ACCOUNTS[part]
    control, log = Control(cluster.plane.folder), cluster.folder / f"{account}.log"
    log.write_bytes(b"")
    try:
        command = _command(program, _kubeconfig(cluster.folder, part))
        await asyncio.to_thread(control.start, account, command, log)
    except SandboxError as error:
        raise PeerError(f"{program.name}: {error}") from error
    try:
        yield Running(
            program.name,
            control.programs()[account].pid,
            f"system:serviceaccount:{_NAMESPACE}:{account}",
            lambda: control.programs()[account].ended,
            log,
        )
    finally:
        await asyncio.to_thread(control.stop, account, _TO_END)


def _command(program: Program, kubeconfig: Path) -> list[str]:
    """Return its command line; the settings of Go's collector for the control plane are not for it."""
    env = {"KUBECONFIG": str(kubeconfig), "POD_NAMESPACE": _NAMESPACE, **program.env}
    settings = [f"{name}={value}" for name, value in env.items()]
    unset = [part for name in COLLECT_LATER for part in ("-u", name)]
    return ["/usr/bin/env", *unset, *settings, str(program.binary.absolute()), *program.flags]


def install(peer: Peer, plane: ControlPlane, folder: Path) -> Path:
    """Install its CRDs and what its objects need; the ServiceAccount of each program may do everything.

    Returns:
        The kubeconfig of the controller; that of a further program is in `folder` as well.
    """
    kubectl = Kubectl(plane.kubeconfig)
    try:
        for path in peer.crds:
            for body in _documents(path):
                kubectl("apply", "--server-side", "-f", "-", given=body)
        installation.wait_for_crds(kubectl)
        for namespace in (NAMESPACE, _NAMESPACE):
            installation.create_namespace(kubectl, namespace)
        for part in peer.programs:
            for body in _account(_ACCOUNTS[part]):
                kubectl("apply", "-f", "-", given=body)
        peer.template.prepare(kubectl, NAMESPACE)
    except HarnessError as error:
        raise PeerError(f"what {peer.controller.name} needs cannot be installed: {error}") from error
    for part in peer.programs:
        plane.service_account_kubeconfig(_NAMESPACE, _ACCOUNTS[part], _kubeconfig(folder, part))
    return _kubeconfig(folder, CONTROLLER)


def _kubeconfig(folder: Path, part: str) -> Path:
    return folder / f"{_ACCOUNTS[part]}.kubeconfig"


def _account(name: str) -> Iterator[dict[str, Any]]:
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
    subject = {"kind": "ServiceAccount", "name": name, "namespace": _NAMESPACE}
    binding = {"roleRef": role, "subjects": [subject], "metadata": {"name": name}}
    yield {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": _NAMESPACE}}
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
