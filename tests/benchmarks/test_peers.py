from __future__ import annotations

import os
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from benchmarks import peers, results
from benchmarks.cluster import NAMESPACE, BenchmarkError, connected
from benchmarks.contender import SHIPPED, AuditLog, Template
from benchmarks.load import load
from keyturn.kube import paths
from sandbox import ControlPlane

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from benchmarks.cluster import Cluster
    from benchmarks.contender import Contender

HERE = Path(__file__).parent
OBJECTS = 3
MARKS = f"{results.BEGIN}{results.END}{results.PEERS_BEGIN}old\n{results.PEERS_END}"
NEVER, EVENTUALLY = 4, 60
"""Seconds to wait for what does not come, and for what comes late on a busy machine."""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("program") / "controller"
    path.write_text(f'#!/bin/sh\nexec {sys.executable} {HERE / "controller.py"} "$@"\n')
    path.chmod(0o755)
    return path


def peer_of(program: Path, behaviour: str = "works", template: Path = HERE / "widget.yaml") -> peers.Peer:
    return peers.Peer("Widgets", "1", program, (behaviour,), {}, HERE, Template.read(template))


class Prepared:
    """A control plane that has what a peer needs, for several peers in turn."""

    def __init__(self, plane: ControlPlane, kubeconfig: Path, folder: Path) -> None:
        self.plane = plane
        self._kubeconfig = kubeconfig
        self._folder = folder

    @asynccontextmanager
    async def cluster(self) -> AsyncIterator[Cluster]:
        async with connected(self.plane, self._kubeconfig, self._folder) as cluster:
            yield cluster
            await cluster.bare.delete(f"/apis/bench.example/v1/namespaces/{NAMESPACE}/widgets")
            await cluster.bare.delete(paths.secrets(NAMESPACE))


@pytest.fixture(scope="module")
def prepared(program: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prepared]:
    folder = tmp_path_factory.mktemp("prepared")
    with ControlPlane.start() as plane:
        yield Prepared(plane, peers.install(peer_of(program), plane, folder), folder)


async def test_a_pair_has_every_figure_of_both_and_the_table_its_ratios(
    prepared: Prepared, program: Path, tmp_path: Path
) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(MARKS)
    peer = peer_of(program)

    @asynccontextmanager
    async def side() -> AsyncIterator[Contender]:
        async with prepared.cluster() as cluster, peers.started(peer, cluster) as contender:
            yield contender

    sides = {results.OURS: side, results.THEIRS: side}
    pair = await peers.measure_pair(sides, OBJECTS, swapped=True)
    peers.keep("generated-3", peer.facts(), "generated", [pair], tmp_path)
    results.write_tables(tmp_path, readme)

    for figures in pair.values():
        assert figures["writes"] == 2  # a Secret and a status
        assert figures["calls"] >= figures["writes"]
        assert 0 < figures["p50_seconds"] <= figures["p99_seconds"]
        assert figures["system_ms"] > figures["api_server_ms"] > 0
        assert min(figures[key] for key in ("per_second", "rss_mib", "work_ms")) > 0
    text = readme.read_text()
    assert (
        "| API calls per object that write | 2.00 / 2.00 / 2.00 | 2.00 / 2.00 / 2.00 | 1.00 / 1.00 / 1.00 |"
        in text
    )
    assert "Widgets 1" in text
    assert "`works`" in text
    assert "old" not in text
    assert str(program.parent) not in (tmp_path / "peers" / "generated-3.json").read_text()


async def test_a_controller_ends_with_its_block(prepared: Prepared, program: Path) -> None:
    async with prepared.cluster() as cluster, peers.started(peer_of(program), cluster) as contender:
        os.kill(contender.program.pid, 0)  # it runs

    with pytest.raises(ProcessLookupError):
        os.kill(contender.program.pid, 0)


@pytest.mark.parametrize(
    ("behaviour", "template", "patience", "words"),
    [
        ("ends", "widget.yaml", EVENTUALLY, ("exit code 1", "cannot work with widgets")),
        ("idle", "widget.yaml", NEVER, ("Ready", f"0 of {OBJECTS}")),
        ("works", "wrong-widget.yaml", EVENTUALLY, ("refuses", "spec.size")),
        ("works", SHIPPED / "eso-generated.yaml", EVENTUALLY, ("does not serve", "ExternalSecret")),
    ],
    ids=["ends early", "never Ready", "object refused", "kind not served"],
)
async def test_a_controller_that_cannot_be_measured_ends_the_run_with_its_reason(
    prepared: Prepared,
    program: Path,
    behaviour: str,
    template: str | Path,
    patience: float,
    words: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("benchmarks.load.PATIENCE", patience)
    peer = peer_of(program, behaviour, HERE / template)
    async with prepared.cluster() as cluster, peers.started(peer, cluster) as contender:
        with pytest.raises(BenchmarkError) as refused:
            await load(contender, OBJECTS)

    assert all(word in str(refused.value) for word in words)


@pytest.mark.parametrize("values", ["generated", "pulled"])
@pytest.mark.parametrize("side", ["keyturn", "eso"])
def test_the_shipped_templates_are_templates(side: str, values: str) -> None:
    template = Template.read(SHIPPED / f"{side}-{values}.yaml", store="http://127.0.0.1:1")

    assert template.body("one")["metadata"]["name"] == "one"
    assert "${" not in template.each.replace("${name}", "")


def test_calls_are_those_of_one_user_without_watches_and_leases(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    path.write_text(event("ours", "create", "secrets"))
    log = AuditLog(path, "ours")
    with path.open("a") as audit:
        audit.write(event("ours", "create", "secrets"))
        audit.write(event("ours", "get", "secrets"))
        audit.write(event("ours", "watch", "secrets"))
        audit.write(event("ours", "update", "leases"))
        audit.write(event("theirs", "create", "secrets"))
        audit.write(event("ours", "list", "secrets", stage="ResponseStarted"))
        audit.write(event("ours", "delete", "secrets").rstrip("\n"))  # incomplete: counted later

    log.read()
    first = (log.calls, log.writes)
    with path.open("a") as audit:
        audit.write("\n")
    log.read()

    assert first == (3, 2)
    assert (log.calls, log.writes) == (4, 3)


def event(user: str, verb: str, resource: str, stage: str = "ResponseComplete") -> str:
    return (
        f'{{"stage":"{stage}","verb":"{verb}","user":{{"username":"{user}"}},'
        f'"objectRef":{{"resource":"{resource}"}}}}\n'
    )
