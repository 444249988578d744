"""A world that exists on paper only, and what each step does to it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, assert_never

from keyturn.api.status import RotationStatus
from keyturn.core.labels import FINALIZER
from keyturn.core.observation.observed import TargetFacts
from keyturn.core.rotation.reasons import CLAIMED
from keyturn.core.rotation.steps import (
    Adopt,
    Begin,
    Bind,
    Borrow,
    Claim,
    Decline,
    DeletePod,
    Expire,
    Finalize,
    GiveBack,
    GoBack,
    Intend,
    OutsideStep,
    Overlap,
    Publish,
    Push,
    Refresh,
    Release,
    Repair,
    Rest,
    Revoke,
    RollOut,
    Stage,
    Withdraw,
)
from keyturn.core.spec.items import previous_key
from keyturn.core.state.revision import RevisionFacts
from keyturn.core.state.state import Publication, StateFacts, Triggers

from .waits import everyone, with_workloads

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from keyturn.core.observation.observed import Observed
    from keyturn.core.observation.workload import Workload
    from keyturn.core.rotation.steps import Step
    from keyturn.core.spec.desired import Desired

__all__ = ["Makers", "pushed", "taken", "with_dependents"]


@dataclass(frozen=True, slots=True)
class Makers:
    """What the generators know of the items of a spec."""

    needs: Mapping[str, frozenset[str]]
    """From which other items each is made."""
    merges: Mapping[str, frozenset[str]]
    """Which outputs of each read otherwise while an overlap lasts."""
    mortal: frozenset[str] = frozenset()
    """The items whose values end by themselves, nobody knows when before they are made."""


def taken(step: Step, seen: Observed, makers: Makers) -> Observed:  # noqa: C901, PLR0911, PLR0912  # a line for each step there is
    match step:
        case Begin():
            return _begun(step, seen)
        case Claim() | Adopt():
            return _claimed(step, seen)
        case Stage():
            return _staged(step, seen, makers)
        case Publish() | Repair():
            return _published(step, seen)
        case RollOut():
            return _rolled(step, seen)
        case Overlap():
            return _with_current(seen, valid_until=step.until)
        case Expire():
            return _with_current(seen, ended=True)
        case Revoke():
            return replace(seen, target=replace(seen.target, overlapping=False) if seen.target else None)
        case Bind():
            return replace(seen, unbound=False)
        case Release():
            return replace(seen, left=seen.left[1:])
        case Refresh() | Finalize() | Intend() | Push() | Withdraw() | Borrow() | GiveBack():
            return pushed(step, seen)
        case Decline():
            return _declined(seen, seen.state) if seen.state else seen
        case GoBack() | DeletePod() | Rest():
            return seen  # on paper no rollout fails
        case _:
            assert_never(step)


def _declined(seen: Observed, state: StateFacts) -> Observed:
    handled = state.triggers.with_handled(seen.requested)
    return replace(seen, state=replace(state, triggers=handled, held=None))


def _begun(step: Begin, seen: Observed) -> Observed:
    rotation = RotationStatus(id=step.id, reason=step.reason.name, step="Stage", started_at=seen.now)
    status = seen.managed.status.model_copy(update={"rotation": rotation})
    return replace(seen, managed=seen.managed.model_copy(update={"status": status}))


def _claimed(step: Claim | Adopt, seen: Observed) -> Observed:
    facts = RevisionFacts(step.number, CLAIMED, seen.now, frozenset())
    state = StateFacts(
        uid=seen.uid,
        rotated=seen.managed.status.last_rotation_time or seen.now,
        triggers=Triggers.at_first(seen.requested),
        revisions=(facts,),
        restorable=frozenset({step.number}),
        current_number=step.number,
        keys=_keys_of(seen.wanted) if seen.wanted else {},
        templates=seen.wanted.templates if seen.wanted else {},
        lives={},
    )
    target = replace(seen.target, recorded=True) if seen.target else None
    return replace(seen, state=state, target=target)


def _staged(step: Stage, seen: Observed, makers: Makers) -> Observed:
    wanted, before = seen.wanted, seen.state
    if wanted is None:
        return seen
    fresh = with_dependents(step.reason.fresh, makers)
    facts = RevisionFacts(
        number=step.number,
        reason=step.reason.name,
        made=seen.now,
        changed=_changed(fresh, wanted, before),
        base=before.current_number if before else None,
        previous=_lingering(fresh, wanted, before, makers),
    )
    state = StateFacts(
        uid=seen.uid,
        rotated=before.rotated if before and not step.reason.rotates else seen.now,
        triggers=(before.triggers if before else Triggers()).with_handled(seen.requested),
        revisions=(facts, *(before.revisions if before else ())),
        restorable=frozenset({step.number, *(before.restorable if before else ())}),
        current_number=step.number,
        keys=_keys_of(wanted),
        templates=wanted.templates,
        lives={},
        publications=_publications(seen),
    )
    return replace(seen, state=state, unfit=frozenset())


def _keys_of(wanted: Desired) -> Mapping[str, Mapping[str, str]]:
    """Name the keys of every item; which ones dataFrom brings nobody knows before they are read."""
    return {item.name: item.keys for item in wanted.items}


def with_dependents(fresh: frozenset[str], makers: Makers) -> frozenset[str]:
    """Add what is made from a fresh value."""
    while more := {name for name, needed in makers.needs.items() if needed & fresh} - fresh:
        fresh |= more
    return fresh


def _changed(fresh: frozenset[str], wanted: Desired, before: StateFacts | None) -> frozenset[str]:
    """Return the keys that read otherwise; of templates nobody knows before they are rendered, so all of them."""
    known = before.keys if before else {}
    now = {name: frozenset(keys.values()) for name, keys in wanted.keys.items()}
    then = {name: frozenset(keys.values()) for name, keys in known.items()}
    changed = frozenset(key for name in fresh for key in now.get(name, ()))
    for name in now.keys() | then.keys():
        changed |= now.get(name, frozenset()) ^ then.get(name, frozenset())
    templates = before.templates if before else {}
    if changed or wanted.templates != templates:
        changed |= wanted.templates.keys() | templates.keys()
    return changed


def _lingering(
    fresh: frozenset[str], wanted: Desired, before: StateFacts | None, makers: Makers
) -> frozenset[str]:
    """Return the keys that the overlap is for."""
    replaced = [item for item in wanted.items if before and item.name in fresh and item.name in before.keys]
    kept = {previous_key(key) for item in replaced if item.keep_previous for key in item.keys.values()}
    merged = {item.keys[output] for item in replaced for output in makers.merges.get(item.name, frozenset())}
    return frozenset(kept | merged)


def _publications(seen: Observed) -> tuple[Publication, ...]:
    if seen.state is None:
        return ()
    published = seen.target.published if seen.target else None
    made = (Publication(seen.state.current_number, published),) if published else ()
    return (*made, *seen.state.publications)


def _published(step: Publish | Repair, seen: Observed) -> Observed:
    current, before = seen.current, seen.target
    is_repair = isinstance(step, Repair) and before is not None and before.published is not None
    target = TargetFacts(
        owner=seen.name,
        revision=step.number,
        published=before.published if is_repair and before else seen.now,
        differs=frozenset(),
        dressed=True,
        overlapping=current is not None and current.overlaps,
    )
    return replace(seen, target=target)


def _rolled(step: RollOut, seen: Observed) -> Observed:
    def restarted(workload: Workload) -> Workload:
        return replace(workload, marker=step.marker, settled=False, restarted=seen.now)

    chosen = (one for one in everyone(seen) if one.consumer.workload.key == step.consumer.workload.key)
    return with_workloads(seen, chosen, restarted)


def _with_current(seen: Observed, *, valid_until: datetime | None = None, ended: bool = False) -> Observed:
    if seen.state is None:
        return seen
    number = seen.state.current_number
    revisions = (
        replace(one, valid_until=valid_until or one.valid_until, ended=ended) if one.number == number else one
        for one in seen.state.revisions
    )
    return replace(seen, state=replace(seen.state, revisions=tuple(revisions)))


def pushed(step: OutsideStep, seen: Observed) -> Observed:
    """Take such a step, on paper."""
    if isinstance(step, Finalize):
        finalizers = [FINALIZER] if step.present else []
        metadata = seen.managed.metadata.model_copy(update={"finalizers": finalizers})
        return replace(seen, managed=seen.managed.model_copy(update={"metadata": metadata}))
    return replace(seen, state=_recorded(step, seen, seen.state)) if seen.state else seen


def _recorded(  # a line for each step there is
    step: Refresh | Intend | Push | Withdraw | Borrow | GiveBack, seen: Observed, state: StateFacts
) -> StateFacts:
    match step:
        case Refresh():
            return replace(state, triggers=state.triggers.with_refreshed(seen.requested))
        case Intend(record=record):
            others = tuple(one for one in state.pushed if one.place != record.place)
            return replace(state, pushed=(*others, record))
        case Push(destination=destination):
            done = [replace(one, done=True) if one.place == destination.id else one for one in state.pushed]
            return replace(state, pushed=tuple(done))
        case Withdraw(destination=destination):
            return replace(state, pushed=tuple(one for one in state.pushed if one.place != destination.id))
        case Borrow(loans=loans):
            return replace(state, loans=(*state.loans, *loans))
        case GiveBack(loan=loan):
            return replace(state, loans=tuple(one for one in state.loans if one != loan))
        case _:
            assert_never(step)
