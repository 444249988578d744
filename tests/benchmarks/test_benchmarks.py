from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from benchmarks import results, stores
from benchmarks.cluster import NAMESPACE, Cluster, fresh
from benchmarks.contender import keyturn
from benchmarks.life import life
from benchmarks.load import load
from benchmarks.rotation import emergency, latency, rotation
from benchmarks.servers import WAYS, awslike
from keyturn.kube import paths
from sandbox.harness import eventually

ROOT = Path(__file__).parents[2]
OBJECTS = len(WAYS)
SECONDS = 1.0


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder whose path leaves room for the name of a socket."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("short_rests", "forked")
async def test_every_benchmark_still_measures() -> None:
    async with fresh() as cluster:

        @asynccontextmanager
        async def the_same() -> AsyncIterator[Cluster]:
            yield cluster
            await cluster.bare.delete(paths.managed_secrets(NAMESPACE))  # as a fresh one: without objects
            await cluster.bare.delete(paths.secrets(NAMESPACE))

        figures = {
            **await life(OBJECTS, 1.0, the_same),
            "rotation": await rotation(OBJECTS, the_same),
            "emergency": await emergency(OBJECTS, the_same),
            "latency": await latency(1, the_same),
        }
        async with keyturn("generated", planes=the_same) as contender:
            figures["load"] = await load(contender, OBJECTS)
        busy = {
            "created": await stores.created(OBJECTS, the_same),
            "refreshed": await stores.refreshed(OBJECTS, the_same, SECONDS),
            "harmed": await stores.harmed(OBJECTS, the_same, SECONDS),
            "rotated": await stores.rotated(OBJECTS, the_same, 20),
        }
        async with awslike(0) as store, keyturn("pulled", store, the_same) as contender:
            figures["pulled"] = await load(contender, OBJECTS)

    assert figures["creation"]["calls_per_object"] >= 3  # two Secrets and a status
    assert figures["creation"]["per_second"] > 0
    assert figures["creation"]["floor_per_second"] > 0
    assert figures["load"]["writes"] >= 3
    assert figures["load"]["controller_ms"] > 0
    assert figures["pulled"]["writes"] >= 3
    assert figures["idle"]["writes"] == 0
    assert 0 < figures["failover"]["seconds_until_leading"] <= figures["failover"]["seconds"]
    assert figures["failover"]["writes"] == figures["restart"]["writes"] == 0
    assert figures["rotation"]["seconds_until_patched"] <= figures["rotation"]["seconds_until_rolled"]
    assert 0 < figures["emergency"]["seconds_until_rotated"] <= figures["emergency"]["seconds_until_rolled"]
    assert all(0 < seconds < 30 for seconds in figures["latency"].values())
    for one in busy.values():
        assert one["samples"] >= 1
        assert 0 < one["p50_seconds"] <= one["p99_seconds"] <= one["longest_seconds"]


def test_the_table_shows_least_middle_and_most_of_all_runs(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    marks = (results.BEGIN, "old\n", results.END, results.PEERS_BEGIN, "old\n", results.PEERS_END)
    readme.write_text(f"before\n{''.join(marks)}after\n")
    results.keep(
        "latency",
        [{"first": first, "edited": 1, "deleted": 1} for first in (0.3, 0.1, 0.2)],
        tmp_path,
    )

    results.write_tables(tmp_path, readme)

    text = readme.read_text()
    assert "| 0.100 | 0.200 | 0.300 | 3 | ≤ 1 |" in text
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text


@pytest.mark.timeout(600)
def test_one_that_is_terminated_in_the_background_leaves_nothing_behind(short: Path) -> None:
    """SIGTERM becomes the SIGINT of Ctrl-C, which a shell has ignored for what it runs in the background."""
    process = subprocess.Popen(
        [
            *("sh", "-c", 'trap "" INT; exec "$@"', "sh"),
            sys.executable,
            "-m",
            "benchmarks",
            "rotation",
            "--objects=2000",
            f"--results={short / 'results'}",
        ],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(short), "XDG_RUNTIME_DIR": ""},
        stderr=subprocess.DEVNULL,
    )
    try:
        eventually(lambda: any(b"\0keyturn\0run\0" in one for one in programs_of(short)), "an operator", 300)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        process.wait(200)
    finally:
        process.kill()
        process.wait()

    assert programs_of(short) == []
    planes = short / f"keyturn-sandbox-{os.getuid()}"
    assert set(short.rglob("*")) == {planes, planes / ".lock"}


def programs_of(folder: Path) -> list[bytes]:
    """Return the command lines of all processes whose environment names the folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if os.fsencode(folder) in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_bytes())
    return found
