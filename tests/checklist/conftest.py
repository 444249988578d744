from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.checklist.repository import Repository
from tests.cli.conftest import console, rights, viewer  # noqa: F401  # the command line of people
from tests.cluster.conftest import class_, objects, space  # noqa: F401  # the same cluster, namespaces and operator

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """A Git repository that keeps .env files out."""
    repository = Repository.new(tmp_path / "repository")
    repository.commit({".gitignore": ".env\n.env.*\n!.env.example\n", "README.md": "A shop.\n"})
    return repository
