"""Plan of new or changed SecretClasses: their effects on the ManagedSecrets of the cluster.

No Secret is read: the state is taken from the status of each ManagedSecret.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from keyturn.cli.managed import all_of
from keyturn.controllers.secretclass import flaw_of
from keyturn.core.errors import Stalled
from keyturn.core.status.summary import SummaryState, summary_of
from keyturn.kube import errors
from keyturn.kube.cache.cache import InformerCache
from keyturn.kube.cache.managed_secrets import WHOLE

from .class_effects import Effect, effects_of
from .model import Refusal
from .observe import observe_cached, put_classes, state_of_status

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from keyturn.cli.cluster import Cluster
    from keyturn.cli.managed import FoundManagedSecret
    from keyturn.core.keys import ObjectKey

    from .manifest import DeclaredClass

__all__ = ["ClassPlan", "find_effects", "plan_classes"]

_UNREAD = "no value is read: whether present values satisfy the rules of the class is not part of the plan"
_VALUE_RULES = ("min_length", "min_entropy_bits", "distinct_across_environments")


@dataclass(frozen=True, slots=True)
class ClassPlan:
    """What applying one class would do."""

    name: str
    is_new: bool
    is_default: bool
    refusal: Refusal | None
    """Why the class would be stalled."""
    followers: int
    """How many ManagedSecrets follow it, by name or by default."""
    effects: tuple[Effect, ...]
    """The most severe first."""
    notes: tuple[str, ...]

    @property
    def needs_attention(self) -> bool:
        """Whether it would be stalled, or changes the state of a ManagedSecret."""
        return self.refusal is not None or bool(self.effects)


async def plan_classes(
    cluster: Cluster, classes: Sequence[DeclaredClass], planned: Collection[ObjectKey] = ()
) -> list[ClassPlan]:
    """Plan all classes together; the ManagedSecrets in `planned` are planned on their own.

    Raises:
        ApiError: The API server refuses a read.
    """
    before, after = InformerCache(WHOLE), InformerCache(WHOLE)
    await put_classes(cluster.api, None, before)
    notes = await put_classes(cluster.api, None, after, classes)
    every, unseen = await _list_managed(cluster)
    every = [one for one in every if one.key not in planned]
    for found in every:
        before.put_managed(found.body)
        after.put_managed(found.body)
    names = [one.name for one in classes]
    effects: dict[str, list[Effect]] = {name: [] for name in names}
    for found in every:
        of = _class_of(found, before, after, names)
        if of is not None:
            effects[of] += await find_effects(found, before, after, cluster.now())
    return [
        ClassPlan(
            name=one.name,
            is_new=one.is_new,
            is_default=after.class_name(None) == one.name,
            refusal=_refusal(one.name, after),
            followers=len(after.of_class(one.name)),
            effects=tuple(sorted(effects[one.name], key=lambda it: (it.becomes.rank, str(it.key)))),
            notes=(*notes, *unseen, *_unread(one.name, after)),
        )
        for one in classes
    ]


async def _list_managed(cluster: Cluster) -> tuple[list[FoundManagedSecret], tuple[str, ...]]:
    """Return those of the cluster, or of the namespace if that is all that the user may list."""
    try:
        return await all_of(cluster, None), ()
    except errors.Forbidden:
        note = f"you may list ManagedSecrets of namespace {cluster.namespace} only: others are missing in the plan"
        return await all_of(cluster, cluster.namespace), (note,)


def _class_of(
    found: FoundManagedSecret, before: InformerCache, after: InformerCache, names: Sequence[str]
) -> str | None:
    """Return the planned class that a ManagedSecret follows, or has followed."""
    written = found.managed.spec.class_name
    return next((name for cache in (after, before) if (name := cache.class_name(written)) in names), None)


async def find_effects(
    found: FoundManagedSecret, before: InformerCache, after: InformerCache, now: datetime
) -> tuple[Effect, ...]:
    """Return what a ManagedSecret of both caches becomes by the classes of the second one."""
    then, later = await observe_cached(found, before, now), await observe_cached(found, after, now)
    state = state_of_status(later, then.desired or later.desired)
    is_held = summary_of(found, now).state is SummaryState.HELD
    return tuple(
        effects_of(found.key, replace(then, state=state), replace(later, state=state), is_held=is_held)
    )


def _refusal(name: str, after: InformerCache) -> Refusal | None:
    try:
        found = after.secret_class(name)
    except Stalled as stalled:
        return Refusal(stalled.reason, stalled.message)
    flaw = flaw_of(found) if found else None
    return Refusal(flaw.reason, flaw.message) if flaw else None


def _unread(name: str, after: InformerCache) -> tuple[str, ...]:
    try:
        found = after.secret_class(name)
    except Stalled:
        return ()
    return (_UNREAD,) if found and any(getattr(found.spec, rule) for rule in _VALUE_RULES) else ()
