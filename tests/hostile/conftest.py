from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from keyturn import holdups

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from keyturn.holdups import HoldUp


@pytest.fixture
async def held() -> AsyncIterator[list[HoldUp]]:
    """What has held up the event loop, by its processor time: on a busy machine everything takes long."""
    found: list[HoldUp] = []
    with holdups.watched(found.append, longest=0.0):
        yield found
    too_long = [one for one in found if one.processor > holdups.LONGEST]
    assert too_long == [], "a call holds up the event loop"
