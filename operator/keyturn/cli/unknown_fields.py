"""Finds unknown fields of a manifest, which the API server rejects too, and suggests known ones."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from keyturn.installation.crds.definition import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["unknown_fields"]

_FEW = 12


def unknown_fields(body: Mapping[str, Any], kind: str) -> list[str]:
    """Return a message for each unknown field of a kind's spec, with a suggestion and without values."""
    schema = next(one.schema() for one in KINDS if one.name == kind)
    return list(_unknown(body.get("spec"), schema["properties"]["spec"], "spec"))


def _unknown(part: Any, schema: Mapping[str, Any], path: str) -> Iterator[str]:
    if isinstance(part, list):
        for number, one in enumerate(part):
            yield from _unknown(one, schema.get("items", {}), f"{path}[{number}]")
    known = schema.get("properties")
    if not isinstance(part, dict) or known is None:
        return
    for name, below in part.items():
        if name in known:
            yield from _unknown(below, known[name], f"{path}.{name}")
        else:
            yield f"{path}.{name} is unknown; {_instead(str(name), known)}"


def _instead(name: str, known: Mapping[str, Any]) -> str:
    if like := difflib.get_close_matches(name, known, n=1, cutoff=0.7):
        return f"write {like[0]}"
    names = sorted(known)
    more = f" and {len(names) - _FEW} more, see `kubectl explain`" if len(names) > _FEW else ""
    return f"there is {', '.join(names[:_FEW])}{more}" if names else "there are no fields here, so write {}"
