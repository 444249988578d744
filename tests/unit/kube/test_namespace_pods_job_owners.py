"""Pods of a Job are named by the topmost owner that the Job shows, with one read for each Job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from keyturn.core.observation.pods import Controller, Pod
from keyturn.kube import errors, paths
from keyturn.kube.namespace_pods import JobOwners
from tests.unit.core.builders import holding

if TYPE_CHECKING:
    from keyturn.kube.errors import ApiError


class Api:
    """Jobs by path; a read of one that is absent fails."""

    def __init__(self, *owned: str, kind: str = "CronJob", refusal: type[ApiError] | None = None) -> None:
        self.refusal = refusal
        self.reads: list[str] = []
        owner = {"kind": kind, "name": "report", "uid": "uid-of-report", "controller": True}
        self.jobs = {
            paths.job("shop", name): {"metadata": {"uid": f"uid-of-{name}", "ownerReferences": [owner]}}
            for name in owned
        }

    async def get(self, path: str, *, metadata_only: bool) -> dict[str, Any]:
        assert metadata_only
        self.reads.append(path)
        if self.refusal:
            raise self.refusal("get", path, 403, "Refused")
        if path not in self.jobs:
            raise errors.NotFound("get", path, 404, "NotFound")
        return self.jobs[path]


def pod(name: str, job: str) -> Pod:
    return holding(name, owner=("Job", job), controller=Controller("Job", job, f"uid-of-{job}"))


async def owners(api: Api, *pods: Pod) -> list[tuple[str, str]]:
    named = await JobOwners(api).name("shop", pods)  # type: ignore[arg-type]  # a fake
    return [one.owner for one in named]


async def test_the_pods_of_a_cron_job_are_named_by_it_with_one_read_for_each_job() -> None:
    api = Api("report-1", "report-2")

    found = await owners(api, pod("a", "report-1"), pod("b", "report-1"), pod("c", "report-2"))

    assert found == [("CronJob", "report")] * 3
    assert len(api.reads) == 2


@pytest.mark.parametrize("kind", ["CronJob", "Workflow"])
async def test_the_owner_is_of_any_kind(kind: str) -> None:
    assert await owners(Api("report-1", kind=kind), pod("a", "report-1")) == [(kind, "report")]


async def test_a_job_without_an_owner_stays() -> None:
    api = Api("report-1")
    api.jobs[paths.job("shop", "report-1")]["metadata"]["ownerReferences"] = []

    assert await owners(api, pod("a", "report-1")) == [("Job", "report-1")]


async def test_no_other_pod_needs_a_read() -> None:
    api = Api()
    kafka = holding(
        "k", owner=("StrimziPodSet", "kafka"), controller=Controller("StrimziPodSet", "kafka", "u")
    )

    assert await owners(api, holding("bare"), kafka) == [("Pod", "bare"), ("StrimziPodSet", "kafka")]
    assert api.reads == []


async def test_what_is_known_is_not_read_again() -> None:
    api = Api("report-1")
    jobs = JobOwners(api)  # type: ignore[arg-type]  # a fake

    for _ in range(3):
        await jobs.name("shop", [pod("a", "report-1")])

    assert len(api.reads) == 1


@pytest.mark.parametrize("refusal", [errors.Forbidden, errors.NotFound])
async def test_a_job_that_cannot_be_read_keeps_its_name(refusal: type[ApiError]) -> None:
    api = Api("report-1", "report-2", refusal=refusal)

    found = await owners(api, pod("a", "report-1"), pod("b", "report-2"))

    assert found == [("Job", "report-1"), ("Job", "report-2")]
    assert len(api.reads) == (1 if refusal is errors.Forbidden else 2)


async def test_another_job_of_that_name_is_not_its_owner() -> None:
    api = Api("report-1")
    api.jobs[paths.job("shop", "report-1")]["metadata"]["uid"] = "of-a-later-one"

    assert await owners(api, pod("a", "report-1")) == [("Job", "report-1")]


async def test_a_failing_api_server_is_no_answer() -> None:
    with pytest.raises(errors.Unavailable):
        await owners(Api("report-1", refusal=errors.Unavailable), pod("a", "report-1"))


async def test_one_call_reads_a_limited_number_of_jobs_and_the_next_one_the_rest() -> None:
    names = [f"report-{number}" for number in range(40)]
    api = Api(*names)
    jobs = JobOwners(api)  # type: ignore[arg-type]  # a fake
    pods = [pod(name, name) for name in names]

    first = await jobs.name("shop", pods)
    second = await jobs.name("shop", pods)

    assert [sum(one.owner[0] == "CronJob" for one in found) for found in (first, second)] == [32, 40]
    assert len(api.reads) == 40


async def test_owners_of_old_jobs_are_forgotten() -> None:
    api, jobs = Api(), JobOwners(Api("report-1"))  # type: ignore[arg-type]  # fakes
    await jobs.name("shop", [pod("a", "report-1")])
    for number in range(5000):
        jobs._remember(str(number), ("CronJob", "x"))  # each would be a request
    jobs._api = api  # type: ignore[assignment]  # a fake without that Job

    assert [one.owner for one in await jobs.name("shop", [pod("a", "report-1")])] == [("Job", "report-1")]
    assert len(jobs._known) <= 4096
