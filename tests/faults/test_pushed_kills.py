"""Killed around a push, a deletion there and a refresh: nothing is lost, nothing is pushed twice."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from sandbox.harness import eventually
from tests.faults.vault_namespace import PASSWORD, Shop, operator_of, shops
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


def _pushing(shop: Shop) -> dict[str, Any]:
    return {"data": [PASSWORD], "pushTo": [shop.push()], "rotation": {"trigger": "first"}}


def _deleting(shop: Shop) -> dict[str, Any]:
    return {"data": [PASSWORD], "pushTo": [shop.push(deletionPolicy="Delete")]}


def _pulling(shop: Shop) -> dict[str, Any]:
    shop.keep("theirs", token="first")  # noqa: S106
    return {"data": [PASSWORD, shop.pull("token", "token", "theirs")], "refreshInterval": "30d"}


def _create(shop: Shop) -> None:
    shop.create(**_deleting(shop))


def _rotate(shop: Shop) -> None:
    shop.respec(rotation={"trigger": "second"})


def _delete(shop: Shop) -> None:
    shop.cluster.delete(shop.managed())


def _push_no_longer(shop: Shop) -> None:
    shop.cluster.edit(shop.managed(), lambda body: body["spec"].pop("pushTo"))


def _change_there(shop: Shop) -> None:
    shop.keep("theirs", token="second")  # noqa: S106
    shop.annotate(refresh="now")


def _only_look(shop: Shop) -> None:
    shop.annotate(refresh="now")


@dataclass(frozen=True, slots=True)
class Plot:
    """What is there before, what is asked, and what must be there in the end."""

    before: Callable[[Shop], dict[str, Any]] | None
    provoke: Callable[[Shop], None]
    ends: Callable[[Shop], bool]
    revision: int | None
    """None where the ManagedSecret goes."""
    versions: int = 0
    """How often the store was written."""
    fresh: frozenset[str] = frozenset()
    stays_there: bool = True


def _has_pushed(shop: Shop) -> bool:
    return shop.holds(Ready="True", Pushed="True")


def _is_read(shop: Shop) -> bool:
    return shop.holds(Ready="True", Refreshed="True") and shop.status().get("lastRefresh") == "now"


def _is_gone(shop: Shop) -> bool:
    return shop.cluster.get(shop.managed()) is None


def _is_withdrawn(shop: Shop) -> bool:
    body = shop.cluster.get(shop.managed())
    return shop.holds(Ready="True") and not body["metadata"].get("finalizers")


PLOTS = {
    "created": Plot(None, _create, _has_pushed, 1, 1),
    "rotated": Plot(_pushing, _rotate, _has_pushed, 2, 2, frozenset({"password"})),
    "deleted": Plot(_deleting, _delete, _is_gone, None, 1, stays_there=False),
    "pushed no longer": Plot(_deleting, _push_no_longer, _is_withdrawn, 1, 1, stays_there=False),
    "changed there": Plot(_pulling, _change_there, _is_read, 2, fresh=frozenset({"token"})),
    "looked at": Plot(_pulling, _only_look, _is_read, 1),
}
DEATHS = {
    "created": "Stage Publish Finalize Intend Push",
    "rotated": "Publish Intend Push Report",
    "deleted": "Withdraw Finalize",
    "pushed no longer": "Intend Withdraw Finalize",
    "changed there": "Begin Stage Publish",
    "looked at": "Refresh",
}
# After a step is before the next one, whose place in the code is the same.
CASES = [f"{plot}, dies after:{step}" for plot, steps in DEATHS.items() for step in steps.split()]


@dataclass(frozen=True, slots=True)
class Story:
    """How it went."""

    plot: Plot
    shop: Shop
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
    with shops(cluster, server, len(CASES)) as opened:
        stage = dict(zip(CASES, opened, strict=True))
        existing = {case: shop for case, shop in stage.items() if _plot(case).before}
        for case, shop in existing.items():
            shop.create(**_prepared(case, shop))
        _live(existing, kubeconfig, folder, lambda _, shop: _is_at_rest(shop))
        before = {case: shop.values() for case, shop in existing.items()}
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            codes = list(pool.map(lambda case: _die(case, stage[case], kubeconfig, folder), CASES))
        _live(stage, kubeconfig, folder, lambda case, shop: _plot(case).ends(shop))
        yield {
            case: Story(_plot(case), shop, before.get(case), code)
            for (case, shop), code in zip(stage.items(), codes, strict=True)
        }


def _plot(case: str) -> Plot:
    return PLOTS[case.partition(",")[0]]


def _prepared(case: str, shop: Shop) -> dict[str, Any]:
    prepare = _plot(case).before
    assert prepare
    return prepare(shop)


def _is_at_rest(shop: Shop) -> bool:
    return shop.holds(Ready="True") and (
        shop.holds(Pushed="True") or "pushTo" not in shop.cluster.get(shop.managed())["spec"]
    )


def _live(stage: dict[str, Shop], kubeconfig: Path, folder: Path, ends: Callable[[str, Shop], bool]) -> None:
    home = next(iter(stage.values()))
    with operator_of(home, kubeconfig, folder / "whole.log", "--all-namespaces") as operator:
        for case, shop in stage.items():
            eventually(lambda case=case, shop=shop: ends(case, shop), f"the end of: {case}", 60)  # type: ignore[misc]
        operator.stop()


def _die(case: str, shop: Shop, kubeconfig: Path, folder: Path) -> int:
    _plot(case).provoke(shop)
    log, failpoint = folder / f"{shop.folder}.log", case.rpartition(" ")[2]
    with operator_of(shop, kubeconfig, log, failpoint=failpoint) as operator:
        return operator.wait_for_kill(60)


@pytest.fixture(params=CASES)
def story(request: pytest.FixtureRequest, stories: dict[str, Story]) -> Story:
    return stories[request.param]


def test_the_process_died_there(story: Story) -> None:
    assert story.returncode == _KILLED


def test_no_value_is_lost_and_each_is_made_once(story: Story) -> None:
    values = story.shop.values()
    assert values
    if story.before is not None:
        changed = {name for name in values.keys() | story.before.keys() if values[name] != story.before[name]}
        assert changed == story.plot.fresh
    if story.plot.revision is not None:
        assert story.shop.status()["revision"] == story.plot.revision


def test_the_store_holds_what_the_secret_holds_and_was_written_once_for_each(story: Story) -> None:
    if not story.plot.versions:
        return
    expected = story.shop.values() if story.plot.stays_there else None
    assert story.shop.kept_there() == expected
    assert story.shop.versions() == story.plot.versions


def test_a_death_between_the_stores_answer_and_its_record_writes_nothing_twice(
    cluster: Cluster, server: VaultServer, accounts: Callable[[str], Path], tmp_path: Path
) -> None:
    kubeconfig = accounts("pushed")
    with shops(cluster, server, 1) as (shop,):
        shop.create(pushTo=[shop.push()])
        with operator_of(shop, kubeconfig, tmp_path / "dies.log") as operator:

            def kill(hand_on: Callable[[], Answer]) -> Answer:
                hand_on()
                os.kill(operator.pid, signal.SIGKILL)
                return None

            shop.front.fault = lambda asked: kill if asked.method == "POST" else None
            assert operator.wait_for_kill(60) == _KILLED
        shop.front.fault = lambda _: None
        assert shop.kept_there() == shop.values(), "it was written before the death"

        with operator_of(shop, kubeconfig, tmp_path / "lives.log") as operator:
            eventually(lambda: _has_pushed(shop), "it is told that it is pushed")
            operator.stop()

        assert shop.kept_there() == shop.values()
        assert shop.versions() == 1
