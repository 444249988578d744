"""When the pods of workloads were read, what they showed, and when they are due again: the one reader of pods."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from keyturn.core.observation.pods import PodsSeen
from keyturn.core.rotation.stuck_pods import is_left_behind
from keyturn.kube import errors
from keyturn.kube.pods import PodDetail, may_delete_pods, pods_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from keyturn.core.keys import WorkloadKey
    from keyturn.core.observation.workload import Workload
    from keyturn.kube.client import Api

__all__ = ["GRACE", "NO_GRACE", "PodLooks"]

GRACE = timedelta(seconds=10)
"""How long a rollout is left alone: most are over by then, and their pods are not read at all."""
NO_GRACE = timedelta(0)
"""For a rollout that has failed: its pods say why."""
_SHORTEST = timedelta(seconds=5)
_LONGEST = timedelta(minutes=5)
_UNTIL_ALLOWED = timedelta(minutes=1)
_SHARE = 4
"""A pause is this part of the time since the rollout began."""


class _Look(NamedTuple):
    of: tuple[str, str]
    """The workload's UID and its marker: what was seen of another rollout does not count."""
    again: datetime
    observed: PodsSeen


class PodLooks:
    """Looks at the pods of workloads whose rollouts are under way, each seldom, and forgets the others."""

    def __init__(self, api: Api, now: Callable[[], datetime]) -> None:
        self._api = api
        self._now = now
        self._looks: dict[WorkloadKey, _Look] = {}

    def last(self, workload: Workload, began: datetime, grace: timedelta) -> PodsSeen | None:
        """Return what the pods showed last, which is nothing within the grace; None when they are due to be read."""
        now, known = self._now(), self._looks.get(workload.key)
        if known is None or known.of != (workload.uid, workload.marker):
            again = min(began, now) + grace
            known = _Look((workload.uid, workload.marker), again, PodsSeen(again))
        return known.observed if known.again > now else None

    async def read(self, workload: Workload, began: datetime) -> PodsSeen:
        """Read the pods now; of one that is settled their metadata tells enough, each that stays is ready.

        Raises:
            ApiError: They could not be read; where the right is missing, that is what was seen.
        """
        try:
            return await (self.read_ages(workload) if workload.settled else self._read_whole(workload, began))
        except errors.Forbidden:
            return self._kept(workload, self._now() + _UNTIL_ALLOWED, PodsSeen(forbidden=True))

    async def read_ages(self, workload: Workload) -> PodsSeen:
        """Read the metadata of the pods now: when and of which template each was made.

        Raises:
            ApiError: They could not be read.
        """
        pods, _ = await pods_of(self._api, workload, PodDetail.METADATA)
        return PodsSeen(pods=pods)

    def forget(self, workload: WorkloadKey) -> None:
        """Forget what its pods showed: one of them was changed just now."""
        self._looks.pop(workload, None)

    async def _read_whole(self, workload: Workload, began: datetime) -> PodsSeen:
        since = self._now() - began
        pods, pages = await pods_of(self._api, workload, PodDetail.WHOLE)
        is_stuck = any(is_left_behind(pod, workload) and pod.never_ready for pod in pods)
        deletable = is_stuck and await may_delete_pods(self._api, workload.key.namespace)
        pause = min(max(since / _SHARE, _SHORTEST * pages), _LONGEST)
        return self._kept(workload, self._now() + pause, PodsSeen(pods=pods, deletable=deletable))

    def _kept(self, workload: Workload, again: datetime, observed: PodsSeen) -> PodsSeen:
        moment = self._now() - 2 * _LONGEST
        self._looks = {key: look for key, look in self._looks.items() if look.again > moment}
        observed = replace(observed, again=again)
        self._looks[workload.key] = _Look((workload.uid, workload.marker), again, observed)
        return observed
