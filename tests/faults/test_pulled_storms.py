"""Stores that fail, dawdle, throttle and hang: others stay fast, all arrives in the end, and nobody is hammered."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from sandbox.harness import eventually
from tests.faults.apiserver import Cluster
from tests.faults.vault_namespace import VaultNamespace, operator_of, vault_namespaces
from tests.support.kept_operator import KeptOperator
from tests.support.store_proxy import Fault, ProxiedRequest, StoreProxy, after, lose, refuse
from tests.support.vault import BUILD_SECONDS, running

pytestmark = pytest.mark.timeout(BUILD_SECONDS)

_PULLS, _PUSHES = 6, 3
_WINDOW = 12.0
"""Seconds for which it is watched how often somebody asks."""
_SOON = 30.0
"""Seconds, where it takes one: an operator that waits for the sick stores has not finished by then."""
_IN_THE_END = 120.0


def _errors(_: StoreProxy) -> Callable[[ProxiedRequest], Fault | None]:
    """Three of ten requests fail, and half of those were done all the same."""
    chance = random.Random(30)  # noqa: S311  # a test that can be repeated

    def fault(_: ProxiedRequest) -> Fault | None:
        if chance.random() > 0.3:
            return None
        return chance.choice((refuse(500), lose))

    return fault


def _latency(_: StoreProxy) -> Callable[[ProxiedRequest], Fault | None]:
    return lambda _: after(5.0)


def _throttling(_: StoreProxy) -> Callable[[ProxiedRequest], Fault | None]:
    return lambda _: refuse(429, Retry_After="3")


def _hung(store_proxy: StoreProxy) -> Callable[[ProxiedRequest], Fault | None]:
    return lambda _: store_proxy.hang


FAULTS = {"errors": _errors, "latency": _latency, "throttling": _throttling, "hung": _hung}
PASS_BY = frozenset({"throttling", "hung"})
"""Those that end at last; under the others all has to arrive all the same."""


@dataclass(slots=True)
class Storm:
    """What was seen."""

    well: VaultNamespace
    sick: dict[str, VaultNamespace]
    seconds: dict[str, float] = field(default_factory=dict)
    """How long it took until all of a shop was done."""
    windows: float = 1.0
    """How long the window was, in its planned length: a busy machine makes it longer."""
    starts: int = 1
    """How many processes there were, one after the other."""
    asked: dict[str, int] = field(default_factory=dict)
    """How often each sick store was asked in the window."""
    looks: int = 0
    """How often the operator looked at an object in the window."""
    busy: float = 0.0
    """The seconds of a processor that it took for that."""
    written: dict[str, int] = field(default_factory=dict)
    """How often a status was written in each shop, in all."""


@pytest.fixture(scope="module")
def storm(
    cluster: Cluster, accounts: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Storm]:
    log = tmp_path_factory.mktemp("storms") / "operator.log"
    with running() as server, ExitStack() as stack:
        well, *rest = (
            stack.enter_context(vault_namespaces(cluster, server, 1))[0] for _ in range(len(FAULTS) + 1)
        )
        storm = Storm(well, dict(zip(FAULTS, rest, strict=True)))
        with operator_of(well, accounts("storms"), log) as operator:
            operator.wait_for_log("leading")
            _rage(storm, operator)
            operator.stop()
            storm.starts += operator.losses
        for name, vault in storm.sick.items():
            writes = cluster.writes("storms")
            storm.written[name] = sum(
                vault.folder in one.uri and one.uri.endswith("/status") for one in writes
            )
        yield storm


def _rage(storm: Storm, operator: KeptOperator) -> None:
    for name, vault in storm.sick.items():
        vault.store_proxy.fault = FAULTS[name](vault.store_proxy)
        _fill(vault)
    eventually(lambda: all(vault.store_proxy.asked for vault in storm.sick.values()), "sick stores in use")
    time.sleep(1.0)  # so that every worker has had to do with them
    began = time.monotonic()
    _fill(storm.well)
    eventually(lambda: _is_done(storm.well), "the store that is well", _IN_THE_END)
    storm.seconds["well"] = time.monotonic() - began
    while not _is_watched(storm, operator):
        pass  # a start after the loss of the Lease looks at everything
    for name, vault in storm.sick.items():
        if name in PASS_BY:
            vault.store_proxy.fault = lambda _: None
            vault.store_proxy.ends.set()
    began = time.monotonic()
    for name, vault in storm.sick.items():
        eventually(lambda vault=vault: _is_done(vault), f"the store with {name}", _IN_THE_END)  # type: ignore[misc]
        storm.seconds[name] = time.monotonic() - began


def _is_watched(storm: Storm, operator: KeptOperator) -> bool:
    """Count for a time what is asked and done; say whether one process did all of it."""
    asked = {name: len(vault.store_proxy.asked) for name, vault in storm.sick.items()}
    losses, looks, busy, began = operator.losses, operator.looks(), _processor(operator), time.monotonic()
    time.sleep(_WINDOW)  # what is asked for in a time is what is tested
    storm.looks, storm.busy = operator.looks() - looks, _processor(operator) - busy
    storm.asked = {name: len(vault.store_proxy.asked) - asked[name] for name, vault in storm.sick.items()}
    storm.windows = (time.monotonic() - began) / _WINDOW
    return operator.losses == losses


def _fill(vault: VaultNamespace) -> None:
    for number in range(_PULLS):
        vault.keep(f"pull-{number}", token=f"token {number}")
        data = [{"name": "password", "generate": {"password": {}}}]
        data.append(vault.pull("token", "token", f"pull-{number}"))
        vault.create(f"pull-{number}", data=data, refreshInterval="10s")
    for number in range(_PUSHES):
        vault.create(f"push-{number}", pushTo=[vault.push(f"push-{number}")])


def _is_done(vault: VaultNamespace) -> bool:
    pulled = all(vault.holds(f"pull-{number}", Ready="True") for number in range(_PULLS))
    return pulled and all(vault.holds(f"push-{number}", Pushed="True") for number in range(_PUSHES))


def _processor(operator: KeptOperator) -> float:
    """Return the seconds of a processor that a process has used."""
    used = Path(f"/proc/{operator.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(used[11]) + int(used[12])) / 100


def test_objects_of_another_store_are_done_soon(storm: Storm) -> None:
    assert storm.seconds["well"] < _SOON


@pytest.mark.parametrize("name", FAULTS)
def test_all_arrives_in_the_end(name: str, storm: Storm) -> None:
    vault = storm.sick[name]
    for number in range(_PULLS):
        found = vault.values(f"pull-{number}")
        assert found
        assert found.keys() == {"password", "token"}
        assert found["token"] == (vault.kept_there(f"pull-{number}") or {})["token"]


@pytest.mark.parametrize("name", FAULTS)
def test_each_revision_is_written_once_whatever_was_lost(name: str, storm: Storm) -> None:
    vault = storm.sick[name]
    for number in range(_PUSHES):
        assert vault.kept_there(f"push-{number}") == vault.values(f"push-{number}")
        assert vault.versions(f"push-{number}") == 1


@pytest.mark.parametrize("name", FAULTS)
def test_no_store_gets_a_burst_of_requests(name: str, storm: Storm) -> None:
    # A request that fails is repeated later and later: a store that is hammered gets hundreds.
    assert storm.asked[name] <= 3 * _WINDOW * storm.windows


@pytest.mark.parametrize("name", FAULTS)
def test_few_words_are_made_of_it(name: str, storm: Storm) -> None:
    assert storm.written[name] <= 6 * (_PULLS + _PUSHES) * storm.starts


def test_the_operator_is_not_busy_with_waiting(storm: Storm) -> None:
    objects = len(FAULTS) * (_PULLS + _PUSHES)
    assert storm.looks <= 4 * objects * storm.windows
    assert storm.busy <= _WINDOW / 4 * storm.windows
