"""How the tests of Azure ask, and answers that they put into Azure's mouth."""

import json
import traceback
from collections.abc import Awaitable

import pytest
from aiohttp import web

from keyturn.stores.providers.errors import StoreError
from tests.unit.stores.providers.azure.fake_entra_id import CANARY


async def failing(doing: Awaitable[object]) -> StoreError:
    with pytest.raises(StoreError) as refused:
        await doing
    said = "".join(traceback.format_exception(refused.value)) + repr(vars(refused.value))
    assert CANARY not in said
    assert refused.value.__context__ is None
    return refused.value


def answering(status: int, body: object, **headers: str) -> web.Response:
    text = body if isinstance(body, str) else json.dumps(body)
    named = {name.replace("_", "-"): one for name, one in headers.items()}
    return web.Response(status=status, text=text, headers=named)


def again(answer: web.Response) -> web.Response:
    headers = {name: text for name, text in answer.headers.items() if not name.startswith("Content-")}
    return web.Response(status=answer.status, text=answer.text, headers=headers)


def refusal(status: int, code: object, inner: object = None, **headers: str) -> web.Response:
    error = {"code": code, "message": CANARY, "innererror": {"code": inner} if inner else None}
    return answering(status, {"error": error}, **headers)
