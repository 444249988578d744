"""The command line: `python -m benchmarks` and which benchmark, `all` of them, or the `table` alone."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import orjson

from . import busy, check, peer_tables, peers, results
from .cluster import fresh
from .creation import creation
from .databases import databases, probes
from .emergency import emergency
from .errors import BenchmarkError
from .latency import latency
from .life import life
from .pulled import pulled
from .rotation import rotation
from .shipped import Interpreter, interpreter

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from .cluster import Planes

Figures: TypeAlias = "dict[str, dict[str, float]]"
Benchmark: TypeAlias = "Callable[[int, Planes], Awaitable[Figures]]"

_BENCHMARKS = (
    "creation",
    "life",
    "rotation",
    "emergency",
    "pulled",
    "latency",
    *(f"busy-{load}" for load in busy.LOADS),
    "databases",
    "probes",
)
_COMPARISONS = {"peers": (peers, peers.compare_with_peer), "check": (check, check.check)}
_DEBOUNCES = {"0s": "0s", "5s": None}  # the second is the default, which nobody writes


async def _creation(objects: int, planes: Planes) -> Figures:
    return {f"creation-{objects}": await creation(objects, planes)}


async def _life(objects: int, planes: Planes, idle: float) -> Figures:
    return {f"{part}-{objects}": figures for part, figures in (await life(objects, idle, planes)).items()}


async def _rotation(objects: int, planes: Planes) -> Figures:
    return {
        f"rotation-{objects}-{name}": await rotation(objects, debounce, planes)
        for name, debounce in _DEBOUNCES.items()
    }


async def _emergency(objects: int, planes: Planes) -> Figures:
    return {f"emergency-{objects}": await emergency(objects, planes)}


async def _pulled(objects: int, planes: Planes) -> Figures:
    return {f"pulled-{objects}": await pulled(objects, planes)}


async def _latency(_: int, planes: Planes) -> Figures:
    return {"latency": await latency(planes)}


async def _busy(objects: int, planes: Planes, load: str) -> Figures:
    return {f"busy-{load}-{objects}": await busy.LOADS[load](objects, planes)}


async def _databases(accounts: int, planes: Planes) -> Figures:
    return {f"databases-{accounts}": await databases(accounts, planes)}


async def _probes(accounts: int, planes: Planes) -> Figures:
    return {f"probes-{accounts}": await probes(accounts, planes)}


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    # What was started is ended as after Ctrl-C, which asyncio knows; in the background a shell has it ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        with interpreter(of_image=options.image) as options.interpreter:
            _measure(options)
    except BenchmarkError as error:
        print(f"python -m benchmarks {options.what}: {error}", file=sys.stderr)
        return 1
    results.write_table(options.results, options.readme)
    peer_tables.write_tables(options.results, options.readme)
    return 0


def _measure(options: argparse.Namespace) -> None:
    if options.what in _COMPARISONS:
        asyncio.run(_COMPARISONS[options.what][1](options))
        return
    benchmarks: dict[str, tuple[Benchmark, int, int]] = {
        "creation": (_creation, 1000, 5),
        "life": (partial(_life, idle=options.idle), 10_000, 2),
        "rotation": (_rotation, 200, 5),
        "emergency": (_emergency, 500, 2),
        "pulled": (_pulled, 1000, 5),
        "latency": (_latency, 1, 7),
        "busy-created": (partial(_busy, load="created"), 2000, 3),
        "busy-refreshed": (partial(_busy, load="refreshed"), 1000, 3),
        "busy-harmed": (partial(_busy, load="harmed"), 500, 3),
        "busy-rotated": (partial(_busy, load="rotated"), 500, 3),
        "databases": (_databases, 100, 5),
        "probes": (_probes, 500, 2),
    }
    for name, (benchmark, objects, runs) in benchmarks.items():
        if options.what in (name, "all"):
            counts = options.objects or objects, options.runs or runs
            asyncio.run(_run(benchmark, *counts, options.interpreter, options.results))


async def _run(benchmark: Benchmark, objects: int, times: int, chosen: Interpreter, folder: Path) -> None:
    """Run a benchmark some times; what is done is kept after each, whatever happens to the next."""
    done: dict[str, list[dict[str, float]]] = {}
    planes = partial(fresh, chosen.container)
    for number in range(1, times + 1):
        for name, figures in (await benchmark(objects, planes)).items():
            done.setdefault(name, []).append(figures)
            results.keep(name, done[name], folder, chosen.version)
            print(f"{name} {number}/{times}: {orjson.dumps(_rounded(figures)).decode()}", flush=True)


def _rounded(figures: dict[str, float]) -> dict[str, float]:
    return {name: round(figure, 3) for name, figure in figures.items()}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="what", required=True)
    for name in (*_BENCHMARKS, "all", "table"):
        command = commands.add_parser(name)
        _add_common(command)
        command.add_argument("--runs", type=int, help="how often, instead of each benchmark's own number")
        command.add_argument(
            "--idle", type=float, default=60.0, help="seconds of rest to measure (%(default)s)"
        )
    for name, (module, _) in _COMPARISONS.items():
        command = commands.add_parser(name, description=module.__doc__)
        module.add_options(command)
        _add_common(command)
    return parser


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--image", action="store_true", help="run the operator from the image of this checkout; as root"
    )
    parser.add_argument(
        "--objects", type=int, help="how many objects, instead of each benchmark's own number"
    )
    parser.add_argument(
        "--results", type=Path, default=results.HERE / "results", help="where figures are kept"
    )
    parser.add_argument(
        "--readme", type=Path, default=results.HERE / "README.md", help="where the table goes"
    )


if __name__ == "__main__":
    sys.exit(main())
