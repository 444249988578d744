"""How a ServiceAccount's token is had from the API server: for one audience, for ten minutes, and not for itself."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from keyturn.core.value import Value

from . import errors, paths
from .jwt import issuer_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from .client import Api, Body

__all__ = ["OWN_AUDIENCE", "Tokens"]

OWN_AUDIENCE: Final = "OwnAudience"
"""The reason of a refusal: whoever got such a token could act at the API server as that account."""

_LIFE: Final = 600
"""Seconds: the shortest life that the API server gives, and the longest that we ask for."""
_USED_FOR: Final = 0.8
_IN_CLUSTER: Final = re.compile(
    r"k3s|rke2|(https?://)?kubernetes(\.default(\.svc(\.[a-z0-9.-]*)?)?)?(:[0-9]+)?/?"
)


class _Known(NamedTuple):
    token: Value
    until: float


class Tokens:
    """Tokens by ServiceAccount and audience; each is used for most of its life, and then made anew."""

    def __init__(self, api: Api, ours: Callable[[], Collection[str]] = tuple) -> None:
        """Take `ours` as what names the audiences of the operator's own token, which the API server takes."""
        self._api = api
        self._ours = ours
        self._known: dict[tuple[str, str, str], _Known] = {}

    async def token(self, namespace: str, account: str, audience: str) -> Value:
        """Return a token of `account` that only `audience` takes.

        Raises:
            ApiError: NotFound without such an account, Forbidden without the right, or where the API server itself
                would take the token.
        """
        path = paths.token(namespace, account)
        if not audience or _IN_CLUSTER.fullmatch(audience) or audience in self._ours():
            raise errors.Forbidden("request", path, 0, OWN_AUDIENCE)
        self._forget_old()
        at = (namespace, account, audience)
        known = self._known.get(at)
        if known:
            return known.token
        asked = _now()
        answer = await self._api.request(path, _request(audience))
        token, life = _token(answer, path)
        if issuer_of(token.reveal()) == audience:  # which the API server takes where nobody set its audiences
            raise errors.Forbidden("request", path, 0, OWN_AUDIENCE)
        self._known[at] = _Known(token, asked + life * _USED_FOR)
        return token

    def forget(self, namespace: str) -> None:
        """Make the tokens of a namespace anew: somebody does not take them, or its accounts have changed."""
        for at in [at for at in self._known if at[0] == namespace]:
            del self._known[at]

    def clear(self) -> None:
        self._known.clear()

    def _forget_old(self) -> None:
        now = _now()
        for at in [at for at, known in self._known.items() if known.until <= now]:
            del self._known[at]


def _request(audience: str) -> Body:
    return {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"audiences": [audience], "expirationSeconds": _LIFE},
    }


def _token(answer: Body, path: str) -> tuple[Value, int]:
    token, life = (
        (answer.get("status") or {}).get("token"),
        (answer.get("spec") or {}).get("expirationSeconds"),
    )
    if not isinstance(token, str) or not isinstance(life, int):
        raise errors.Unavailable("request", path, 0, "MalformedAnswer")
    return Value.of_text(token), min(life, _LIFE)


def _now() -> float:
    return asyncio.get_running_loop().time()
