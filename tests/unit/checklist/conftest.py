from pathlib import Path

import pytest

from tests.unit.checklist.git_repository import Repository


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """A Git repository that keeps .env files out."""
    repository = Repository.new(tmp_path / "repository")
    repository.commit({".gitignore": ".env\n.env.*\n!.env.example\n", "README.md": "A shop.\n"})
    return repository
