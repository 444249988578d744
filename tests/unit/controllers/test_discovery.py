"""Optional kinds of workload, which are watched if discovery names them and the operator may."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
import structlog

from keyturn.controllers.cache_sync import CacheSync
from keyturn.controllers.discovery import find_named_types, find_watchable
from keyturn.controllers.watch_liveness import WatchLiveness
from tests.unit.stores.fast_clock import in_no_time

if TYPE_CHECKING:
    from keyturn.kube.client import Api

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


@pytest.mark.parametrize(
    ("resources", "named"),
    [
        pytest.param(None, [], id="without its group"),
        pytest.param(["analysisruns"], [], id="without the kind"),
        pytest.param(ROLLOUTS, ["Rollout"], id="with it"),
    ],
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


def _set() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event
