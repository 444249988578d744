"""Model of a plan: what is printed about each part."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from keyturn.cli.text import listed
from keyturn.core.reasons import ErrorReason, RevisionReason
from keyturn.core.rotation.kept_values import kept_items
from keyturn.core.rotation.triggers import (
    breakage_by_change,
    breakage_of,
    removed_items,
    start_time,
)
from keyturn.core.spec import schedule
from keyturn.core.status.summary import AFTER_THE_ROLLOUT, UNDER_WAY_OUTSIDE, WORKLOAD_FAILED, condition

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from keyturn.api.managedsecret import ManagedSecret
    from keyturn.api.meta import Condition
    from keyturn.cli.managed import FoundManagedSecret
    from keyturn.core.observation.holders import PodOwner
    from keyturn.core.observation.observed import Observed
    from keyturn.core.rotation import rollout
    from keyturn.core.spec.desired import Desired, Item
    from keyturn.core.spec.store_refs import Destination

    from .absent_references import Absent
    from .observe import PlanObservation
    from .simulate import Foresight, Restart

__all__ = [
    "IS_READ",
    "Plan",
    "PodLine",
    "PushLine",
    "Refusal",
    "ValueLine",
    "WorkloadLine",
    "due_again",
    "notes",
    "of_stores",
    "pods",
    "pushes",
    "values",
    "workloads",
]

IS_READ = "is read from the store"
_TEMPLATE = "template"
_WHAT_IS_KEPT = {
    "Refreshed": "values of stores stay as last read",
    "Pushed": "not every store has the current values",
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """A reason why a rotation would not be executed."""

    reason: str
    message: str


_RESOLVED = frozenset(
    {
        ErrorReason.CREDENTIAL_CONTESTED,
        ErrorReason.CREDENTIAL_LOCKED,
        ErrorReason.CREDENTIAL_REFUSED,
        ErrorReason.PASSWORD_REFUSED,
        ErrorReason.WRONG_ROLE,
    }
)
"""Reasons of a database account that another rotation resolves."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The result of a simulation, with the current observation."""

    found: FoundManagedSecret
    look: PlanObservation
    foresight: Foresight
    is_rotation: bool
    """Whether a rotation is planned; otherwise the change by a manifest."""

    @property
    def now(self) -> Observed:
        return self.look.observed

    @property
    def refusals(self) -> tuple[Refusal, ...]:
        """All reasons against execution, including those that only the operator can determine."""
        foreseen = tuple(Refusal(one.reason, one.message) for one in self.foresight.refusals)
        foreseen += tuple(Refusal(one.reason, one.message) for one in self.look.absent if self.needs(one))
        said = condition(self.found.managed, "Stalled") if self.is_rotation else None
        known = {one.reason for one in foreseen} | WORKLOAD_FAILED | _RESOLVED
        known |= {one.reason for one in of_stores(self.found.managed)}  # which does not prevent a rotation
        if said is None or said.status != "True" or said.reason in known:
            return foreseen
        return (*foreseen, Refusal(said.reason, said.message))

    @property
    def is_refused(self) -> bool:
        return bool(self.refusals)

    @property
    def kept(self) -> frozenset[str]:
        """The items whose previous value the Secret has now."""
        return kept_items(self.now, self.now.desired) if self.now.desired else frozenset()

    @property
    def writes_revision(self) -> bool:
        """Whether a revision is generated or adopted."""
        return self.foresight.number is not None or self.foresight.adopts is not None

    def needs(self, absent: Absent) -> bool:
        """Whether nothing is written before a store, a database target or a signing Secret exists.

        Before the first revision each store is read, also one that is only pushed to: it may have the values of an
        earlier object.
        """
        if absent.is_target or self.now.state is None:
            return self.writes_revision
        return not absent.items.isdisjoint(self.foresight.fresh)


@dataclass(frozen=True, slots=True)
class ValueLine:
    name: str
    keys: tuple[str, ...]
    source: str
    action: str
    why: str


def values(plan: Plan) -> Iterator[ValueLine]:
    desired, before = plan.now.desired, plan.now.state
    if desired is None:
        return
    for item in desired.items:
        action, why = _fate(item, plan, desired)
        yield ValueLine(item.name, tuple(item.keys.values()), _source(item), action, why)
    for key in desired.templates:
        yield ValueLine(key, (key,), _TEMPLATE, "Render" if plan.writes_revision else "Keep", "")
    if before is None:
        return
    for name in sorted(removed_items(desired, before)):
        yield ValueLine(name, tuple(before.keys[name].values()), "", "Remove", "")
    for key in sorted(before.templates.keys() - desired.every_key):
        yield ValueLine(key, (key,), _TEMPLATE, "Remove", "")


