"""Namespaces in which a command looks for emergencies."""

from __future__ import annotations

__all__ = ["Scope"]


Scope = tuple[str, ...] | None
"""The namespaces that are meant: None for all, none for that of the context."""
