"""Health of a target: the condition Ready, from the answer or the error of the last check."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from keyturn.core.reasons import TargetReason

from .errors import Denied, Forbidden, Missing, RefusedByPolicy, Unauthorized, Unreachable
from .hosts import HOST_NOT_ALLOWED, HOST_NOT_FOUND

if TYPE_CHECKING:
    from .base import Server
    from .errors import DatabaseError

__all__ = ["LOGIN_NOT_FOUND", "TargetHealth", "health_of", "health_of_server"]

LOGIN_NOT_FOUND: Final = "LoginNotFound"
_CERTIFICATE: Final = "Certificate"
_SETUP: Final = frozenset({"NoTls", "NoScram", "DatabaseMissing", "ReadOnly"})
"""Codes of a server that answers, and needs a change of the spec or of itself."""


class TargetHealth(NamedTuple):
    """Reason and message of a target's condition Ready."""

    is_ready: bool
    reason: str
    message: str
    passes: bool = False
    """Whether the problem can pass without a change."""
    version: str | None = None
    """The version of the server, if it answered."""


def health_of_server(server: Server) -> TargetHealth:
    """Return the health for what a server answered."""
    if not server.lacks:
        return TargetHealth(
            is_ready=True,
            reason=TargetReason.VALID,
            message="the last check of the server succeeded",
            version=server.version,
        )
    lacking = "; ".join(f"{lack.sentence}: {lack.statement}" for lack in server.lacks)
    return TargetHealth(
        is_ready=False, reason=TargetReason.MISSING_GRANT, message=lacking, version=server.version
    )


def health_of(error: DatabaseError) -> TargetHealth:
    """Return the health for an error."""
    reason, passes = _reason_of(error)
    return TargetHealth(is_ready=False, reason=reason, message=error.message, passes=passes)


def _reason_of(error: DatabaseError) -> tuple[TargetReason, bool]:
    match error:
        case Unauthorized(code=code):
            found = code != LOGIN_NOT_FOUND
            return TargetReason.AUTHENTICATION_FAILED if found else TargetReason.LOGIN_NOT_FOUND, False
        case Denied():
            return TargetReason.MISSING_GRANT, False
        case Forbidden() | Missing():
            is_host = error.code == HOST_NOT_ALLOWED
            return TargetReason.HOST_NOT_ALLOWED if is_host else TargetReason.INVALID_SETTINGS, False
        case RefusedByPolicy():
            return TargetReason.UNSUPPORTED_SERVER, False
        case Unreachable(code=code):
            return _of_silence(code)
        case _:
            return TargetReason.UNREACHABLE, True


def _of_silence(code: str) -> tuple[TargetReason, bool]:
    if code == HOST_NOT_FOUND:
        return TargetReason.HOST_NOT_FOUND, False
    if code.startswith(_CERTIFICATE):
        return TargetReason.CERTIFICATE_INVALID, False
    if code in _SETUP:
        return TargetReason.UNSUPPORTED_SERVER, False
    return TargetReason.UNREACHABLE, True
