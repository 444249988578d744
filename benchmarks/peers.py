"""Compares Keyturn with External Secrets Operator, in turn on fresh control planes of one machine.

The user gives the program and its CRDs.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import orjson
import yaml

from sandbox import ControlPlane, SandboxError
from sandbox.control import Control
from sandbox.harness import HarnessError, Kubectl, installation
from sandbox.supervisor import COLLECT_LATER

from . import results
from .cluster import NAMESPACE, BenchmarkError, Body, Cluster, prepared
from .contender import SHIPPED, Contender, Running, Template, keyturn
from .load import load
from .results import OURS, THEIRS
from .servers import awslike

Side: TypeAlias = "Callable[[], AbstractAsyncContextManager[Contender]]"
Pair: TypeAlias = "dict[str, dict[str, float]]"

_AWAY = 0.02
"""Seconds that each answer of the store takes, for both sides."""
_NAME = "External Secrets Operator"
_FLAGS = (
    "--concurrent=20 --client-qps=2000 --client-burst=4000 --metrics-addr=127.0.0.1:0 --live-addr=127.0.0.1:0"
)
_ACCOUNT = "peer"
"""What the program is called on the control plane, as a process and as a ServiceAccount in a namespace."""
_TO_END = 5.0


def add_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--eso", type=Path, required=True, metavar="PATH", help="its program")
    add("--crds", type=Path, required=True, metavar="FOLDER", help="the folder of its CRDs")
    add("--version", required=True, help="its version, which the table shows")
    add(
        "--values",
        choices=results.VALUES,
        default=results.VALUES[0],
        help="where values are from (%(default)s)",
    )
    add("--pairs", type=int, default=5, help="how often each side runs (%(default)s)")


@dataclass(frozen=True, slots=True)
class Peer:
    """The program that the user gave, and its objects."""

    name: str
    version: str
    binary: Path
    flags: tuple[str, ...]
    env: Mapping[str, str]
    crds: Path
    template: Template

    def facts(self) -> dict[str, Any]:
        """Return what a table says of it; no path of this machine is in it.

        Raises:
            BenchmarkError: It cannot be started.
        """
        if not (self.binary.is_file() and os.access(self.binary, os.X_OK)):
            raise BenchmarkError(f"{self.binary} is not an executable program")
        digest = hashlib.sha256(self.binary.read_bytes()).hexdigest()
        return {"name": self.name, "version": self.version, "sha256": digest, "flags": list(self.flags)}


async def compare_with_peer(options: argparse.Namespace) -> None:
    """Measure both sides in turn, keep the figures after each pair, and print the table.

    Raises:
        BenchmarkError: The peer cannot be measured.
    """
    values, objects = options.values, options.objects or 1000
    name, pairs = f"{values}-{objects}", list[Pair]()
    async with awslike(_AWAY) as store:
        env = {"AWS_SECRETSMANAGER_ENDPOINT": store}
        template = Template.read(SHIPPED / f"eso-{values}.yaml", store=store)
        peer = Peer(_NAME, options.version, options.eso, tuple(_FLAGS.split()), env, options.crds, template)
        sides: dict[str, Side] = {OURS: partial(keyturn, values, store), THEIRS: partial(running, peer)}
        facts = peer.facts()  # before anything starts
        for number in range(options.pairs):
            pairs.append(await measure_pair(sides, objects, swapped=number % 2 == 1))
            keep(name, facts, values, pairs, options.results)
            shown = {side: results.rounded(figures) for side, figures in pairs[-1].items()}
            print(f"{name} {number + 1}/{options.pairs}: {shown}", flush=True)
    file = options.results / results.PEERS / f"{name}.json"
    print("".join(results.peer_table(orjson.loads(file.read_bytes()))))


async def measure_pair(sides: Mapping[str, Side], objects: int, *, swapped: bool) -> Pair:
    """Measure one after the other; the last one is first in every second pair."""
    measured = {}
    for side in list(sides)[:: -1 if swapped else 1]:
        async with sides[side]() as contender:
            measured[side] = await load(contender, objects)
    return {side: measured[side] for side in sides}


def keep(name: str, facts: dict[str, Any], values: str, pairs: list[Pair], folder: Path) -> None:
    more = {"peer": facts, "values": values, "objects": pairs[0][OURS]["objects"]}
    results.keep(name, pairs, folder / results.PEERS, **more)


# The peer on a control plane


@asynccontextmanager
async def running(peer: Peer) -> AsyncIterator[Contender]:
    """Run the peer on a fresh control plane until the block ends."""
    async with prepared(partial(install, peer)) as cluster, started(peer, cluster) as contender:
        yield contender


def install(peer: Peer, plane: ControlPlane, folder: Path) -> Path:
    """Install its CRDs and what its objects need; its ServiceAccount may do everything. Return its kubeconfig.

    Raises:
        BenchmarkError: Something of it is refused.
    """
    kubectl = Kubectl(plane.kubeconfig)
    try:
        for body in _crds(peer.crds):
            kubectl("apply", "--server-side", "-f", "-", given=body)
        installation.wait_for_crds(kubectl)
        for namespace in (NAMESPACE, _ACCOUNT):
            installation.create_namespace(kubectl, namespace)
        kubectl("create", "serviceaccount", _ACCOUNT, "-n", _ACCOUNT)
        subject = f"--serviceaccount={_ACCOUNT}:{_ACCOUNT}"
        kubectl("create", "clusterrolebinding", _ACCOUNT, "--clusterrole=cluster-admin", subject)
        peer.template.prepare(kubectl)
    except (HarnessError, OSError, yaml.YAMLError) as error:
        raise BenchmarkError(f"what the peer needs cannot be installed: {error}") from error
    return plane.service_account_kubeconfig(_ACCOUNT, _ACCOUNT, folder / "peer.kubeconfig")


def _crds(folder: Path) -> Iterator[Body]:
    """Yield the objects of a folder's files; a kustomization is no object of a cluster."""
    for file in sorted(one for one in folder.iterdir() if one.suffix in {".yaml", ".yml", ".json"}):
        for body in yaml.load_all(file.read_bytes(), yaml.CSafeLoader):
            if isinstance(body, dict) and body.get("kind") == "CustomResourceDefinition":
                yield body


@asynccontextmanager
async def started(peer: Peer, cluster: Cluster) -> AsyncIterator[Contender]:
    """Run the peer on a control plane that has what it needs, until the block ends.

    The plane's supervisor is its parent: it ends with the plane, also if this process is killed.

    Raises:
        BenchmarkError: It cannot be started.
    """
    control = Control(cluster.plane.folder)
    # The settings of Go's collector for the control plane are not for it.
    unset = [word for name in COLLECT_LATER for word in ("-u", name)]
    env = {"KUBECONFIG": cluster.operator_kubeconfig, "POD_NAMESPACE": _ACCOUNT, **peer.env}
    settings = [f"{name}={value}" for name, value in env.items()]
    command = ["/usr/bin/env", *unset, *settings, str(peer.binary.absolute()), *peer.flags]
    try:
        await asyncio.to_thread(control.start, _ACCOUNT, command)
    except SandboxError as error:
        raise BenchmarkError(f"{peer.name}: {error}") from error
    try:
        user, pid = f"system:serviceaccount:{_ACCOUNT}:{_ACCOUNT}", control.programs()[_ACCOUNT].pid
        program = Running(pid, user, lambda: control.programs()[_ACCOUNT].ended, control.log(_ACCOUNT))
        yield Contender(peer.name, cluster, program, peer.template)
    finally:
        await asyncio.to_thread(control.stop, _ACCOUNT, _TO_END)
