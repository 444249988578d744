"""Which pods count as a workload's, and which are evicted."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from keyturn.kube import errors
from keyturn.kube.client import Page
from keyturn.kube.pods import PodDetail, evict_pod, pods_of
from tests.unit.core.builders import workload
from tests.unit.kube.test_pod_body import body

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from keyturn.core.observation.pods import Pod
    from keyturn.core.observation.workload import Workload


class Pods:
    """An API server that has prepared pages of pods."""

    def __init__(self, *pages: Page) -> None:
        self._pages = pages

    async def pages(self, path: str, params: Any, *, metadata_only: bool) -> AsyncIterator[Page]:
        assert path == "/api/v1/namespaces/shop/pods"
        assert params["labelSelector"] == "app=api"
        assert params["fieldSelector"] == "status.phase!=Succeeded,status.phase!=Failed"
        for page in self._pages:
            items = [{"metadata": one["metadata"]} if metadata_only else one for one in page.items]
            yield Page(items, page.resource_version, page.first)


def made_by(owner: Any = ("ReplicaSet", "api-7f", "u"), name: str = "api-1") -> dict[str, Any]:
    kind, of, uid = owner or ("", "", "")
    owners: list[dict[str, Any]] = [{"kind": "Node", "name": "n", "uid": "n"}]
    owners += [{"kind": kind, "name": of, "uid": uid, "controller": True}] if owner else []
    made = body(ready="True")
    made["metadata"] |= {"name": name, "labels": {"pod-template-hash": "7f"}, "ownerReferences": owners}
    return made


def pods(
    *pages: Page, of: Workload | None = None, part: PodDetail = PodDetail.WHOLE
) -> tuple[tuple[Pod, ...], int]:
    api: Any = Pods(*pages)
    return asyncio.run(pods_of(api, of or workload("api"), part))


@pytest.mark.parametrize(
    ("kind", "name", "owner", "counts"),
    [
        pytest.param("Deployment", "api", ("ReplicaSet", "api-7f", "u"), True, id="of its ReplicaSet"),
        pytest.param("Deployment", "api", ("ReplicaSet", "web-7f", "u"), False, id="of another Deployment"),
        pytest.param("Deployment", "api", ("StatefulSet", "api-7f", "u"), False, id="of a StatefulSet"),
        pytest.param("Deployment", "api", None, False, id="of nobody"),
        pytest.param(
            "Deployment", "a" * 253, ("ReplicaSet", "a" * 250 + "-7f", "u"), True, id="of a name that is cut"
        ),
        pytest.param(
            "StatefulSet", "api", ("StatefulSet", "api", "uid-of-api"), True, id="of the StatefulSet"
        ),
        pytest.param("StatefulSet", "api", ("StatefulSet", "api", "other"), False, id="of its forerunner"),
        pytest.param("DaemonSet", "api", ("DaemonSet", "api", "uid-of-api"), True, id="of the DaemonSet"),
    ],
)
def test_a_pod_counts_by_its_controller(kind: str, name: str, owner: Any, counts: bool) -> None:  # noqa: FBT001
    of = replace(workload(name, kind=kind), selector="app=api")
    found, _ = pods(Page([made_by(owner)], "1", first=True), of=of)
    assert bool(found) == counts


@pytest.mark.parametrize("owners", [None, [], [{"uid": "u"}], [{"uid": "u", "controller": False}]], ids=str)
def test_a_pod_that_no_controller_made_is_none_of_a_workload(owners: Any) -> None:
    made = made_by()
    made["metadata"]["ownerReferences"] = owners
    assert pods(Page([made], "1", first=True))[0] == ()


@pytest.mark.parametrize(("part", "ready"), [(PodDetail.METADATA, None), (PodDetail.WHOLE, True)], ids=str)
def test_whether_a_pod_is_ready_is_read_on_request(part: PodDetail, ready: bool | None) -> None:  # noqa: FBT001
    (found,), _ = pods(Page([made_by()], "1", first=True), part=part)
    assert found.ready is ready


def test_a_list_that_begins_again_replaces_what_came_before() -> None:
    lists = ("a", True), ("b", False), ("bc", True), ("d", False)
    pages = [Page([made_by(name=name) for name in names], "1", first=first) for names, first in lists]
    found, count = pods(*pages)
    assert ([pod.name for pod in found], count) == (["b", "c", "d"], 4)


class Evictions:
    """Notes the evictions that are requested."""

    def __init__(self, error: errors.ApiError | None = None) -> None:
        self.error = error
        self.requested: list[tuple[str, dict[str, Any]]] = []

    async def create(self, path: str, body: dict[str, Any]) -> None:
        self.requested.append((path, body))
        if self.error:
            raise self.error


def evict(api: Evictions) -> None:
    asyncio.run(evict_pod(api, "shop", "report-x", "uid-1"))  # type: ignore[arg-type]  # a fake


def test_a_pod_is_evicted_by_its_uid() -> None:
    api = Evictions()
    evict(api)

    ((path, body),) = api.requested
    assert path == "/api/v1/namespaces/shop/pods/report-x/eviction"
    assert (body["kind"], body["deleteOptions"]) == ("Eviction", {"preconditions": {"uid": "uid-1"}})


@pytest.mark.parametrize("kind", [errors.NotFound, errors.Conflict])
def test_a_pod_that_is_gone_needs_no_eviction(kind: type[errors.ApiError]) -> None:
    evict(Evictions(kind("create", "/x", 404, "Gone")))


@pytest.mark.parametrize("kind", [errors.Throttled, errors.Forbidden])
def test_a_rejected_eviction_is_an_error(kind: type[errors.ApiError]) -> None:
    with pytest.raises(kind):
        evict(Evictions(kind("create", "/x", 429, "TooManyRequests")))
