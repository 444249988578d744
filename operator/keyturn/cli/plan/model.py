"""What a plan shows: the document of each part, from the simulation and the current observation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from keyturn.api.base import format_duration
from keyturn.cli.printing import listed
from keyturn.core.reasons import ErrorReason, RevisionReason
from keyturn.core.rotation.triggers import (
    breakage_by_change,
    breakage_of,
    removed_items,
    start_time,
)
from keyturn.core.status.summary import (
    AFTER_THE_ROLLOUT,
    UNDER_WAY_OUTSIDE,
    WORKLOAD_FAILED,
    condition,
    summary_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from keyturn.api.managedsecret import ManagedSecret
    from keyturn.api.meta import Condition
    from keyturn.cli.managed import FoundManagedSecret
    from keyturn.core.observation.observed import Observed
    from keyturn.core.rotation.rollout import WorkloadProgress
    from keyturn.core.spec.desired import Desired, Item

    from .observe import PlanObservation
    from .simulate import Foresight

IS_READ = "is read from the store"
_TEMPLATE = "template"
_WHAT_IS_KEPT = {
    "Refreshed": "values of stores stay as last read",
    "Pushed": "not every store has the current values",
}


class Refusal(NamedTuple):
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
    def writes_revision(self) -> bool:
        """Whether a revision is generated or adopted."""
        return self.foresight.number is not None or self.foresight.adopts is not None


def document(plan: Plan) -> dict[str, Any]:
    """Return a plan for programs; the tables of the text show its rows."""
    foresight, desired, status = plan.foresight, plan.now.desired, plan.found.managed.status
    summary = summary_of(plan.found, plan.now.now)
    return {
        "kind": "ManagedSecret",
        "namespace": plan.found.key.namespace,
        "name": plan.found.key.name,
        "refusals": [one._asdict() for one in plan.refusals],
        "now": {"state": summary.state, "message": summary.message} if plan.is_rotation else None,
        "secretName": desired.secret if desired else None,
        "revision": status.revision,
        "nextRevision": foresight.number or foresight.adopts,
        "reason": str(foresight.reason.name) if foresight.reason else None,
        "startsAt": foresight.starts if plan.writes_revision else None,
        "nextRotationTime": status.next_rotation_time,
        "dueAgain": due_again(plan),
        "values": list(values(plan)),
        "pushes": list(pushes(plan)),
        "workloads": list(workloads(plan)),
        "pods": None if plan.look.owners is None else list(pods(plan)),
        "rollout": {
            "debounce": format_duration(desired.debounce),
            "maxConcurrent": desired.max_concurrent,
            "progressDeadline": format_duration(desired.progress_deadline),
            "onFailure": desired.on_failure,
            "overlap": format_duration(desired.overlap),
        }
        if desired
        else None,
        "overlapKeys": sorted(foresight.lingers),
        "database": [{"step": step, "login": login} for step, login in foresight.at_server],
        "notes": list(notes(plan)),
    }


def values(plan: Plan) -> Iterator[dict[str, Any]]:
    desired, before = plan.now.desired, plan.now.state
    if desired is None:
        return
    for item in desired.items:
        action, why = _fate(item, plan, desired)
        yield _value(item.name, item.keys.values(), _source(item), action, why)
    for key in desired.templates:
        yield _value(key, (key,), _TEMPLATE, "Render" if plan.writes_revision else "Keep")
    if before:
        for name in sorted(removed_items(desired, before)):
            yield _value(name, before.keys[name].values(), "", "Remove")
        for key in sorted(before.templates.keys() - desired.every_key):
            yield _value(key, (key,), _TEMPLATE, "Remove")


def _value(name: str, keys: Iterable[str], source: str, action: str, why: str = "") -> dict[str, Any]:
    return {"name": name, "keys": list(keys), "from": source, "action": action, "why": why}


def _fate(item: Item, plan: Plan, desired: Desired) -> tuple[str, str]:
    known = plan.look.makers.adopted or (plan.now.state.keys if plan.now.state else {})
    is_new = item.name not in known
    if item.name in plan.foresight.fresh:
        return ("Make" if is_new else "Replace"), IS_READ if item.source else ""
    if plan.foresight.adopts:
        derived = plan.look.derived.intersection(item.keys.values())
        return "Keep", "the Secret has it" + (f"; {listed(derived)} follows from it" if derived else "")
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


def pushes(plan: Plan) -> Iterator[dict[str, Any]]:
    """Yield the change of each key in a store."""
    desired, before = plan.now.desired, plan.look.before
    if desired is None:
        return
    then = {one.id: one for one in before.pushes} if before else {}
    now = {one.id: one for one in desired.pushes}
    for place in (*now.values(), *(then[id_] for id_ in sorted(then.keys() - now.keys()))):
        keys: tuple[str, ...] = ()
        if place.id in now:
            keys = (place.secret_key,) if place.secret_key else tuple(sorted(desired.made_here))
            is_other = place.id not in then or then[place.id].text != place.text
            action = "Push" if plan.writes_revision or is_other else "Keep"
        else:
            action = "Delete" if place.deletes else "Leave"
        yield {
            "storeRef": {"kind": place.kind, "name": place.store},
            "key": place.key,
            "keys": list(keys),
            "action": action,
            "why": "if the key does not exist yet" if action == "Push" and not place.replaces else "",
        }


def workloads(plan: Plan) -> Iterator[dict[str, Any]]:
    for one in plan.foresight.restarts:
        hint = one.progress.consumer.workload.hint
        why = "; ".join(text for text in (one.waits_for, hint) if text)
        yield _workload(one.progress, plan, one.round, why)
    for progress in plan.foresight.left:
        yield _workload(progress, plan, None, _why_left(progress, plan))


def _workload(progress: WorkloadProgress, plan: Plan, round_: int | None, why: str) -> dict[str, Any]:
    key, use = progress.consumer.workload.key, progress.consumer.use
    waves = plan.now.desired.waves if plan.now.desired else {}
    return {
        "kind": key.kind,
        "name": key.name,
        "via": list(use.via) if use else [],
        "keys": None if use is None or use.keys is None else sorted(use.keys),
        "wave": waves.get(key, 0),
        "round": round_,
        "restarted": round_ is not None,
        "why": why,
    }


def _why_left(progress: WorkloadProgress, plan: Plan) -> str:
    if progress.message:
        return progress.message
    use, reason = progress.consumer.use, plan.foresight.reason
    if reason and reason.name == RevisionReason.CREATED:
        return "the first revision restarts no workload"
    if reason and use and use.keys is not None:
        return f"uses only unchanged keys: {listed(use.keys)}"
    return "runs the current values"


def pods(plan: Plan) -> Iterator[dict[str, Any]]:
    """Yield the owners of pods that hold an earlier value, or would hold one after the planned revision."""
    target, revision, changed = plan.now.target, plan.foresight.end.current, frozenset[str]()
    if plan.foresight.number and target and revision:
        changed = revision.changed  # in a Secret that pods may have read
    for owner in plan.look.owners or ():
        is_awaited, why = owner.uses(changed), ""
        if owner.before:
            pods_ = f"{owner.before} of {owner.pods} pods" if owner.pods > 1 else "it"
            number = target.revision if target else None
            why = f"{pods_} started before revision {number} was published and may hold an earlier value"
        if is_awaited or owner.before:
            yield {
                "ownerKind": owner.kind,
                "ownerName": owner.name,
                "via": list(owner.via),
                "keys": None if owner.keys is None else sorted(owner.keys),
                "pods": owner.pods,
                "startedAt": owner.since,
                "podsBeforePublication": owner.before,
                "awaited": is_awaited,
                "why": why,
            }


def notes(plan: Plan) -> Iterator[str]:
    if plan.found.managed.spec.suspend:
        yield "spec.suspend is true: the plan starts after `keyturn resume`"
    status, metadata = plan.found.managed.status, plan.found.managed.metadata
    desired = plan.now.desired
    if desired and desired.on_request:
        yield from _breakage(plan, desired)
    database = desired.database if desired else None
    if database and not database.alternates and plan.now.state and plan.foresight.at_server:
        yield (
            f"{database.username} has one password (strategy: SingleUser): new connections with the old one fail from"
            " the change at the server until each pod is restarted"
        )
    if status.rotation and status.rotation.step not in AFTER_THE_ROLLOUT:
        number = status.rotation.id.rpartition("/")[2]
        yield f"revision {number} is in progress ({status.rotation.step}); the plan starts after it"
    if plan.is_rotation and status.revision and status.observed_generation != metadata.generation:
        yield "the operator has not reconciled the last change of the spec; the plan does not include it"
    for target in plan.now.missing_targets:
        yield f"rollout.targets names {target}, which does not exist"
    for said in of_stores(plan.found.managed):
        yield f"{_WHAT_IS_KEPT[said.type]}: {said.message}"
    for name in _doubtful(plan):
        yield f"{name} is replaced as well if the present value does not satisfy the new settings"
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


def of_stores(managed: ManagedSecret) -> list[Condition]:
    """Return the conditions about failing stores."""
    said = [condition(managed, type_) for type_ in _WHAT_IS_KEPT]
    return [one for one in said if one and one.status == "False" and one.reason not in UNDER_WAY_OUTSIDE]


def _doubtful(plan: Plan) -> Iterator[str]:
    """Yield the values for which only the operator can decide whether the new recipe accepts them."""
    desired, before = plan.now.desired, plan.look.before
    then = {item.name: item.recipe for item in before.items} if before else {}
    for item in desired.items if desired else ():
        known = then.get(item.name)
        if item.name not in plan.foresight.fresh and known and item.recipe and item.recipe != known:
            yield item.name


def due_again(plan: Plan) -> datetime | None:
    """Return when the rotation after the planned one is due.

    Unknown before the object exists, since the jitter depends on its UID, and before a certificate is issued.
    """
    end = plan.foresight.end
    if not plan.foresight.number or plan.is_refused or plan.look.makers.mortal or not plan.now.uid:
        return None
    return start_time(end)
