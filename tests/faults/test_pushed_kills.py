"""Killed around a push, a deletion there and a refresh: nothing is lost, nothing is pushed twice.

`make test` has one or two deaths of each scenario, `make soak` has all.
"""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from sandbox.harness import eventually
from tests.faults.vault_namespace import (
    PASSWORD,
    VaultNamespace,
    operator_of,
    run_to_the_ends,
    vault_namespaces,
)
from tests.support.soak import some
from tests.support.vault import BUILD_SECONDS, running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.faults.apiserver import Cluster
    from tests.support.store_proxy import Answer
    from tests.support.vault import VaultServer

pytestmark = pytest.mark.timeout(BUILD_SECONDS)
_KILLED = -9
_AT_ONCE = 3


def _pushing(vault: VaultNamespace) -> dict[str, Any]:
    return {"data": [PASSWORD], "pushTo": [vault.push()], "rotation": {"trigger": "first"}}


def _deleting(vault: VaultNamespace) -> dict[str, Any]:
    return {"data": [PASSWORD], "pushTo": [vault.push(deletionPolicy="Delete")]}


def _pulling(vault: VaultNamespace) -> dict[str, Any]:
    vault.keep("theirs", token="first")  # noqa: S106
    return {"data": [PASSWORD, vault.pull("token", "token", "theirs")], "refreshInterval": "30d"}


def _create(vault: VaultNamespace) -> None:
    vault.create(**_deleting(vault))


def _rotate(vault: VaultNamespace) -> None:
    vault.respec(rotation={"trigger": "second"})


def _delete(vault: VaultNamespace) -> None:
    vault.cluster.delete(vault.managed())


def _push_no_longer(vault: VaultNamespace) -> None:
    vault.cluster.edit(vault.managed(), lambda body: body["spec"].pop("pushTo"))


def _change_there(vault: VaultNamespace) -> None:
    vault.keep("theirs", token="second")  # noqa: S106
    vault.annotate(refresh="now")


def _only_look(vault: VaultNamespace) -> None:
    vault.annotate(refresh="now")


@dataclass(frozen=True, slots=True)
class KillScenario:
    """What is there before, what is asked, and what must be there in the end."""

    before: Callable[[VaultNamespace], dict[str, Any]] | None
    provoke: Callable[[VaultNamespace], None]
    ends: Callable[[VaultNamespace], bool]
    revision: int | None
    """None where the ManagedSecret goes."""
    versions: int = 0
    """How often the store was written."""
    fresh: frozenset[str] = frozenset()
    stays_there: bool = True


def _has_pushed(vault: VaultNamespace) -> bool:
    return vault.holds(Ready="True", Pushed="True")


def _is_read(vault: VaultNamespace) -> bool:
    return vault.holds(Ready="True", Refreshed="True") and vault.status().get("lastRefresh") == "now"


def _is_gone(vault: VaultNamespace) -> bool:
    return vault.cluster.get(vault.managed()) is None


def _is_withdrawn(vault: VaultNamespace) -> bool:
    body = vault.cluster.get(vault.managed())
    return vault.holds(Ready="True") and not body["metadata"].get("finalizers")


SCENARIOS = {
    "created": KillScenario(None, _create, _has_pushed, 1, 1),
    "rotated": KillScenario(_pushing, _rotate, _has_pushed, 2, 2, frozenset({"password"})),
    "deleted": KillScenario(_deleting, _delete, _is_gone, None, 1, stays_there=False),
    "pushed no longer": KillScenario(_deleting, _push_no_longer, _is_withdrawn, 1, 1, stays_there=False),
    "changed there": KillScenario(_pulling, _change_there, _is_read, 2, fresh=frozenset({"token"})),
    "looked at": KillScenario(_pulling, _only_look, _is_read, 1),
}
KILLS = {
    "created": some(("Stage", "Publish", "Finalize", "Intend", "Push"), 3, 4),
    "rotated": some(("Publish", "Intend", "Push", "Report"), 0, 2),
    "deleted": some(("Withdraw", "Finalize"), 0),
    "pushed no longer": some(("Intend", "Withdraw", "Finalize"), 1),
    "changed there": some(("Stage", "Publish"), 0),
    "looked at": ["Refresh"],
}
# After a step is before the next one, whose place in the code is the same.
CASES = [f"{scenario}, dies after:{step}" for scenario, steps in KILLS.items() for step in steps]


