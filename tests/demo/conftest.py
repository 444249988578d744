from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

if os.geteuid() != 0:
    collect_ignore = ["test_real_database.py", "test_real_node.py"]  # a real node needs root


@pytest.fixture
def scratch() -> Iterator[Path]:
    # Not pytest's own folder: its path is long, and the socket of a control plane must be short.
    with tempfile.TemporaryDirectory(prefix="demo-") as folder:
        yield Path(folder)
