from tests.cluster.cli.conftest import console, rights, viewer
from tests.unit.checklist.conftest import repository

__all__ = ["console", "repository", "rights", "viewer"]
