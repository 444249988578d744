"""Effects of each step on a copy of the observation: what the operator records, with an estimate of the values."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from keyturn.core.observation.observed import TargetFacts
from keyturn.core.rotation import steps, transitions
from keyturn.core.rotation.publication import publication_time
from keyturn.core.status.status import Outcome, status_of

from . import estimate
from .waits import everyone, with_workloads

if TYPE_CHECKING:
    from keyturn.core.observation.observed import Observed
    from keyturn.core.observation.workload import Workload

    from .estimate import Makers

__all__ = ["apply"]


def apply(step: steps.Step, observed: Observed, makers: Makers) -> Observed:
    """Return the observation after a step; unchanged if the simulation ends with it."""
    match step:
        case steps.Claim() | steps.Adopt():
            return _claimed(step, observed, makers)
        case steps.Stage():
            return _staged(step, observed, makers)
        case steps.Publish() | steps.Repair() | steps.Settle():
            return _published(step, observed)
        case steps.RollOut():
            return _rolled(step, observed)
        case steps.GoBack() | steps.DeletePod() | steps.EvictPod() | steps.Assert() | steps.Rest():
            return observed  # in a simulation no rollout fails, and no login
        case _:
            return _recorded(step, observed)


def _recorded(
    step: steps.Begin | steps.Bind | steps.Release | steps.Finalize | transitions.Recorded, observed: Observed
) -> Observed:
    match step:
        case steps.Begin():
            rotation = status_of(observed, Outcome(step)).rotation
            status = observed.managed.status.model_copy(update={"rotation": rotation})
            return replace(observed, managed=observed.managed.model_copy(update={"status": status}))
        case steps.Bind():
            return replace(observed, has_wrong_binder=False)
        case steps.Release():
            return replace(observed, unreleased_secrets=observed.unreleased_secrets[1:])
        case steps.Finalize():
            finalizers = transitions.finalizers(step, observed.managed.metadata.finalizers)
            metadata = observed.managed.metadata.model_copy(update={"finalizers": finalizers})
            return replace(observed, managed=observed.managed.model_copy(update={"metadata": metadata}))
        case _:
            return _with_record(step, observed)


def _with_record(step: transitions.Recorded, observed: Observed) -> Observed:
    """Return the observation after a step that the state records; a proven candidate has the values of the spec."""
    state, desired = observed.state, observed.desired
    if state is None or desired is None:
        return observed
    after = transitions.record(step, state, observed, observed.now)
    if isinstance(step, steps.Prove):
        after = replace(after, keys=estimate.content_found(desired).keys, templates=desired.templates)
    return replace(observed, state=after)


def _claimed(step: steps.Claim | steps.Adopt, observed: Observed, makers: Makers) -> Observed:
    desired, state, now = observed.desired, observed.state, observed.now
    if desired is None:
        return observed
    content = estimate.content_found(desired)
    if makers.adopted is not None:
        content = replace(content, keys=makers.adopted)
    if isinstance(step, steps.Adopt):
        after = transitions.adopt(step, state, observed, desired, content, now)
    elif state:
        after = transitions.take_over(state, observed)
    else:
        after = transitions.claim(step, observed, content, now, now)
    target = replace(observed.target, recorded=True) if observed.target else None
    return replace(observed, state=after, target=target)


def _staged(step: steps.Stage, observed: Observed, makers: Makers) -> Observed:
    desired, before = observed.desired, observed.state
    if desired is None:
        return observed
    content = estimate.content_generated(step.reason.fresh, desired, before, makers)
    after = transitions.stage(step, before, observed, desired, content, observed.now)
    return replace(observed, state=after.with_leases(observed.pulled.leases), unfit=frozenset())


def _published(step: steps.Publish | steps.Repair | steps.Settle, observed: Observed) -> Observed:
    target = TargetFacts(
        owner=observed.name,
        revision=step.number,
        published=publication_time(step, observed, observed.now),
        differs=frozenset(),
        has_metadata_of_spec=True,
        overlapping=observed.current is not None and observed.current.keeps_previous,
    )
    return replace(observed, target=target)


def _rolled(step: steps.RollOut, observed: Observed) -> Observed:
    def restarted(workload: Workload) -> Workload:
        return replace(workload, marker=step.marker, settled=False, failed=False, restarted=observed.now)

    chosen = (one for one in everyone(observed) if one.consumer.workload.key == step.consumer.workload.key)
    return with_workloads(observed, chosen, restarted)
