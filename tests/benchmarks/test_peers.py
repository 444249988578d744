from __future__ import annotations

import os
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from benchmarks import peer as other
from benchmarks import peers
from benchmarks.__main__ import _parser
from benchmarks.cluster import NAMESPACE, connected
from benchmarks.errors import PeerError
from benchmarks.load import load
from benchmarks.system import AuditLog
from benchmarks.template import SHIPPED, Template
from sandbox import ControlPlane

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncIterator, Iterator

    from benchmarks.cluster import Cluster
    from benchmarks.load import Contender

HERE = Path(__file__).parent
CRDS = HERE / "widgets.yaml"
OBJECTS = 3


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("program") / "controller"
    path.write_text(f'#!/bin/sh\nexec {sys.executable} {HERE / "controller.py"} "$@"\n')
    path.chmod(0o755)
    return path


@pytest.fixture
def options(program: Path) -> argparse.Namespace:
    return parsed(program)


def parsed(program: Path, *more: str) -> argparse.Namespace:
    given = [
        f"--peer={program}",
        f"--crds={CRDS}",
        f"--template={HERE / 'widget.yaml'}",
        "--flags=works",
        *more,
    ]
    return _parser().parse_args(["peers", "--version=1", "--name=Widgets", *given])


def peer_of(program: Path, *more: str) -> other.Peer:
    return peers.peer_of(parsed(program, *more), "http://store")


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
            await cluster.bare.delete(f"/api/v1/namespaces/{NAMESPACE}/secrets")


@pytest.fixture(scope="module")
def prepared(program: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prepared]:
    folder = tmp_path_factory.mktemp("prepared")
    with ControlPlane.start() as plane:
        yield Prepared(plane, other.install(peer_of(program), plane, folder), folder)


async def test_a_pair_has_every_figure_of_both_and_the_table_its_ratios(
    prepared: Prepared, program: Path, tmp_path: Path
) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{peers.BEGIN}old\n{peers.END}after\n")
    peer = peer_of(program)

    @asynccontextmanager
    async def side() -> AsyncIterator[Contender]:
        async with prepared.cluster() as cluster, other.started(peer, cluster) as contender:
            yield contender

    pair = await peers.measure_pair({peers.OURS: side, peers.THEIRS: side}, OBJECTS, 60, swapped=True)
    peers.keep("generated-3", peer, "generated", [pair], tmp_path)
    peers.write_tables(tmp_path, readme)

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
    async with prepared.cluster() as cluster, other.started(peer_of(program), cluster) as contender:
        os.kill(contender.pid, 0)  # it runs

    with pytest.raises(ProcessLookupError):
        os.kill(contender.pid, 0)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--flags=ends",), ("exit code 1", "cannot work with widgets")),
        (("--flags=idle",), (f"0 of {OBJECTS}",)),
        (("--condition=Done",), ("Done", f"0 of {OBJECTS}")),
        ((f"--template={HERE / 'wrong-widget.yaml'}",), ("refuses", "spec.size")),
        ((f"--template={SHIPPED / 'eso-generated.yaml'}",), ("does not serve", "ExternalSecret")),
    ],
    ids=["ends early", "never Ready", "another condition", "object refused", "kind not served"],
)
async def test_a_controller_that_cannot_be_measured_ends_the_run_with_its_reason(
    prepared: Prepared, program: Path, more: tuple[str, ...], words: tuple[str, ...]
) -> None:
    async with prepared.cluster() as cluster, other.started(peer_of(program, *more), cluster) as contender:
        with pytest.raises(PeerError) as refused:
            await load(contender, OBJECTS, 4)

    assert all(word in str(refused.value) for word in words)


def test_crds_that_do_not_apply_are_named(prepared: Prepared, program: Path, tmp_path: Path) -> None:
    crds = tmp_path / "crds.yaml"
    crds.write_text(CRDS.read_text().replace("plural: widgets", "plural: things"))

    with pytest.raises(PeerError, match="things"):
        other.install(peer_of(program, f"--crds={crds}"), prepared.plane, tmp_path)


@pytest.mark.parametrize(
    ("option", "content"),
    [
        ("--peer", None),
        ("--peer", "not executable"),
        ("--crds", None),
        ("--crds", "kind: ConfigMap\napiVersion: v1\n"),
        ("--crds", "{"),
        ("--template", None),
        ("--template", "{"),
        ("--template", "kind: A\napiVersion: v1\nmetadata: {name: one}\n"),
        ("--template", "metadata: {name: '${name}'}\n"),
    ],
)
def test_bad_input_is_refused_before_anything_starts(
    program: Path, tmp_path: Path, option: str, content: str | None
) -> None:
    path = tmp_path / "given"
    if content is not None:
        path.write_text(content)

    with pytest.raises(PeerError, match=str(path)):
        peer_of(program, f"{option}={path}").check()


@pytest.mark.parametrize("option", ["--env=NAME", "--flags='open"])
def test_an_option_that_cannot_be_split_is_refused(program: Path, option: str) -> None:
    with pytest.raises(PeerError, match=option.partition("=")[0]):
        peer_of(program, option)


@pytest.mark.parametrize("values", ["generated", "pulled"])
@pytest.mark.parametrize("side", ["keyturn", "eso"])
def test_the_shipped_templates_are_templates(side: str, values: str) -> None:
    template = Template.read(SHIPPED / f"{side}-{values}.yaml", store="http://127.0.0.1:1")

    assert template.body("one")["metadata"]["name"] == "one"
    assert "${" not in template.each.replace("${name}", "")


def test_the_store_of_the_run_is_in_the_environment_of_the_peer(program: Path) -> None:
    assert peer_of(program, "--env=ENDPOINT=${store}/path=1").env == {"ENDPOINT": "http://store/path=1"}


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

    assert first == (2, 1)
    assert (log.calls, log.writes) == (3, 2)


def event(user: str, verb: str, resource: str, stage: str = "ResponseComplete") -> str:
    return (
        f'{{"stage":"{stage}","verb":"{verb}","user":{{"username":"{user}"}},'
        f'"objectRef":{{"resource":"{resource}"}}}}\n'
    )
