"""What follows an error: its message, and when a ManagedSecret is reconciled again.

It is reconciled again at rest, after a failure with back-off, or to report what it awaits.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

from keyturn.core.errors import Attempts, Stalled, Wait
from keyturn.core.keys import ObjectKey, WorkloadKey
from keyturn.core.observation.observed import Denial, Managed, Observed
from keyturn.core.observation.workload import Workload
from keyturn.core.reasons import ErrorReason
from keyturn.core.rotation import steps
from keyturn.core.rotation.rollout_obstacles import delete_command, denied_again
from keyturn.core.spec.desired import secret_of
from keyturn.core.state.state import state_name
from keyturn.core.status.status import Outcome
from keyturn.core.times import backoff
from keyturn.kube import errors, paths

from .generate import GeneratedValues
from .pull import PullMemory

PASSING = (errors.Conflict, errors.NotLeading, errors.Throttled, errors.Unavailable)
"""Errors that say nothing about the object: they pass, or another process acts."""
_RETRY_DELAY = timedelta(seconds=2)
_OVERLOAD_DELAY = timedelta(seconds=15)
_NOT_FOUND_DELAY = timedelta(seconds=5)

_OWN_POLICY = "keyturn-own-secrets"
_SYSTEM_NAMESPACES = frozenset({"kube-system", "kube-public", "kube-node-lease"})
"""Namespaces in which `_OWN_POLICY` permits no Secret of Keyturn."""


def error_of_step(error: errors.ApiError, step: steps.Step, observed: Observed) -> Wait | Stalled:
    """Return the error of a step with our own message; a message of the API server may quote a value."""
    if error.denier is not None:
        return _error_of_denial(error, error.denier, step, observed)
    return _error_of_answer(error, step, observed)


def _error_of_answer(error: errors.ApiError, step: steps.Step, observed: Observed) -> Wait | Stalled:
    what = _what(step, observed)
    match error:
        case errors.Invalid():
            advice = _against_invalid(error, step, observed)
            return Stalled(
                ErrorReason.REFUSED, f"the API server refused to {error.verb} {what} as invalid; {advice}"
            )
        case errors.Forbidden():
            return Wait(
                ErrorReason.FORBIDDEN,
                f"the API server forbids the request to {error.verb} {what}; {_against_forbidden(step)}",
                _RETRY_DELAY,
            )
        case errors.NotFound():
            return Wait(ErrorReason.NOT_FOUND, f"{what} is gone", _NOT_FOUND_DELAY)
        case errors.Throttled() if isinstance(step, steps.EvictPod):
            return Wait(
                ErrorReason.REFUSED,
                f"a PodDisruptionBudget permits no eviction of {what} now",
                _OVERLOAD_DELAY,
            )
        case errors.Throttled() | errors.Unavailable():
            return Wait(ErrorReason.API_SERVER_UNAVAILABLE, _unanswered(error, what), _RETRY_DELAY)
        case _:
            return Wait(ErrorReason.REFUSED, _answered(error, what), _OVERLOAD_DELAY)


def _error_of_denial(
    error: errors.ApiError, denier: errors.Denier, step: steps.Step, observed: Observed
) -> Wait | Stalled:
    """Return the error of a request that a policy, a webhook or a quota denied, with its name."""
    what = f"the request to {error.verb} {_what(step, observed)}"
    if denier.kind is errors.DenierKind.BROKEN_WEBHOOK:
        message = f"the admission webhook {denier.name!r} does not answer, so the API server rejects {what}"
        return Wait(ErrorReason.API_SERVER_UNAVAILABLE, message, _RETRY_DELAY)
    namespace = observed.managed.metadata.namespace
    if denier.name != _OWN_POLICY:
        return Stalled(
            ErrorReason.REFUSED, f"the {denier} denies {what}; {_against_denial(denier, error, step)}"
        )
    if namespace in _SYSTEM_NAMESPACES:
        return Stalled(
            ErrorReason.REFUSED,
            f"Keyturn writes no Secrets in {namespace} (admission policy {_OWN_POLICY}); use another namespace",
        )
    return Stalled(
        ErrorReason.CHANGED_ON_WRITE,
        f"Keyturn's own admission policy {_OWN_POLICY} denies {what}: a mutating webhook or policy adds a finalizer,"
        " an owner or another type; exclude the Secret from it, or, without one, apply the policy of this release",
    )


def _against_denial(denier: errors.Denier, error: errors.ApiError, step: steps.Step) -> str:
    if denier.kind is errors.DenierKind.QUOTA:
        return "raise it, or delete what fills it"
    exempt = "exempt Keyturn's ServiceAccount from it"
    if by_hand := _by_hand(step):
        return f"{exempt}, or {by_hand}"
    if isinstance(step, steps.Finalize):
        return exempt
    advice = f"write what it requires, such as a label in target.template.metadata, or {exempt}"
    is_record = error.verb == "update" and not isinstance(step, steps.TargetWrite)
    return f"{advice}; do not delete that Secret, which has the values" if is_record else advice


def concerns_one(error: Wait | Stalled) -> bool:
    """Whether an error concerns one workload only, so that others may succeed."""
    return error.reason != ErrorReason.API_SERVER_UNAVAILABLE


def error_of_observation(error: errors.ApiError) -> Wait:
    """Return the error of a failed observation."""
    asked = f"{_answered(error, paths.resource(error.path))}, so the state of the Secret is unknown"
    return _unread(error, asked)


def error_of_list(error: errors.ApiError) -> Wait:
    """Return the error of a list of pods that failed."""
    asked = _answered(error, paths.resource(error.path))
    if isinstance(error, errors.Throttled | errors.Unavailable):
        answer = asked if error.status else "the API server does not answer"
        return Wait(ErrorReason.API_SERVER_UNAVAILABLE, answer, _RETRY_DELAY)
    return _unread(error, asked)


def unexpected_error() -> Wait:
    """Return the error of a reconcile that failed unexpectedly; the log has the traceback."""
    return Wait(
        ErrorReason.UNEXPECTED_ERROR,
        "the last reconcile ended in a defect of Keyturn, see `reconcile failed` in its log; it is retried",
        _RETRY_DELAY,
    )


def contention_error() -> Wait:
    """Return the error of a pass in which every write met a conflict: another writer is faster each time."""
    return Wait(
        ErrorReason.CONTENDED,
        "the API server answers every write with Conflict; find the admission webhook that causes it, or"
        " another writer of the object",
        _RETRY_DELAY,
    )


def invalid_spec() -> Stalled:
    return Stalled(ErrorReason.INVALID_SPEC, "the spec cannot be followed")


def state_conflict(key: ObjectKey, reason: str) -> errors.Conflict:
    """Return the error of a step whose state Secret is not as it was observed; the pass observes it again."""
    return errors.Conflict("get", paths.secret(key.namespace, state_name(key.name)), 0, reason)


def _unread(error: errors.ApiError, asked: str) -> Wait:
    """Return the error of a read that was rejected."""
    if isinstance(error, errors.Forbidden | errors.Unauthorized):
        return Wait(ErrorReason.FORBIDDEN, f"{asked}; restore the operator's rights", _RETRY_DELAY)
    return Wait(ErrorReason.REFUSED, asked, _RETRY_DELAY)


def _answered(error: errors.ApiError, what: str) -> str:
    return f"the API server answers {error.status} to the request to {error.verb} {what}"


def _unanswered(error: errors.ApiError, what: str) -> str:
    if error.status < 500:  # noqa: PLR2004  # no answer, or one that asks for patience
        return "the API server does not answer"
    return f"{_answered(error, what)}; it fails, or an admission webhook does"


def _against_forbidden(step: steps.Step) -> str:
    if isinstance(step, steps.EvictPod):
        return "install manifests/components/pod-eviction, or delete it yourself"
    advice = "check the operator's rights with `keyturn check`, and the API server's admission plugins"
    return f"{advice}, or {_by_hand(step)}" if isinstance(step, steps.DeletePod) else advice


def _against_invalid(error: errors.ApiError, step: steps.Step, observed: Observed) -> str:
    if isinstance(step, steps.TargetWrite):
        return (
            "write the values that its type requires, or, if it is immutable or of another type, delete it:"
            " it is created again with the same values"
        )
    if isinstance(step, steps.Finalize):
        return "apply the CRDs of this version"
    if by_hand := _by_hand(step):
        return by_hand
    if error.verb == "create":
        return "check the API server's admission plugins"
    return f"do not delete {state_name(observed.name)!r}, which has the values"


def _by_hand(step: steps.Step) -> str:
    """Return how the user does what a step did not; empty if only Keyturn can."""
    match step:
        case steps.RollOut():
            return "restart it yourself"
        case steps.DeletePod():
            command = delete_command(step.consumer.workload.key.namespace, step.pod.name)
            return f"run: {command}"
        case steps.EvictPod():
            return "delete it yourself"
        case _:
            return ""


def _what(step: steps.Step, observed: Observed) -> str:
    """Return what a step writes."""
    match step:
        case steps.Finalize():
            return "the finalizers of the ManagedSecret"
        case steps.TargetWrite():
            return f"the Secret {secret_of(observed.managed)!r}"
        case steps.RollOut(consumer=consumer):
            return str(consumer.workload.key)
        case steps.DeletePod() | steps.EvictPod():
            return f"the pod {step.pod.name!r}"
        case _:
            return f"the Secret {state_name(observed.name)!r}"


_STALLED_INTERVAL = timedelta(minutes=1)
_MAX_RETRY_DELAY = timedelta(minutes=5)
_MAX_GENERATED_AGE = timedelta(minutes=10)
"""How long generated values are kept while the revision waits for something else, such as a signing CA."""
_REPORT_DELAY = timedelta(seconds=1)
"""How long a read or generation runs before the status reports it."""


def failed_again(
    before: Attempts | None, error: Wait | Stalled, now: datetime, *, again: datetime | None = None
) -> Attempts:
    """Return another failed attempt at a store or a server; the next one is due after a pause, or at `again`.

    The first pause is that of the error, or a minute; it doubles up to 5 min, and is never shorter than the first.
    """
    failures = before.failures + 1 if before else 1
    first = error.after if isinstance(error, Wait) else _STALLED_INTERVAL
    return Attempts(error, again or now + max(first, pass_pause(first, failures)), failures)


def waiting(before: Attempts | None, wait: Wait, now: datetime) -> Attempts:
    """Return that it is in progress, or waits, which is no failure."""
    return Attempts(wait, now + wait.after, before.failures if before else 0)


def pass_pause(first: timedelta, failures: int) -> timedelta:
    """Return the pause after a failed pass: the first one, doubled with each further failure, at most 5 min."""
    return backoff(first, failures, _MAX_RETRY_DELAY)


class RestartBackoff:
    """Workload restarts that the API server rejected since this process started, by ManagedSecret."""

    def __init__(self) -> None:
        self._denials: dict[ObjectKey, dict[WorkloadKey, Denial]] = {}

    def denials(self, key: ObjectKey) -> Mapping[WorkloadKey, Denial]:
        return dict(self._denials.get(key, {}))

    def deny(self, key: ObjectKey, error: Wait | Stalled, workload: Workload, observed: Managed) -> bool:
        """Record a rejected restart with its back-off; return whether revision or reason is new."""
        denials = self.denials(key)
        before = denials.get(workload.key)
        now = denied_again(before, error, workload, observed)
        of_others = {other: one for other, one in denials.items() if one.number == now.number}
        self._denials[key] = of_others | {workload.key: now}
        return before is None or (before.number, before.attempts.error.reason) != (now.number, error.reason)

    def accept(self, key: ObjectKey, workload: WorkloadKey) -> None:
        """Drop the rejections of a workload's restart: one has succeeded."""
        self._denials.get(key, {}).pop(workload, None)

    def forget(self, key: ObjectKey) -> None:
        self._denials.pop(key, None)


def next_time(outcome: Outcome, failures: int, now: datetime) -> datetime | None:
    """Return when the object is due after a pass, and after so many failed ones in a row."""
    until = outcome.step.until if isinstance(outcome.step, steps.Rest) else None
    match outcome.error:
        case Wait(after=after):
            again = now + pass_pause(after, failures)
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
