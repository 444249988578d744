"""Whether a cloud's client can read an answer soon: it does so in the event loop, member by member."""

from __future__ import annotations

import json
from typing import Any, Final

from . import work
from .errors import Unreachable
from .properties import LARGE

__all__ = ["hold_to_bounds"]

_LARGEST: Final = 512 * 1024
"""Bytes: a page of 25 secrets with all the tags that they can have is smaller, and so is a value."""
_MOST: Final = 1000
"""Members of the whole document; such a page has fewer."""


async def hold_to_bounds(body: bytes, owner: str) -> None:
    """Refuse an answer that no service gives and its client would take long over; look at a large one in a thread.

    Raises:
        Unreachable: It is larger, or has more members.
        Refused: It takes too long, or what its owner has us do has done so before.
    """
    if len(body) > _LARGEST:
        raise Unreachable("MalformedAnswer")
    if not (await work.done(owner, _is_bounded, body) if len(body) > LARGE else _is_bounded(body)):
        raise Unreachable("MalformedAnswer")


def _is_bounded(body: bytes) -> bool:
    try:
        level = [json.loads(body)]
    except (ValueError, RecursionError):
        return False
    members = 0
    while level and members <= _MOST:
        level = [child for node in level for child in _children(node)]
        members += len(level)
    return members <= _MOST


def _children(node: Any) -> list[Any]:
    match node:
        case dict():
            return list(node.values())
        case list():
            return node
    return []
