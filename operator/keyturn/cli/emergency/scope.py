"""Namespaces of a command about emergencies."""

from __future__ import annotations

Scope = tuple[str, ...] | None
"""The namespaces: None for all, empty for that of the context."""
