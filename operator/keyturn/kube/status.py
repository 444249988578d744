"""Merge patch of a status: the top-level fields that changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keyturn.api.base import Schema

__all__ = ["status_patch"]


def status_patch(before: Schema, after: Schema) -> dict[str, Any]:
    """Return the merge patch (RFC 7386) from `before` to `after`, top-level field by field."""
    old, new = _document(before), _document(after)
    removed = {name: None for name in old if name not in new}
    return removed | {name: part for name, part in new.items() if old.get(name) != part}


def _document(status: Schema) -> dict[str, Any]:
    return status.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True)
