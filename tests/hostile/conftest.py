from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from keyturn.runtime.event_loop_stalls import LONGEST
from tests.support.timedcalls import timed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.timedcalls import Call


@pytest.fixture
async def held() -> AsyncIterator[list[Call]]:
    """Each call of the event loop; none may hold it up, by processor time, for a busy machine makes all slow."""
    with timed() as calls:
        yield calls
    assert [call for call in calls if call.processor > LONGEST] == [], "a call holds up the event loop"
