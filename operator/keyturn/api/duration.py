"""Durations as users write them: `90d`, `2160h`, `1d12h`. Units are s, m, h, d and w."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any

import pydantic

_SECONDS = {"w": 604800, "d": 86400, "h": 3600, "m": 60, "s": 1}
_PART = re.compile(r"([0-9]+)([smhdw])")
_MAX_DURATION = timedelta(days=36500)

_WRITTEN = "^([0-9]+[smhdw])+$"
_HINT = "write a duration such as 90d, 2160h or 1d12h (units s m h d w)"


def parse_duration(text: object) -> timedelta:
    """Parse a duration; a timedelta is returned unchanged.

    Raises:
        ValueError: It has another syntax, or is longer than 36500d.
    """
    if isinstance(text, timedelta):
        return text
    if not isinstance(text, str) or not re.fullmatch(_WRITTEN, text):
        raise ValueError(_HINT)
    total = sum(int(count) * _SECONDS[unit] for count, unit in _PART.findall(text))
    if total > _MAX_DURATION.total_seconds():
        raise ValueError("write a duration of at most 36500d")
    return timedelta(seconds=total)


def format_duration(length: timedelta) -> str:
    """Format a duration, to whole seconds, in the fewest units that are exact; weeks are written in days."""
    seconds_left = int(length.total_seconds())
    parts = []
    for unit, seconds in _SECONDS.items():
        if unit == "w":  # 90d reads better than 12w6d
            continue
        count, seconds_left = divmod(seconds_left, seconds)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def _longer_than_zero(length: timedelta) -> timedelta:
    if length <= timedelta(0):
        raise ValueError(f"{_HINT}, longer than zero")
    return length


def _schema(*validations: tuple[str, str]) -> Any:
    return pydantic.WithJsonSchema(
        {
            "type": "string",
            "maxLength": 32,
            "x-kubernetes-validations": [{"rule": rule, "message": message} for rule, message in validations],
        }
    )


_IS_WRITTEN = (f"self.matches('{_WRITTEN}')", _HINT)
_IS_POSITIVE = ("self.matches('[1-9]')", f"{_HINT}, longer than zero")

Duration = Annotated[
    timedelta,
    pydantic.BeforeValidator(parse_duration),
    pydantic.AfterValidator(_longer_than_zero),
    pydantic.PlainSerializer(format_duration),
    _schema(_IS_WRITTEN, _IS_POSITIVE),
]
Pause = Annotated[
    timedelta,
    pydantic.BeforeValidator(parse_duration),
    pydantic.PlainSerializer(format_duration),
    _schema(_IS_WRITTEN),
]
