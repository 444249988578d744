"""Whether an object costs more than at the last commit whose counters are kept in the results.

A counter is seconds of processor, in user and kernel, in parts of a fixed piece of work that is sampled meanwhile: a
machine that is half as fast, or busy, doubles both. The least of several runs counts.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import orjson

from . import results
from .cluster import fresh
from .errors import CheckError
from .load import load
from .ours import keyturn

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from pathlib import Path

Run: TypeAlias = "dict[str, float]"

_PARTS = ("controller_ms", "api_server_ms", "etcd_ms")
_FIGURES = (*_PARTS, "calls", "work_ms")
_MOST = 1.10
_OBJECTS = 1000


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--keep", action="store_true", help="keep the counters, as those of this commit")
    parser.add_argument("--runs", type=int, default=3, help="how often to measure (%(default)s)")


async def check(options: argparse.Namespace) -> None:
    """Measure, print, and compare with the last counters that are kept; or keep these.

    Raises:
        CheckError: A counter has grown by more than a tenth, or none is kept.
    """
    objects = options.objects or _OBJECTS
    runs: list[Run] = []
    for number in range(1, options.runs + 1):
        async with keyturn("generated", planes=partial(fresh, options.interpreter.container)) as contender:
            figures = await load(contender, objects, max(60.0, objects / 10))
        runs.append({key: figures[key] for key in _FIGURES})
        print(f"check {number}/{options.runs}: {_spelled(runs[-1])}", flush=True)
    before = kept(options.results, objects)
    if options.keep:
        keep(options.results, objects, runs, options.interpreter.version)
        return
    if before is None:
        raise CheckError(f"no counters of {objects} objects are kept; --keep keeps these")
    here = results.circumstances(options.interpreter.version)
    for fact in ("processor", "versions"):
        if before[fact] != here[fact]:
            print(f"the kept counters are of other {fact}: {before[fact]}, here {here[fact]}", flush=True)
    if found := grown(before["runs"], runs):
        raise CheckError(f"an object costs more than at commit {before['commit']}: {'; '.join(found)}")


def grown(before: Sequence[Run], now: Sequence[Run]) -> list[str]:
    """Name each counter that is more than a tenth above its kept value."""
    found = []
    for key, was in _counters(before).items():
        part = _counters(now)[key] / was
        if part > _MOST:
            found.append(f"{key} is {part:.2f} of what it was")
    return found


def kept(folder: Path, objects: int) -> dict[str, Any] | None:
    """Return the last entry for that many objects."""
    return next((one for one in reversed(_entries(folder)) if one["objects"] == objects), None)


def keep(folder: Path, objects: int, runs: Sequence[Run], python: str) -> None:
    """Add an entry for this commit."""
    entry = {**results.circumstances(python), "objects": objects, "runs": list(runs)}
    file = _file(folder)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(orjson.dumps([*_entries(folder), entry], option=orjson.OPT_INDENT_2) + b"\n")


def _counters(runs: Sequence[Run]) -> Run:
    """Return the least of each counter; processor is in parts of the fixed work."""
    least = {key: min(run[key] / run["work_ms"] for run in runs) for key in _PARTS}
    return {**least, "calls": min(run["calls"] for run in runs)}


def _entries(folder: Path) -> list[dict[str, Any]]:
    file = _file(folder)
    entries: list[dict[str, Any]] = orjson.loads(file.read_bytes()) if file.exists() else []
    return entries


def _file(folder: Path) -> Path:
    return folder / "counters" / "creation.json"


def _spelled(run: Run) -> str:
    return ", ".join(f"{key} {figure:.2f}" for key, figure in run.items())
