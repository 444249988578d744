"""HTTP client of Vault: JSON over the guard, with the CAs that the store names."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from yarl import URL

from . import errors, properties
from ._authorities import trusting
from .errors import Refused

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    from .base import ProviderContext, Reference


class Http:
    """One Vault in one of its namespaces."""

    def __init__(
        self, server: str, namespace: str | None, authorities: Reference | None, given: ProviderContext
    ) -> None:
        self.server = server.rstrip("/")
        self._namespace = {"X-Vault-Namespace": namespace} if namespace else {}
        self._authorities = authorities
        self._given = given
        self._trust: ssl.SSLContext | None = None

    async def ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        token: str | None = None,
        query: str = "",
    ) -> dict[str, Any]:
        """Send a request below /v1/ and return the JSON object of the response."""
        if self._given.guard is None:
            raise Refused("NoNetwork", "this store needs the network")
        login = {"X-Vault-Token": token} if token else {}
        answer = await self._given.guard.ask(
            method,
            URL(f"{self.server}/v1/{quote(path, safe='/')}{query}", encoded=True),
            headers={"X-Vault-Request": "true", **login, **self._namespace},
            body=properties.written(body) if body is not None else None,
            trust=await self._load_trust(),
        )
        if answer.status >= HTTPStatus.BAD_REQUEST:
            raise errors.of_status(answer.status, answer.headers.get("Retry-After"))
        return await properties.object_apart(answer.body, self._given.owner) if answer.body else {}

    async def _load_trust(self) -> ssl.SSLContext | None:
        if self._authorities is not None and self._trust is None:
            self._trust = await trusting(self._given, self._authorities)
        return self._trust


def seconds(answer: Mapping[str, Any], name: str) -> int:
    """Return a number of seconds of a response; 0 if absent."""
    text = str(answer.get(name, ""))[:9]
    return int(text) if text.isascii() and text.isdecimal() else 0
