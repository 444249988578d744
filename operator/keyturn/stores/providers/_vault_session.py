"""Session with Vault: a token with its duration."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from math import inf, isinf
from typing import TYPE_CHECKING, Any, Final

from keyturn.runtime.clock import loop_time

from ._vault_http import seconds
from .errors import Unauthorized

if TYPE_CHECKING:
    from collections.abc import Mapping

_MAX_NAME_LENGTH: Final = 256


@dataclass(slots=True, eq=False)
class VaultSession:
    """A token that Vault accepts."""

    token: str = field(repr=False)
    lasts: float = inf
    """Duration in seconds when it was issued."""
    ends: float = inf
    """Time of the event loop."""
    is_renewable: bool = False
    name: str = ""
    """Accessor of the token, which does not authenticate; empty for a token that is managed elsewhere."""

    @property
    def left(self) -> float:
        """Seconds until it ends."""
        return max(self.ends - loop_time(), 0.0)

    @property
    def is_stale(self) -> bool:
        """Whether half of its duration is over."""
        return not isinf(self.ends) and self.ends - loop_time() <= self.lasts / 2

    @property
    def is_over(self) -> bool:
        return self.ends <= loop_time()


def session_of(answer: Mapping[str, Any], asked: float) -> VaultSession:
    auth = answer.get("auth")
    token = auth.get("client_token") if isinstance(auth, dict) else None
    if not isinstance(auth, dict) or not isinstance(token, str) or not is_token(token):
        raise Unauthorized(
            "NoToken", "Vault returned no token; a login with a second factor is not supported"
        )
    lasts = seconds(auth, "lease_duration") or inf
    return VaultSession(token, lasts, asked + lasts, auth.get("renewable") is True, _name(auth))


def _name(about: Mapping[str, Any]) -> str:
    name = about.get("accessor")
    return name if isinstance(name, str) and len(name) <= _MAX_NAME_LENGTH else ""


def is_token(text: str) -> bool:
    return re.fullmatch(r"[!-~]+", text) is not None


def session_about(token: str, answer: Mapping[str, Any], asked: float) -> VaultSession | None:
    """Parse Vault's lookup of a token."""
    about = answer.get("data")
    if not isinstance(about, dict):
        return None
    lasts = seconds(about, "creation_ttl") or inf
    ends = inf if isinf(lasts) else asked + seconds(about, "ttl")
    return VaultSession(token, lasts, ends, about.get("renewable") is True, _name(about))
