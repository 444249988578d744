"""What the API server's discovery must name before kopf asks it, which it does once."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
import structlog

from keyturn.controllers.cache_sync import Upkeep
from keyturn.controllers.discovery import find_named_types, find_unnamed, find_watchable
from keyturn.controllers.watch_liveness import WatchLiveness
from keyturn.installation.crds.definition import KINDS
from keyturn.kube import errors
from tests.unit.stores.fast_clock import in_no_time

if TYPE_CHECKING:
    from keyturn.kube.client import Api

OURS = "/apis/keyturn.dev/v1alpha1"
PLURALS = [kind.plural for kind in KINDS]
GROUPS = {"groups": [{"name": "keyturn.dev", "versions": [{"groupVersion": "keyturn.dev/v1alpha1"}]}]}


ARGO = {"groups": [{"name": "argoproj.io", "versions": [{"groupVersion": "argoproj.io/v1alpha1"}]}]}


class Discovery:
    """An API server whose discovery gives prepared answers in turn, the last one for ever."""

    def __init__(self, *answers: list[str] | errors.ApiError | None) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def get(self, path: str) -> Any:
        self.asked.append(path)
        answer = self.answers[0]
        if path == "/apis":
            return GROUPS if answer is not None else {"groups": []}
        if len(self.answers) > 1:
            self.answers.pop(0)
        if isinstance(answer, errors.ApiError):
            raise answer
        return {"resources": [{"name": name} for name in [*(answer or ()), "managedsecrets/status"]]}


def api(discovery: Discovery) -> Api:
    return cast("Api", discovery)


@pytest.mark.parametrize(
    ("answer", "lacking"),
    [
        (PLURALS, []),
        (PLURALS[:-1], ["emergencyrotations"]),
        ([], PLURALS),
        (None, PLURALS),
        (errors.NotFound("get", OURS, 404, "NotFound"), PLURALS),
    ],
)
async def test_a_kind_is_lacking_until_discovery_names_it(
    answer: list[str] | errors.ApiError | None, lacking: list[str]
) -> None:
    assert await find_unnamed(api(Discovery(answer))) == lacking


async def test_a_kind_that_is_not_installed_is_not_expected() -> None:
    there = [name for name in PLURALS if name != "databasetargets"]

    assert await find_unnamed(api(Discovery(there)), {"DatabaseTarget"}) == []
    assert await find_unnamed(api(Discovery(there))) == ["databasetargets"]


@in_no_time
async def test_nothing_begins_before_discovery_is_complete() -> None:
    unavailable = errors.ApiError("get", OURS, 503, "ServiceUnavailable")
    discovery = Discovery(PLURALS[:2], unavailable, PLURALS)
    asked: list[int] = []

    async def sweep() -> None:
        asked.append(len(discovery.asked))

    cache = SimpleNamespace(managed_keys=list)
    context: Any = SimpleNamespace(api=discovery, cache=cache)
    watches: Any = SimpleNamespace(sweep=sweep, expect_values=list, namespaces=None, absent_kinds=set())
    secrets: Any = SimpleNamespace(synced=_set())
    upkeep = Upkeep(context, watches, secrets, WatchLiveness())

    running = asyncio.create_task(upkeep.run())
    await upkeep.is_primed.wait()
    running.cancel()

    assert asked == [1], "one request for the groups, which name no optional kind"
    assert discovery.answers == [PLURALS]
    assert upkeep.problems() == []


class Cluster:
    """An API server that may have Argo Rollouts, and what the operator may do there."""

    def __init__(self, resources: list[str] | None, forbidden: tuple[str, str] | None = None) -> None:
        self.resources = resources
        self.forbidden = forbidden
        self.reviews: list[tuple[str, str]] = []

    async def get(self, path: str) -> Any:
        if path == "/apis":
            return {"groups": []} if self.resources is None else ARGO
        assert path == "/apis/argoproj.io/v1alpha1"
        return {"resources": [{"name": name} for name in self.resources or ()]}

    async def request(self, _: str, review: Any) -> Any:
        asked = review["spec"]["resourceAttributes"]
        assert (asked["group"], asked["resource"]) == ("argoproj.io", "rollouts")
        one = asked["namespace"], asked["verb"]
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


async def test_without_an_optional_kind_nothing_is_logged() -> None:
    with structlog.testing.capture_logs() as logs:
        assert await find_watchable(cast("Api", Cluster(None)), None) == ()
    assert logs == []


@in_no_time
async def test_the_optional_kinds_are_listed_and_watched_from_the_start_on() -> None:
    seen: list[list[str]] = []
    swept = asyncio.Event()

    async def sweep() -> None:
        seen.append([row.kind for row in watches.workload_types])
        swept.set()

    watches: Any = SimpleNamespace(sweep=sweep, expect_values=list, namespaces=["shop"])
    context: Any = SimpleNamespace(api=Cluster(ROLLOUTS), cache=SimpleNamespace(managed_keys=list))
    secrets: Any = SimpleNamespace(synced=_set())
    running = asyncio.create_task(Upkeep(context, watches, secrets, WatchLiveness()).run())
    await swept.wait()
    running.cancel()

    assert seen[:1] == [["Deployment", "StatefulSet", "DaemonSet", "Rollout"]]


def _set() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event
