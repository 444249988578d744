"""What Prometheus is told of each request to a store; its labels are words of ours, never those of an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from keyturn.runtime import metrics

from .providers.errors import Throttled

if TYPE_CHECKING:
    from .providers.errors import StoreError

__all__ = ["tell"]

_DONE: Final = "OK"


def tell(provider: str, operation: str, error: StoreError | None, seconds: float) -> None:
    """Count a request, how it ended and how long it took."""
    code = _DONE if error is None else type(error).__name__
    metrics.PROVIDER_REQUESTS.labels(provider, operation, code).inc()
    metrics.PROVIDER_REQUEST_SECONDS.labels(provider, operation).observe(seconds)
    if isinstance(error, Throttled):
        metrics.PROVIDER_THROTTLED.labels(provider).inc()