def _fate(item: Item, plan: Plan, desired: Desired) -> tuple[str, str]:
    known = plan.look.makers.adopted or (plan.now.state.keys if plan.now.state else {})
    is_new = item.name not in known
    if item.name in plan.foresight.fresh:
        return ("Make" if is_new else "Replace"), IS_READ if item.source else ""
    if plan.foresight.adopts:
        derived = plan.look.derived.intersection(item.keys.values())
        return (
            "Keep",
            f"the Secret has it; {listed(derived)} follows from it" if derived else "the Secret has it",
        )
    if item.literal is not None:
        return "Keep", "a literal"
    if item.source is not None:
        return "Keep", "read again on its own schedule"
    if plan.foresight.number is None or item.is_login or item.name in desired.rotates:
        return "Keep", ""
    return "Keep", "not in rotation.only" if item.is_generated else "changes with another item"


def _source(item: Item) -> str:
    if item.source is not None:
        return str(item.source)
    if item.is_login:
        return "database login"
    if item.recipe is None:
        return "literal"
    return f"{item.recipe.kind} (of the class)" if item.of_class else item.recipe.kind


@dataclass(frozen=True, slots=True)
class PushLine:
    """The change of one key in a store."""

    destination: Destination
    keys: tuple[str, ...]
    action: str


def pushes(plan: Plan) -> Iterator[PushLine]:
    desired, before = plan.now.desired, plan.look.before
    if desired is None:
        return
    then = {one.id: one for one in before.pushes} if before else {}
    for one in desired.pushes:
        keys = (one.secret_key,) if one.secret_key else tuple(sorted(desired.made_here))
        is_other = one.id not in then or then[one.id].text != one.text
        yield PushLine(one, keys, "Push" if plan.writes_revision or is_other else "Keep")
    for place in sorted(then.keys() - {one.id for one in desired.pushes}):
        yield PushLine(then[place], (), "Delete" if then[place].deletes else "Leave")


@dataclass(frozen=True, slots=True)
class WorkloadLine:
    progress: rollout.WorkloadProgress
    wave: int
    round: int | None
    why: str

    @property
    def via(self) -> tuple[str, ...]:
        use = self.progress.consumer.use
        return tuple(use.via) if use else ()

    @property
    def keys(self) -> list[str] | None:
        use = self.progress.consumer.use
        return None if use is None or use.keys is None else sorted(use.keys)


def workloads(plan: Plan) -> Iterator[WorkloadLine]:
    waves = plan.now.desired.waves if plan.now.desired else {}
    for restart in plan.foresight.restarts:
        yield WorkloadLine(restart.progress, waves.get(restart.key, 0), restart.round, _after_what(restart))
    for progress in plan.foresight.left:
        wave = waves.get(progress.consumer.workload.key, 0)
        yield WorkloadLine(progress, wave, None, _why_left(progress, plan))


def _after_what(restart: Restart) -> str:
    workload = restart.progress.consumer.workload
    return "; ".join(text for text in (restart.waits_for, workload.hint) if text)


def _why_left(progress: rollout.WorkloadProgress, plan: Plan) -> str:
    if progress.message:
        return progress.message
    use, reason = progress.consumer.use, plan.foresight.reason
    if reason and reason.name == RevisionReason.CREATED:
        return "the first revision restarts no workload"
    if reason and use and use.keys is not None:
        return f"uses only unchanged keys: {listed(use.keys)}"
    return "runs the current values"


@dataclass(frozen=True, slots=True)
class PodLine:
    """Pods of one owner that Keyturn does not restart."""

    owner: PodOwner
    is_awaited: bool
    """Whether the rotation waits for their end."""
    why: str


def pods(plan: Plan) -> Iterator[PodLine]:
    """Yield the owners of pods that hold an earlier value, or would hold one after the planned revision."""
    changed = _changed_keys(plan)
    for owner in plan.look.owners or ():
        if owner.uses(changed):
            yield PodLine(owner, is_awaited=True, why=_held_before(owner, plan))
        elif owner.before:
            yield PodLine(owner, is_awaited=False, why=_held_before(owner, plan))


def _changed_keys(plan: Plan) -> frozenset[str]:
    """Return the keys whose values the planned revision replaces in a Secret that pods may have read."""
    revision = plan.foresight.end.current
    if plan.foresight.number is None or plan.now.target is None or revision is None:
        return frozenset()
    return revision.changed


def _held_before(owner: PodOwner, plan: Plan) -> str:
    if not owner.before:
        return ""
    number = plan.now.target.revision if plan.now.target else None
    pods_ = f"{owner.before} of {owner.pods} pods" if owner.pods > 1 else "it"
    return f"{pods_} started before revision {number} was published and may hold an earlier value"


