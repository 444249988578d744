"""Tokens of ServiceAccounts by TokenRequest: for one audience, valid for ten minutes, never for the API server."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from keyturn.core.value import Value
from keyturn.runtime.clock import loop_time

from . import errors, paths
from .jwt import issuer_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from keyturn.kube.wire import Body

    from .client import Api

OWN_AUDIENCE: Final = "OwnAudience"
"""Reason of a rejection: a holder of such a token could act at the API server as that account."""

_LIFE: Final = 600
"""Seconds: the shortest validity that the API server issues, and the longest that is used."""
_USED_FRACTION: Final = 0.8
_IN_CLUSTER: Final = re.compile(
    r"k3s|rke2|(https?://)?kubernetes(\.default(\.svc(\.[a-z0-9.-]*)?)?)?(:[0-9]+)?/?"
)


class _Known(NamedTuple):
    token: Value
    until: float


class Tokens:
    """Cache of tokens by ServiceAccount and audience; each is used for 80 % of its validity."""

    def __init__(self, api: Api, ours: Callable[[], Collection[str]] = tuple) -> None:
        """`ours` returns the audiences of the operator's own token, which the API server accepts."""
        self._api = api
        self._ours = ours
        self._known: dict[tuple[str, str, str], _Known] = {}

    async def token(self, namespace: str, account: str, audience: str) -> Value:
        """Return a token of `account` that only `audience` accepts.

        Raises:
            ApiError: NotFound without such an account; Forbidden without permission, or if the API server itself
                would accept the token.
        """
        path = paths.token(namespace, account)
        if not audience or _IN_CLUSTER.fullmatch(audience) or audience in self._ours():
            raise errors.Forbidden("request", path, 0, OWN_AUDIENCE)
        self._drop_expired()
        at = (namespace, account, audience)
        known = self._known.get(at)
        if known:
            return known.token
        asked = loop_time()
        answer = await self._api.request(path, _request(audience))
        token, life = _token(answer, path)
        if issuer_of(token.reveal()) == audience:  # the default audience of the API server is its issuer
            raise errors.Forbidden("request", path, 0, OWN_AUDIENCE)
        self._known[at] = _Known(token, asked + life * _USED_FRACTION)
        return token

    def forget(self, namespace: str) -> None:
        """Drop the tokens of a namespace, because a store rejected one or its accounts have changed."""
        for at in [at for at in self._known if at[0] == namespace]:
            del self._known[at]

    def clear(self) -> None:
        self._known.clear()

    def _drop_expired(self) -> None:
        now = loop_time()
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
