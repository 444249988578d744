"""What keeps a process from the Lease, logged once as long as it stays the same."""

import asyncio
from dataclasses import dataclass, field
from typing import Final

import structlog

from . import errors

__all__ = ["Hindrance"]

_GRACE: Final = 30.0
"""Seconds that the API server may be away before it counts as a reason not to be ready."""
_SAY_AGAIN: Final = 60.0
"""Seconds until the same hindrance is logged again; each time twice as many, up to an hour."""
_SAY_AT_LEAST: Final = 3600.0
_SLOWEST: Final = 5
"""Retry periods between two looks at what only a person can change."""

_log = structlog.get_logger()


@dataclass(slots=True)
class Hindrance:
    """What the last look at a Lease found in the way; nothing at first."""

    namespace: str
    _text: str = ""
    _is_lasting: bool = False
    _since: float = 0.0
    _tries: int = 0
    _said: float = 0.0
    _pause: float = field(default=_SAY_AGAIN)

    def met(self, error: errors.ApiError | TimeoutError) -> None:
        """Take in why the Lease could not be read or taken."""
        now = asyncio.get_running_loop().time()
        text = _sentence(error, self.namespace)
        self._since = self._since if self._text else now
        self._is_lasting = isinstance(error, errors.Forbidden | errors.NotFound)
        self._tries += 1
        if text != self._text:
            self._text, self._pause = text, _SAY_AGAIN
        elif now < self._said + self._pause:
            return
        else:
            self._pause = min(2 * self._pause, _SAY_AT_LEAST)
        self._said = now
        _log.warning("lease not reachable", why=text, error=error, tries=self._tries)

    def passed(self) -> None:
        """Take in that the Lease was read, and taken if it was free."""
        if self._text:
            _log.info("lease reachable again", tries=self._tries)
        self._text, self._tries, self._is_lasting = "", 0, False

    def problems(self) -> list[str]:
        """Say why the process is not ready: at once what lasts, after a grace what may pass."""
        over = asyncio.get_running_loop().time() >= self._since + _GRACE
        return [f"lease not reachable: {self._text}"] if self._text and (self._is_lasting or over) else []

    @property
    def patience(self) -> int:
        """How many retry periods to wait before the next look."""
        return min(self._tries, _SLOWEST) if self._is_lasting else 1


def _sentence(error: errors.ApiError | TimeoutError, namespace: str) -> str:
    match error:
        case errors.Forbidden():
            return f"may not {error.verb} leases in namespace {namespace}"
        case errors.NotFound():
            return f"there is no namespace {namespace}"
        case errors.Unauthorized():
            return "the API server does not accept the login of this process"
        case errors.ApiError() if error.status:
            return f"the API server answers {error.status} {error.reason}"
        case errors.ApiError():
            return f"the API server does not answer ({error.reason})"
        case TimeoutError():
            return "the API server does not answer in time"
