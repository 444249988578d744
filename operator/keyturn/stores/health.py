"""What is to be said of a store, from how its last check and its last answers ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from .credentials import LOGIN_NOT_FOUND
from .providers.errors import Refused, Throttled, Unauthorized, Unreachable, hint_of

if TYPE_CHECKING:
    from .providers.errors import StoreError

__all__ = ["IN_USE", "VALID", "Health", "health_of"]


class Health(NamedTuple):
    """A store's condition Ready, in the words of its status."""

    is_ready: bool
    reason: str
    message: str
    passes: bool = False
    """Whether what is wrong can pass by itself."""


VALID: Final = Health(is_ready=True, reason="Valid", message="the last check of the store succeeded")
IN_USE: Final = Health(
    is_ready=True,
    reason="Valid",
    message="the settings are valid; each namespace has a login of its own, which is checked on first use",
)


def health_of(error: StoreError) -> Health:
    """Say what keeps a store from being used."""
    match error:
        case Unauthorized(code=code) if code == LOGIN_NOT_FOUND:
            return Health(is_ready=False, reason=LOGIN_NOT_FOUND, message=error.hint)
        case Unauthorized():
            return _told(error, "AuthenticationFailed", "the store refuses the login")
        case Throttled():
            return _told(error, "Throttled", "the store asks for fewer requests", passes=True)
        case Unreachable():
            return _told(error, "Unreachable", "the store does not answer", passes=True)
        case Refused():
            return _told(error, "InvalidSettings", "the settings of the store cannot be used")
        case _:
            return _told(error, "Unknown", "the store did not do what was asked", passes=True)


def _told(error: StoreError, reason: str, sentence: str, *, passes: bool = False) -> Health:
    """Add to a sentence what is known of an error."""
    hint = hint_of(error)
    message = f"{sentence} ({error.code}){f': {hint}' if hint else ''}"
    return Health(is_ready=False, reason=reason, message=message, passes=passes)
