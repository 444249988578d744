"""Compares Keyturn with External Secrets Operator, and Reloader, in turn on fresh control planes of one machine.

The programs and the CRDs are given by the user.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import orjson
import yaml

from sandbox import SandboxError
from sandbox.control import Control
from sandbox.harness import HarnessError, Kubectl, installation
from sandbox.supervisor import COLLECT_LATER

from . import results
from .cluster import NAMESPACE, BenchmarkError, prepared
from .contender import CONTROLLER, RELOADER, SHIPPED, Contender, Running, Template, keyturn
from .load import change, load
from .results import CHANGED, OURS, OURS_AT_ONCE, THEIRS
from .servers import awslike

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
    from contextlib import AbstractAsyncContextManager

    from sandbox import ControlPlane

    from .cluster import Body, Cluster

Side: TypeAlias = "Callable[[], AbstractAsyncContextManager[Contender]]"
Measure: TypeAlias = "Callable[[Contender], Awaitable[dict[str, float]]]"
Pair: TypeAlias = "dict[str, dict[str, float]]"

_AWAY = 0.02
"""Seconds that each answer of the store takes, for all sides."""
_ESO_FLAGS = (
    "--concurrent=20 --client-qps=2000 --client-burst=4000 --metrics-addr=127.0.0.1:0 --live-addr=127.0.0.1:0"
)
_RELOADER_FLAGS = "--resources-to-ignore=configmaps --ignored-workload-types=jobs,cronjobs"
_NAMESPACE = "peer"
_ACCOUNTS = {CONTROLLER: "peer", RELOADER: "reloader"}
"""What each program is called on the control plane, as a process and as a ServiceAccount."""
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
    add("--reloader", type=Path, metavar="PATH", help=f"the program of Reloader, for {CHANGED} values")
    add("--reloader-version", default="", help="its version, which the table shows")


@dataclass(frozen=True, slots=True)
class Program:
    """A program that the user gave."""

    name: str
    version: str
    binary: Path
    flags: tuple[str, ...]
    env: Mapping[str, str]

    def facts(self) -> dict[str, Any]:
        """Return what a table says of it; no path of this machine is in it.

        Raises:
            BenchmarkError: It cannot be started.
        """
        if not (self.binary.is_file() and os.access(self.binary, os.X_OK)):
            raise BenchmarkError(f"{self.binary} is not an executable program")
        digest = hashlib.sha256(self.binary.read_bytes()).hexdigest()
        return {"name": self.name, "version": self.version, "sha256": digest, "flags": list(self.flags)}


@dataclass(frozen=True, slots=True)
class Peer:
    """What is compared."""

    programs: Mapping[str, Program]
    """By part of the system."""
    crds: Path
    template: Template
    refresh: str
    """The annotation by which an object is read again from its store."""

    def facts(self) -> dict[str, Any]:
        facts = {part: program.facts() for part, program in self.programs.items()}
        return {**facts.pop(CONTROLLER), **facts}


def _peer(options: argparse.Namespace, store: str) -> Peer:
    env = {"AWS_SECRETSMANAGER_ENDPOINT": store}
    programs = {
        CONTROLLER: Program(
            "External Secrets Operator", options.version, options.eso, tuple(_ESO_FLAGS.split()), env
        )
    }
    if options.reloader:
        flags = tuple(_RELOADER_FLAGS.split())
        programs[RELOADER] = Program("Reloader", options.reloader_version, options.reloader, flags, {})
    # Changed values are pulled, so the objects are the same.
    values = "pulled" if options.values == CHANGED else options.values
    return Peer(
        programs, options.crds, Template.read(SHIPPED / f"eso-{values}.yaml", store=store), "force-sync"
    )


async def compare_with_peer(options: argparse.Namespace) -> None:
    """Measure all sides in turn, keep the figures after each round, and print the table.

    Raises:
        BenchmarkError: The peer cannot be measured.
    """
    if (options.values == CHANGED) != bool(options.reloader and options.reloader_version):
        raise BenchmarkError(
            f"--values {CHANGED} needs --reloader and --reloader-version, other values neither"
        )
    objects = options.objects or (200 if options.values == CHANGED else 1000)
    name, pairs = f"{options.values}-{objects}", list[Pair]()
    async with awslike(_AWAY) as store:
        peer = _peer(options, store)
        facts = peer.facts()  # before anything starts

        async def measure(contender: Contender) -> dict[str, float]:
            if options.values == CHANGED:
                return await change(contender, store, objects, max(300.0, objects))
            return await load(contender, objects, max(60.0, objects / 10))

        for number in range(options.pairs):
            pairs.append(
                await measure_pair(_sides(options.values, peer, store), measure, swapped=number % 2 == 1)
            )
            keep(name, facts, options.values, pairs, options.results)
            shown = {side: results.rounded(figures) for side, figures in pairs[-1].items()}
            print(f"{name} {number + 1}/{options.pairs}: {shown}", flush=True)
    file = options.results / results.PEERS / f"{name}.json"
    print("".join(results.peer_table(orjson.loads(file.read_bytes()))))


def _sides(values: str, peer: Peer, store: str) -> dict[str, Side]:
    theirs: Side = partial(running, peer)
    if values != CHANGED:
        return {OURS: partial(keyturn, values, store), THEIRS: theirs}
    at_once = partial(keyturn, "pulled", store, rollout={"debounce": "0s"})
    return {OURS: partial(keyturn, "pulled", store), OURS_AT_ONCE: at_once, THEIRS: theirs}


async def measure_pair(sides: Mapping[str, Side], measure: Measure, *, swapped: bool) -> Pair:
    """Measure one after the other; the last one is first in every second pair."""
    measured = {}
    for side in list(sides)[:: -1 if swapped else 1]:
        async with sides[side]() as contender:
            measured[side] = await measure(contender)
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
    """Install its CRDs and what its objects need; the ServiceAccount of each program may do everything.

    Returns:
        The kubeconfig of the controller; that of a further program is in `folder` as well.

    Raises:
        BenchmarkError: Something of it is refused.
    """
    kubectl = Kubectl(plane.kubeconfig)
    try:
        for body in _crds(peer.crds):
            kubectl("apply", "--server-side", "-f", "-", given=body)
        installation.wait_for_crds(kubectl)
        for namespace in (NAMESPACE, _NAMESPACE):
            installation.create_namespace(kubectl, namespace)
        for part in peer.programs:
            kubectl("create", "serviceaccount", _ACCOUNTS[part], "-n", _NAMESPACE)
            subject = f"--serviceaccount={_NAMESPACE}:{_ACCOUNTS[part]}"
            kubectl("create", "clusterrolebinding", _ACCOUNTS[part], "--clusterrole=cluster-admin", subject)
        peer.template.prepare(kubectl)
    except (HarnessError, OSError, yaml.YAMLError) as error:
        raise BenchmarkError(f"what the peer needs cannot be installed: {error}") from error
    for part in peer.programs:
        plane.service_account_kubeconfig(_NAMESPACE, _ACCOUNTS[part], _kubeconfig(folder, part))
    return _kubeconfig(folder, CONTROLLER)


def _crds(folder: Path) -> Iterator[Body]:
    """Yield the objects of a folder's files; a kustomization is no object of a cluster."""
    for file in sorted(one for one in folder.iterdir() if one.suffix in {".yaml", ".yml", ".json"}):
        for body in yaml.load_all(file.read_bytes(), yaml.CSafeLoader):
            if isinstance(body, dict) and body.get("kind") == "CustomResourceDefinition":
                yield body


