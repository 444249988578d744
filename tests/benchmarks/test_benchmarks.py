from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from benchmarks import results, stores
from benchmarks.cluster import NAMESPACE, Cluster, fresh
from benchmarks.contender import keyturn
from benchmarks.databases import databases
from benchmarks.life import life
from benchmarks.load import load
from benchmarks.rotation import emergency, latency, rotation
from benchmarks.servers import WAYS, awslike
from keyturn.kube import paths

OBJECTS = len(WAYS)
SECONDS = 1.0


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
        busy = {
            "created": await stores.created(OBJECTS, the_same),
            "refreshed": await stores.refreshed(OBJECTS, the_same, SECONDS),
            "harmed": await stores.harmed(OBJECTS, the_same, SECONDS),
            "rotated": await stores.rotated(OBJECTS, the_same, 20),
        }
        async with awslike(0) as store, keyturn("pulled", store, the_same) as contender:
            figures["pulled"] = await load(contender, OBJECTS)
        accounts = await databases(3, the_same, rotations=1, overlap=2)

    assert figures["creation"]["calls_per_object"] >= 3  # two Secrets and a status
    assert figures["creation"]["per_second"] > 0
    assert figures["creation"]["floor_per_second"] > 0
    assert figures["pulled"]["writes"] >= 3
    assert figures["pulled"]["controller_ms"] > 0
    assert figures["idle"]["writes"] == 0
    assert 0 < figures["failover"]["seconds_until_leading"] <= figures["failover"]["seconds"]
    assert figures["failover"]["writes"] == figures["restart"]["writes"] == 0
    assert figures["rotation"]["seconds_until_patched"] <= figures["rotation"]["seconds_until_rolled"]
    assert 0 < figures["emergency"]["seconds_until_rotated"] <= figures["emergency"]["seconds_until_rolled"]
    assert all(0 < seconds < 30 for seconds in figures["latency"].values())
    for one in busy.values():
        assert one["samples"] >= 1
        assert 0 < one["p50_seconds"] <= one["p99_seconds"] <= one["longest_seconds"]
    assert 0 < accounts["single_seconds_until_published"] < accounts["single_seconds"]
    assert 0 < accounts["seconds_until_published"] < 60
    assert 0 < accounts["sessions"] <= 10
    assert accounts["earlier_passwords_accepted"] == 0
    assert [count for name, count in accounts.items() if name.endswith("failed_logins")] == [0, 0]


def test_the_table_shows_least_middle_and_most_of_all_runs(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    marks = (results.BEGIN, "old\n", results.END, results.PEERS_BEGIN, "old\n", results.PEERS_END)
    readme.write_text(f"before\n{''.join(marks)}after\n")
    results.keep(
        "latency", [{"first": first, "edited": 1, "deleted": 1} for first in (0.3, 0.1, 0.2)], tmp_path
    )

    results.write_tables(tmp_path, readme)

    text = readme.read_text()
    assert "| 0.100 | 0.200 | 0.300 | 3 | ≤ 1 |" in text
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
