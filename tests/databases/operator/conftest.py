"""An account of a real server, and the operator that all tests share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cluster.conftest import objects, space
from tests.databases.conftest import NEWEST
from tests.databases.operator.accounts import DatabaseAccount

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cluster.namespace import Space
    from tests.databases.servers import Servers

__all__ = ["objects", "space"]


@pytest.fixture
def account(space: Space, servers: Servers) -> Iterator[DatabaseAccount]:
    """A database, its admin and its DatabaseTarget, for one account."""
    account = DatabaseAccount.prepare(space, servers.of(NEWEST))
    yield account
    account.remove()
