from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.checklist.git_repository import Repository

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """A Git repository that keeps .env files out."""
    repository = Repository.new(tmp_path / "repository")
    repository.commit({".gitignore": ".env\n.env.*\n!.env.example\n", "README.md": "A shop.\n"})
    return repository
