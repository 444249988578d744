"""Authentication and authorisation of HTTP callers, by TokenReview and SubjectAccessReview."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from . import paths

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from .client import Api

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
    """Return the subject of a token; None if it is invalid, or valid for none of these audiences.

    Raises:
        ApiError: The API server could not answer.
    """
    review = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenReview",
        "spec": {"token": token, "audiences": sorted(audiences)},
    }
    answer = (await api.request(paths.token_reviews(), review)).get("status") or {}
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
    """Return whether a caller may do what `resourceAttributes` or `nonResourceAttributes` describe.

    Raises:
        ApiError: The API server could not answer.
    """
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
    answer = await api.request(paths.access_reviews(), review)
    return (answer.get("status") or {}).get("allowed") is True
