"""Claims of a JSON Web Token (RFC 7519) without verification: issuer, audiences and expiry."""

from __future__ import annotations

from base64 import urlsafe_b64decode
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["audiences_of", "end_of", "issuer_of"]


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
    try:
        claims = orjson.loads(urlsafe_b64decode(token.split(b".")[1] + b"=="))
    except (IndexError, ValueError):
        return {}
    return claims if isinstance(claims, dict) else {}