def _kubeconfig(folder: Path, part: str) -> Path:
    return folder / f"{_ACCOUNTS[part]}.kubeconfig"


@asynccontextmanager
async def started(peer: Peer, cluster: Cluster) -> AsyncIterator[Contender]:
    """Run the peer on a control plane that has what it needs, until the block ends.

    The plane's supervisor is its parent: it ends with the plane, also if this process is killed.

    Raises:
        BenchmarkError: It cannot be started.
    """
    async with AsyncExitStack() as stack:
        programs = {
            part: await stack.enter_async_context(_process(program, part, cluster))
            for part, program in peer.programs.items()
        }
        name = " and ".join(program.name for program in peer.programs.values())
        yield Contender(name, cluster, programs, peer.template, "Ready", peer.refresh)


@asynccontextmanager
async def _process(program: Program, part: str, cluster: Cluster) -> AsyncIterator[Running]:
    account = _ACCOUNTS[part]
    control, log = Control(cluster.plane.folder), cluster.folder / f"{account}.log"
    log.write_bytes(b"")
    # The settings of Go's collector for the control plane are not for it.
    unset = [word for name in COLLECT_LATER for word in ("-u", name)]
    env = {"KUBECONFIG": _kubeconfig(cluster.folder, part), "POD_NAMESPACE": _NAMESPACE, **program.env}
    settings = [f"{name}={value}" for name, value in env.items()]
    command = ["/usr/bin/env", *unset, *settings, str(program.binary.absolute()), *program.flags]
    try:
        await asyncio.to_thread(control.start, account, command, log)
    except SandboxError as error:
        raise BenchmarkError(f"{program.name}: {error}") from error
    try:
        user, pid = f"system:serviceaccount:{_NAMESPACE}:{account}", control.programs()[account].pid
        yield Running(program.name, pid, user, lambda: control.programs()[account].ended, log)
    finally:
        await asyncio.to_thread(control.stop, account, _TO_END)
