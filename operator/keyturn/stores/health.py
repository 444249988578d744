"""Maps the result of a check or request to the health of a store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from keyturn.core.observation.health import Health
from keyturn.core.reasons import StoreReason

from .credentials import LOGIN_NOT_FOUND
from .providers.errors import CERTIFICATES, Refused, Throttled, Unauthorized, Unreachable, detail_of, hint_of

if TYPE_CHECKING:
    from .providers.errors import StoreError

VALID: Final = Health(
    is_ready=True, reason=StoreReason.VALID, message="the last check of the store succeeded"
)
IN_USE: Final = Health(
    is_ready=True,
    reason=StoreReason.VALID,
    message="the settings are valid; each namespace has its own credentials, which are checked on first use",
)


def health_of(error: StoreError) -> Health:
    """Return the health for an error."""
    match error:
        case Unauthorized(code=code) if code == LOGIN_NOT_FOUND:
            return Health(is_ready=False, reason=StoreReason.LOGIN_NOT_FOUND, message=error.hint)
        case Unauthorized():
            return _with_details(error, StoreReason.AUTHENTICATION_FAILED, "authentication failed")
        case Throttled():
            return _with_details(error, StoreReason.THROTTLED, "the store throttles requests", passes=True)
        case Unreachable():
            return _without_answer(error)
        case Refused():
            return _with_details(error, StoreReason.INVALID_SETTINGS, "the settings of the store are invalid")
        case _:
            return _with_details(
                error, StoreReason.UNKNOWN, "the store did not execute the request", passes=True
            )


def _without_answer(error: Unreachable) -> Health:
    if error.is_lasting:
        reason = StoreReason.CERTIFICATE_INVALID if error.code in CERTIFICATES else StoreReason.HOST_NOT_FOUND
        return Health(is_ready=False, reason=reason, message=detail_of(error))
    message = detail_of(error) if hint_of(error) else f"the store does not answer ({error.code})"
    return Health(is_ready=False, reason=StoreReason.UNREACHABLE, message=message, passes=True)


def _with_details(error: StoreError, reason: str, sentence: str, *, passes: bool = False) -> Health:
    """Append the details of an error to a message."""
    hint = hint_of(error)
    message = f"{sentence} ({error.code}){f': {hint}' if hint else ''}"
    return Health(is_ready=False, reason=reason, message=message, passes=passes)
