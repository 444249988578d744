"""How Go writes lengths of time, such as 1h0m0s, and how we do."""

from __future__ import annotations

import re
from datetime import timedelta

__all__ = ["parse_go_duration"]

_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600}
_PART = re.compile(r"([0-9]*\.?[0-9]+|[0-9]+\.)(ns|us|µs|ms|s|m|h)")


def parse_go_duration(text: str) -> timedelta | None:
    """Read a length of time as Go writes it; None where it is none.

    Source: the package `time` of Go, ParseDuration.
    """
    if text == "0":
        return timedelta(0)
    parts = _PART.findall(text)
    if not parts or "".join(count + unit for count, unit in parts) != text:
        return None
    return timedelta(seconds=sum(float(count) * _SECONDS[unit] for count, unit in parts))
