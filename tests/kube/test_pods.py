"""Which pods count as a workload's, and what is read of each."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from keyturn.core.outdated import PodFacts
from keyturn.kube.client import Page
from keyturn.kube.pods import pods_of, pods_with_readiness
from tests.core.builders import workload

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from keyturn.core.workload import Workload

CREATED = datetime(2026, 11, 24, 12, tzinfo=UTC)


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


def body(name: str = "api-1", owner: Any = ("ReplicaSet", "api-7f", "u"), **metadata: Any) -> dict[str, Any]:
    kind, of, uid = owner or ("", "", "")
    owners: list[dict[str, Any]] = [{"kind": "Node", "name": "n", "uid": "n"}]
    owners += [{"kind": kind, "name": of, "uid": uid, "controller": True}] if owner else []
    return {
        "metadata": {
            "name": name,
            "creationTimestamp": "2026-11-24T12:00:00Z",
            "labels": {"pod-template-hash": "7f"},
            "ownerReferences": owners,
            **metadata,
        },
        "status": {"conditions": [{"type": "PodScheduled", "status": "True"}]},
    }


def read(*bodies: dict[str, Any], of: Workload | None = None) -> tuple[PodFacts, ...]:
    api: Any = Pods(Page(list(bodies), "1", first=True))
    return asyncio.run(pods_of(api, of or workload("api")))


def test_a_pod_is_read_from_its_metadata() -> None:
    left = {"deletionTimestamp": "2026-11-24T12:10:30Z", "deletionGracePeriodSeconds": 30}
    annotations = {"keyturn.dev/secret-versions": "db=2"}
    assert read(body("a"), body("b", annotations=annotations, **left)) == (
        PodFacts("a", CREATED, ""),
        PodFacts("b", CREATED, "db=2", datetime(2026, 11, 24, 12, 10, tzinfo=UTC)),
    )


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
    made = workload(name, kind=kind)
    found = read(body(owner=owner), of=_selected(made))
    assert bool(found) == counts


def _selected(made: Workload) -> Workload:
    return replace(made, selector="app=api")


@pytest.mark.parametrize(("status", "ready"), [("True", True), ("False", False)])
def test_whether_a_pod_is_ready_is_read_on_request(status: str, ready: bool) -> None:  # noqa: FBT001
    one = body()
    one["status"]["conditions"].append({"type": "Ready", "status": status})
    api: Any = Pods(Page([one], "1", first=True))
    assert [pod.ready for pod in asyncio.run(pods_with_readiness(api, workload("api")))] == [ready]
    assert [pod.ready for pod in read(one)] == [None]


def test_a_list_that_begins_again_replaces_what_came_before() -> None:
    pages = [([body("a")], True), ([body("b")], False), ([body("b"), body("c")], True), ([body("d")], False)]
    api: Any = Pods(*(Page(items, "1", first=first) for items, first in pages))
    assert [pod.name for pod in asyncio.run(pods_of(api, workload("api")))] == ["b", "c", "d"]
