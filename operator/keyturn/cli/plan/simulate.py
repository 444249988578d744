"""Simulates a rotation: applies `next_step` to a copy of the observation until it rests.

Each step succeeds. Where the operator would wait, the awaited event occurs: a window opens, the debounce ends, pods
become ready, a paused Deployment is resumed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from keyturn.api.status import WorkloadState
from keyturn.core.errors import Stalled, Wait
from keyturn.core.rotation import steps
from keyturn.core.rotation.decision import next_step
from keyturn.core.rotation.rollout import Turn, restart_due
from keyturn.core.rotation.transitions import with_dependents
from keyturn.core.spec import schedule

from . import effects
from .effects import everyone, with_workloads

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from keyturn.core.keys import WorkloadKey
    from keyturn.core.observation.observed import Observed
    from keyturn.core.observation.workload import Workload
    from keyturn.core.rotation.rollout import WorkloadProgress
    from keyturn.core.rotation.steps import Reason

    from .effects import Makers

_MOST_STEPS = 10_000


@dataclass(frozen=True, slots=True)
class Restart:
    """A restart of one workload."""

    progress: WorkloadProgress
    round: int
    """Workloads of one round restart together; the next round starts when they are complete."""
    waits_for: str | None
    """What has to happen before the restart."""

    @property
    def key(self) -> WorkloadKey:
        return self.progress.consumer.workload.key


@dataclass(frozen=True, slots=True)
class AtServer:
    """A step at the database server, or the publication of what it has accepted."""

    step: str
    """SetPassword, LogIn, Publish, or Close."""
    login: str


@dataclass(frozen=True, slots=True)
class Foresight:
    """Result of a simulation."""

    refusals: tuple[Stalled | Wait, ...]
    """Reasons against execution; the other fields show the result without them."""
    reason: Reason | None
    """Reason of the new revision; None without one."""
    number: int | None
    adopts: int | None
    """Revision as which an unmanaged Secret would be adopted."""
    fresh: frozenset[str]
    """Values that would be generated."""
    starts: datetime
    restarts: tuple[Restart, ...]
    left: tuple[WorkloadProgress, ...]
    """Workloads that would not be restarted, with the reason."""
    lingers: frozenset[str]
    """Keys that differ or exist only during the overlap."""
    end: Observed
    """The observation at the end."""
    at_server: tuple[AtServer, ...] = ()
    """What happens at the database server, in its order, with the publication between."""


@dataclass(frozen=True, slots=True)
class _Moment:
    """A step with the observation before and after it."""

    step: steps.Step
    before: Observed
    after: Observed


def foresee(observed: Observed, makers: Makers) -> Foresight:
    """Simulate until only the next scheduled rotation is left."""
    moments: list[_Moment] = []
    refusals: list[Stalled | Wait] = []
    began = observed
    for _ in range(_MOST_STEPS):
        try:
            step = next_step(observed)
        except (Stalled, Wait) as refusal:
            refusals.append(refusal)
            if not observed.violations:
                break
            observed = replace(observed, violations=())
            continue
        after = waited(observed) if isinstance(step, steps.Rest) else effects.apply(step, observed, makers)
        if after is None or after is observed:
            break
        moments.append(_Moment(step, observed, after))
        observed = after
    return _told(moments, refusals, began, observed, makers)


# Summary


def _told(
    moments: list[_Moment], refusals: list[Stalled | Wait], began: Observed, end: Observed, makers: Makers
) -> Foresight:
    staged = next((one for one in moments if isinstance(one.step, steps.Stage)), None)
    reason = staged.step.reason if staged and isinstance(staged.step, steps.Stage) else None
    staged_state = staged.after.state if staged else None
    new = staged_state.newest if staged_state else None
    restarts = _restarts(moments)
    restarted = {one.key for one in restarts}
    return Foresight(
        refusals=tuple(refusals),
        reason=reason,
        number=new.number if new else None,
        adopts=next((one.step.number for one in moments if isinstance(one.step, steps.Adopt)), None),
        fresh=with_dependents(reason.fresh, makers.needs) if reason else frozenset(),
        starts=staged.before.now if staged else began.now,
        restarts=restarts,
        left=tuple(one for one in everyone(end) if one.consumer.workload.key not in restarted),
        lingers=new.previous if new else frozenset(),
        end=end,
        at_server=tuple(_at_server(moments)),
    )


_AT_SERVER = {
    steps.Apply: "SetPassword",
    steps.Prove: "LogIn",
    steps.Publish: "Publish",
    steps.Revoke: "Close",
}


def _at_server(moments: list[_Moment]) -> Iterator[AtServer]:
    """Yield the steps at the database server, each with its login."""
    for moment in moments:
        step, state = moment.step, moment.before.state
        if state is None or not isinstance(step, steps.Apply | steps.Prove | steps.Publish | steps.Revoke):
            continue
        of_revision = isinstance(step, steps.Publish)
        credential = state.credential_of(step.number) if of_revision else state.credential(step.number)
        if credential:
            yield AtServer(_AT_SERVER[type(step)], credential.login)


def _restarts(moments: list[_Moment]) -> tuple[Restart, ...]:
    obstacles: dict[WorkloadKey, str] = {}
    restarts: list[Restart] = []
    round_, is_new_round = 0, True
    for moment in moments:
        if isinstance(moment.step, steps.RollOut):
            round_ += is_new_round
            is_new_round = False
            key = moment.step.consumer.workload.key
            progress = next(one for one in everyone(moment.before) if one.consumer.workload.key == key)
            restarts.append(Restart(progress, round_, obstacles.get(key)))
        elif isinstance(moment.step, steps.Rest):
            is_new_round = True
            obstacles |= {
                one.consumer.workload.key: one.message or "waits"
                for one in everyone(moment.before)
                if is_hindered(one)
            }
    return tuple(restarts)


# Awaited events


def waited(observed: Observed) -> Observed | None:
    """Let the next awaited event occur; None if that is the next scheduled rotation."""
    desired, state = observed.desired, observed.state
    if desired is None or state is None:
        return None
    now, them = observed.now, everyone(observed)
    if desired.windows and state.triggers.unhandled(observed.requested):
        opening = schedule.opening(desired.windows, now)
        if opening > now:
            return replace(observed, now=opening)
    if not_ready := [one for one in them if one.takes_a_slot]:
        return with_workloads(observed, not_ready, _settled)
    restarts = [restart_due(observed, desired, one) for one in them if one.turn is Turn.NEXT]
    if later := [time for time in restarts if time > now]:
        return replace(observed, now=min(later))
    hindered = [one for one in them if is_hindered(one)]
    if stuck := hindered or [one for one in them if one.state is WorkloadState.ROLLING]:
        return with_workloads(observed, stuck, _settled)  # a user helps
    until = state.current.valid_until if state.current.overlaps else None
    return replace(observed, now=until) if until and until > now else None


def is_hindered(progress: WorkloadProgress) -> bool:
    return progress.state is WorkloadState.PENDING and progress.turn is Turn.HINDERED


def _settled(workload: Workload) -> Workload:
    return replace(workload, settled=True, failed=False, paused=False, complaint=None)
