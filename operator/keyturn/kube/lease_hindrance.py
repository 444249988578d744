"""Obstacle that keeps a process from acquiring the Lease: logged with back-off, and reported as not ready."""

from dataclasses import dataclass, field
from typing import Final

import structlog

from keyturn.runtime.clock import loop_time

from . import errors

_GRACE: Final = 30.0
"""Seconds for which the API server may be unavailable before the process counts as not ready."""
_LOG_INTERVAL: Final = 60.0
"""Seconds until the same obstacle is logged again, doubling up to an hour."""
_MAX_LOG_INTERVAL: Final = 3600.0
_MAX_PERIODS: Final = 5
"""Retry periods between two attempts while only manual action helps."""

_log = structlog.get_logger()


@dataclass(slots=True)
class Hindrance:
    """Obstacle found by the last attempt; none at first."""

    namespace: str
    _text: str = ""
    _is_lasting: bool = False
    _since: float = 0.0
    _tries: int = 0
    _logged: float = 0.0
    _pause: float = field(default=_LOG_INTERVAL)

    def record_failure(self, error: errors.ApiError | TimeoutError) -> None:
        """Record why the Lease could not be read or acquired."""
        now = loop_time()
        text = _sentence(error, self.namespace)
        self._since = self._since if self._text else now
        self._is_lasting = isinstance(error, errors.Forbidden | errors.NotFound)
        self._tries += 1
        if text != self._text:
            self._text, self._pause = text, _LOG_INTERVAL
        elif now < self._logged + self._pause:
            return
        else:
            self._pause = min(2 * self._pause, _MAX_LOG_INTERVAL)
        self._logged = now
        _log.warning("lease not reachable", reason=text, error=error, tries=self._tries)

    def record_success(self) -> None:
        """Record a successful read."""
        if self._text:
            _log.info("lease reachable again", tries=self._tries)
        self._text, self._tries, self._is_lasting = "", 0, False

    def problems(self) -> list[str]:
        """Return why the process is not ready: permanent obstacles at once, others after _GRACE."""
        over = loop_time() >= self._since + _GRACE
        return [f"lease not reachable: {self._text}"] if self._text and (self._is_lasting or over) else []

    @property
    def patience(self) -> int:
        """Retry periods to wait before the next attempt."""
        return min(self._tries, _MAX_PERIODS) if self._is_lasting else 1


def _sentence(error: errors.ApiError | TimeoutError, namespace: str) -> str:
    match error:
        case errors.Forbidden():
            return f"may not {error.verb} leases in namespace {namespace}"
        case errors.NotFound():
            return f"there is no namespace {namespace}"
        case errors.Unauthorized():
            return "the API server rejects the credentials of this process"
        case errors.ApiError() if error.status:
            return f"the API server answers {error.status} {error.reason}"
        case errors.ApiError():
            return f"the API server does not answer ({error.reason})"
        case TimeoutError():
            return "the API server does not answer in time"
