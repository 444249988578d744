"""Maps API errors of a step or an observation to Wait or Stalled, with a message for the user."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from keyturn.core.errors import Stalled, Wait
from keyturn.core.reasons import ErrorReason
from keyturn.core.rotation import steps
from keyturn.core.rotation.rollout_obstacles import delete_command
from keyturn.core.spec.desired import secret_of
from keyturn.core.state.state import state_name
from keyturn.kube import errors, paths

if TYPE_CHECKING:
    from keyturn.core.keys import ObjectKey
    from keyturn.core.observation.observed import Observed

__all__ = [
    "PASSING",
    "concerns_one",
    "contention_error",
    "error_of_list",
    "error_of_observation",
    "error_of_step",
    "invalid_spec",
    "state_conflict",
    "unexpected_error",
]

PASSING = (errors.Conflict, errors.NotLeading, errors.Throttled, errors.Unavailable)
"""Errors that say nothing about the object: they pass, or another process acts."""
_RETRY_DELAY = timedelta(seconds=2)
_OVERLOAD_DELAY = timedelta(seconds=15)
_NOT_FOUND_DELAY = timedelta(seconds=5)

_SYSTEM_NAMESPACES = frozenset({"kube-system", "kube-public", "kube-node-lease"})
"""Namespaces in which the admission policy keyturn-own-secrets permits no Secret of Keyturn."""


def error_of_step(error: errors.ApiError, step: steps.Step, observed: Observed) -> Wait | Stalled:
    """Return the error of a step with our own message; a message of the API server may quote a value."""
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
            return Wait(
                ErrorReason.REFUSED,
                f"{_answered(error, what)}; find the admission webhook that denies it",
                _OVERLOAD_DELAY,
            )


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
    advice = "check the namespace's quota, its admission policies and the operator's rights"
    if isinstance(step, steps.DeletePod):
        return f"{advice}, or run: {_command(step)}"
    if isinstance(step, steps.EvictPod):
        return "install manifests/components/pod-eviction, or delete it yourself"
    return advice


def _command(step: steps.DeletePod) -> str:
    return delete_command(step.consumer.workload.key.namespace, step.pod.name)


def _against_invalid(error: errors.ApiError, step: steps.Step, observed: Observed) -> str:
    match step:
        case steps.Publish() | steps.Repair() | steps.Settle() | steps.Release():
            return (
                "write the values that its type requires, check the admission policies, or, if it is"
                " immutable or of another type, delete it: it is created again with the same values"
            )
        case steps.RollOut():
            return "check the admission policies for workloads, or restart it yourself"
        case steps.DeletePod():
            return f"check the admission policies for pods, or run: {_command(step)}"
        case steps.EvictPod():
            return "check the admission policies for evictions, or delete it yourself"
        case steps.Begin() | steps.Finalize() | steps.Rest():
            return "check the admission policies, and apply the CRDs of this version"
        case _:
            return _against_invalid_state(error, observed)


def _against_invalid_state(error: errors.ApiError, observed: Observed) -> str:
    namespace, state = observed.managed.metadata.namespace, state_name(observed.name)
    if namespace in _SYSTEM_NAMESPACES:
        return (
            f"Keyturn writes no Secrets in {namespace} (admission policy keyturn-own-secrets);"
            " use another namespace"
        )
    if error.verb == "create":
        return "check the admission policies"
    return f"check the admission policies; do not delete {state!r}, which has the values"


def _what(step: steps.Step, observed: Observed) -> str:  # noqa: PLR0911  # a line for each kind of object
    """Return what a step writes."""
    match step:
        case steps.Finalize():
            return "the finalizers of the ManagedSecret"
        case steps.Publish() | steps.Repair() | steps.Settle():
            return f"the Secret {secret_of(observed.managed)!r}"
        case steps.Release(secret=secret):
            return f"the Secret {secret!r}"
        case steps.RollOut(consumer=consumer):
            return str(consumer.workload.key)
        case steps.DeletePod() | steps.EvictPod():
            return f"the pod {step.pod.name!r}"
        case steps.Begin() | steps.Rest():
            return "the status"
        case _:
            return f"the Secret {state_name(observed.name)!r}"
