"""When the pods of a workload are read while its rollout is under way, and what they showed last."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from .core.pods import PodsSeen
from .core.stuck import is_left_behind
from .kube.pods import may_delete_pods, pods_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from .core.keys import WorkloadKey
    from .core.workload import Workload
    from .kube.client import Api

__all__ = ["GRACE", "NO_GRACE", "PodLooks"]

GRACE = timedelta(seconds=10)
"""How long a rollout is left alone: most are over by then, and their pods are not read at all."""
NO_GRACE = timedelta(0)
"""For a rollout that has failed: its pods say why."""
_SHORTEST = timedelta(seconds=5)
_LONGEST = timedelta(minutes=5)
_SHARE = 4
"""A pause is this part of the time since the rollout began."""


class _Look(NamedTuple):
    of: tuple[str, str]
    """The workload's UID and its marker: what was seen of another rollout does not count."""
    seen: PodsSeen


class PodLooks:
    """Looks at the pods of workloads whose rollouts are under way, each seldom, and forgets the others."""

    def __init__(self, api: Api, now: Callable[[], datetime]) -> None:
        self._api = api
        self._now = now
        self._looks: dict[WorkloadKey, _Look] = {}

    async def look(self, workload: Workload, began: datetime, grace: timedelta) -> PodsSeen:
        """Return what the pods show: they are read when the grace is over, and then each time that it is due.

        Raises:
            ApiError: They could not be read.
        """
        of, now = (workload.uid, workload.marker), self._now()
        known = self._looks.get(workload.key)
        last = known.seen if known and known.of == of else PodsSeen(again=min(began, now) + grace)
        if last.again > now:
            return last
        self._forget_older_than(now - 2 * _LONGEST)
        seen = await self._read(workload, now - began)
        self._looks[workload.key] = _Look(of, seen)
        return seen

    def forget(self, workload: WorkloadKey) -> None:
        """Forget what its pods showed: one of them was changed just now."""
        self._looks.pop(workload, None)

    def _forget_older_than(self, moment: datetime) -> None:
        self._looks = {key: look for key, look in self._looks.items() if look.seen.again > moment}

    async def _read(self, workload: Workload, since: timedelta) -> PodsSeen:
        pods, pages = await pods_of(self._api, workload)
        is_stuck = any(is_left_behind(pod, workload) and pod.never_ready for pod in pods)
        deletable = is_stuck and await may_delete_pods(self._api, workload.key.namespace)
        pause = min(max(since / _SHARE, _SHORTEST * pages), _LONGEST)
        return PodsSeen(self._now() + pause, pods, deletable)
