"""Metrics of store requests; labels are a fixed set of words, never text of an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from keyturn.runtime import metrics

from .providers.errors import Throttled

if TYPE_CHECKING:
    from .providers.errors import StoreError

_DONE: Final = "OK"


def observe_request(provider: str, operation: str, error: StoreError | None, seconds: float) -> None:
    """Count a request by result and duration."""
    code = _DONE if error is None else type(error).__name__
    metrics.PROVIDER_REQUESTS.labels(provider, operation, code).inc()
    metrics.PROVIDER_REQUEST_SECONDS.labels(provider, operation).observe(seconds)
    if isinstance(error, Throttled):
        metrics.PROVIDER_THROTTLED.labels(provider).inc()
