"""Recipes of the shipped classes, for use without a cluster; a test compares them with manifests/classes."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from .sources import Made

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["SHIPPED"]

SHIPPED: Final[Mapping[str, Made]] = MappingProxyType(
    {
        "jwt-secret": Made("bytes", {"length": 32, "encoding": "base64"}),
        "two-factor-key": Made("bytes", {"length": 32, "encoding": "base64"}),
        "session-secret": Made("bytes", {"length": 32, "encoding": "base64"}),
        "database-password": Made("password", {"length": 40}),
        "redis-password": Made("bytes", {"length": 24, "encoding": "base64"}),
        "api-key": Made("bytes", {"length": 32, "encoding": "base64url"}),
    }
)
