"""Tokens of ServiceAccounts: their claims, new ones for one audience, and the subject of a caller's token.

A TokenRequest gets one that is valid for ten minutes, and never for the API server. Claims of a JSON Web Token
(RFC 7519) are read without verification; callers are authenticated and authorised by TokenReview and
SubjectAccessReview.
"""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import orjson

from keyturn.core import texts
from keyturn.core.value import Value
from keyturn.runtime.clock import loop_time

from . import errors, paths
from .client import Api
from .wire import Body


def issuer_of(token: bytes) -> str | None:
    issuer = _claims(token).get("iss")
    return issuer if isinstance(issuer, str) else None


def audiences_of(token: bytes) -> frozenset[str]:
    """Return the audiences of a token; empty if it is no JWT."""
    audiences = _claims(token).get("aud")
    every = audiences if isinstance(audiences, list) else [audiences]
    return frozenset(audience for audience in every if isinstance(audience, str))


def end_of(token: bytes) -> datetime | None:
    """Return when a token expires; None without an `exp` claim."""
    try:
        return datetime.fromtimestamp(int(_claims(token)["exp"]), UTC)
    except (KeyError, TypeError, ValueError, OverflowError, OSError):
        return None


def _claims(token: bytes) -> Mapping[str, Any]:
    """Parse the claims of a token; empty if they are no JSON object."""
    try:
        claims = orjson.loads(texts.decode(token.split(b".")[1]))
    except (IndexError, ValueError):
        return {}
    return claims if isinstance(claims, dict) else {}


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
        asked = loop_time()
        self._known = {at: known for at, known in self._known.items() if known.until > asked}
        at = (namespace, account, audience)
        if known := self._known.get(at):
            return known.token
        spec = {"audiences": [audience], "expirationSeconds": _LIFE}
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        answer = await self._api.request(path, review)
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


def _token(answer: Body, path: str) -> tuple[Value, int]:
    token, life = (
        (answer.get("status") or {}).get("token"),
        (answer.get("spec") or {}).get("expirationSeconds"),
    )
    if not isinstance(token, str) or not isinstance(life, int):
        raise errors.Unavailable("request", path, 0, "MalformedAnswer")
    return Value.of_text(token), min(life, _LIFE)


_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/=-]{16,8192}")


@dataclass(frozen=True, slots=True)
class Caller:
    """The subject of a token, as the API server authenticated it."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, list[str]] = field(default_factory=dict)


def bearer_token(authorization: str) -> str:
    """Return the bearer token of an Authorization header (RFC 6750, section 2.1); empty without one."""
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def is_like_a_token(text: str) -> bool:
    """Whether a text has the syntax of a token, so that a TokenReview is worth a request."""
    return _TOKEN.fullmatch(text) is not None


async def caller_of(token: str, audiences: Collection[str], api: Api) -> Caller | None:
    """Return the subject of a token; None if it is invalid, or valid for none of these audiences."""
    review = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenReview",
        "spec": {"token": token, "audiences": sorted(audiences)},
    }
    answer = (await api.request(paths.TOKEN_REVIEWS, review)).get("status") or {}
    # A server without audience support returns no audiences and accepts tokens for any.
    is_for_us = not set(audiences).isdisjoint(answer.get("audiences") or ())
    if answer.get("authenticated") is not True or not is_for_us:
        return None
    user = answer["user"]
    return Caller(
        name=user["username"],
        uid=user.get("uid") or "",
        groups=tuple(user.get("groups") or ()),
        extra=user.get("extra") or {},
    )


async def is_allowed(caller: Caller, attributes: Mapping[str, Any], api: Api) -> bool:
    """Return whether a caller may do what `resourceAttributes` or `nonResourceAttributes` describe."""
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": caller.name,
            "uid": caller.uid,
            "groups": list(caller.groups),
            "extra": dict(caller.extra),
            **attributes,
        },
    }
    answer = await api.request(paths.ACCESS_REVIEWS, review)
    return (answer.get("status") or {}).get("allowed") is True
