"""Results as JSON, and as the table of the README."""

from __future__ import annotations

import platform
import statistics
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import orjson

from sandbox import releases

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HERE = Path(__file__).parent
BEGIN, END = "<!-- figures: python -m benchmarks table -->\n", "<!-- end of figures -->\n"

Runs: TypeAlias = "Sequence[dict[str, Any]]"


@dataclass(frozen=True, slots=True)
class _Row:
    """One figure of the table."""

    title: str
    result: str
    key: str
    digits: int
    target: str


def _rows(title: str, result: str, digits: int, *figures: tuple[str, str, str]) -> tuple[_Row, ...]:
    """Make the rows of one result from what each is called after `title`, its key and its target."""
    return tuple(_Row(f"{title}: {called}", result, key, digits, target) for called, key, target in figures)


def _life_rows(label: str, memory: str, requests: str) -> tuple[_Row, ...]:
    """Make the rows of the life of `label` objects, with the targets of memory and requests."""
    rest, killed, restart = f"{label} at rest", f"The leader of {label} killed", f"Restart with {label}"
    return tuple(
        _Row(title, f"{part}-{label.replace(',', '')}", key, digits, target)
        for part, title, key, digits, target in (
            ("idle", f"{rest}: processor, % of a core", "cpu_percent", 2, "≤ 1"),
            ("idle", f"{rest}: writes in a minute", "writes", 0, "0"),
            ("idle", f"{rest}: writes of the lease in a minute", "lease_writes", 0, ""),
            ("idle", f"{rest}: memory (RSS), MiB", "rss_mib", 0, memory),
            (
                "rotated",
                f"1,000 of {label} rotated at once: seconds until every status says so",
                "seconds",
                1,
                "",
            ),
            ("rotated", f"1,000 of {label} rotated at once: processor each, ms", "cpu_ms_per_object", 1, ""),
            ("failover", f"{killed}: seconds until a standby leads", "seconds_until_leading", 1, ""),
            ("failover", f"{killed}: seconds until all is looked at", "seconds", 1, "≤ 20"),
            ("failover", f"{killed}: processor, seconds", "cpu_seconds", 1, ""),
            ("failover", f"{killed}: writes", "writes", 0, "0"),
            ("failover", f"{killed}: memory (RSS) of the standby, MiB", "standby_rss_mib", 0, memory),
            ("restart", f"{restart}: writes", "writes", 0, "0"),
            ("restart", f"{restart}: seconds until it leads", "seconds_until_leading", 1, ""),
            ("restart", f"{restart}: seconds until all is looked at", "seconds", 1, ""),
            ("restart", f"{restart}: processor, seconds", "cpu_seconds", 1, ""),
            ("restart", f"{restart}: reads of single objects", "reads", 0, ""),
            ("restart", f"{restart}: requests, pages of lists included", "requests", 0, requests),
            ("restart", f"{restart}: memory (RSS), MiB", "rss_mib", 0, memory),
        )
    )


