from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cluster.cli.conftest import console  # noqa: F401
from tests.cluster.conftest import objects, space  # noqa: F401  # the same cluster, namespaces and operator
from tests.release.installed import Plugin
from tests.unit.checklist.conftest import repository  # noqa: F401

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Plugin:
    """The plugin, installed by Krew; who uses it gives its build time: pytest.mark.timeout(BUILD_SECONDS)."""
    return Plugin.installed(tmp_path_factory.mktemp("plugin"))


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    """A folder of archives, none yet."""
    path = tmp_path / "dist"
    path.mkdir()
    return path
