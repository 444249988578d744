"""Effects of each step on a copy of the observation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, assert_never

from keyturn.api.status import RotationStatus
from keyturn.core.labels import FINALIZER
from keyturn.core.observation.observed import TargetFacts
from keyturn.core.rotation import steps
from keyturn.core.rotation.reasons import CLAIMED
from keyturn.core.spec.items import previous_key
from keyturn.core.state.revision import RevisionFacts
from keyturn.core.state.state import Publication, StateFacts, Triggers

from .waits import everyone, with_workloads

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from keyturn.core.observation.observed import Observed
    from keyturn.core.observation.workload import Workload
    from keyturn.core.spec.desired import Desired

__all__ = ["Makers", "pushed", "taken", "with_dependents"]


@dataclass(frozen=True, slots=True)
class Makers:
    """What the generators determine about the items of a spec."""

    needs: Mapping[str, frozenset[str]]
    """Items on which each item depends."""
    merges: Mapping[str, frozenset[str]]
    """Outputs of each item that differ during an overlap."""
    mortal: frozenset[str] = frozenset()
    """Items with values that expire, at a time that is known after their generation only."""


def taken(step: steps.Step, observed: Observed, makers: Makers) -> Observed:  # noqa: C901, PLR0911, PLR0912  # a line for each step there is
    match step:
        case steps.Begin():
            return _begun(step, observed)
        case steps.Claim() | steps.Adopt():
            return _claimed(step, observed)
        case steps.Stage():
            return _staged(step, observed, makers)
        case steps.Publish() | steps.Repair():
            return _published(step, observed)
        case steps.RollOut():
            return _rolled(step, observed)
        case steps.Overlap():
            return _with_current(observed, valid_until=step.until)
        case steps.Expire():
            return _with_current(observed, ended=True)
        case steps.Revoke():
            return replace(
                observed, target=replace(observed.target, overlapping=False) if observed.target else None
            )
        case steps.Bind():
            return replace(observed, unbound=False)
        case steps.Release():
            return replace(observed, left=observed.left[1:])
        case (
            steps.Refresh()
            | steps.Finalize()
            | steps.Intend()
            | steps.Push()
            | steps.Withdraw()
            | steps.Borrow()
            | steps.GiveBack()
        ):
            return pushed(step, observed)
        case steps.Decline():
            return _declined(observed, observed.state) if observed.state else observed
        case steps.GoBack() | steps.DeletePod() | steps.Rest():
            return observed  # in a simulation no rollout fails
        case _:
            assert_never(step)


def _declined(observed: Observed, state: StateFacts) -> Observed:
    handled = state.triggers.with_handled(observed.requested)
    return replace(observed, state=replace(state, triggers=handled, held=None))


def _begun(step: steps.Begin, observed: Observed) -> Observed:
    rotation = RotationStatus(id=step.id, reason=step.reason.name, step="Stage", started_at=observed.now)
    status = observed.managed.status.model_copy(update={"rotation": rotation})
    return replace(observed, managed=observed.managed.model_copy(update={"status": status}))


def _claimed(step: steps.Claim | steps.Adopt, observed: Observed) -> Observed:
    facts = RevisionFacts(step.number, CLAIMED, observed.now, frozenset())
    state = StateFacts(
        uid=observed.uid,
        rotated=observed.managed.status.last_rotation_time or observed.now,
        triggers=Triggers.at_first(observed.requested),
        revisions=(facts,),
        restorable=frozenset({step.number}),
        current_number=step.number,
        keys=_keys_of(observed.desired) if observed.desired else {},
        templates=observed.desired.templates if observed.desired else {},
        lives={},
    )
    target = replace(observed.target, recorded=True) if observed.target else None
    return replace(observed, state=state, target=target)


def _staged(step: steps.Stage, observed: Observed, makers: Makers) -> Observed:
    desired, before = observed.desired, observed.state
    if desired is None:
        return observed
    fresh = with_dependents(step.reason.fresh, makers)
    facts = RevisionFacts(
        number=step.number,
        reason=step.reason.name,
        made=observed.now,
        changed=_changed(fresh, desired, before),
        base=before.current_number if before else None,
        previous=_lingering(fresh, desired, before, makers),
    )
    state = StateFacts(
        uid=observed.uid,
        rotated=before.rotated if before and not step.reason.rotates else observed.now,
        triggers=(before.triggers if before else Triggers()).with_handled(observed.requested),
        revisions=(facts, *(before.revisions if before else ())),
        restorable=frozenset({step.number, *(before.restorable if before else ())}),
        current_number=step.number,
        keys=_keys_of(desired),
        templates=desired.templates,
        lives={},
        publications=_publications(observed),
    )
    return replace(observed, state=state, unfit=frozenset())


def _keys_of(desired: Desired) -> Mapping[str, Mapping[str, str]]:
    """Return the keys of every item; those of dataFrom are unknown before a read."""
    return {item.name: item.keys for item in desired.items}


def with_dependents(fresh: frozenset[str], makers: Makers) -> frozenset[str]:
    """Add the items that depend on a new value."""
    while more := {name for name, needed in makers.needs.items() if needed & fresh} - fresh:
        fresh |= more
    return fresh


def _changed(fresh: frozenset[str], desired: Desired, before: StateFacts | None) -> frozenset[str]:
    """Return the keys that change; all keys of templates, whose results are unknown."""
    known = before.keys if before else {}
    now = {name: frozenset(keys.values()) for name, keys in desired.keys.items()}
    then = {name: frozenset(keys.values()) for name, keys in known.items()}
    changed = frozenset(key for name in fresh for key in now.get(name, ()))
    for name in now.keys() | then.keys():
        changed |= now.get(name, frozenset()) ^ then.get(name, frozenset())
    templates = before.templates if before else {}
    if changed or desired.templates != templates:
        changed |= desired.templates.keys() | templates.keys()
    return changed


def _lingering(
    fresh: frozenset[str], desired: Desired, before: StateFacts | None, makers: Makers
) -> frozenset[str]:
    """Return the keys with an overlap."""
    replaced = [item for item in desired.items if before and item.name in fresh and item.name in before.keys]
    kept = {previous_key(key) for item in replaced if item.keep_previous for key in item.keys.values()}
    merged = {item.keys[output] for item in replaced for output in makers.merges.get(item.name, frozenset())}
    return frozenset(kept | merged)


def _publications(observed: Observed) -> tuple[Publication, ...]:
    if observed.state is None:
        return ()
    published = observed.target.published if observed.target else None
    made = (Publication(observed.state.current_number, published),) if published else ()
    return (*made, *observed.state.publications)


def _published(step: steps.Publish | steps.Repair, observed: Observed) -> Observed:
    current, before = observed.current, observed.target
    is_repair = isinstance(step, steps.Repair) and before is not None and before.published is not None
    target = TargetFacts(
        owner=observed.name,
        revision=step.number,
        published=before.published if is_repair and before else observed.now,
        differs=frozenset(),
        dressed=True,
        overlapping=current is not None and current.overlaps,
    )
    return replace(observed, target=target)


def _rolled(step: steps.RollOut, observed: Observed) -> Observed:
    def restarted(workload: Workload) -> Workload:
        return replace(workload, marker=step.marker, settled=False, restarted=observed.now)

    chosen = (one for one in everyone(observed) if one.consumer.workload.key == step.consumer.workload.key)
    return with_workloads(observed, chosen, restarted)


def _with_current(
    observed: Observed, *, valid_until: datetime | None = None, ended: bool = False
) -> Observed:
    if observed.state is None:
        return observed
    number = observed.state.current_number
    revisions = (
        replace(one, valid_until=valid_until or one.valid_until, ended=ended) if one.number == number else one
        for one in observed.state.revisions
    )
    return replace(observed, state=replace(observed.state, revisions=tuple(revisions)))


def pushed(step: steps.OutsideStep, observed: Observed) -> Observed:
    """Simulate such a step."""
    if isinstance(step, steps.Finalize):
        finalizers = [FINALIZER] if step.present else []
        metadata = observed.managed.metadata.model_copy(update={"finalizers": finalizers})
        return replace(observed, managed=observed.managed.model_copy(update={"metadata": metadata}))
    return replace(observed, state=_recorded(step, observed, observed.state)) if observed.state else observed


def _recorded(  # one case per step
    step: steps.Refresh | steps.Intend | steps.Push | steps.Withdraw | steps.Borrow | steps.GiveBack,
    observed: Observed,
    state: StateFacts,
) -> StateFacts:
    match step:
        case steps.Refresh():
            return replace(state, triggers=state.triggers.with_refreshed(observed.requested))
        case steps.Intend(record=record):
            others = tuple(one for one in state.pushed if one.place != record.place)
            return replace(state, pushed=(*others, record))
        case steps.Push(destination=destination):
            done = [replace(one, done=True) if one.place == destination.id else one for one in state.pushed]
            return replace(state, pushed=tuple(done))
        case steps.Withdraw(destination=destination):
            return replace(state, pushed=tuple(one for one in state.pushed if one.place != destination.id))
        case steps.Borrow(loans=loans):
            return replace(state, loans=(*state.loans, *loans))
        case steps.GiveBack(loan=loan):
            return replace(state, loans=tuple(one for one in state.loans if one != loan))
        case _:
            assert_never(step)
