"""Compares Keyturn with another controller, in turn on fresh control planes of one machine."""

from __future__ import annotations

import shlex
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import orjson

from . import peer as other
from . import results
from .awslike import awslike
from .changed import change
from .cluster import fresh
from .errors import PeerError
from .load import load
from .ours import keyturn
from .peer_tables import CHANGED, FOLDER, OURS, OURS_AT_ONCE, THEIRS, VALUES, table
from .template import SHIPPED, Template

if TYPE_CHECKING:
    import argparse
    from collections.abc import Awaitable, Callable, Mapping
    from contextlib import AbstractAsyncContextManager

    from release.container import Container

    from .contender import Contender

Side: TypeAlias = "Callable[[], AbstractAsyncContextManager[Contender]]"
Measure: TypeAlias = "Callable[[Contender], Awaitable[dict[str, float]]]"
Pair: TypeAlias = "dict[str, dict[str, float]]"

_AWAY = 0.02
"""Seconds that each answer of the store takes, for all sides."""
_ESO = "External Secrets Operator"
_ESO_FLAGS = (
    "--concurrent=20 --client-qps=2000 --client-burst=4000 --metrics-addr=127.0.0.1:0 --live-addr=127.0.0.1:0"
)
_ESO_ENV = ("AWS_SECRETSMANAGER_ENDPOINT=${store}",)
_ESO_REFRESH = "force-sync"
_RELOADER_FLAGS = "--resources-to-ignore=configmaps --ignored-workload-types=jobs,cronjobs"
_OBJECTS = {CHANGED: 200}
"""How many objects, if not 1,000."""


def add_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--eso", "--peer", dest="binary", type=Path, required=True, metavar="PATH", help="the peer's program")
    add(
        "--crds",
        type=Path,
        action="append",
        required=True,
        metavar="PATH",
        help="a file or folder; repeatable",
    )
    add("--version", required=True, help="the peer's version, which the table shows")
    add("--name", default=_ESO, help="the peer's name (%(default)s)")
    add("--flags", default=_ESO_FLAGS, help="its flags, in one argument (%(default)s)")
    add(
        "--env",
        action="append",
        metavar="NAME=VALUE",
        help=f"environment of its programs; repeatable ({_ESO_ENV[0]})",
    )
    add("--template", type=Path, help="its objects, as YAML (that of External Secrets Operator)")
    add("--condition", default="Ready", help="the condition of an object that is done (%(default)s)")
    add("--values", choices=VALUES, default=VALUES[0], help="where values are from (%(default)s)")
    add("--pairs", type=int, default=5, help="how often each side runs (%(default)s)")
    add("--refresh", default=_ESO_REFRESH, help="the annotation that requests a new read (%(default)s)")
    add(
        "--reloader",
        type=Path,
        metavar="PATH",
        help=f"the program that restarts workloads, for {CHANGED} values",
    )
    add("--reloader-version", default="", help="its version, which the table shows")
    add("--reloader-flags", default=_RELOADER_FLAGS, help="its flags, in one argument (%(default)s)")
    add("--patience", type=float, help="seconds for all objects to be done (by their number)")


async def compare_with_peer(options: argparse.Namespace) -> None:
    """Measure all sides in turn, keep the figures after each round, and print the table.

    Raises:
        PeerError: The peer cannot be measured.
    """
    objects = options.objects or _OBJECTS.get(options.values, 1000)
    name = f"{options.values}-{objects}"
    pairs: list[Pair] = []
    peer_of(options, "http://store").check()  # before anything starts
    async with awslike(_AWAY) as store:
        peer = peer_of(options, store)
        sides = _sides(options.values, peer, store, options.interpreter.container)
        measure, python = _measure(options, objects, store), options.interpreter.version
        for number in range(options.pairs):
            pair = await measure_pair(sides, measure, swapped=number % 2 == 1)
            pairs.append(pair)
            keep(name, peer, options.values, pairs, options.results, python)
            print(f"{name} {number + 1}/{options.pairs}: {orjson.dumps(_rounded(pair)).decode()}", flush=True)
    print("".join(table(orjson.loads((options.results / FOLDER / f"{name}.json").read_bytes()))))


def _sides(values: str, peer: other.Peer, store: str, container: Container | None) -> dict[str, Side]:
    theirs: Side = partial(other.running, peer)
    planes = partial(fresh, container)
    if values != CHANGED:
        return {OURS: partial(keyturn, values, store, planes), THEIRS: theirs}
    return {
        OURS: partial(keyturn, "pulled", store, planes),
        OURS_AT_ONCE: partial(keyturn, "pulled", store, planes, rollout={"debounce": "0s"}),
        THEIRS: theirs,
    }


def _measure(options: argparse.Namespace, objects: int, store: str) -> Measure:
    if options.values == CHANGED:
        patience = options.patience or max(300.0, objects)
        return lambda contender: change(contender, store, objects, patience)
    patience = options.patience or max(60.0, objects / 10)
    return lambda contender: load(contender, objects, patience)


async def measure_pair(sides: Mapping[str, Side], measure: Measure, *, swapped: bool) -> Pair:
    """Measure one after the other; the last one is first in every second pair."""
    measured = {}
    for side in list(sides)[:: -1 if swapped else 1]:
        async with sides[side]() as contender:
            measured[side] = await measure(contender)
    return {side: measured[side] for side in sides}


def peer_of(options: argparse.Namespace, store: str) -> other.Peer:
    """Read what the user gave; `store` is the address of the store.

    Raises:
        PeerError: An option or the template is wrong.
    """
    if (options.values == CHANGED) != (options.reloader is not None):
        raise PeerError(f"--values {CHANGED} and --reloader are for each other: give both or none")
    if options.reloader and not options.reloader_version:
        raise PeerError("--reloader needs --reloader-version, which the table shows")
    settings = options.env if options.env is not None else _ESO_ENV
    for setting in settings:
        if "=" not in setting:
            raise PeerError(f"--env {setting} is not NAME=VALUE")
    env = dict(setting.replace("${store}", store).split("=", 1) for setting in settings)
    # Changed values are pulled, so the objects are the same.
    shipped = "pulled" if options.values == CHANGED else options.values
    flags = _split("--flags", options.flags)
    reloader_flags = _split("--reloader-flags", options.reloader_flags)
    return other.Peer(
        other.Program(options.name, options.version, options.binary, flags, env),
        tuple(options.crds),
        Template.read(options.template or SHIPPED / f"eso-{shipped}.yaml", store=store),
        options.condition,
        options.refresh,
        other.Program("Reloader", options.reloader_version, options.reloader, reloader_flags, env)
        if options.reloader
        else None,
    )


def _split(option: str, flags: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(flags))
    except ValueError as error:
        raise PeerError(f"{option} cannot be split: {error}") from error


def keep(name: str, peer: other.Peer, values: str, pairs: list[Pair], folder: Path, python: str) -> None:
    more = {"peer": peer.facts(), "values": values, "objects": pairs[0][OURS]["objects"]}
    results.keep(name, pairs, folder / FOLDER, python, **more)


def _rounded(pair: Pair) -> Pair:
    return {
        side: {key: round(figure, 3) for key, figure in figures.items()} for side, figures in pair.items()
    }
