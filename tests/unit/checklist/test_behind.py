"""Which pods an audit names because they started before the current revision, and what it says without rights."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from keyturn.api.managedsecret import ManagedSecret
from keyturn.api.status import Via
from keyturn.checklist.behind import find_behind
from keyturn.checklist.facts import Declared
from keyturn.core.observation.holders import HoldingPod
from keyturn.core.observation.workload import Use
from keyturn.core.policy.findings import Verdict
from keyturn.kube import errors, paths
from keyturn.kube.namespace_pods import PodList
from keyturn.kube.secret_informer import SecretMeta

if TYPE_CHECKING:
    from keyturn.core.policy.findings import Finding

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
PUBLISHED = NOW - timedelta(hours=2)


def pod(
    name: str = "report-x", *, hours: float = 3, owner: tuple[str, str] = ("Job", "report")
) -> HoldingPod:
    uses = (Use("auth", (Via.ENV_FROM,), None),)
    return HoldingPod(name=name, uid=name, began=NOW - timedelta(hours=hours), uses=uses, owner=owner)


def declared(revision: int = 2, namespace: str = "shop", **status: Any) -> Declared:
    body = {
        "metadata": {"name": "auth", "namespace": namespace},
        "spec": {"data": [{"name": "token", "literal": "x"}]},
        "status": {"revision": revision, **status},
    }
    return Declared(ManagedSecret.model_validate(body), None, None)


def secret(owner: str = "auth", published: datetime | None = PUBLISHED) -> SecretMeta:
    return SecretMeta("shop", "auth", "1", "uid", owner, 2, published)


class Cluster:
    """Facts of a cluster with some pods, which counts its lists."""

    def __init__(
        self,
        *pods: HoldingPod,
        managed: list[Declared] | None = None,
        metas: tuple[SecretMeta, ...] | None = None,
        forbidden: bool = False,
    ) -> None:
        self.listed: list[str] = []
        self._managed = [declared()] if managed is None else managed
        self._metas = (secret(),) if metas is None else metas
        self._pods = PodList(0.0, pods, forbidden)
        self.hides_secrets = False

    def now(self) -> datetime:
        return NOW

    async def list_declared(self) -> list[Declared]:
        return self._managed

    async def list_pods(self, namespace: str) -> PodList:
        self.listed.append(namespace)
        return self._pods

    async def list_published(self, namespace: str) -> dict[str, SecretMeta]:
        if self.hides_secrets:
            raise errors.Forbidden("list", paths.secrets(namespace), 403, "Forbidden")
        return {meta.name: meta for meta in self._metas}


def found(cluster: Cluster) -> list[Finding]:
    return asyncio.run(find_behind(cluster))  # type: ignore[arg-type]  # a fake


def test_a_pod_from_before_the_revision_is_named_with_owner_and_age() -> None:
    (one,) = found(Cluster(pod()))

    assert (one.verdict, one.where) == (Verdict.UNKNOWN, "shop/auth")
    assert one.evidence == (
        "Job/report runs since 2026-05-01 09:00 UTC (3h), before revision 2: it may hold an earlier value"
    )


def test_of_several_pods_the_older_ones_are_counted() -> None:
    (one,) = found(Cluster(pod("a"), pod("b", hours=4), pod("c", hours=1)))

    assert "Job/report runs with 2 of 3 pods since 2026-05-01 08:00 UTC (4h)" in one.evidence


@pytest.mark.parametrize(
    "cluster",
    [
        pytest.param(Cluster(pod(hours=1)), id="it started after the revision"),
        pytest.param(Cluster(pod(), metas=()), id="the Secret is missing"),
        pytest.param(Cluster(pod(), metas=(secret(owner="other"),)), id="the Secret is of another"),
        pytest.param(Cluster(pod(), metas=(secret(published=None),)), id="the Secret has no time"),
    ],
)
def test_no_pod_is_named_if(cluster: Cluster) -> None:
    assert found(cluster) == []


@pytest.mark.parametrize(
    ("owner", "revision", "is_named"),
    [
        pytest.param(("Deployment", "api"), 2, False, id="it judges this Deployment by its keys"),
        pytest.param(("Deployment", "gone"), 2, True, id="this one no longer uses the Secret"),
        pytest.param(("Deployment", "paused"), 2, True, id="this one is behind"),
        pytest.param(("Deployment", "api"), 3, True, id="it judged it for an earlier revision"),
        pytest.param(("Job", "report"), 2, True, id="a Job is not restarted"),
    ],
)
def test_workloads_that_the_operator_found_current_are_left_out(
    owner: tuple[str, str],
    revision: int,
    is_named: bool,  # noqa: FBT001
) -> None:
    rows = [
        {"kind": "Deployment", "name": "api", "state": "Current"},
        {"kind": "Deployment", "name": "paused", "state": "Pending"},
        {"kind": "Job", "name": "report", "state": "Pending"},
    ]
    meta = replace(secret(), revision=revision)
    cluster = Cluster(pod(owner=owner), managed=[declared(workloads=rows)], metas=(meta,))

    assert bool(found(cluster)) is is_named


def test_pods_that_may_not_be_listed_are_unknown() -> None:
    (one,) = found(Cluster(forbidden=True))

    assert one.verdict is Verdict.UNKNOWN
    assert (
        one.evidence
        == "you may not list pods in namespace shop, so which pods hold earlier values is unknown"
    )


def test_without_the_time_of_the_publication_they_are_unknown() -> None:
    cluster = Cluster(pod())
    cluster.hides_secrets = True
    (one,) = found(cluster)

    assert "you may not list Secrets in namespace shop" in one.evidence


def test_each_namespace_with_a_second_revision_is_asked_about() -> None:
    cluster = Cluster(
        managed=[declared(), declared(namespace="new", revision=1), declared(namespace="other")]
    )
    found(cluster)

    assert cluster.listed == ["other", "shop"]
