"""Progress of one ManagedSecret in an emergency."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from keyturn.api.emergency import AffectedState
from keyturn.api.status import WorkloadState
from keyturn.core.errors import Stalled
from keyturn.core.rotation.emergency import asked_at, is_fixed, published_at, renewed_by, was_published
from keyturn.core.rotation.holders import are_unread, owners_behind, summary_of
from keyturn.core.rotation.push import unpushed
from keyturn.core.rotation.rollout import standings

from .logins import exposed_logins

if TYPE_CHECKING:
    from datetime import datetime

    from keyturn.api.emergency import AffectedLogin
    from keyturn.core.errors import Wait
    from keyturn.core.observation.emergency import Emergency
    from keyturn.core.observation.observed import Observed
    from keyturn.core.rotation.push import Unpushed
    from keyturn.core.rotation.rollout import WorkloadProgress
    from keyturn.core.spec.desired import Desired
    from keyturn.core.state.revision import RevisionFacts

__all__ = ["Affected", "affected"]


@dataclass(frozen=True, slots=True)
class Affected:
    """Progress of one ManagedSecret in an emergency."""

    state: AffectedState
    revision: int | None = None
    """The published revision, if its values are new since the declaration."""
    rotated: datetime | None = None
    """When those values were published."""
    message: str | None = None
    workloads: tuple[str, ...] = ()
    """The consumers."""
    others: tuple[str, ...] | None = None
    """Owners of other pods that hold exposed values, each with a message; None if they were not read."""
    pulled: tuple[str, ...] = ()
    """Pulled items, each with its store, where they must be rotated."""
    literals: tuple[str, ...] = ()
    """Literal items, which the spec shows in plain text."""
    unpushed: tuple[Unpushed, ...] = ()
    """Destinations that may hold values from before the declaration."""
    logins: tuple[AffectedLogin, ...] = ()
    """Database logins with passwords from before the declaration."""


def affected(emergency: Emergency, observed: Observed, error: Wait | Stalled | None) -> Affected:
    """Return the progress of a secret, after a reconcile that ended with `error` or without one."""
    desired = observed.desired
    if desired is None:
        return _unrotated(observed, error)
    progress = Affected(
        AffectedState.PENDING,
        workloads=tuple(str(consumer.workload.key) for consumer in observed.consumers),
        pulled=tuple(f"{item.name} ({item.source.ref.name})" for item in desired.pulled if item.source),
        literals=tuple(item.name for item in desired.items if item.literal is not None),
        logins=exposed_logins(emergency, observed, error),
    )
    if not any(item.recipe for item in desired.items):
        message = _elsewhere(progress) or f"written in the spec: {', '.join(progress.literals)}"
        return replace(progress, state=AffectedState.NOTHING_TO_ROTATE, message=message)
    renewed = renewed_by(emergency, observed, desired)
    if renewed is None or not was_published(renewed, observed):
        unrotated = _unrotated(observed, error)
        return replace(
            progress,
            state=unrotated.state,
            message=unrotated.message or _waiting(emergency, observed, desired),
        )
    return _rotated(progress, renewed, observed, desired)


def _unrotated(observed: Observed, error: Wait | Stalled | None) -> Affected:
    if observed.managed.spec.suspend:
        return Affected(AffectedState.SUSPENDED, message="spec.suspend is true, so nothing is written")
    if isinstance(error, Stalled):
        return Affected(AffectedState.STALLED, message=f"{error.reason}: {error.message}")
    return Affected(AffectedState.PENDING, message=error.message if error else None)


def _waiting(emergency: Emergency, observed: Observed, desired: Desired) -> str | None:
    if is_fixed(observed, desired):
        return "the Secret is immutable: write another target.name for one with new values"
    asked = asked_at(observed, desired)
    if asked is None or asked[1] <= observed.now or asked[0].name != emergency.name:
        return None
    return f"another emergency rotated it a moment ago; it is rotated again at {asked[1]:%H:%M:%S} UTC"


def _rotated(told: Affected, renewed: RevisionFacts, observed: Observed, desired: Desired) -> Affected:
    current = observed.current
    if current is None or current.number < renewed.number:
        number = current.number if current else None
        message = f"rolled back to revision {number}, which has the values from before the emergency; rotate it again"
        return replace(told, state=AffectedState.FAILED, message=message)
    told = replace(
        told,
        revision=current.number,
        rotated=published_at(renewed, observed) or renewed.made,
        unpushed=unpushed(observed, desired),
        others=_others(observed, desired),
    )
    return _after_publication(told, observed, desired)


def _after_publication(told: Affected, observed: Observed, desired: Desired) -> Affected:
    """Return the progress of a secret whose new values are in the Secret."""
    behind = [progress for progress in standings(observed) if not progress.state.is_done]
    if failed := [progress for progress in behind if progress.state is WorkloadState.FAILED]:
        return replace(told, state=AffectedState.FAILED, message=_progress_message(failed))
    if behind:
        return replace(told, state=AffectedState.ROTATED, message=_progress_message(behind))
    if summary := summary_of(observed, desired):
        state = AffectedState.PODS_UNKNOWN if are_unread(observed) else AffectedState.ROTATED
        return replace(told, state=state, message=summary)
    if valid := _still_valid(observed, desired):
        return replace(told, state=AffectedState.ROTATED, message=valid)
    if told.unpushed:
        return _waiting_for_push(told)
    return replace(told, state=AffectedState.ROLLED_OUT, message=_elsewhere(told) or _unproven(observed))


def _still_valid(observed: Observed, desired: Desired) -> str | None:
    """Return a message with what is still valid of earlier values: in the Secret, or at the database server."""
    if observed.current and observed.current.keeps_previous:
        return "the previous values are still readable"
    if desired.database is None or observed.state is None:
        return None
    current = observed.state.current_credential
    logins = sorted(one.login for one in observed.state.open_credentials if one is not current)
    if not logins:
        return None
    problem = observed.account.problem if observed.account else None
    return f"the previous login {', '.join(logins)} is to be closed" + (
        f": {problem.message}" if problem else ""
    )


def _others(observed: Observed, desired: Desired) -> tuple[str, ...] | None:
    if observed.holders is None or observed.holders.forbidden:
        return None
    return tuple(f"{owner} {owner.message}" for owner in owners_behind(observed, desired))


def _unproven(observed: Observed) -> str | None:
    """Return a message with the workloads that were not restarted because they read changed files."""
    reloaded = [one for one in standings(observed) if one.state is WorkloadState.RELOADED]
    return _progress_message(reloaded) if reloaded else None


def _waiting_for_push(told: Affected) -> Affected:
    first, *others = sorted(
        told.unpushed, key=lambda destination: (not destination.needs_a_person, destination.place)
    )
    more = f"; and {len(others)} more of pushTo" if others else ""
    state = AffectedState.STALLED if first.needs_a_person else AffectedState.ROTATED
    return replace(told, state=state, message=f"pushTo: {first.message}{more}")


def _progress_message(behind: list[WorkloadProgress]) -> str:
    first, more = behind[0], len(behind) - 1
    others = f" and {more} more" if more else ""
    detail = f": {first.message}" if first.message else ""
    return f"{first.consumer.workload.key} is {first.state.lower()}{others}{detail}"


def _elsewhere(told: Affected) -> str | None:
    return f"to be turned at its store: {', '.join(told.pulled)}" if told.pulled else None
