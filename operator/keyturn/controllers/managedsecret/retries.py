"""When a ManagedSecret is reconciled again: at rest, after a failure with back-off, or to report what it awaits."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from keyturn.core.errors import Stalled, Wait
from keyturn.core.reasons import ErrorReason
from keyturn.core.rotation import steps
from keyturn.core.rotation.rollout_obstacles import denied_again
from keyturn.core.times import backoff

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from keyturn.core.keys import ObjectKey, WorkloadKey
    from keyturn.core.observation.observed import Denial, Observed
    from keyturn.core.observation.workload import Workload
    from keyturn.core.spec.desired import Desired
    from keyturn.core.status.status import Outcome

    from .generate import GeneratedValues
    from .pull import PullMemory

_STALLED_INTERVAL = timedelta(minutes=1)
_MAX_RETRY_DELAY = timedelta(minutes=5)
_MAX_GENERATED_AGE = timedelta(minutes=10)
"""How long generated values are kept while the revision waits for something else, such as a signing CA."""
_REPORT_DELAY = timedelta(seconds=1)
"""How long a read or generation runs before the status reports it."""


def retry_pause(error: Wait | Stalled, attempts: int) -> timedelta:
    """Return the pause after failed attempts in a row at a store or a database server.

    The first one is that of the error, or a minute; it doubles up to 5 min, and is never shorter than the first.
    """
    first = error.after if isinstance(error, Wait) else _STALLED_INTERVAL
    return max(first, backoff(first, attempts, _MAX_RETRY_DELAY))


class Failures:
    """Consecutive failed passes, by ManagedSecret."""

    def __init__(self) -> None:
        self._attempts: dict[ObjectKey, int] = {}

    def attempts(self, key: ObjectKey) -> int:
        """Return the number of failed passes."""
        return self._attempts.get(key, 0)

    def record(self, key: ObjectKey) -> None:
        """Add the failed pass that ends now."""
        self._attempts[key] = self.attempts(key) + 1

    def backoff(self, key: ObjectKey, first: timedelta) -> timedelta:
        """Return the pause after a failure: the first one, doubled with each further failure, at most 5 min."""
        return backoff(first, self.attempts(key), _MAX_RETRY_DELAY)

    def forget(self, key: ObjectKey) -> None:
        """Drop the count: a pass has succeeded, or the object was deleted."""
        self._attempts.pop(key, None)


class RestartBackoff:
    """Workload restarts that the API server rejected since this process started, by ManagedSecret."""

    def __init__(self) -> None:
        self._denials: dict[ObjectKey, dict[WorkloadKey, Denial]] = {}

    def denials(self, key: ObjectKey) -> Mapping[WorkloadKey, Denial]:
        return self._denials.get(key, {})

    def deny(
        self, key: ObjectKey, error: Wait | Stalled, workload: Workload, observed: Observed, desired: Desired
    ) -> bool:
        """Record a rejected restart with its back-off; return whether revision or reason is new."""
        denials = self.denials(key)
        before = denials.get(workload.key)
        now = denied_again(before, error, workload, observed, desired)
        of_others = {other: one for other, one in denials.items() if one.number == now.number}
        self._denials[key] = of_others | {workload.key: now}
        return before is None or (before.number, before.reason) != (now.number, now.reason)

    def accept(self, key: ObjectKey, workload: WorkloadKey) -> None:
        """Drop the rejections of a workload's restart: one has succeeded."""
        of_others = {other: one for other, one in self.denials(key).items() if other != workload}
        if of_others:
            self._denials[key] = of_others
        else:
            self.forget(key)

    def forget(self, key: ObjectKey) -> None:
        self._denials.pop(key, None)


def next_time(key: ObjectKey, outcome: Outcome, failures: Failures, now: datetime) -> datetime | None:
    """Return when the object is due after a pass."""
    until = outcome.step.until if isinstance(outcome.step, steps.Rest) else None
    match outcome.error:
        case Wait(after=after):
            again = now + failures.backoff(key, after)
        case Stalled(again=earlier):
            again = now + _STALLED_INTERVAL
            again = min(earlier, again) if earlier else again
        case None:
            return until
    return min(until, again) if until else again


def drop_generated(key: ObjectKey, outcome: Outcome, generated: GeneratedValues, now: datetime) -> None:
    """Drop generated values at the end of a pass, unless the revision waits for something else.

    Store values are read again once a slow key is generated; without this the key would be lost each time.
    """
    match outcome.error:
        case Wait(reason=reason) if reason in {ErrorReason.MAKING_VALUES, ErrorReason.READING_STORES}:
            return
        case Wait():  # such as the Secret with the signing CA
            since = generated.since(key)
            if since is not None and now - since < _MAX_GENERATED_AGE:
                return
    generated.forget(key)


def report_time(
    key: ObjectKey, outcome: Outcome, generated: GeneratedValues, pulls: PullMemory, now: datetime
) -> datetime | None:
    """Return when to report that values are awaited, if that has just begun; usually they arrive before."""
    match outcome.error:
        case Wait(reason=reason) if reason == ErrorReason.MAKING_VALUES:
            began = generated.since(key)
        case Wait(reason=reason) if reason == ErrorReason.READING_STORES:
            began = pulls.reading_since(key)
        case _:
            return None
    if began is None:
        return None
    when = began + _REPORT_DELAY
    return when if began <= now < when else None  # a clock may be set back
