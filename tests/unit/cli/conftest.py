"""A command line for the API server of a test module."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.cli.test_errors import at

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.console import Console
    from tests.unit.cli.fake_api import FakeApi


@pytest.fixture
def console(api: FakeApi, tmp_path: Path) -> Console:
    return at(api.url, tmp_path)
