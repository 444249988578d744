"""Topmost owners of the pods that use one Secret, and how many of their pods started before a publication."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import datetime

    from keyturn.api.status import Via

    from .holders import HoldingPod
    from .workload import Use

__all__ = ["PodOwner", "owners_of"]


@dataclass(frozen=True, slots=True)
class PodOwner:
    """The topmost owner of running pods that use one Secret; a pod without an owner is its own."""

    kind: str
    name: str
    via: tuple[Via, ...]
    keys: frozenset[str] | None
    """The keys that its pods use; None for all."""
    pods: int
    since: datetime
    """When the oldest of its pods started."""
    before: int
    """How many of its pods started before the publication."""

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"

    def uses(self, keys: Collection[str]) -> bool:
        """Whether its pods use one of these keys."""
        return bool(keys) if self.keys is None else not self.keys.isdisjoint(keys)


def owners_of(
    pods: Iterable[HoldingPod], secret: str, published: datetime | None = None
) -> tuple[PodOwner, ...]:
    """Return the owners of the pods that use a Secret, sorted; without `published` no pod is older."""
    by_owner: defaultdict[tuple[str, str], dict[HoldingPod, Use]] = defaultdict(dict)
    for pod in pods:
        if use := pod.use_of(secret):
            by_owner[pod.owner][pod] = use
    return tuple(_owner(*owner, uses, published) for owner, uses in sorted(by_owner.items()))


def _owner(kind: str, name: str, uses: Mapping[HoldingPod, Use], published: datetime | None) -> PodOwner:
    keys = [use.keys for use in uses.values()]
    known = [one for one in keys if one is not None]
    return PodOwner(
        kind=kind,
        name=name,
        via=tuple(sorted({way for use in uses.values() for way in use.via})),
        keys=frozenset[str]().union(*known) if len(known) == len(keys) else None,
        pods=len(uses),
        since=min(pod.began for pod in uses),
        # Times have whole seconds: a pod of the same second may have read the previous values.
        before=sum(published is not None and pod.began <= published for pod in uses),
    )
