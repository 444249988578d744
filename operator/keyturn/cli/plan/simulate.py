"""Simulates a rotation: applies `next_step` to a copy of the observation until it rests.

Each step succeeds. Where the operator would wait, the awaited event occurs: a window opens, the debounce ends, pods
become ready, a paused Deployment is resumed. A plan reads and generates no values, so the content of a revision is
estimated.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from keyturn import templates
from keyturn.api.workloads import WorkloadState
from keyturn.core.errors import Stalled, Wait
from keyturn.core.keys import WorkloadKey
from keyturn.core.observation.observed import Managed, Observed, Specified, TargetFacts, with_facts
from keyturn.core.rotation import steps, transitions
from keyturn.core.rotation.decision import next_step
from keyturn.core.rotation.publication import publication_time
from keyturn.core.rotation.rollback import GoBack
from keyturn.core.rotation.rollout import Turn, WorkloadProgress, progress_of_workloads, restart_due
from keyturn.core.rotation.steps import Action, Reason
from keyturn.core.rotation.transitions import Content, with_dependents
from keyturn.core.spec import schedule
from keyturn.core.spec.desired import Desired
from keyturn.core.spec.items import previous_key
from keyturn.core.state.state import StateFacts


@dataclass(frozen=True, slots=True)
class Makers:
    """What the generators determine about the items of a spec."""

    needs: Mapping[str, frozenset[str]]
    """Items on which each item depends."""
    merges: Mapping[str, frozenset[str]]
    """Outputs of each item that differ during an overlap."""
    adopted: Mapping[str, Mapping[str, str]] | None = None
    """Keys of the values with which a Secret is adopted, by item; None if none is."""


def apply(step: steps.Step, observed: Observed, makers: Makers) -> Observed:
    """Return the observation after a step; unchanged if the simulation ends with it."""
    managed, after = observed.managed, observed
    match step:
        case steps.Claim() | steps.Adopt() | steps.Stage():
            if isinstance(observed, Specified):
                after = _with_revision(step, observed, makers)
        case steps.TargetWrite():
            after = _with_target(step, observed)
        case steps.RollOut():
            marked = {"marker": step.marker, "settled": False, "failed": False, "restarted": observed.now}
            after = with_workloads(observed, {step.consumer.workload.key}, **marked)
        case (
            GoBack()
            | steps.DeletePod()
            | steps.EvictPod()
            | steps.Rest()
            | steps.Account(action=Action.ASSERT)
        ):
            pass  # in a simulation no rollout fails, and no login
        case steps.Bind():
            after = replace(observed, has_wrong_binder=False)
        case steps.Finalize():
            finalizers = transitions.finalizers(step, managed.metadata.finalizers)
            metadata = managed.metadata.model_copy(update={"finalizers": finalizers})
            after = replace(observed, managed=managed.model_copy(update={"metadata": metadata}))
        case _:
            after = _with_record(step, observed)
    return after


def _with_target(step: steps.TargetWrite, observed: Observed) -> Observed:
    if not isinstance(observed, Managed):
        return observed
    target = TargetFacts(
        owner=observed.name,
        revision=step.number,
        published=publication_time(step, observed, observed.now),
        differs=frozenset(),
        has_metadata_of_spec=True,
        overlapping=observed.current.keeps_previous,
    )
    return replace(observed, target=target)


def _with_record(step: steps.Recorded, observed: Observed) -> Observed:
    """Return the observation after a step that the state records; a proven candidate has the values of the spec."""
    if not isinstance(observed, Managed):
        return observed
    after = transitions.record(step, observed.state, observed, observed.now)
    if isinstance(step, steps.Account) and step.action is Action.PROVE:
        after = replace(
            after, keys=content_found(observed.desired).keys, templates=observed.desired.templates
        )
    return replace(observed, state=after)


def _with_revision(
    step: steps.Claim | steps.Adopt | steps.Stage, observed: Specified, makers: Makers
) -> Observed:
    """Return the observation after a step that records a revision."""
    state, now = observed.state, observed.now
    if isinstance(step, steps.Stage):
        content = content_generated(step.reason.fresh, observed.desired, state, makers)
        after = transitions.stage(step, state, observed, content, now)
        after = after.with_leases(observed.pulled.leases)
        return with_facts(observed, state=after, mismatched_items=frozenset())
    content = content_found(observed.desired)
    if makers.adopted is not None:
        content = replace(content, keys=makers.adopted)
    if isinstance(step, steps.Adopt):
        after = transitions.adopt(step, state, observed, content, now)
    elif state:
        after = transitions.take_over(state, observed)
    else:
        after = transitions.claim(step, observed, content, now, now)
    target = observed.target and replace(observed.target, recorded=True)
    return with_facts(observed, state=after, target=target)


def with_workloads(observed: Observed, keys: Collection[WorkloadKey], **facts: Any) -> Observed:
    """Return the observation with other facts of the workloads with these keys."""
    consumers = (
        replace(one, workload=replace(one.workload, **facts)) if one.workload.key in keys else one
        for one in observed.consumers
    )
    return replace(observed, consumers=tuple(consumers))


# Content of a revision


def content_found(desired: Desired) -> Content:
    """Estimate the content of an existing Secret: it has every key of the spec, and nothing is rendered yet.

    The keys of dataFrom are unknown before a read.
    """
    keys = {item.name: item.keys for item in desired.items}
    return Content(keys, {}, changed=frozenset(), previous=frozenset())


def content_generated(
    fresh: frozenset[str], desired: Desired, before: StateFacts | None, makers: Makers
) -> Content:
    """Estimate the content of a revision for which the items in `fresh` are generated."""
    every = with_dependents(fresh, makers.needs)
    previous = _previous(every, desired, before, makers)
    lasts = before.current.previous if before and before.current.keeps_previous else frozenset[str]()
    return replace(
        content_found(desired),
        templates=desired.templates,
        changed=_changed(every, desired, before) | (previous - desired.every_key),
        previous=previous or lasts,
        begins_overlap=bool(previous),
        fresh=frozenset(item.name for item in desired.items if item.recipe and item.name in every),
    )


def _changed(fresh: frozenset[str], desired: Desired, before: StateFacts | None) -> frozenset[str]:
    """Return the keys that change; all keys of templates, whose results are unknown."""
    now = {name: frozenset(keys.values()) for name, keys in desired.keys.items()}
    then = {name: frozenset(keys.values()) for name, keys in (before.keys if before else {}).items()}
    none = frozenset[str]()
    changed = none.union(*(now.get(name, none) for name in fresh))
    changed |= none.union(*(now.get(name, none) ^ then.get(name, none) for name in now.keys() | then.keys()))
    templates = before.templates if before else {}
    is_rendered = changed or desired.templates != templates
    return changed | (desired.templates.keys() | templates.keys()) if is_rendered else changed


def _previous(
    fresh: frozenset[str], desired: Desired, before: StateFacts | None, makers: Makers
) -> frozenset[str]:
    """Return the keys with an overlap, also of templates that read the previous value of a replaced item."""
    replaced = [item for item in desired.items if before and item.name in fresh and item.name in before.keys]
    kept = {previous_key(key) for item in replaced if item.keep_previous for key in item.keys.values()}
    merged = {item.keys[output] for item in replaced for output in makers.merges.get(item.name, frozenset())}
    inputs, names = {item.name for item in desired.items if item.recipe}, {item.name for item in replaced}
    texts = desired.templates.items() if desired.reads_previous else ()
    rendered = {key for key, text in texts if templates.previous_inputs(text, inputs) & names}
    return frozenset(kept | merged | rendered)


# Simulation

_MOST_STEPS = 10_000
_AT_SERVER = {Action.APPLY: "SetPassword", Action.PROVE: "LogIn", Action.REVOKE: "Close"}


@dataclass(frozen=True, slots=True)
class Restart:
    """A restart of one workload."""

    progress: WorkloadProgress
    round: int
    """Workloads of one round restart together; the next round starts when they are complete."""
    waits_for: str | None
    """What has to happen before the restart."""


@dataclass(frozen=True, slots=True)
class Foresight:
    """Result of a simulation."""

    starts: datetime
    end: Observed
    """The observation at the end."""
    refusals: tuple[Stalled | Wait, ...] = ()
    """Reasons against execution; the other fields show the result without them."""
    reason: Reason | None = None
    """Reason of the new revision; None without one."""
    number: int | None = None
    adopts: int | None = None
    """Revision as which an unmanaged Secret would be adopted."""
    fresh: frozenset[str] = frozenset()
    """Values that would be generated."""
    lingers: frozenset[str] = frozenset()
    """Keys that differ or exist only during the overlap."""
    restarts: tuple[Restart, ...] = ()
    at_server: tuple[tuple[str, str], ...] = ()
    """Each step at the database server with its login: SetPassword, LogIn, Close; Publish is between them."""

    @property
    def left(self) -> tuple[WorkloadProgress, ...]:
        """Workloads that would not be restarted, with the reason."""
        restarted = {one.progress.consumer.workload.key for one in self.restarts}
        return tuple(
            one for one in progress_of_workloads(self.end) if one.consumer.workload.key not in restarted
        )


def foresee(observed: Observed, makers: Makers) -> Foresight:
    """Simulate until only the next scheduled rotation is left."""
    seen, obstacles = Foresight(observed.now, observed), dict[WorkloadKey, str]()
    round_, is_new_round = 0, True
    for _ in range(_MOST_STEPS):
        try:
            step = next_step(observed)
        except (Stalled, Wait) as refusal:
            seen = replace(seen, refusals=(*seen.refusals, refusal))
            if not observed.violations:
                break
            observed = replace(observed, violations=())
            continue
        after = waited(observed) if isinstance(step, steps.Rest) else apply(step, observed, makers)
        if after is None or after is observed:
            break
        match step:
            case steps.Rest():
                is_new_round = True
                hindered = [one for one in progress_of_workloads(observed) if is_hindered(one)]
                obstacles |= {one.consumer.workload.key: one.message or "waits" for one in hindered}
            case steps.RollOut():
                round_, is_new_round = round_ + is_new_round, False
                key = step.consumer.workload.key
                progress = next(
                    one for one in progress_of_workloads(observed) if one.consumer.workload.key == key
                )
                restart = Restart(progress, round_, obstacles.get(key))
                seen = replace(seen, restarts=(*seen.restarts, restart))
            case steps.Adopt():
                seen = replace(seen, adopts=step.number)
            case steps.Stage() if seen.reason is None and after.state:
                seen = replace(
                    seen,
                    starts=observed.now,
                    reason=step.reason,
                    number=after.state.newest.number,
                    fresh=with_dependents(step.reason.fresh, makers.needs),
                    lingers=after.state.newest.previous,
                )
            case steps.Account() | steps.Publish() if observed.state:
                seen = replace(seen, at_server=(*seen.at_server, *_at_server(step, observed.state)))
            case _:
                pass
        observed = after
    return replace(seen, end=observed)


def _at_server(step: steps.Account | steps.Publish, state: StateFacts) -> Iterator[tuple[str, str]]:
    """Yield a step at the database server with its login; nothing without an account."""
    if isinstance(step, steps.Account):
        yield _AT_SERVER[step.action], step.credential.login
    elif published := state.credential_of(step.number):
        yield "Publish", published.login


# Awaited events


def waited(observed: Observed) -> Observed | None:
    """Let the next awaited event occur; None if that is the next scheduled rotation."""
    if not isinstance(observed, Managed):
        return None
    desired, state = observed.desired, observed.state
    now, them = observed.now, progress_of_workloads(observed)
    if desired.windows and state.triggers.unhandled(observed.requested):
        opening = schedule.opening(desired.windows, now)
        if opening > now:
            return replace(observed, now=opening)
    if not_ready := [one for one in them if one.takes_a_slot]:
        return _settled(observed, not_ready)
    restarts = [restart_due(observed, one) for one in them if one.turn is Turn.NEXT]
    if later := [time for time in restarts if time > now]:
        return replace(observed, now=min(later))
    hindered = [one for one in them if is_hindered(one)]
    if stuck := hindered or [one for one in them if one.state is WorkloadState.ROLLING]:
        return _settled(observed, stuck)  # a user helps
    until = state.current.valid_until if state.current.overlaps else None
    return replace(observed, now=until) if until and until > now else None


def is_hindered(progress: WorkloadProgress) -> bool:
    return progress.state is WorkloadState.PENDING and progress.turn is Turn.HINDERED


def _settled(observed: Observed, chosen: Iterable[WorkloadProgress]) -> Observed:
    keys = {one.consumer.workload.key for one in chosen}
    return with_workloads(observed, keys, settled=True, failed=False, paused=False, complaint=None)
