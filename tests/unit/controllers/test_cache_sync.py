"""Optional kinds of workload, which are watched if discovery names them and the operator may."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
import structlog
from yarl import URL

from keyturn.controllers.cache_sync import (
    CacheSync,
    WatchLiveness,
    find_named_types,
    find_watchable,
    is_stuck,
)
from keyturn.kube import errors
from keyturn.kube.client import Api
from tests.support.cases import case, cases
from tests.unit.stores.fast_clock import in_no_time

ARGO = {"groups": [{"name": "argoproj.io", "versions": [{"groupVersion": "argoproj.io/v1alpha1"}]}]}


class Cluster:
    """An API server that may have Argo Rollouts, and what the operator may do there."""

    def __init__(
        self,
        resources: list[str] | None,
        forbidden: tuple[str, str] | None = None,
        gone: tuple[str, ...] = (),
    ) -> None:
        """`gone` are namespaces in which nothing is permitted."""
        self.resources = resources
        self.forbidden = forbidden
        self.gone = gone
        self.reviews: list[tuple[str, str]] = []

    async def get(self, path: str) -> Any:
        if path == "/apis":
            return {"groups": []} if self.resources is None else ARGO
        assert path == "/apis/argoproj.io/v1alpha1"
        return {"resources": [{"name": name} for name in self.resources or ()]}

    async def request(self, _: str, review: Any) -> Any:
        asked = review["spec"]["resourceAttributes"]
        one = asked["namespace"], asked["verb"]
        if asked["namespace"] in self.gone:
            return {"status": {"allowed": False}}
        if (asked["group"], asked["resource"]) == ("apps", "deployments"):
            return {"status": {"allowed": True}}
        assert (asked["group"], asked["resource"]) == ("argoproj.io", "rollouts")
        self.reviews.append(one)
        return {"status": {"allowed": one != self.forbidden}}


ROLLOUTS = ["rollouts", "rollouts/status"]


@cases(
    ("resources", "named"),
    case("without its group", None, []),
    case("without the kind", ["analysisruns"], []),
    case("with it", ROLLOUTS, ["Rollout"]),
)
async def test_an_optional_kind_is_found_if_discovery_names_it(
    resources: list[str] | None, named: list[str]
) -> None:
    cluster = Cluster(resources)
    found = await find_watchable(cast("Api", cluster), None)

    assert [row.kind for row in found] == named
    assert sorted(cluster.reviews) == [("", verb) for verb in ("list", "watch") if named]
    assert [row.kind for row in await find_named_types(cast("Api", cluster))] == named


@pytest.mark.parametrize("forbidden", [("shop", "list"), ("office", "watch")])
async def test_an_optional_kind_is_watched_only_with_every_permission(forbidden: tuple[str, str]) -> None:
    cluster = Cluster(ROLLOUTS, forbidden)
    with structlog.testing.capture_logs() as logs:
        assert await find_watchable(cast("Api", cluster), ("shop", "office")) == ()
    assert [(line["event"], line["hint"]) for line in logs] == [
        ("kind not watched", "manifests/components/argo-rollouts")
    ]


async def test_a_namespace_that_was_deleted_does_not_count() -> None:
    cluster = Cluster(ROLLOUTS, gone=("gone",))
    found = await find_watchable(cast("Api", cluster), ("shop", "gone"))
    assert [row.kind for row in found] == ["Rollout"]
    assert await find_watchable(cast("Api", Cluster(ROLLOUTS, gone=("shop", "gone"))), ("shop", "gone")) == ()


async def test_without_an_optional_kind_nothing_is_logged() -> None:
    with structlog.testing.capture_logs() as logs:
        assert await find_watchable(cast("Api", Cluster(None)), None) == ()
    assert logs == []


@in_no_time
async def test_the_optional_kinds_are_listed_and_watched_from_the_start_on() -> None:
    seen: list[list[str]] = []
    swept = asyncio.Event()

    async def sweep() -> None:
        seen.append([row.kind for row in handlers.workload_types])
        swept.set()

    handlers: Any = SimpleNamespace(sweep=sweep, expect_values=list, namespaces=["shop"], absent_kinds=set())
    context: Any = SimpleNamespace(api=Cluster(ROLLOUTS), cache=SimpleNamespace(managed_keys=list))
    secrets: Any = SimpleNamespace(synced=_set())
    running = asyncio.create_task(CacheSync(context, handlers, secrets, WatchLiveness()).run())
    await swept.wait()
    running.cancel()

    assert seen[:1] == [["Deployment", "StatefulSet", "DaemonSet", "Rollout"]]


@in_no_time
async def test_objects_in_doubt_are_listed_again_unless_they_were_just_listed() -> None:
    swept = 0

    async def sweep() -> None:
        nonlocal swept
        swept += 1

    handlers: Any = SimpleNamespace(sweep=sweep, expect_values=list, namespaces=["shop"], absent_kinds=set())
    context: Any = SimpleNamespace(api=Cluster(None), cache=SimpleNamespace(managed_keys=list))
    sync = CacheSync(context, handlers, cast("Any", SimpleNamespace(synced=_set())), WatchLiveness())
    running = asyncio.create_task(sync.run())
    counts = []
    for pause in (1, 10, 10):
        await asyncio.sleep(pause)
        sync.doubt()
        await asyncio.sleep(5)
        counts.append(swept)
    running.cancel()

    assert counts == [1, 2, 3]


@in_no_time
async def test_a_new_leader_waits_for_a_list_unless_one_was_just_made() -> None:
    swept = list[float]()

    async def sweep() -> None:
        swept.append(asyncio.get_running_loop().time())
        await asyncio.sleep(1)
        if len(swept) == 3:
            raise errors.HistoryLost(PATH, 7, 9)

    context: Any = SimpleNamespace(api=Cluster(None), cache=SimpleNamespace(managed_keys=list))
    handlers: Any = SimpleNamespace(sweep=sweep)
    sync = CacheSync(context, handlers, cast("Any", SimpleNamespace(synced=_set())), WatchLiveness())

    await asyncio.gather(sync.sweep(), sync.fresh())  # one that begins meanwhile is new
    assert len(swept) == 1
    await asyncio.sleep(11)
    await sync.fresh()
    await asyncio.sleep(11)
    with pytest.raises(errors.HistoryLost):
        await sync.fresh()
    assert len(swept) == 3


def _set() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


PATH = "/apis/keyturn.dev/v1alpha1/managedsecrets"
STUCK = [f"watch stuck: {PATH}"]


async def ask(pulse: WatchLiveness, query: str, path: str = PATH, *, ok: bool = True) -> None:
    """Have a request go through, as kopf's session does; the answer is there when its headers are."""

    async def handler(_: Any) -> Any:
        return SimpleNamespace(ok=ok)

    request: Any = SimpleNamespace(url=URL(f"https://api.test{path}{query}"))
    await pulse(request, handler)


