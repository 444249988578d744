"""Verdicts of conditions, and the summary of a ManagedSecret: the first state that applies, by severity."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal, NamedTuple

from keyturn.api.workloads import DONE, WorkloadState
from keyturn.core.errors import Stalled
from keyturn.core.policy import ClassRule
from keyturn.core.reasons import ConditionReason, ErrorReason, RevisionReason
from keyturn.core.times import length

if TYPE_CHECKING:  # the models are slow to load, and `keyturn status` reads an object without them
    from keyturn.api.managedsecret import ManagedSecret
    from keyturn.api.meta import Condition
    from keyturn.api.status import ManagedSecretStatus, WorkloadStatus
    from keyturn.core.observation.external import Health


_RULES_OF_CLASS = frozenset(ClassRule)


class ConditionVerdict(NamedTuple):
    """Status, reason and message of one condition."""

    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str


def condition_of(conditions: Iterable[Condition], type_: str) -> Condition | None:
    """Return the condition of a type, or None."""
    return next((condition for condition in conditions if condition.type == type_), None)


def readiness_of(health: Health) -> list[tuple[str, ConditionVerdict]]:
    """Return Ready, and Stalled for a problem that requires manual action."""
    verdicts = [
        ("Ready", ConditionVerdict("True" if health.is_ready else "False", health.reason, health.message))
    ]
    if not health.is_ready and not health.passes:
        verdicts.append(("Stalled", ConditionVerdict("True", health.reason, health.message)))
    return verdicts


def changes_readiness(health: Health, before: Iterable[Condition]) -> bool:
    """Whether Ready has another status or reason than in the conditions before."""
    ready = condition_of(before, "Ready")
    return ready is None or (ready.status == "True", ready.reason) != (health.is_ready, health.reason)


AFTER_THE_ROLLOUT = frozenset({"Overlap", "Expire", "Settle", "Revoke"})
"""Steps of a rotation after every workload runs the new values."""
WORKLOAD_FAILED = frozenset({ErrorReason.ROLLOUT_FAILED, ErrorReason.ROLLED_BACK})
"""Reasons for which rotation stops after a failed workload until another rotation is requested."""
UNDER_WAY_OUTSIDE = frozenset(
    {
        ConditionReason.PROGRESSING,
        ErrorReason.PUSHING,
        ErrorReason.MAKING_VALUES,
        ErrorReason.READING_STORES,
    }
)
"""Reasons of Refreshed and Pushed that mean progress, not failure."""
_SYNCED = ("Refreshed", "Pushed", "CredentialValid")
"""Conditions of what is outside the cluster."""
_GRACE = timedelta(minutes=1)
_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
"""A time at which nothing is overdue, due or unseen, unless the status says so."""
_DUE_SOON = timedelta(days=1)


class SummaryState(enum.StrEnum):
    """State of a ManagedSecret, the most severe first."""

    FAILED = "Failed"
    """A workload did not become available with new values."""
    STALLED = "Stalled"
    """Manual action is required."""
    OVERDUE = "Overdue"
    """A rotation was due more than a minute ago and has not started."""
    UNSEEN = "Unseen"
    """The operator has not taken up a new object, a changed spec or a request within a minute."""
    NOT_READY = "NotReady"
    """The Secret does not have every key yet."""
    CRD_OUTDATED = "CrdOutdated"
    """The installed CRD is older than the operator, so parts of the status are missing."""
    BEHIND = "Behind"
    """A workload runs older values and is not restarted by the operator."""
    NOT_SYNCED = "NotSynced"
    """A read from a store or a push fails, or a database refuses the published login; it is retried."""
    NOT_COMPLIANT = "NotCompliant"
    """It violates a rule of a class whose enforcement is Warn."""
    SUSPENDED = "Suspended"
    """Nothing is written because spec.suspend is true."""
    ROTATING = "Rotating"
    """A rotation is in progress."""
    OVERLAPPING = "Overlapping"
    """Every workload runs the new values, and the previous ones are still valid."""
    HELD = "Held"
    """Scheduled rotation is paused since a rollback."""
    DUE = "Due"
    """The next rotation starts within a day, or values are due that rotate on request only."""
    READY = "Ready"
    """No action is due within a day."""

    @property
    def rank(self) -> int:
        return list(SummaryState).index(self)

    @property
    def needs_a_person(self) -> bool:
        return self in _FOR_A_PERSON


_FOR_A_PERSON = frozenset(
    {
        SummaryState.FAILED,
        SummaryState.STALLED,
        SummaryState.OVERDUE,
        SummaryState.UNSEEN,
        SummaryState.CRD_OUTDATED,
        SummaryState.NOT_SYNCED,
    }
)


@dataclass(frozen=True, slots=True)
class Known:
    """A ManagedSecret of the informer cache."""

    managed: ManagedSecret
    trouble: Stalled | None
    """Why this version cannot parse its spec."""
    created: datetime


@dataclass(frozen=True, slots=True)
class Summary:
    """State of one ManagedSecret, with a message."""

    state: SummaryState
    message: str = ""


def summary_of(known: Known, now: datetime) -> Summary:
    """Judge by the status and by the clock, because an operator that is down writes no status."""
    for state, check in _CHECKS:
        message = check(known, now)
        if message is not None:
            return Summary(state, message)
    return Summary(SummaryState.READY)


def with_state(managed: ManagedSecret, status: ManagedSecretStatus) -> ManagedSecretStatus:
    """Return a new status of a ManagedSecret with its state.

    It follows from the status and never from the clock, so that an object at rest has no write because of time alone.
    """
    reported = managed.model_copy(update={"status": status})
    state = summary_of(Known(reported, None, _LONG_AGO), _LONG_AGO).state
    rotating = condition(reported, "Rotating")
    if state is SummaryState.READY and rotating and rotating.reason == ConditionReason.DUE:
        state = SummaryState.DUE
    return status.model_copy(update={"state": state.value})


def done_of(workloads: list[WorkloadStatus]) -> str | None:
    """Return how many workloads are done, such as 1/2; None without workloads."""
    return f"{sum(one.state in DONE for one in workloads)}/{len(workloads)}" if workloads else None


def condition(managed: ManagedSecret, type_: str) -> Condition | None:
    """Return a condition of a ManagedSecret, or None."""
    return condition_of(managed.status.conditions, type_)


def _failed(known: Known, _: datetime) -> str | None:
    stalled = condition(known.managed, "Stalled")
    if stalled and stalled.status == "True" and stalled.reason in WORKLOAD_FAILED:
        return stalled.message
    if any(workload.state == WorkloadState.FAILED for workload in known.managed.status.workloads):
        return _message(known.managed, "WorkloadsCurrent", "False") or ""
    return None


def _stalled(known: Known, _: datetime) -> str | None:
    if known.trouble:
        return f"{known.trouble.reason}: {known.trouble.message}"
    stalled = condition(known.managed, "Stalled")
    return f"{stalled.reason}: {stalled.message}" if stalled and stalled.status == "True" else None


def _overdue(known: Known, now: datetime) -> str | None:
    status = known.managed.status
    due, rotation = status.next_rotation_time, status.rotation
    if status.rotates_on_request and not status.overdue:
        return None
    if rotation and rotation.step not in AFTER_THE_ROLLOUT:
        return None
    why = "; spec.suspend is true" if known.managed.spec.suspend else ""
    if due is not None and now - due > _GRACE:
        return f"was due {length(now - due)} ago{why}"
    # A window passed unused: next_rotation_time is the next one, and the rotation is overdue all the same.
    return f"was due and has not started{why}" if status.overdue else None


def _unseen(known: Known, now: datetime) -> str | None:
    if known.managed.status.observed_generation is not None or now <= known.created + _GRACE:
        return None
    return "the operator has not reconciled it; check that it runs and watches this namespace"


def _not_ready(known: Known, _: datetime) -> str | None:
    if known.managed.status.observed_generation is None:
        return "the operator has not reconciled it yet"
    return _message(known.managed, "Ready", "False")


def _behind(known: Known, _: datetime) -> str | None:
    current = condition(known.managed, "WorkloadsCurrent")
    if current is None or current.status != "False" or current.reason == ConditionReason.ROLLING_OUT:
        return None
    return current.message


def _not_synced(known: Known, _: datetime) -> str | None:
    conditions = [condition(known.managed, type_) for type_ in _SYNCED]
    failed = (
        cond
        for cond in conditions
        if cond and cond.status == "False" and cond.reason not in UNDER_WAY_OUTSIDE
    )
    return next((cond.message for cond in failed), None)


def _not_compliant(known: Known, _: datetime) -> str | None:
    """Report violations of the class only; `keyturn audit` reports those of the checklist."""
    compliant = condition(known.managed, "PolicyCompliant")
    if compliant is None or compliant.status != "False" or compliant.reason not in _RULES_OF_CLASS:
        return None
    return compliant.message


def _rotating(known: Known, _: datetime) -> str | None:
    rotation = known.managed.status.rotation
    if rotation is None or rotation.step in AFTER_THE_ROLLOUT:
        return None
    tries = f", {rotation.attempts} failed attempts" if rotation.attempts else ""
    return f"{rotation.step}{tries}: {rotation.message or f'the next step is {rotation.step}'}"


def _suspended(known: Known, now: datetime) -> str | None:
    if not known.managed.spec.suspend:
        return None
    rotation = _rotating(known, now) or _revoking(known.managed)
    return f"spec.suspend is true; {rotation}" if rotation else "spec.suspend is true"


def _revoking(managed: ManagedSecret) -> str | None:
    """Return what the closing of a previous database login waits for."""
    rotation = managed.status.rotation
    return f"Revoke: {rotation.message}" if rotation and rotation.step == "Revoke" else None


def _overlapping(known: Known, now: datetime) -> str | None:
    if revoking := _revoking(known.managed):
        return revoking
    previous = known.managed.status.previous
    if previous is None or previous.valid_until is None:
        return None
    return f"revision {previous.revision} stays valid for {length(previous.valid_until - now)}"


def _held(known: Known, _: datetime) -> str | None:
    status, rotating = known.managed.status, condition(known.managed, "Rotating")
    if rotating and rotating.reason == ConditionReason.HELD:
        return rotating.message
    if rotating and rotating.reason == ConditionReason.IDLE:
        return None
    is_scheduled = status.next_rotation_time and not status.rotates_on_request
    if is_scheduled or not status.history or status.history[0].reason != RevisionReason.ROLLED_BACK:
        return None
    return f"rolled back to revision {status.revision}; run `keyturn rotate` or change the spec to resume"


def _due(known: Known, now: datetime) -> str | None:
    due = known.managed.status.next_rotation_time
    if due is None or due > now + _DUE_SOON:
        return None
    if due <= now and known.managed.status.rotates_on_request:
        return f"due for {length(now - due)}, and rotates on request only (appliedBy: Nobody)"
    return ""


_CHECKS: tuple[tuple[SummaryState, Callable[[Known, datetime], str | None]], ...] = (
    (SummaryState.FAILED, _failed),
    (SummaryState.STALLED, _stalled),
    (SummaryState.OVERDUE, _overdue),
    (SummaryState.UNSEEN, _unseen),
    (SummaryState.NOT_READY, _not_ready),
    (SummaryState.CRD_OUTDATED, lambda known, _: _message(known.managed, "CrdOutdated", "True")),
    (SummaryState.BEHIND, _behind),
    (SummaryState.NOT_SYNCED, _not_synced),
    (SummaryState.NOT_COMPLIANT, _not_compliant),
    (SummaryState.SUSPENDED, _suspended),
    (SummaryState.ROTATING, _rotating),
    (SummaryState.OVERLAPPING, _overlapping),
    (SummaryState.HELD, _held),
    (SummaryState.DUE, _due),
)


def describe_phase(phase: str) -> str:
    """Return the phase of a database credential in words: a closed one is proven refused."""
    from keyturn.core.state.records import Phase  # noqa: PLC0415  # the records load the models

    return "Closed (proven refused)" if phase == Phase.CLOSED else phase


def _message(managed: ManagedSecret, type_: str, status: str) -> str | None:
    found = condition(managed, type_)
    return found.message if found and found.status == status else None
