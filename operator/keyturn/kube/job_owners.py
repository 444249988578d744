"""Names the topmost owner of the pods of a Job, such as its CronJob, as the Job's metadata show it.

A pod names its Job only. The Job is read by name when its pod holds earlier values, once for each Job; at rest
nothing is read, and nothing is listed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from . import errors, paths
from .pods import controller_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from keyturn.core.observation.holders import HoldingPod

    from .client import Api

__all__ = ["JobOwners"]

_JOB = "Job"
_MAX_READS = 32
"""Jobs that one call reads; the pods of others are named by their Job until a later call."""
_MAX_KNOWN = 4096

_Owner = tuple[str, str]


class JobOwners:
    """Owners of Jobs, which never change, by the UID of the Job."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._known: dict[str, _Owner] = {}

    async def name(self, namespace: str, pods: Iterable[HoldingPod]) -> tuple[HoldingPod, ...]:
        """Return the pods, those of Jobs with the owner of the Job.

        Raises:
            ApiError: A Job could not be read; a missing permission or Job leaves the name of the Job.
        """
        pods = tuple(pods)
        await self._read(namespace, pods)
        return tuple(self._named(pod) for pod in pods)

    def _named(self, pod: HoldingPod) -> HoldingPod:
        owner = self._known.get(pod.controller.uid) if pod.controller else None
        return replace(pod, owner=owner) if owner else pod

    async def _read(self, namespace: str, pods: Iterable[HoldingPod]) -> None:
        jobs = {pod.controller.uid: pod.controller for pod in pods if pod.controller and pod.owner[0] == _JOB}
        unknown = [job for uid, job in jobs.items() if uid not in self._known]
        for job in unknown[:_MAX_READS]:
            try:
                body = await self._api.get(paths.job(namespace, job.name), metadata_only=True)
            except errors.Forbidden:
                return
            except errors.NotFound:
                continue
            if body["metadata"]["uid"] == job.uid:
                owner = controller_of(body["metadata"])
                self._remember(job.uid, (owner["kind"], owner["name"]) if owner else (_JOB, job.name))

    def _remember(self, uid: str, owner: _Owner) -> None:
        self._known[uid] = owner
        if len(self._known) > _MAX_KNOWN:
            del self._known[next(iter(self._known))]
