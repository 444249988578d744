from pathlib import Path

import pytest

from tests.unit.offline.dotenv.project_folder import EXAMPLE, Folder


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
