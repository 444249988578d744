"""Coverage of the core is not traced here: a model runs each of its lines many thousand times.

Tracing doubles the time of these tests, and tests/core reaches every line and branch by examples.
"""

from __future__ import annotations

from pathlib import Path

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.no_cover)
