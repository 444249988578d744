"""The command line: `python -m benchmarks` and which benchmark, `all` of them, or the `table` alone."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeAlias

from . import databases, life, load, peers, results, rotation, stores
from .cluster import BenchmarkError, fresh

Figures: TypeAlias = "dict[str, dict[str, float]]"
Benchmark: TypeAlias = "Callable[[int], Awaitable[Figures]]"


async def _life(objects: int) -> Figures:
    parts = await life.life(objects, 60.0, fresh)
    return {f"{part}-{objects}": figures for part, figures in parts.items()}


async def _one(objects: int, name: str, measure: Callable[..., Awaitable[dict[str, float]]]) -> Figures:
    return {name.format(objects): await measure(objects, fresh)}


_PLAIN: dict[str, tuple[str, Callable[..., Awaitable[dict[str, float]]], int, int]] = {
    "creation": ("creation-{}", life.creation, 1000, 5),
    "rotation": ("rotation-{}-0s", rotation.rotation, 200, 5),
    "emergency": ("emergency-{}", rotation.emergency, 500, 2),
    "latency": ("latency", rotation.latency, 1, 7),
    "busy-created": ("busy-created-{}", stores.created, 2000, 3),
    "busy-refreshed": ("busy-refreshed-{}", stores.refreshed, 1000, 3),
    "busy-harmed": ("busy-harmed-{}", stores.harmed, 500, 3),
    "busy-rotated": ("busy-rotated-{}", stores.rotated, 500, 3),
    "databases": ("databases-{}", databases.databases, 100, 5),
}
_BENCHMARKS: dict[str, tuple[Benchmark, int, int]] = {
    "life": (_life, 10_000, 2),
    **{
        name: (partial(_one, name=result, measure=measure), objects, runs)
        for name, (result, measure, objects, runs) in _PLAIN.items()
    },
}
"""Each benchmark, of how many objects, and how often it runs."""


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    # What was started is ended as after Ctrl-C, which asyncio knows; in the background a shell has it ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        asyncio.run(_measure(options))
    except BenchmarkError as error:
        print(f"python -m benchmarks {options.what}: {error}", file=sys.stderr)
        return 1
    results.write_tables(options.results, options.readme)
    return 0


async def _measure(options: argparse.Namespace) -> None:
    if options.what == "peers":
        await peers.compare_with_peer(options)
    elif options.what == "check":
        await load.check(options)
    for name, (benchmark, objects, runs) in _BENCHMARKS.items():
        if options.what in (name, "all"):
            await _run(benchmark, options.objects or objects, options.runs or runs, options.results)


async def _run(benchmark: Benchmark, objects: int, times: int, folder: Path) -> None:
    """Run a benchmark some times; what is done is kept after each, whatever happens to the next."""
    done: dict[str, list[dict[str, float]]] = {}
    for number in range(1, times + 1):
        for name, figures in (await benchmark(objects)).items():
            done.setdefault(name, []).append(figures)
            results.keep(name, done[name], folder)
            print(f"{name} {number}/{times}: {results.rounded(figures)}", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="what", required=True)
    for name in (*_BENCHMARKS, "all", "table", "peers", "check"):
        add = (command := commands.add_parser(name)).add_argument
        if name == "peers":
            peers.add_options(command)
        else:
            add("--runs", type=int, default=3 if name == "check" else None, help="how often to measure")
        if name == "check":
            add("--keep", action="store_true", help="keep the counters, as those of this commit")
        add("--objects", type=int, help="how many objects, instead of each benchmark's own number")
        add("--results", type=Path, default=results.HERE / "results", help="where figures are kept")
        add("--readme", type=Path, default=results.HERE / "README.md", help="where the tables go")
    return parser


if __name__ == "__main__":
    sys.exit(main())
