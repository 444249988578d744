from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
import pytest

from benchmarks import compare as comparison
from benchmarks import results
from benchmarks.access import access
from benchmarks.awslike import awslike
from benchmarks.changed import change
from benchmarks.cluster import NAMESPACE, fresh
from benchmarks.compare import compare
from benchmarks.emergency import emergency
from benchmarks.floor import CRDS, floors
from benchmarks.kinds import kinds
from benchmarks.latency import latency
from benchmarks.life import life
from benchmarks.load import load
from benchmarks.ours import keyturn
from benchmarks.pulled import pulled
from benchmarks.rotation import rotation
from keyturn.kube import paths
from sandbox.harness import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from benchmarks.cluster import Cluster

ROOT = Path(__file__).parents[2]
OBJECTS = 5
EVENTS = 800


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder whose path leaves room for the name of a socket."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


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
            "rotation": await rotation(OBJECTS, "0s", the_same),
            "emergency": await emergency(OBJECTS, the_same),
            "latency": await latency(the_same),
            "pulled": await pulled(OBJECTS, the_same),
            "kinds": await kinds(1, the_same),
            "access": await access(EVENTS),
        }
        async with keyturn("generated", planes=the_same) as contender:
            figures["load"] = await load(contender, OBJECTS, 60)
        at_once = {"debounce": "0s"}
        async with awslike(0) as store, keyturn("pulled", store, the_same, rollout=at_once) as contender:
            figures["changed"] = await change(contender, store, OBJECTS, 60)

        @asynccontextmanager
        async def any_crd(_: object) -> AsyncIterator[Cluster]:
            async with the_same() as one:
                yield one

        figures["floors"] = await floors(OBJECTS, any_crd)

    assert figures["creation"]["calls_per_object"] >= 3  # two Secrets and a status
    assert figures["creation"]["per_second"] > 0
    assert figures["creation"]["floor_per_second"] > 0
    assert figures["load"]["writes"] >= 3
    assert figures["load"]["controller_ms"] > 0
    assert figures["changed"]["seconds_until_patched"] <= figures["changed"]["seconds_until_rolled"]
    assert figures["changed"]["writes"] >= 3  # a Secret, a Deployment and a status
    assert all(figures["floors"][f"{name}_per_second"] > 0 for name in CRDS)
    assert figures["idle"]["writes"] == 0
    assert figures["rotated"]["seconds"] > 0
    assert 0 < figures["failover"]["seconds_until_leading"] <= figures["failover"]["seconds"]
    assert figures["failover"]["writes"] == figures["restart"]["writes"] == 0
    assert figures["rotation"]["seconds_until_patched"] <= figures["rotation"]["seconds_until_rolled"]
    assert 0 < figures["emergency"]["seconds_until_rotated"] <= figures["emergency"]["seconds_until_rolled"]
    assert figures["pulled"]["per_second"] > 0
    assert figures["kinds"]["cpu_ms_per_rotation"] > 0
    assert figures["kinds"]["longest_answer_ms"] > 0
    assert figures["access"]["events_per_second"] > 0
    assert figures["access"]["bytes_per_event"] > 500
    assert all(0 < seconds < 30 for seconds in figures["latency"].values())


def test_the_table_shows_least_middle_and_most_of_all_runs(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{results.BEGIN}old\n{results.END}after\n")
    results.keep(
        "latency",
        [{"first": first, "edited": 1, "deleted": 1} for first in (0.3, 0.1, 0.2)],
        tmp_path,
        "3.13",
    )

    results.write_table(tmp_path, readme)

    text = readme.read_text()
    assert "| 0.100 | 0.200 | 0.300 | 3 | ≤ 1 |" in text
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text


async def test_a_comparison_with_a_commit_that_is_not_there_says_so() -> None:
    with pytest.raises(RuntimeError, match="git archive failed"):
        await compare("no-such-commit", 1, 1, ours_first=False)


def is_compiled(tree: Path) -> bool:
    return any(tree.glob("operator/keyturn/core/__pycache__/*.pyc"))


@pytest.mark.parametrize("ours_first", [False, True])
async def test_a_comparison_measures_compiled_code_in_the_order_that_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, *, ours_first: bool
) -> None:
    run, trees = comparison._run, []

    async def measured(*command: str, at: Path) -> bytes:
        if "-c" not in command:
            return await run(*command, at=at)
        trees.append(at)
        assert is_compiled(at)
        figures = dict.fromkeys(("per_second", "cpu_ms_per_object", "seconds_until_patched"), len(trees))
        return orjson.dumps({"creation": figures, "rotation": figures})

    monkeypatch.setattr(comparison, "_run", measured)
    found = await compare("HEAD", 1, 1, ours_first=ours_first)

    assert trees[0 if ours_first else 1] == ROOT
    assert set(found.values()) == {0.5 if ours_first else 2.0}


@pytest.mark.timeout(600)
def test_one_that_is_terminated_in_the_background_leaves_nothing_behind(short: Path) -> None:
    """SIGTERM becomes the SIGINT of Ctrl-C, which a shell has ignored for what it runs in the background."""
    process = subprocess.Popen(
        [
            *("sh", "-c", 'trap "" INT; exec "$@"', "sh"),
            sys.executable,
            "-m",
            "benchmarks",
            "pulled",
            "--objects=5000",
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
