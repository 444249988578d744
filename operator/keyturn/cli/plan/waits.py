"""What comes true by itself on paper, while the operator waits for it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from keyturn.api.status import WorkloadState
from keyturn.core.rotation.rollout import Turn, restart_due, standings
from keyturn.core.spec import schedule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from keyturn.core.observation.observed import Observed
    from keyturn.core.observation.workload import Workload
    from keyturn.core.rotation.rollout import WorkloadProgress
    from keyturn.core.spec.desired import Desired
    from keyturn.core.state.state import StateFacts

__all__ = ["everyone", "is_hindered", "waited", "with_workloads"]


def everyone(seen: Observed) -> tuple[WorkloadProgress, ...]:
    return standings(seen, seen.wanted) if seen.wanted and seen.state else ()


def waited(seen: Observed) -> Observed | None:
    """Let the next thing come true that the operator waits for; None if that is only the next rotation."""
    if seen.wanted is None or seen.state is None:
        return None
    them = everyone(seen)
    hoped = (hope(seen, seen.wanted, seen.state, them) for hope in _HOPES)
    return next((after for after in hoped if after is not None), None)


def _window_opens(
    seen: Observed, wanted: Desired, state: StateFacts, _: tuple[WorkloadProgress, ...]
) -> Observed | None:
    if not wanted.windows or not state.triggers.unhandled(seen.requested):
        return None
    opening = schedule.opening(wanted.windows, seen.now)
    return replace(seen, now=opening) if opening > seen.now else None


def _pods_get_ready(
    seen: Observed, _: Desired, __: StateFacts, them: tuple[WorkloadProgress, ...]
) -> Observed | None:
    return _with_settled(seen, [one for one in them if one.takes_a_slot])


def _debounce_ends(
    seen: Observed, wanted: Desired, _: StateFacts, them: tuple[WorkloadProgress, ...]
) -> Observed | None:
    times = [restart_due(seen, wanted, one) for one in them if one.turn is Turn.NEXT]
    later = [time for time in times if time > seen.now]
    return replace(seen, now=min(later)) if later else None


def _hindrances_pass(
    seen: Observed, _: Desired, __: StateFacts, them: tuple[WorkloadProgress, ...]
) -> Observed | None:
    return _with_settled(seen, [one for one in them if is_hindered(one)])


def _people_help(
    seen: Observed, _: Desired, __: StateFacts, them: tuple[WorkloadProgress, ...]
) -> Observed | None:
    return _with_settled(seen, [one for one in them if one.state is WorkloadState.ROLLING])


def _overlap_ends(
    seen: Observed, _: Desired, state: StateFacts, __: tuple[WorkloadProgress, ...]
) -> Observed | None:
    until = state.current.valid_until if state.current.overlaps else None
    return replace(seen, now=until) if until and until > seen.now else None


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


def is_hindered(standing: WorkloadProgress) -> bool:
    return standing.state is WorkloadState.PENDING and standing.turn is Turn.HINDERED


def _with_settled(seen: Observed, chosen: list[WorkloadProgress]) -> Observed | None:
    return with_workloads(seen, chosen, _settled) if chosen else None


def _settled(workload: Workload) -> Workload:
    return replace(workload, settled=True, failed=False, paused=False, complaint=None)


def with_workloads(
    seen: Observed, chosen: Iterable[WorkloadProgress], change: Callable[[Workload], Workload]
) -> Observed:
    keys = {one.consumer.workload.key for one in chosen}
    consumers = (
        replace(one, workload=change(one.workload)) if one.workload.key in keys else one
        for one in seen.consumers
    )
    return replace(seen, consumers=tuple(consumers))