async def fail(pulse: WatchLiveness, query: str) -> None:
    async def handler(_: Any) -> Any:
        raise OSError

    request: Any = SimpleNamespace(url=URL(f"https://api.test{PATH}{query}"))
    with pytest.raises(OSError, match=r"^$"):
        await pulse(request, handler)


@pytest.mark.parametrize(("seconds", "problems"), [(0, []), (60, []), (179, []), (181, STUCK), (3600, STUCK)])
@in_no_time
async def test_a_watch_is_stuck_when_it_was_not_renewed_three_times(
    seconds: float, problems: list[str]
) -> None:
    pulse = WatchLiveness()
    await ask(pulse, "?watch=true")

    await asyncio.sleep(seconds)

    assert pulse.problems() == problems


@in_no_time
async def test_a_list_that_follows_a_watch_is_a_sign_of_life() -> None:
    pulse = WatchLiveness()
    await ask(pulse, "?watch=true")
    await asyncio.sleep(170)
    await ask(pulse, "")
    await asyncio.sleep(170)

    assert pulse.problems() == []


@pytest.mark.parametrize("query", ["?watch=true", ""], ids=["watch", "list"])
@in_no_time
async def test_being_refused_is_a_sign_of_life_since_a_restart_cures_no_outage(query: str) -> None:
    pulse = WatchLiveness()
    await ask(pulse, "?watch=true")
    await asyncio.sleep(170)
    await ask(pulse, query, ok=False)
    await asyncio.sleep(170)
    await fail(pulse, query)
    await asyncio.sleep(170)

    assert pulse.problems() == []


@in_no_time
async def test_only_the_watch_that_hangs_is_named() -> None:
    pulse = WatchLiveness()
    await ask(pulse, "?watch=true")
    await ask(pulse, "?watch=true", "/apis/apps/v1/deployments")
    for _ in range(4):
        await asyncio.sleep(60)
        await ask(pulse, "?watch=true", "/apis/apps/v1/deployments")

    assert pulse.problems() == STUCK


@in_no_time
async def test_an_expected_watch_that_never_begins_is_stuck() -> None:
    pulse = WatchLiveness()
    pulse.expect([PATH])
    await asyncio.sleep(181)

    assert pulse.problems() == STUCK


@in_no_time
async def test_what_is_listed_and_never_watched_is_not_waited_for() -> None:
    pulse = WatchLiveness()
    await ask(pulse, "", "/apis")
    await asyncio.sleep(3600)

    assert (pulse.problems(), pulse.relisted.is_set()) == ([], False)


@pytest.mark.parametrize(("ok", "sweeps"), [(True, True), (False, False)], ids=["answered", "refused"])
@in_no_time
async def test_a_new_list_of_what_is_watched_calls_for_a_sweep(*, ok: bool, sweeps: bool) -> None:
    pulse = WatchLiveness()
    await ask(pulse, "?watch=true")
    assert not pulse.relisted.is_set()

    await ask(pulse, "", ok=ok)

    assert pulse.relisted.is_set() is sweeps


@in_no_time
async def test_the_first_list_calls_for_a_sweep_as_it_shows_kopf_nothing() -> None:
    pulse = WatchLiveness()
    await ask(pulse, "?limit=1")

    assert pulse.relisted.is_set()


@in_no_time
async def test_a_list_whose_watch_begins_at_an_earlier_list_calls_for_no_sweep() -> None:
    pulse = WatchLiveness()
    pulse.expect([PATH])
    pulse.starts = starts = {PATH: "5"}
    await ask(pulse, "?limit=1")
    assert not pulse.relisted.is_set()

    del starts[PATH]  # the watch has begun
    await ask(pulse, "?limit=1")
    assert pulse.relisted.is_set()


@pytest.mark.parametrize(("seconds", "stuck"), [(179, False), (181, True)])
@in_no_time
async def test_a_watch_of_others_is_judged_alike(seconds: float, *, stuck: bool) -> None:
    alive = asyncio.get_running_loop().time()

    await asyncio.sleep(seconds)

    assert is_stuck(alive) is stuck
