"""What is to be said of a store, from how its last check and its last answers ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from keyturn.providers.errors import Refused, Throttled, Unauthorized, Unreachable

from .logins import LOGIN_NOT_FOUND

if TYPE_CHECKING:
    from keyturn.providers.errors import StoreError

__all__ = ["IN_USE", "VALID", "Health", "health_of"]


class Health(NamedTuple):
    """A store's condition Ready, in the words of its status."""

    is_ready: bool
    reason: str
    message: str
    passes: bool = False
    """Whether what is wrong can pass by itself."""


VALID: Final = Health(is_ready=True, reason="Valid", message="the store takes the login")
IN_USE: Final = Health(
    is_ready=True,
    reason="Valid",
    message="the settings can be followed; each namespace has a login of its own, which is tried when it is used",
)


def health_of(error: StoreError) -> Health:
    """Say what keeps a store from being used."""
    match error:
        case Unauthorized(code=code) if code == LOGIN_NOT_FOUND:
            return Health(is_ready=False, reason=LOGIN_NOT_FOUND, message=error.hint)
        case Unauthorized():
            return _told(error, "AuthenticationFailed", "the store does not take the login; mend it")
        case Throttled():
            return _told(error, "Throttled", "the store asks for fewer requests", passes=True)
        case Unreachable():
            return _told(error, "Unreachable", "the store does not answer", passes=True)
        case Refused():
            return _told(error, "InvalidSettings", "the store cannot be used as its spec says")
        case _:
            return _told(error, "Unknown", "the store did not do what was asked", passes=True)


def _told(error: StoreError, reason: str, sentence: str, *, passes: bool = False) -> Health:
    """Add the code of an error to a sentence, and what its author says should be done."""
    hint = f": {error.hint}" if error.hint else ""
    return Health(is_ready=False, reason=reason, message=f"{sentence} ({error.code}){hint}", passes=passes)
