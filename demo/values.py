"""Compares the values of a Secret with earlier ones, and hands them to processes; no other module reads values."""

from __future__ import annotations

import base64
import hmac
import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .terminal import Terminal

# Random for each process: without the key a digest reveals nothing about a value.
_KEY = secrets.token_bytes(32)


def digests(terminal: Terminal, name: str) -> Mapping[str, str]:
    """Return a digest of each value of a Secret, by key."""
    data = terminal.json(f"get secret {name} -n shop").get("data", {})
    return {
        key: hmac.digest(_KEY, base64.b64decode(value), "sha256").hex() for key, value in sorted(data.items())
    }


def variables(terminal: Terminal, name: str, keys: Mapping[str, str]) -> dict[str, str]:
    """Return the environment variables that a kubelet makes of a Secret, for the process of one container."""
    data = terminal.json(f"get secret {name} -n shop")["data"]
    return {variable: base64.b64decode(data[key]).decode() for variable, key in keys.items()}
