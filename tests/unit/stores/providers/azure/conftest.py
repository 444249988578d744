from collections.abc import AsyncIterator
from typing import Any

import pytest

from keyturn.stores.providers import Provider
from keyturn.stores.providers.guard import Guard
from tests.unit.stores.providers.azure.fake_azure import Azure


@pytest.fixture
async def guard(azure: Azure) -> AsyncIterator[Guard]:
    async with azure.guarded() as guard:
        yield guard


@pytest.fixture
def store(azure: Azure, guard: Guard) -> Provider[Any]:
    return azure.store(guard)
