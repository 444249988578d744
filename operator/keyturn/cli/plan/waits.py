"""Simulates the events that the operator waits for."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from keyturn.api.status import WorkloadState
from keyturn.core.rotation.rollout import Turn, progress_of_workloads, restart_due
from keyturn.core.spec import schedule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from keyturn.core.observation.observed import Observed
    from keyturn.core.observation.workload import Workload
    from keyturn.core.rotation.rollout import WorkloadProgress
    from keyturn.core.spec.desired import Desired
    from keyturn.core.state.state import StateFacts

__all__ = ["everyone", "is_hindered", "waited", "with_workloads"]


def everyone(observed: Observed) -> tuple[WorkloadProgress, ...]:
    return progress_of_workloads(observed) if observed.state else ()


def waited(observed: Observed) -> Observed | None:
    """Let the next awaited event occur; None if that is the next scheduled rotation."""
    if observed.desired is None or observed.state is None:
        return None
    them = everyone(observed)
    hoped = (hope(observed, observed.desired, observed.state, them) for hope in _HOPES)
    return next((after for after in hoped if after is not None), None)


def _window_opens(
    observed: Observed, desired: Desired, state: StateFacts, _: tuple[WorkloadProgress, ...]
) -> Observed | None:
    if not desired.windows or not state.triggers.unhandled(observed.requested):
        return None
    opening = schedule.opening(desired.windows, observed.now)
    return replace(observed, now=opening) if opening > observed.now else None


def _pods_get_ready(
    observed: Observed, _: Desired, __: StateFacts, them: tuple[WorkloadProgress, ...]
) -> Observed | None:
    return _with_settled(observed, [one for one in them if one.takes_a_slot])


def _debounce_ends(
    observed: Observed, desired: Desired, _: StateFacts, them: tuple[WorkloadProgress, ...]
) -> Observed | None:
    times = [restart_due(observed, desired, one) for one in them if one.turn is Turn.NEXT]
    later = [time for time in times if time > observed.now]
    return replace(observed, now=min(later)) if later else None


def _hindrances_pass(
    observed: Observed, _: Desired, __: StateFacts, them: tuple[WorkloadProgress, ...]
) -> Observed | None:
    return _with_settled(observed, [one for one in them if is_hindered(one)])


def _people_help(
    observed: Observed, _: Desired, __: StateFacts, them: tuple[WorkloadProgress, ...]
) -> Observed | None:
    return _with_settled(observed, [one for one in them if one.state is WorkloadState.ROLLING])


def _overlap_ends(
    observed: Observed, _: Desired, state: StateFacts, __: tuple[WorkloadProgress, ...]
) -> Observed | None:
    until = state.current.valid_until if state.current.overlaps else None
    return replace(observed, now=until) if until and until > observed.now else None


_HOPES: tuple[
    Callable[[Observed, Desired, StateFacts, tuple[WorkloadProgress, ...]], Observed | None], ...
] = (
    _window_opens,
    _pods_get_ready,
    _debounce_ends,
    _hindrances_pass,
    _people_help,
    _overlap_ends,
)


def is_hindered(progress: WorkloadProgress) -> bool:
    return progress.state is WorkloadState.PENDING and progress.turn is Turn.HINDERED


def _with_settled(observed: Observed, chosen: list[WorkloadProgress]) -> Observed | None:
    return with_workloads(observed, chosen, _settled) if chosen else None


def _settled(workload: Workload) -> Workload:
    return replace(workload, settled=True, failed=False, paused=False, complaint=None)


def with_workloads(
    observed: Observed, chosen: Iterable[WorkloadProgress], change: Callable[[Workload], Workload]
) -> Observed:
    keys = {one.consumer.workload.key for one in chosen}
    consumers = (
        replace(one, workload=change(one.workload)) if one.workload.key in keys else one
        for one in observed.consumers
    )
    return replace(observed, consumers=tuple(consumers))
