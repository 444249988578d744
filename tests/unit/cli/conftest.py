"""A command line for the API server of a test module."""

from pathlib import Path

import pytest

from tests.support.console import Console
from tests.unit.cli.fake_api import FakeApi
from tests.unit.cli.test_errors import at


@pytest.fixture
def console(api: FakeApi, tmp_path: Path) -> Console:
    return at(api.url, tmp_path)
