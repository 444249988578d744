"""Header and claims of a JSON Web Token (RFC 7519) without verification: issuer, audiences and expiry."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson

from keyturn.core import texts

if TYPE_CHECKING:
    from collections.abc import Mapping


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


def has_header(token: bytes) -> bool:
    """Whether a text starts with the header of a token, which names an algorithm."""
    return "alg" in _part(token, 0)


def _claims(token: bytes) -> Mapping[str, Any]:
    return _part(token, 1)


def _part(token: bytes, place: int) -> Mapping[str, Any]:
    """Parse a part of a token; empty if it is no JSON object."""
    try:
        part = orjson.loads(texts.decode(token.split(b".")[place]))
    except (IndexError, ValueError):
        return {}
    return part if isinstance(part, dict) else {}
