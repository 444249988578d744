"""How metrics of an API server are read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Sample", "samples"]

_LINE: Final = re.compile(r"^(?P<name>[a-zA-Z_:]+)(?:\{(?P<labels>.*)\})? (?P<value>[-+.0-9eE]+)")
_LABEL: Final = re.compile(r'([a-zA-Z_]+)="((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True, slots=True)
class Sample:
    """One number with its labels."""

    labels: Mapping[str, str]
    value: float


def samples(text: str, name: str) -> Iterator[Sample]:
    """Return every sample of a metric."""
    for line in text.splitlines():
        if line.startswith(name) and (found := _LINE.match(line)) and found["name"] == name:
            yield Sample(dict(_LABEL.findall(found["labels"] or "")), float(found["value"]))
