"""Compares Keyturn with another controller, in turn on fresh control planes of one machine."""

from __future__ import annotations

import shlex
import statistics
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import orjson

from . import peer as other
from . import results
from .awslike import awslike
from .errors import PeerError
from .load import load
from .ours import keyturn
from .template import SHIPPED, Template

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractAsyncContextManager

    from .load import Contender

__all__ = [
    "BEGIN",
    "END",
    "OURS",
    "THEIRS",
    "add_options",
    "compare_with_peer",
    "keep",
    "measure_pair",
    "peer_of",
    "table",
    "write_tables",
]

Side: TypeAlias = "Callable[[], AbstractAsyncContextManager[Contender]]"
Pair: TypeAlias = "dict[str, dict[str, float]]"

BEGIN, END = "<!-- peers: python -m benchmarks table -->\n", "<!-- end of peers -->\n"
OURS, THEIRS = "keyturn", "peer"
_FOLDER = "peers"
_AWAY = 0.02
"""Seconds that each answer of the store takes, for both."""
_ESO = "External Secrets Operator"
_ESO_FLAGS = (
    "--concurrent=20 --client-qps=2000 --client-burst=4000 --metrics-addr=127.0.0.1:0 --live-addr=127.0.0.1:0"
)
_ESO_ENV = ("AWS_SECRETSMANAGER_ENDPOINT=${store}",)
_TITLES = {"generated": "one generated password each", "pulled": "one key each of a store 20 ms away"}


@dataclass(frozen=True, slots=True)
class _Row:
    title: str
    key: str
    digits: int


_ROWS = (
    _Row("Ready per second", "per_second", 0),
    _Row("create to Ready, median, s", "p50_seconds", 2),
    _Row("create to Ready, p99, s", "p99_seconds", 2),
    _Row("processor per object: whole system, ms", "system_ms", 2),
    _Row("processor per object: API server, ms", "api_server_ms", 2),
    _Row("processor per object: etcd, ms", "etcd_ms", 2),
    _Row("processor per object: controller, ms", "controller_ms", 2),
    _Row("processor per object: other programs, ms", "others_ms", 2),
    _Row("API calls per object", "calls", 2),
    _Row("API calls per object that write", "writes", 2),
    _Row("memory (RSS) at the end, MiB", "rss_mib", 0),
    _Row("memory at most, MiB", "peak_mib", 0),
    _Row("a fixed piece of work meanwhile, ms", "work_ms", 2),
)


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
    add("--env", action="append", metavar="NAME=VALUE", help=f"its environment; repeatable ({_ESO_ENV[0]})")
    add("--template", type=Path, help="its objects, as YAML (that of External Secrets Operator)")
    add("--condition", default="Ready", help="the condition of an object that is done (%(default)s)")
    add("--values", choices=tuple(_TITLES), default="generated", help="where values are from (%(default)s)")
    add("--pairs", type=int, default=5, help="how often each of the two runs (%(default)s)")
    add(
        "--patience",
        type=float,
        help="seconds for all objects to be done (a tenth of a second each, at least 60)",
    )


async def compare_with_peer(options: argparse.Namespace) -> None:
    """Measure both in turn, keep the figures after each pair, and print the table.

    Raises:
        PeerError: The peer cannot be measured.
    """
    objects = options.objects or 1000
    patience = options.patience or max(60.0, objects / 10)
    name = f"{options.values}-{objects}"
    pairs: list[Pair] = []
    peer_of(options, "http://store").check()  # before anything starts
    async with awslike(_AWAY) as store:
        peer = peer_of(options, store)
        sides: dict[str, Side] = {
            OURS: partial(keyturn, options.values, store),
            THEIRS: partial(other.running, peer),
        }
        for number in range(options.pairs):
            pair = await measure_pair(sides, objects, patience, swapped=number % 2 == 1)
            pairs.append(pair)
            keep(name, peer, options.values, pairs, options.results)
            print(f"{name} {number + 1}/{options.pairs}: {orjson.dumps(_rounded(pair)).decode()}", flush=True)
    print("".join(table(_read(options.results / _FOLDER / f"{name}.json"))))


async def measure_pair(sides: dict[str, Side], objects: int, patience: float, *, swapped: bool) -> Pair:
    """Measure one after the other; the other one is first in every second pair."""
    order = (THEIRS, OURS) if swapped else (OURS, THEIRS)
    measured = {}
    for side in order:
        async with sides[side]() as contender:
            measured[side] = await load(contender, objects, patience)
    return {side: measured[side] for side in (OURS, THEIRS)}


def peer_of(options: argparse.Namespace, store: str) -> other.Peer:
    """Read what the user gave; `store` is the address of the store.

    Raises:
        PeerError: An option or the template is wrong.
    """
    settings = options.env if options.env is not None else _ESO_ENV
    for setting in settings:
        if "=" not in setting:
            raise PeerError(f"--env {setting} is not NAME=VALUE")
    try:
        flags = tuple(shlex.split(options.flags))
    except ValueError as error:
        raise PeerError(f"--flags cannot be split: {error}") from error
    template = options.template or SHIPPED / f"eso-{options.values}.yaml"
    return other.Peer(
        options.name,
        options.version,
        options.binary,
        tuple(options.crds),
        flags,
        dict(setting.replace("${store}", store).split("=", 1) for setting in settings),
        Template.read(template, store=store),
        options.condition,
    )


def keep(name: str, peer: other.Peer, values: str, pairs: list[Pair], folder: Path) -> None:
    more = {"peer": peer.facts(), "values": values, "objects": pairs[0][OURS]["objects"]}
    results.keep(name, pairs, folder / _FOLDER, **more)


def _rounded(pair: Pair) -> Pair:
    return {
        side: {key: round(figure, 3) for key, figure in figures.items()} for side, figures in pair.items()
    }


def _read(file: Path) -> dict[str, Any]:
    document: dict[str, Any] = orjson.loads(file.read_bytes())
    return document


def write_tables(folder: Path, readme: Path) -> None:
    """Put the tables of all comparisons in `folder` between their marks in `readme`."""
    documents = [_read(file) for file in sorted((folder / _FOLDER).glob("*.json"))]
    results.write_between(readme, BEGIN, END, [line for document in documents for line in table(document)])


def table(document: dict[str, Any]) -> Iterator[str]:
    """Yield the lines of one comparison: each figure of both, and the first in parts of the second."""
    peer, pairs = document["peer"], document["runs"]
    name = f"{peer['name']} {peer['version']}"
    yield f"\n{document['objects']:,.0f} objects, {_TITLES[document['values']]}, {len(pairs)} pairs; "
    yield f"each cell is min / median / max. {name} runs with `{' '.join(peer['flags'])}`.\n\n"
    yield f"| figure | Keyturn | {name} | Keyturn in parts of it |\n|---|--:|--:|--:|\n"
    for row in _ROWS:
        ours, theirs = ([pair[side][row.key] for pair in pairs] for side in (OURS, THEIRS))
        ratios = [one / another for one, another in zip(ours, theirs, strict=True) if another]
        cells = (_three(ours, row.digits), _three(theirs, row.digits), _three(ratios, 2))
        yield f"| {row.title} | {' | '.join(cells)} |\n"
    yield f"\n{results.circumstances_of(document)}\n"


def _three(numbers: Sequence[float], digits: int) -> str:
    if not numbers:
        return "-"
    three = (min(numbers), statistics.median(numbers), max(numbers))
    return " / ".join(f"{number:,.{digits}f}" for number in three)
