"""Results as JSON, and as the tables of the README."""

from __future__ import annotations

import platform
import statistics
import subprocess
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeAlias

import orjson

from sandbox import build

HERE = Path(__file__).parent
BEGIN, END = "<!-- figures: python -m benchmarks table -->\n", "<!-- end of figures -->\n"
Runs: TypeAlias = "Sequence[dict[str, Any]]"

_ROWS = tuple(
    tuple(part.strip() for part in line.split("|"))
    for line in (HERE / "figures.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
)
"""Result, key, digits, target and title of each figure of the table."""


def keep(name: str, runs: Runs, folder: Path, **facts: Any) -> None:
    """Write down the runs of one benchmark, in place of its last ones, with facts about it."""
    folder.mkdir(parents=True, exist_ok=True)
    document = {**circumstances(), **facts, "runs": list(runs)}
    (folder / f"{name}.json").write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")


def rounded(figures: dict[str, float]) -> str:
    """Return figures as text, for the terminal."""
    return ", ".join(f"{name} {figure:.3f}".rstrip("0").rstrip(".") for name, figure in figures.items())


def write_tables(folder: Path, readme: Path) -> None:
    """Put the tables of what is in `folder` between the marks of `readme`.

    Raises:
        ValueError: It has no such marks.
    """
    found = {file.stem: orjson.loads(file.read_bytes()) for file in sorted(folder.glob("*.json"))}
    peers = [orjson.loads(file.read_bytes()) for file in sorted((folder / PEERS).glob("*.json"))]
    text = readme.read_text(encoding="utf-8")
    text = _between(text, BEGIN, END, list(_lines(found)))
    text = _between(text, PEERS_BEGIN, PEERS_END, [line for one in peers for line in peer_table(one)])
    readme.write_text(text, encoding="utf-8")


def _between(text: str, begin: str, end: str, lines: Sequence[str]) -> str:
    before, has_begin, rest = text.partition(begin)
    _, has_end, after = rest.partition(end)
    if not (has_begin and has_end):
        raise ValueError(f"the README lacks the marks {begin.strip()} and {end.strip()}")
    return "".join((before, begin, *lines, end, after))


def _lines(found: dict[str, Any]) -> Iterator[str]:
    yield "\n| figure | min | median | max | runs | target |\n|---|--:|--:|--:|--:|--:|\n"
    for result, key, digits, target, title in _ROWS:
        runs = found.get(result, {}).get("runs", ())
        if runs and all(key in run for run in runs):  # earlier results lack some figures
            numbers = _three([run[key] for run in runs], int(digits), " | ")
            yield f"| {title} | {numbers} | {len(runs)} | {target} |\n"
    yield "\n"
    for one in sorted({_circumstances_of(document) for document in found.values()}):
        yield f"{one}\n"
    yield "\n"


def _three(numbers: Sequence[float], digits: int, between: str = " / ") -> str:
    if not numbers:
        return "-"
    three = (min(numbers), statistics.median(numbers), max(numbers))
    return between.join(f"{number:,.{digits}f}" for number in three)


def _circumstances_of(document: dict[str, Any]) -> str:
    """Return on what the figures of a document were taken, as a sentence."""
    on = f"{document['processor']}, {document['memory']}"
    return f"Taken on {document['date']} on {on}; {document['versions']}."


def circumstances() -> dict[str, str]:
    """Return when and on what figures are taken, and with what."""
    facts = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    models = [line.partition(": ")[2] for line in facts.splitlines() if line.startswith("model name")]
    kibibytes = int(Path("/proc/meminfo").read_text(encoding="utf-8").split()[1])
    used = [f"{name} {version(name)}" for name in ("kopf", "aiohttp", "pydantic")]
    kubernetes, python = build.chosen().version, platform.python_version()
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=HERE, capture_output=True, text=True, check=False
    )
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "processor": f"{len(models)} cores of {models[0]}" if models else platform.machine(),
        "memory": f"{kibibytes / 2**20:.0f} GiB",
        "versions": ", ".join((f"Kubernetes {kubernetes}", f"Python {python}", *used)),
        "commit": described.stdout.strip() or "unknown",
    }


# The comparison with another controller

PEERS_BEGIN, PEERS_END = "<!-- peers: python -m benchmarks table -->\n", "<!-- end of peers -->\n"
PEERS = "peers"
OURS, THEIRS = "keyturn", "peer"
_TITLES = {"generated": "one generated password each", "pulled": "one key each of a store 20 ms away"}
VALUES = tuple(_TITLES)
"""Where the values of a comparison are from."""
_FIGURES = (
    ("per_second", 0, "Ready per second"),
    ("p50_seconds", 2, "create to Ready, median, s"),
    ("p99_seconds", 2, "create to Ready, p99, s"),
    ("system_ms", 2, "processor per object: whole system, ms"),
    ("api_server_ms", 2, "processor per object: API server, ms"),
    ("etcd_ms", 2, "processor per object: etcd, ms"),
    ("controller_ms", 2, "processor per object: controller, ms"),
    ("others_ms", 2, "processor per object: other programs, ms"),
    ("calls", 2, "API calls per object"),
    ("writes", 2, "API calls per object that write"),
    ("rss_mib", 0, "memory (RSS) at the end, MiB"),
    ("peak_mib", 0, "memory at most, MiB"),
    ("work_ms", 2, "a fixed piece of work meanwhile, ms"),
)


def peer_table(document: dict[str, Any]) -> Iterator[str]:
    """Yield the lines of one comparison: each figure of both sides, and ours in parts of theirs."""
    peer, pairs = document["peer"], document["runs"]
    named = f"{peer['name']} {peer['version']}"
    yield f"\n{document['objects']:,.0f} objects, {_TITLES[document['values']]}, {len(pairs)} pairs; "
    yield f"each cell is min / median / max. {named} runs with `{' '.join(peer['flags'])}`.\n\n"
    yield f"| figure | Keyturn | {named} | Keyturn in parts of it |\n|---|--:|--:|--:|\n"
    for key, digits, title in _FIGURES:
        ours, theirs = ([pair[side][key] for pair in pairs] for side in (OURS, THEIRS))
        parts = [one / their for one, their in zip(ours, theirs, strict=True) if their]
        yield f"| {title} | {_three(ours, digits)} | {_three(theirs, digits)} | {_three(parts, 2)} |\n"
    yield f"\n{_circumstances_of(document)}\n"
