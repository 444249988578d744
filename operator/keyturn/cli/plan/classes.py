"""Plan of new or changed SecretClasses: what each ManagedSecret that follows one becomes.

Compares two observations of it, with the classes before and after the change. No Secret is read: the state is taken
from its status.
"""

from __future__ import annotations

import enum
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from keyturn.cli.managed import all_of
from keyturn.controllers.secretclass import flaw_of
from keyturn.core.errors import Stalled
from keyturn.core.policy.rules import denies, joined_messages
from keyturn.core.rotation.schedule_dates import natural_dates, spread_since
from keyturn.core.rotation.triggers import is_due_on_request, is_overdue, start_time
from keyturn.core.status.summary import SummaryState, summary_of
from keyturn.kube import errors
from keyturn.kube.cache.cache import InformerCache

from .observe import observe_cached, put_classes, state_of_status

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from datetime import datetime

    from keyturn.cli.cluster import Cluster
    from keyturn.cli.managed import FoundManagedSecret
    from keyturn.core.keys import ObjectKey
    from keyturn.core.observation.observed import Observed
    from keyturn.kube.wire import Body


_UNREAD = "no value is read: whether present values satisfy the rules of the class is not part of the plan"
_VALUE_RULES = ("min_length", "min_entropy_bits", "distinct_across_environments")


async def plan_classes(
    cluster: Cluster, classes: Mapping[str, Body], planned: Collection[ObjectKey] = ()
) -> list[dict[str, Any]]:
    """Return the document of each class; the ManagedSecrets in `planned` are planned on their own."""
    before, after = InformerCache(), InformerCache()
    await put_classes(cluster.api, None, before)
    notes = await put_classes(cluster.api, None, after, classes)
    try:
        every = await all_of(cluster, None)
    except errors.Forbidden:
        every, place = await all_of(cluster, cluster.namespace), cluster.namespace
        notes.append(f"you may list ManagedSecrets of namespace {place} only: others are missing in the plan")
    every = [one for one in every if one.key not in planned]
    for found in every:
        before.put_managed(found.body)
        after.put_managed(found.body)
    effects: dict[str, list[Effect]] = {name: [] for name in classes}
    for found in every:
        # The planned class that it follows, or has followed.
        names = (cache.class_name(found.managed.spec.class_name) for cache in (after, before))
        if name := next((name for name in names if name in effects), None):
            effects[name] += await find_effects(found, before, after, cluster.now())
    return [_document(name, body, after, effects[name], notes) for name, body in classes.items()]


def _document(
    name: str, body: Body, after: InformerCache, effects: list[Effect], notes: list[str]
) -> dict[str, Any]:
    try:
        found = after.secret_class(name)
        flaw = flaw_of(found) if found else None
    except Stalled as stalled:
        found, flaw = None, stalled
    reads_values = found and any(getattr(found.spec, rule) for rule in _VALUE_RULES)
    return {
        "kind": "SecretClass",
        "name": name,
        "refusals": [{"reason": str(flaw.reason), "message": flaw.message}] if flaw else [],
        "isNew": not body["metadata"]["uid"],
        "isDefault": after.class_name(None) == name,
        "managedSecrets": len(after.of_class(name)),
        "effects": [
            {
                "namespace": one.key.namespace,
                "name": one.key.name,
                "becomes": str(one.becomes),
                "startsAt": one.starts,
                "message": one.message,
            }
            for one in sorted(effects, key=lambda one: (list(Becomes).index(one.becomes), str(one.key)))
        ],
        "notes": [*notes, *([_UNREAD] if reads_values else [])],
    }


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


# Effects


class Becomes(enum.StrEnum):
    """What a ManagedSecret becomes, the most severe first."""

    STALLED = "Stalled"
    """The class and its spec contradict each other."""
    VIOLATING = "Violating"
    """It violates a rule of the class."""
    OVERDUE = "Overdue"
    """A rotation is due, at the latest at the end of the spread, and does not start although it could have."""
    DUE = "Due"
    """A rotation starts at a date of the spread or in the next window; or is reported as due, on request."""


class Effect(NamedTuple):
    """One change of one ManagedSecret."""

    key: ObjectKey
    becomes: Becomes
    message: str = ""
    starts: datetime | None = None
    """When its rotation starts; None if none starts without a request or manual action."""


def effects_of(
    key: ObjectKey, before: Observed, after: Observed, *, is_held: bool = False
) -> Iterator[Effect]:
    """Yield what one ManagedSecret becomes; `is_held` if a rollback pauses its schedule."""
    if after.spec_error:
        if before.spec_error is None or before.spec_error.message != after.spec_error.message:
            yield Effect(key, Becomes.STALLED, f"{after.spec_error.reason}: {after.spec_error.message}")
        return
    # New violations, and those that only the new class denies.
    stricter = denies(after.secret_class) and not denies(before.secret_class)
    known = {(one.rule, one.item) for one in before.violations if not stricter}
    if new := [one for one in after.violations if (one.rule, one.item) not in known]:
        effect = "denied, so nothing is written" if denies(after.secret_class) else "reported"
        yield Effect(key, Becomes.VIOLATING, f"{effect}; {joined_messages(new)}")
    was, is_ = _standing(key, before, is_held=is_held), _standing(key, after, is_held=is_held)
    if is_ and (was is None or (was.becomes, was.message) != (is_.becomes, is_.message)):
        yield is_


def _standing(key: ObjectKey, observed: Observed, *, is_held: bool) -> Effect | None:
    """Return what the schedule makes of it now, or None if nothing is due."""
    due = min(natural_dates(observed).values(), default=None)
    if due is None or due > observed.now:
        return None
    if is_due_on_request(observed):
        return Effect(key, Becomes.DUE, "is reported as due, and rotates on request only (appliedBy: Nobody)")
    if obstacle := _obstacle(observed, is_held=is_held):
        is_late = is_overdue(observed) or spread_since(observed)
        return Effect(key, Becomes.OVERDUE if is_late else Becomes.DUE, obstacle)
    starts = start_time(observed)
    waits, message = starts is not None and starts > observed.now, "rotates at once"
    if waits:
        message = "rotates when a window opens"
    if spread_since(observed):
        message = "rotates later, spread by rotation.spread"
    becomes = Becomes.OVERDUE if waits and is_overdue(observed) else Becomes.DUE
    return Effect(key, becomes, message, starts or observed.now)


def _obstacle(observed: Observed, *, is_held: bool) -> str | None:
    """Return why a due rotation does not start."""
    if observed.managed.spec.suspend:
        return "does not rotate while it is suspended"
    if is_held:
        return "does not rotate while it is held after a rollback"
    if denies(observed.secret_class) and any(not one.fixed_by_rotation for one in observed.violations):
        return "does not rotate while the class denies it"
    return None
