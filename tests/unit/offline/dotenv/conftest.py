from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.offline.dotenv.project_folder import EXAMPLE, Folder

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """An empty project."""
    path = tmp_path / "shop"
    path.mkdir()
    return Folder(path)


@pytest.fixture
def shop(folder: Folder) -> Folder:
    """A project with a .env.example and nothing else."""
    folder.example(EXAMPLE)
    return folder
