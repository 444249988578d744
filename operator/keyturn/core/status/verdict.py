"""A condition: its verdict, the time of its last transition, and Ready and Stalled of an object with a health."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from keyturn.api.meta import MOST_TEXT, Condition
from keyturn.core.times import to_second

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from keyturn.core.observation.health import Health


class ConditionVerdict(NamedTuple):
    """Status, reason and message of one condition."""

    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str


def condition_of(conditions: Iterable[Condition], type_: str) -> Condition | None:
    """Return the condition of a type, or None."""
    return next((condition for condition in conditions if condition.type == type_), None)


def stamp_all(
    verdicts: Iterable[tuple[str, ConditionVerdict]],
    before: Sequence[Condition],
    now: datetime,
    generation: int,
) -> list[Condition]:
    """Return the conditions for verdicts by type, each with the time of its last transition."""
    return [stamped(type_, verdict, before, now, generation) for type_, verdict in verdicts]


def stamped(
    type_: str, verdict: ConditionVerdict, before: Iterable[Condition], now: datetime, generation: int
) -> Condition:
    """Return a condition for a verdict; lastTransitionTime changes only with the status."""
    last = condition_of(before, type_)
    stays = last is not None and last.status == verdict.status
    return Condition(
        type=type_,
        status=verdict.status,
        reason=verdict.reason,
        message=verdict.message[:MOST_TEXT],
        last_transition_time=last.last_transition_time if last and stays else to_second(now),
        observed_generation=generation,
    )


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
