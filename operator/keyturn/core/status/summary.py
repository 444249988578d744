"""How a ManagedSecret stands: the first of these that is true, the worst first."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from keyturn.api.status import WorkloadState
from keyturn.core.observation.store_reads import MAKING_VALUES, READING_STORES
from keyturn.core.policy.rules import RULES
from keyturn.core.text import length

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from keyturn.api.managedsecret import ManagedSecret
    from keyturn.api.meta import Condition
    from keyturn.core.errors import Stalled

__all__ = [
    "AFTER_THE_ROLLOUT",
    "UNDER_WAY_OUTSIDE",
    "WORKLOAD_FAILED",
    "Known",
    "Summary",
    "SummaryState",
    "condition",
    "standing_of",
]

AFTER_THE_ROLLOUT = frozenset({"Overlap", "Expire", "Revoke"})
"""The steps of a rotation when every workload runs the new values."""
WORKLOAD_FAILED = frozenset({"RolloutFailed", "RolledBack"})
"""Why nothing goes on after a workload has failed, until somebody asks for another rotation."""
UNDER_WAY_OUTSIDE = frozenset({"Progressing", "Pushing", MAKING_VALUES, READING_STORES})
"""Why a store does not have its values, or has not given them, where nothing is wrong."""
_ROLLING_OUT = "RollingOut"
_RETURN = "RolledBack"
"""The reason of a history entry that tells of a return to an earlier revision."""
_GRACE = timedelta(minutes=1)
_SOON = timedelta(days=1)


class SummaryState(enum.StrEnum):
    """How a ManagedSecret stands; the first is the worst."""

    FAILED = "Failed"
    """A workload did not become available with new values."""
    STALLED = "Stalled"
    """Nothing goes on before a person acts."""
    OVERDUE = "Overdue"
    """A rotation was due more than a minute ago and has not started."""
    UNSEEN = "Unseen"
    """The operator has not looked at it for more than a minute since it was made."""
    NOT_READY = "NotReady"
    """The Secret does not have every key yet."""
    BEHIND = "Behind"
    """A workload runs older values and is not restarted by the operator."""
    NOT_SYNCED = "NotSynced"
    """A store does not give the values that it holds, or does not take those of here; it is tried again."""
    NOT_COMPLIANT = "NotCompliant"
    """It breaks a rule of its class that only warns."""
    SUSPENDED = "Suspended"
    """Nothing is written, since its spec says so."""
    ROTATING = "Rotating"
    """A rotation is under way."""
    OVERLAPPING = "Overlapping"
    """Every workload runs the new values, and those before are still valid."""
    HELD = "Held"
    """Since a rollback nothing is rotated by schedule, until somebody asks for it or changes the spec."""
    DUE = "Due"
    """The next rotation starts within a day."""
    READY = "Ready"
    """Nothing is to be done within a day."""

    @property
    def rank(self) -> int:
        return list(SummaryState).index(self)

    @property
    def needs_a_person(self) -> bool:
        return self in {SummaryState.FAILED, SummaryState.STALLED, SummaryState.OVERDUE, SummaryState.UNSEEN}


@dataclass(frozen=True, slots=True)
class Known:
    """A ManagedSecret as it was read."""

    managed: ManagedSecret
    trouble: Stalled | None
    """Why this version cannot read its spec."""
    created: datetime


@dataclass(frozen=True, slots=True)
class Summary:
    """How one ManagedSecret stands, and why."""

    state: SummaryState
    message: str = ""


def standing_of(known: Known, now: datetime) -> Summary:
    """Judge by what the operator wrote, and by the clock: an operator that is away writes nothing."""
    for state, check in _CHECKS:
        message = check(known, now)
        if message is not None:
            return Summary(state, message)
    return Summary(SummaryState.READY)


def condition(managed: ManagedSecret, type_: str) -> Condition | None:
    """Return what a condition of a ManagedSecret says."""
    return next((one for one in managed.status.conditions if one.type == type_), None)


def _failed(known: Known, _: datetime) -> str | None:
    said = condition(known.managed, "Stalled")
    if said and said.status == "True" and said.reason in WORKLOAD_FAILED:
        return said.message
    if any(one.state is WorkloadState.FAILED for one in known.managed.status.workloads):
        return _message(known.managed, "WorkloadsCurrent", "False") or ""
    return None


def _stalled(known: Known, _: datetime) -> str | None:
    if known.trouble:
        return f"{known.trouble.reason}: {known.trouble.message}"
    said = condition(known.managed, "Stalled")
    return f"{said.reason}: {said.message}" if said and said.status == "True" else None


def _overdue(known: Known, now: datetime) -> str | None:
    status = known.managed.status
    due, rotation = status.next_rotation_time, status.rotation
    if rotation and rotation.step not in AFTER_THE_ROLLOUT:
        return None
    why = "; spec.suspend is true" if known.managed.spec.suspend else ""
    if due is not None and now > due + _GRACE:
        return f"was due {length(now - due)} ago{why}"
    # A window that went by unused: the next one counts, and it is late all the same.
    return f"was due and has not started{why}" if status.overdue else None


def _unseen(known: Known, now: datetime) -> str | None:
    if known.managed.status.observed_generation is not None or now <= known.created + _GRACE:
        return None
    return "the operator has not looked at it; does it run, and does it serve this namespace?"


def _not_ready(known: Known, _: datetime) -> str | None:
    if known.managed.status.observed_generation is None:
        return "the operator has not looked at it yet"
    return _message(known.managed, "Ready", "False")


def _behind(known: Known, _: datetime) -> str | None:
    said = condition(known.managed, "WorkloadsCurrent")
    if said is None or said.status != "False" or said.reason == _ROLLING_OUT:
        return None
    return said.message


def _not_synced(known: Known, _: datetime) -> str | None:
    said = [condition(known.managed, type_) for type_ in ("Refreshed", "Pushed")]
    failed = (one for one in said if one and one.status == "False" and one.reason not in UNDER_WAY_OUTSIDE)
    return next((one.message for one in failed), None)


def _not_compliant(known: Known, _: datetime) -> str | None:
    """Tell of its class; what only the checklist finds is for `keyturn audit` to tell."""
    said = condition(known.managed, "PolicyCompliant")
    return said.message if said and said.status == "False" and said.reason in RULES else None


def _rotating(known: Known, _: datetime) -> str | None:
    rotation = known.managed.status.rotation
    if rotation is None or rotation.step in AFTER_THE_ROLLOUT:
        return None
    tries = f", {rotation.attempts} failed attempts" if rotation.attempts else ""
    return f"{rotation.step}{tries}: {rotation.message or f'the next step is {rotation.step}'}"


def _suspended(known: Known, now: datetime) -> str | None:
    if not known.managed.spec.suspend:
        return None
    rotation = _rotating(known, now)
    return f"spec.suspend is true; {rotation}" if rotation else "spec.suspend is true"


def _overlapping(known: Known, now: datetime) -> str | None:
    previous = known.managed.status.previous
    if previous is None or previous.valid_until is None:
        return None
    return f"revision {previous.revision} stays valid for {length(previous.valid_until - now)}"


def _held(known: Known, _: datetime) -> str | None:
    status = known.managed.status
    if status.next_rotation_time or not status.history or status.history[0].reason != _RETURN:
        return None
    return f"went back to revision {status.revision}; the next `keyturn rotate` or change of the spec goes on"


def _due(known: Known, now: datetime) -> str | None:
    due = known.managed.status.next_rotation_time
    return "" if due is not None and due <= now + _SOON else None


_CHECKS: tuple[tuple[SummaryState, Callable[[Known, datetime], str | None]], ...] = (
    (SummaryState.FAILED, _failed),
    (SummaryState.STALLED, _stalled),
    (SummaryState.OVERDUE, _overdue),
    (SummaryState.UNSEEN, _unseen),
    (SummaryState.NOT_READY, _not_ready),
    (SummaryState.BEHIND, _behind),
    (SummaryState.NOT_SYNCED, _not_synced),
    (SummaryState.NOT_COMPLIANT, _not_compliant),
    (SummaryState.SUSPENDED, _suspended),
    (SummaryState.ROTATING, _rotating),
    (SummaryState.OVERLAPPING, _overlapping),
    (SummaryState.HELD, _held),
    (SummaryState.DUE, _due),
)


def _message(managed: ManagedSecret, type_: str, status: str) -> str | None:
    said = condition(managed, type_)
    return said.message if said and said.status == status else None
