"""Tables of the comparisons with other controllers, from their kept results."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from . import results
from .changed import PODS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

BEGIN, END = "<!-- peers: python -m benchmarks table -->\n", "<!-- end of peers -->\n"
OURS, OURS_AT_ONCE, THEIRS = "keyturn", "keyturn_0s", "peer"
"""The sides of a comparison; the second is Keyturn with `debounce: 0s`."""
FOLDER = "peers"
CHANGED = "changed"
_STORE = "one key each of a store 20 ms away"
_TITLES = {
    "generated": "one generated password each",
    "pulled": _STORE,
    CHANGED: f"{_STORE} whose values change, a Deployment of {PODS} pods each",
}
VALUES = tuple(_TITLES)
"""Where the values of a comparison are from."""


@dataclass(frozen=True, slots=True)
class _Row:
    title: str
    key: str
    digits: int


_CREATED = (
    _Row("Ready per second", "per_second", 0),
    _Row("create to Ready, median, s", "p50_seconds", 2),
    _Row("create to Ready, p99, s", "p99_seconds", 2),
)
_CHANGES = (
    _Row("seconds until all Secrets have the new value", "seconds_until_published", 1),
    _Row("seconds until all Deployments are patched", "seconds_until_patched", 1),
    _Row("seconds until all pods are new", "seconds_until_rolled", 1),
    _Row("request to new Secret, median, s", "published_p50_seconds", 2),
    _Row("request to new Secret, p99, s", "published_p99_seconds", 2),
    _Row("request to new pods, median, s", "rolled_p50_seconds", 2),
    _Row("request to new pods, p99, s", "rolled_p99_seconds", 2),
)
_COSTS = (
    _Row("processor per object: whole system, ms", "system_ms", 2),
    _Row("processor per object: API server, ms", "api_server_ms", 2),
    _Row("processor per object: etcd, ms", "etcd_ms", 2),
    _Row("processor per object: controller, ms", "controller_ms", 2),
    _Row("of it Reloader", "reloader_ms", 2),
    _Row("processor per object: other programs, ms", "others_ms", 2),
    _Row("API calls per object", "calls", 2),
    _Row("of it Reloader", "reloader_calls", 2),
    _Row("API calls per object that write", "writes", 2),
    _Row("of it Reloader", "reloader_writes", 2),
    _Row("memory (RSS) at the end, MiB", "rss_mib", 0),
    _Row("of it Reloader", "reloader_rss_mib", 0),
    _Row("memory at most, MiB", "peak_mib", 0),
    _Row("a fixed piece of work meanwhile, ms", "work_ms", 2),
)


def write_tables(folder: Path, readme: Path) -> None:
    """Put the tables of all comparisons in `folder` between their marks in `readme`."""
    documents = [orjson.loads(file.read_bytes()) for file in sorted((folder / FOLDER).glob("*.json"))]
    results.write_between(readme, BEGIN, END, [line for document in documents for line in table(document)])


def table(document: dict[str, Any]) -> Iterator[str]:
    """Yield the lines of one comparison: each figure of all sides, and ours in parts of theirs."""
    peer, pairs, values = document["peer"], document["runs"], document["values"]
    yield f"\n{document['objects']:,.0f} objects, {_TITLES[values]}, {len(pairs)} pairs; "
    yield f"each cell is min / median / max. {_flags(peer)}.\n\n"
    ours = {OURS: "Keyturn"}
    if values == CHANGED:
        ours = {OURS: "Keyturn, `debounce: 5s` by default", OURS_AT_ONCE: "Keyturn, `debounce: 0s`"}
    parts = ["Keyturn in parts of it", "with `0s`"][: len(ours)]
    heads = ["figure", *ours.values(), _name(peer), *parts]
    yield f"| {' | '.join(heads)} |\n|---|{'--:|' * (len(heads) - 1)}\n"
    for row in (*(_CHANGES if values == CHANGED else _CREATED), *_COSTS):
        if any(row.key in pair[THEIRS] for pair in pairs):
            cells = [_three(_figures(pairs, side, row), row.digits) for side in (*ours, THEIRS)]
            ratios = [_three(_ratios(pairs, side, row), 2) for side in ours]
            yield f"| {row.title} | {' | '.join((*cells, *ratios))} |\n"
    yield f"\n{results.circumstances_of(document)}\n"


def _name(peer: dict[str, Any]) -> str:
    return " and ".join(f"{one['name']} {one['version']}" for one in _programs(peer))


def _flags(peer: dict[str, Any]) -> str:
    return ", ".join(
        f"{one['name']} {one['version']} runs with `{' '.join(one['flags'])}`" for one in _programs(peer)
    )


def _programs(peer: dict[str, Any]) -> list[dict[str, Any]]:
    return [peer, *([peer["reloader"]] if "reloader" in peer else [])]


def _figures(pairs: Sequence[dict[str, Any]], side: str, row: _Row) -> list[float]:
    return [pair[side][row.key] for pair in pairs if row.key in pair[side]]


def _ratios(pairs: Sequence[dict[str, Any]], side: str, row: _Row) -> list[float]:
    return [
        pair[side][row.key] / other
        for pair in pairs
        if row.key in pair[side] and (other := pair[THEIRS][row.key])
    ]


def _three(numbers: Sequence[float], digits: int) -> str:
    if not numbers:
        return "-"
    three = (min(numbers), statistics.median(numbers), max(numbers))
    return " / ".join(f"{number:,.{digits}f}" for number in three)