_ROWS = (
    *(
        _Row(f"{label} new objects: {title}", f"creation-{label.replace(',', '')}", key, digits, target)
        for label, rate, memory in (
            ("1,000", "≥ 180", "≤ 105"),
            ("10,000", "≥ 190", "≤ 200"),
            ("100,000", "", "≤ 900"),
        )
        for title, key, digits, target in (
            ("Ready per second", "per_second", 0, rate),
            ("the bare floor, per second", "floor_per_second", 0, ""),
            ("share of the floor", "share_of_floor", 2, ""),
            ("processor per object, ms", "cpu_ms_per_object", 2, "≤ 3"),
            ("API calls per object", "calls_per_object", 2, "≤ 4"),
            ("memory (RSS) at the end, MiB", "rss_mib", 0, memory),
            ("memory at most, MiB", "peak_mib", 0, ""),
        )
    ),
    *_life_rows("10,000", "≤ 200", "≤ 50"),
    *_life_rows("100,000", "≤ 900", ""),
    *(
        _Row(
            f"200 rotations, debounce {pause}: seconds until {title}", f"rotation-200-{pause}", key, 1, target
        )
        for pause, patched in (("0s", "≤ 5"), ("5s", ""))
        for title, key, target in (
            ("all Deployments are patched", "seconds_until_patched", patched),
            ("all are rolled", "seconds_until_rolled", ""),
            ("every status says so", "seconds_until_told", ""),
        )
    ),
    *_rows(
        "An emergency over 500 secrets",
        "emergency-500",
        1,
        ("seconds until all are rotated", "seconds_until_rotated", "≤ 30"),
        ("seconds until all Deployments are rolled", "seconds_until_rolled", ""),
        ("seconds until a bare restart of the same Deployments is", "floor_seconds_until_rolled", ""),
        ("seconds until its status says so", "seconds_until_told", ""),
    ),
    _Row("1,000 keys of a store 20 ms away: Ready per second", "pulled-1000", "per_second", 0, "≥ 150"),
    _Row("The same: share of generated values", "pulled-1000", "share_of_made", 2, ""),
    _Row("The same: processor per object, ms", "pulled-1000", "cpu_ms_per_object", 2, ""),
    _Row("The same: memory for the store and its SDK, MiB", "pulled-1000", "rss_more_mib", 0, "≤ 40"),
    _Row("A first Secret, idle operator: seconds until Ready", "latency", "first", 3, "≤ 1"),
    _Row("An edited Secret: seconds until repaired", "latency", "edited", 3, "≤ 2"),
    _Row("A deleted Secret: seconds until it is back", "latency", "deleted", 3, "≤ 2"),
    *(
        row
        for load, result, target in (
            ("2,000 others are created", "busy-created-2000", "≤ 1"),
            ("10,000 others are created", "busy-created-10000", "≤ 1"),
            ("1,000 others are read again from a store that takes 1 s", "busy-refreshed-1000", "≤ 1"),
            ("one tenant creates 500 hostile stores", "busy-harmed-500", "≤ 1"),
            ("500 others rotate, each with a Deployment", "busy-rotated-500", ""),
        )
        for row in _rows(
            f"A new object of another tenant while {load}",
            result,
            2,
            ("seconds until Ready, p50", "p50_seconds", ""),
            ("seconds until Ready, p99", "p99_seconds", target),
        )
    ),
    _Row("The same: longest delay of a first Secret, seconds", "busy-rotated-500", "delay_seconds", 2, "≤ 1"),
    *_rows(
        "A database password with 3 pods, PostgreSQL 18",
        "databases-100",
        2,
        ("seconds until it is published", "single_seconds_until_published", ""),
        ("seconds of the pods", "single_seconds_of_pods", ""),
        ("all other seconds until the earlier one is refused", "single_seconds_own", "≤ 2"),
        ("failed logins of a client, 20 a second", "single_failed_logins", "0"),
    ),
    *(
        _Row(f"100 database passwords of one server at once: {title}", "databases-100", key, digits, target)
        for title, key, digits, target in (
            ("seconds until all are published", "seconds_until_published", 1, "≤ 20"),
            ("connections at most", "sessions", 0, "≤ 10"),
            ("logins of clients, 20 a second", "logins", 0, ""),
            ("failed logins of clients", "failed_logins", 0, "0"),
            (
                "seconds from the end of an overlap until the earlier password is refused, at most",
                "seconds_from_overlap_until_refused",
                1,
                "≤ 60",
            ),
            ("earlier passwords that are accepted afterwards", "earlier_passwords_accepted", 0, "0"),
            ("processor per rotation, ms", "cpu_ms_per_rotation", 0, ""),
        )
    ),
    *_rows(
        "A leader that is frozen inside the lock of an account, with 20 rotations",
        "databases-100",
        1,
        ("seconds until another has published all", "frozen_seconds_until_published", ""),
        ("the same from when the Lease may be taken", "frozen_seconds_from_end_of_term", "≤ 15"),
        ("failed logins of clients", "frozen_failed_logins", "0"),
    ),
    *(
        _Row(f"Databases: {title}", "databases-100", key, digits, target)
        for title, key, digits, target in (
            ("memory (RSS) without a target, MiB", "rss_without_target_mib", 0, ""),
            ("memory for the first account in use, MiB", "rss_more_mib", 0, "≤ 16"),
            ("connections at rest", "sessions_at_rest", 0, "0"),
        )
    ),
    _Row("A probe of a database password: processor, ms", "probes-500", "cpu_ms_per_probe", 1, ""),
    _Row(
        "1,000 probed database passwords, reckoned from it: processor, % of a core",
        "probes-500",
        "percent_of_a_core",
        2,
        "≤ 2",
    ),
)


