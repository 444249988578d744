from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def scratch() -> Iterator[Path]:
    # Not pytest's own folder: its path is long, and the socket of a control plane must be short.
    with tempfile.TemporaryDirectory(prefix="demo-") as folder:
        yield Path(folder)