@dataclass(frozen=True, slots=True)
class Story:
    """How it went."""

    scenario: KillScenario
    vault: VaultNamespace
    before: dict[str, str] | None
    returncode: int


@pytest.fixture(scope="module")
def server() -> Iterator[VaultServer]:
    with running() as server:
        yield server


@pytest.fixture(scope="module")
def stories(
    cluster: Cluster,
    server: VaultServer,
    accounts: Callable[[str], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[str, Story]]:
    """Let a process die in each case, and one other process find all that they left."""
    folder, kubeconfig = tmp_path_factory.mktemp("pushed"), accounts("pushed")
    with vault_namespaces(cluster, server, len(CASES)) as opened:
        stage = dict(zip(CASES, opened, strict=True))
        existing = {case: vault for case, vault in stage.items() if _scenario(case).before}
        for case, vault in existing.items():
            vault.create(**_prepared(case, vault))
        ready = {case: partial(_is_at_rest, vault) for case, vault in existing.items()}
        run_to_the_ends(opened[0], kubeconfig, folder / "whole.log", ready)
        before = {case: vault.values() for case, vault in existing.items()}
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            codes = list(pool.map(lambda case: _die(case, stage[case], kubeconfig, folder), CASES))
        ends = {case: partial(_scenario(case).ends, vault) for case, vault in stage.items()}
        run_to_the_ends(opened[0], kubeconfig, folder / "whole.log", ends)
        yield {
            case: Story(_scenario(case), vault, before.get(case), code)
            for (case, vault), code in zip(stage.items(), codes, strict=True)
        }


def _scenario(case: str) -> KillScenario:
    return SCENARIOS[case.partition(",")[0]]


def _prepared(case: str, vault: VaultNamespace) -> dict[str, Any]:
    prepare = _scenario(case).before
    assert prepare
    return prepare(vault)


def _is_at_rest(vault: VaultNamespace) -> bool:
    return vault.holds(Ready="True") and (
        vault.holds(Pushed="True") or "pushTo" not in vault.cluster.get(vault.managed())["spec"]
    )


def _die(case: str, vault: VaultNamespace, kubeconfig: Path, folder: Path) -> int:
    _scenario(case).provoke(vault)
    log, failpoint = folder / f"{vault.folder}.log", case.rpartition(" ")[2]
    with operator_of(vault, kubeconfig, log, failpoint=failpoint) as operator:
        return operator.wait_for_kill()


@pytest.fixture(params=CASES)
def story(request: pytest.FixtureRequest, stories: dict[str, Story]) -> Story:
    return stories[request.param]


def test_the_process_died_there(story: Story) -> None:
    assert story.returncode == _KILLED


def test_no_value_is_lost_and_each_is_made_once(story: Story) -> None:
    values = story.vault.values()
    assert values
    if story.before is not None:
        changed = {name for name in values.keys() | story.before.keys() if values[name] != story.before[name]}
        assert changed == story.scenario.fresh
    if story.scenario.revision is not None:
        assert story.vault.status()["revision"] == story.scenario.revision


def test_the_store_holds_what_the_secret_holds_and_was_written_once_for_each(story: Story) -> None:
    if not story.scenario.versions:
        return
    expected = story.vault.values() if story.scenario.stays_there else None
    assert story.vault.kept_there() == expected
    assert story.vault.versions() == story.scenario.versions


def test_a_death_between_the_stores_answer_and_its_record_writes_nothing_twice(
    cluster: Cluster, server: VaultServer, accounts: Callable[[str], Path], tmp_path: Path
) -> None:
    kubeconfig = accounts("pushed")
    with vault_namespaces(cluster, server, 1) as (vault,):
        vault.create(pushTo=[vault.push()])
        with operator_of(vault, kubeconfig, tmp_path / "dies.log") as operator:

            def kill(hand_on: Callable[[], Answer]) -> Answer:
                hand_on()
                os.kill(operator.pid, signal.SIGKILL)
                return None

            vault.store_proxy.fault = lambda asked: kill if asked.method == "POST" else None
            assert operator.wait_for_kill() == _KILLED
        vault.store_proxy.fault = lambda _: None
        assert vault.kept_there() == vault.values(), "it was written before the death"

        with operator_of(vault, kubeconfig, tmp_path / "lives.log") as operator:
            eventually(lambda: _has_pushed(vault), "it is told that it is pushed")
            operator.stop()

        assert vault.kept_there() == vault.values()
        assert vault.versions() == 1
