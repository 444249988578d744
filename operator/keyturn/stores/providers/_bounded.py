"""Size limits of a response that a cloud's client parses on the event loop."""

from __future__ import annotations

import json
from typing import Any, Final

from . import work
from .errors import Unreachable
from .properties import LARGE

_MAX_BYTES: Final = 512 * 1024
"""Bytes: more than a page of 25 secrets with all possible tags, and than a value."""
_MAX_MEMBERS: Final = 1000
"""JSON members of the document; such a page has fewer."""


async def hold_to_bounds(body: bytes, owner: str) -> None:
    """Reject a response above the limits; a large one is checked in a thread.

    Raises:
        Unreachable: It is larger, or has more members.
        Refused: The check takes too long, or work of this owner did before.
    """
    if len(body) > _MAX_BYTES:
        raise Unreachable("MalformedAnswer")
    if not (await work.run(owner, _is_bounded, body) if len(body) > LARGE else _is_bounded(body)):
        raise Unreachable("MalformedAnswer")


def _is_bounded(body: bytes) -> bool:
    try:
        level = [json.loads(body)]
    except (ValueError, RecursionError):
        return False
    members = 0
    while level and members <= _MAX_MEMBERS:
        level = [child for node in level for child in _children(node)]
        members += len(level)
    return members <= _MAX_MEMBERS


def _children(node: Any) -> list[Any]:
    match node:
        case dict():
            return list(node.values())
        case list():
            return node
    return []