def keep(name: str, runs: Runs, folder: Path, python: str, **facts: Any) -> None:
    """Write down the runs of one benchmark, in place of its last ones, with facts about it.

    `python` is the version of the interpreter that ran the operator.
    """
    folder.mkdir(parents=True, exist_ok=True)
    document = {**circumstances(python), **facts, "runs": list(runs)}
    (folder / f"{name}.json").write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")


def write_table(folder: Path, readme: Path) -> None:
    """Put the table of what is in `folder` between the two marks of `readme`.

    Raises:
        ValueError: It has no such marks.
    """
    found = {file.stem: orjson.loads(file.read_bytes()) for file in sorted(folder.glob("*.json"))}
    write_between(readme, BEGIN, END, list(_lines(found)))


def write_between(readme: Path, begin: str, end: str, lines: Sequence[str]) -> None:
    """Put lines between two marks of `readme`.

    Raises:
        ValueError: It has no such marks.
    """
    before, has_begin, rest = readme.read_text(encoding="utf-8").partition(begin)
    _, has_end, after = rest.partition(end)
    if not (has_begin and has_end):
        raise ValueError(f"{readme} lacks the marks between which the table goes")
    readme.write_text("".join((before, begin, *lines, end, after)), encoding="utf-8")


def _lines(found: dict[str, Any]) -> Iterator[str]:
    yield "\n| figure | min | median | max | runs | target |\n|---|--:|--:|--:|--:|--:|\n"
    for row in _ROWS:
        runs = found.get(row.result, {}).get("runs", ())
        if runs and all(row.key in run for run in runs):  # earlier results lack some figures
            yield _line(row, runs)
    yield "\n"
    for one in sorted({circumstances_of(document) for document in found.values()}):
        yield f"{one}\n"
    yield "\n"


def _line(row: _Row, runs: Runs) -> str:
    numbers = [run[row.key] for run in runs]
    three = (min(numbers), statistics.median(numbers), max(numbers))
    shown = " | ".join(f"{number:,.{row.digits}f}" for number in three)
    return f"| {row.title} | {shown} | {len(numbers)} | {row.target} |\n"


def circumstances_of(document: dict[str, Any]) -> str:
    """Return on what the figures of a document were taken, as a sentence."""
    on = f"{document['processor']}, {document['memory']}"
    return f"Taken on {document['date']} on {on}; {document['versions']}."


def circumstances(python: str) -> dict[str, str]:
    """Return when and on what figures are taken, and with what; `python` ran the operator."""
    facts = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    models = [line.partition(": ")[2] for line in facts.splitlines() if line.startswith("model name")]
    kibibytes = int(Path("/proc/meminfo").read_text(encoding="utf-8").split()[1])
    used = [f"{name} {version(name)}" for name in ("kopf", "aiohttp", "pydantic")]
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "processor": f"{len(models)} cores of {models[0]}" if models else platform.machine(),
        "memory": f"{kibibytes / 2**20:.0f} GiB",
        "versions": ", ".join((f"Kubernetes {releases.chosen().version}", f"Python {python}", *used)),
        "commit": _commit(),
    }


def _commit() -> str:
    asked = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=HERE, capture_output=True, text=True, check=False
    )
    return asked.stdout.strip() or "unknown"