def notes(plan: Plan) -> Iterator[str]:
    if plan.found.managed.spec.suspend:
        yield "spec.suspend is true: the plan starts after `keyturn resume`"
    status, metadata = plan.found.managed.status, plan.found.managed.metadata
    desired = plan.now.desired
    if desired and desired.on_request:
        yield from _breakage(plan, desired)
    yield from _of_account(plan)
    yield from _of_overlap(plan)
    if status.rotation and status.rotation.step not in AFTER_THE_ROLLOUT:
        number = status.rotation.id.rpartition("/")[2]
        yield f"revision {number} is in progress ({status.rotation.step}); the plan starts after it"
    if plan.is_rotation and status.revision and status.observed_generation != metadata.generation:
        yield "the operator has not reconciled the last change of the spec; the plan does not include it"
    for target in plan.now.missing_targets:
        yield f"rollout.targets names {target}, which does not exist"
    for absent in plan.look.absent:
        if not plan.needs(absent):
            yield absent.message
    for said in of_stores(plan.found.managed):
        yield f"{_WHAT_IS_KEPT[said.type]}: {said.message}"
    yield from _doubts(plan)
    yield from plan.look.blind_spots


def _breakage(plan: Plan, desired: Desired) -> Iterator[str]:
    """Yield what new values break that nothing applies where they are used."""
    if plan.is_rotation:
        yield breakage_of(desired)
        return
    before = desired.names if plan.found.managed.status.revision else frozenset[str]()
    known = frozenset(plan.now.state.keys) if plan.now.state else before
    fresh = {item.name for item in desired.items if item.recipe and item.name in plan.foresight.fresh}
    if replaced := (fresh | set(_doubtful(plan))) & known:
        yield breakage_by_change(replaced)


def _of_overlap(plan: Plan) -> Iterator[str]:
    """Yield what a change of the spec does to the overlap of a value; a rotation waits for its end."""
    status = plan.found.managed.status
    replaced = plan.kept & (plan.foresight.fresh | set(_doubtful(plan)))
    if plan.is_rotation or status.previous is None or not replaced:
        return
    what, before = f"a new value of {listed(replaced)}", status.previous.revision
    if status.previous.valid_until is None:
        yield f"{what} waits until no pod holds the value of revision {before}"
    else:
        yield (
            f"{what} ends the overlap at once: the value of revision {before} is dropped, and that of revision"
            f" {status.revision} stays readable"
        )


def _of_account(plan: Plan) -> Iterator[str]:
    """Yield what a new password of an account with one login breaks."""
    database, before = plan.now.desired.database if plan.now.desired else None, plan.now.state
    if database is None or database.alternates or before is None or not plan.foresight.at_server:
        return
    yield (
        f"{database.username} has one password (strategy: SingleUser): new connections with the old one fail from the"
        " change at the server until each pod is restarted"
    )


def of_stores(managed: ManagedSecret) -> list[Condition]:
    """Return the conditions about failing stores."""
    said = [condition(managed, type_) for type_ in _WHAT_IS_KEPT]
    return [one for one in said if one and one.status == "False" and one.reason not in UNDER_WAY_OUTSIDE]


def _doubts(plan: Plan) -> Iterator[str]:
    for name in _doubtful(plan):
        yield f"{name} is replaced as well if the present value does not satisfy the new settings"


def _doubtful(plan: Plan) -> Iterator[str]:
    """Yield the values for which only the operator can decide whether the new recipe accepts them."""
    desired, before = plan.now.desired, plan.look.before
    then = {item.name: item.recipe for item in before.items} if before else {}
    for item in desired.items if desired else ():
        known = then.get(item.name)
        if item.name in plan.foresight.fresh or known is None or item.recipe is None or item.recipe == known:
            continue
        yield item.name


def due_again(plan: Plan) -> tuple[datetime, datetime] | None:
    """Return the earliest and the latest due time of the rotation after the planned one.

    They differ before the object exists, since the jitter depends on its UID. Unknown before a certificate is issued.
    """
    end = plan.foresight.end
    if not plan.foresight.number or plan.is_refused or plan.look.makers.mortal:
        return None
    cadence = end.desired.cadence if end.desired else None
    if plan.now.uid or not isinstance(cadence, schedule.Every):
        due = start_time(end)
        return (due, due) if due else None
    shortest = schedule.Every(cadence.interval * (100 - cadence.jitter) / 100, 0)
    first, last = (_due_with(every, end) for every in (shortest, replace(cadence, jitter=0)))
    return (first, last) if first and last else None


def _due_with(cadence: schedule.Every, end: Observed) -> datetime | None:
    desired = replace(end.desired, cadence=cadence) if end.desired else None
    return start_time(replace(end, desired=desired))
