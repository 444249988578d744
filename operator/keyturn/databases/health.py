"""Maps the result of a check to the health of a database server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from keyturn.core.observation.external import Health
from keyturn.core.reasons import TargetReason

from .errors import Denied, Forbidden, Missing, ReadOnly, RefusedByPolicy, Unauthorized, Unreachable
from .hosts import HOST_NOT_ALLOWED, HOST_NOT_FOUND

if TYPE_CHECKING:
    from .base import Server
    from .errors import DatabaseError

LOGIN_NOT_FOUND: Final = "LoginNotFound"
_UNLIMITED: Final = "; the administrator is a superuser, whom no grant limits: use one with CREATEROLE"
_CERTIFICATE: Final = "Certificate"
_SETUP: Final = frozenset({"NoTls", "TlsFailed", "NoScram", "DatabaseMissing"})
"""Codes of a server that answers, and needs a change of the spec or of itself."""


def health_of_server(server: Server) -> Health:
    """Return the health for what a server answered."""
    if not server.lacks:
        return Health(
            is_ready=True,
            reason=TargetReason.VALID,
            message="the last check of the server succeeded"
            + (_UNLIMITED if server.is_admin_unlimited else ""),
            version=server.version,
            started=server.started,
        )
    lacking = "; ".join(f"{lack.sentence}: {lack.statement}" for lack in server.lacks)
    return Health(is_ready=False, reason=TargetReason.MISSING_GRANT, message=lacking, version=server.version)


def health_of(error: DatabaseError) -> Health:
    """Return the health for an error."""
    reason, passes = _reason_of(error)
    return Health(is_ready=False, reason=reason, message=error.message, passes=passes)


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
        case RefusedByPolicy(code=code) | ReadOnly(code=code):
            return TargetReason.READ_ONLY if code == "ReadOnly" else TargetReason.UNSUPPORTED_SERVER, False
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
