"""An account of a real server, and the operator that all tests share."""

from collections.abc import Iterator

import pytest

from tests.cluster.conftest import objects, space
from tests.cluster.namespace import Space
from tests.databases.conftest import NEWEST
from tests.databases.operator.accounts import DatabaseAccount
from tests.databases.servers import Servers

__all__ = ["objects", "space"]


@pytest.fixture
def account(space: Space, servers: Servers) -> Iterator[DatabaseAccount]:
    """A database, its admin and its DatabaseTarget, for one account."""
    account = DatabaseAccount.prepare(space, servers.of(NEWEST))
    yield account
    account.remove()
