from __future__ import annotations

import asyncio

import aiohttp
import pytest

from keyturn.kube.client import FencedBody
from tests.support.api_servers import Scripted, answer, serving


@pytest.mark.parametrize(("seconds", "arrives"), [(30.0, True), (-0.001, False)], ids=["in time", "too late"])
async def test_a_body_arrives_before_its_time_is_over_and_never_after(seconds: float, arrives: bool) -> None:  # noqa: FBT001
    script = Scripted(answer())
    until = asyncio.get_running_loop().time() + seconds
    body = FencedBody(b"{}", lambda: until)
    async with serving(script.handle) as server, aiohttp.ClientSession() as session:
        try:
            async with session.put(server, data=body) as response:
                assert response.ok
        except TimeoutError:
            assert not arrives
    assert len(script.asked) == int(arrives)
