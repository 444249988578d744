"""Who somebody is: whoever the API server says that a token, made for this page, belongs to."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import orjson

from keyturn.kube import paths

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keyturn.kube.client import Api

__all__ = ["AUDIENCE", "Viewer", "end_of", "is_like_a_token", "viewer_of"]

AUDIENCE: Final = "keyturn-ui"
"""A token for something else is none for this page, so that nobody shows it one that opens more."""
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/=-]{16,8192}")


@dataclass(frozen=True, slots=True)
class Viewer:
    """Somebody who looks, as the API server knows them."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, list[str]] = field(default_factory=dict)


def is_like_a_token(text: str) -> bool:
    """Say whether it is worth asking."""
    return _TOKEN.fullmatch(text) is not None


async def viewer_of(token: str, api: Api) -> Viewer | None:
    """Ask whose token it is; None where it is nobody's, or not for this page.

    Raises:
        ApiError: That is not known now.
    """
    review = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenReview",
        "spec": {"token": token, "audiences": [AUDIENCE]},
    }
    answer = (await api.request(paths.token_reviews(), review)).get("status") or {}
    # A server that knows no audiences names none of them, and takes tokens for anything.
    if answer.get("authenticated") is not True or AUDIENCE not in (answer.get("audiences") or ()):
        return None
    user = answer["user"]
    return Viewer(
        name=user["username"],
        uid=user.get("uid") or "",
        groups=tuple(user.get("groups") or ()),
        extra=user.get("extra") or {},
    )


def end_of(token: str) -> datetime | None:
    """Return when a token ends that the API server has accepted; None where it does not say."""
    try:
        claims = token.split(".")[1]
        padded = claims + "=" * (-len(claims) % 4)
        return datetime.fromtimestamp(int(orjson.loads(base64.urlsafe_b64decode(padded))["exp"]), UTC)
    except (IndexError, KeyError, TypeError, ValueError, OverflowError, OSError):
        return None
