"""Which conditions hold, in the words of kstatus and of Kubernetes' API conventions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from keyturn.api.meta import Condition
from keyturn.api.status import WorkloadState

from .errors import Stalled, Wait
from .rollout import Turn

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from keyturn.api.status import RotationStatus

    from .rollout import Standing
    from .seen import Seen

__all__ = ["Look", "conditions_of"]


@dataclass(frozen=True, slots=True)
class Look:
    """What a condition is decided from."""

    seen: Seen
    everyone: tuple[Standing, ...]
    rotation: RotationStatus | None
    error: Wait | Stalled | None


class _Verdict(NamedTuple):
    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str


def conditions_of(look: Look) -> list[Condition]:
    """Return the conditions, each with the time of its last turn."""
    return [_stamped(type_, verdict, look.seen) for type_, verdict in _verdicts(look)]


def _verdicts(look: Look) -> Iterator[tuple[str, _Verdict]]:
    yield "Ready", _ready(look)
    yield "Rotating", _rotating(look)
    yield "WorkloadsCurrent", _workloads_current(look)
    if look.seen.secret_class is not None:
        yield "PolicyCompliant", _policy_compliant(look)
    # kstatus: these two are there only while they hold.
    if isinstance(look.error, Wait) and not look.seen.is_complete:
        yield "Reconciling", _Verdict("True", look.error.reason, look.error.message)
    if isinstance(look.error, Stalled):
        yield "Stalled", _Verdict("True", look.error.reason, look.error.message)


def _ready(look: Look) -> _Verdict:
    seen, error = look.seen, look.error
    if not seen.is_complete:
        if error is None:
            return _Verdict("False", "Suspended", "spec.suspend is true and the Secret is not complete")
        return _Verdict("False", error.reason, error.message)
    if isinstance(error, Stalled):
        return _Verdict("True", error.reason, f"the Secret stays as it is: {error.message}")
    if seen.managed.spec.suspend:
        return _Verdict("True", "Suspended", "nothing is written while spec.suspend is true")
    number = seen.target.revision if seen.target else None
    return _Verdict("True", "Published", f"the Secret holds revision {number} with every key")


def _rotating(look: Look) -> _Verdict:
    if look.rotation is None:
        return _Verdict("False", "Idle", "no rotation is under way")
    message = look.rotation.message or f"the next step is {look.rotation.step}"
    return _Verdict("True", look.rotation.step, message)


def _workloads_current(look: Look) -> _Verdict:
    behind = [one for one in look.everyone if one.state is not WorkloadState.CURRENT]
    absent = look.seen.missing_targets
    count = len(look.everyone)
    if absent:
        return _Verdict(
            "False", "TargetNotFound", f"rollout.targets names what is not there: {', '.join(absent)}"
        )
    if not behind:
        if look.seen.state is None:
            return _Verdict("Unknown", "NotPublished", "no revision is published yet")
        reason = "AllCurrent" if count else "NoConsumers"
        return _Verdict("True", reason, f"{count} of {count} workloads run the current revision")
    first = behind[0]
    detail = f": {first.message}" if first.message else ""
    return _Verdict(
        "False",
        _why_behind(behind),
        f"{count - len(behind)} of {count} workloads run the current revision;"
        f" {first.consumer.workload.key} is {first.state.lower()}{detail}",
    )


def _why_behind(behind: list[Standing]) -> str:
    if any(one.state is WorkloadState.FAILED for one in behind):
        return "RolloutFailed"
    if all(one.turn is Turn.REFUSED for one in behind):
        return "RestartRefused"
    return "RollingOut"


def _policy_compliant(look: Look) -> _Verdict:
    violations = look.seen.violations
    if not violations:
        return _Verdict("True", "Compliant", "every rule of the class holds")
    return _Verdict("False", violations[0].rule, "; ".join(one.message for one in violations))


def _stamped(type_: str, verdict: _Verdict, seen: Seen) -> Condition:
    before = next((one for one in seen.managed.status.conditions if one.type == type_), None)
    stays = before is not None and before.status == verdict.status
    return Condition(
        type=type_,
        status=verdict.status,
        reason=verdict.reason,
        message=verdict.message,
        last_transition_time=before.last_transition_time if before and stays else _second(seen.now),
        observed_generation=seen.managed.metadata.generation,
    )


def _second(time: datetime) -> datetime:
    return time.replace(microsecond=0)
