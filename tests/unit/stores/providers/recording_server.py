"""A server that records each request, and answers what a test sets."""

import inspect
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import parse_qsl

from aiohttp import web

Answering: TypeAlias = "Callable[[Heard], web.StreamResponse | Awaitable[web.StreamResponse]]"


class Heard(NamedTuple):
    """One request as it came over the wire."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body.decode()))

    @property
    def words(self) -> bytes:
        """All of it, to be searched."""
        return "\n".join([self.method, self.path, *map(str, self.headers.items())]).encode() + self.body


class Recording:
    """Serve `handle`; what was heard is in `heard`."""

    def __init__(self, answering: Answering) -> None:
        self.heard: list[Heard] = []
        self._answering = answering

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        heard = Heard(request.method, request.path_qs, dict(request.headers), body)
        self.heard.append(heard)
        answered = self._answering(heard)
        response = await answered if inspect.isawaitable(answered) else answered
        return _again(response) if type(response) is web.Response else response

    @property
    def paths(self) -> list[str]:
        return [f"{one.method} {one.path}" for one in self.heard]


def _again(response: web.Response) -> web.Response:
    """Make a response anew: one that was sent cannot be sent again."""
    kept = {name: text for name, text in response.headers.items() if name != "Content-Type"}
    return web.Response(status=response.status, body=response.body, headers=kept)
