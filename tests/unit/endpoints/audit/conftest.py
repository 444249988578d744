from collections.abc import Callable
from dataclasses import dataclass

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families as parse

from keyturn.runtime.metrics import REGISTRY


@dataclass(frozen=True, slots=True)
class Counted:
    """What was counted since the test began."""

    before: dict[tuple[str, ...], float]

    def __call__(self, prefix: str) -> dict[str, float]:
        """Return the series below a name that have grown, by their labels' values."""
        grown = {key: value - self.before.get(key, 0) for key, value in _counts().items()}
        return {" ".join(key[1:]): value for key, value in grown.items() if key[0] == prefix and value}


def _counts() -> dict[tuple[str, ...], float]:
    families = parse(generate_latest(REGISTRY).decode())
    return {
        (sample.name.removeprefix("keyturn_"), *sorted(sample.labels.values())): sample.value
        for family in families
        for sample in family.samples
        if sample.name.endswith("_total")
    }


@pytest.fixture
def counted() -> Callable[[str], dict[str, float]]:
    return Counted(_counts())
