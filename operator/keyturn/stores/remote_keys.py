"""Where a key of a ManagedSecret lies in a store: below the store's prefix, or nowhere."""

from __future__ import annotations

import re
from typing import Final

from .providers.errors import Refused

__all__ = ["located"]

_PLACEHOLDER: Final = "{namespace}"
_OPEN_ENDED: Final = re.compile(r"[{]namespace[}]([-A-Za-z0-9]|$)")
"""A prefix after which the namespace team-a could be spelled by the namespace team."""
_BELOW_A_PREFIX: Final = re.compile(r"[-_+=@./A-Za-z0-9]+")
_FORBIDDEN: Final = ("\\", "\0")
_LEADS_AWAY: Final = frozenset({"", ".", ".."})


def located(key: str, prefix: str | None, namespace: str, *, rooted: bool = False) -> str:
    """Return `key` with the prefix of its store before it.

    Nothing is cleaned: what a store could read in two ways is refused, so that no spelling leads out of the prefix.
    Where the store is `rooted`, one slash before everything is part of a name, and makes it another name.

    Raises:
        Refused: The sentence says how a key is written.
    """
    is_rooted = rooted and not prefix
    if any(mark in key for mark in _FORBIDDEN) or _leads_away(key, rooted=is_rooted):
        raise Refused(
            "InvalidKey",
            "write a key such as prod/payments: no slash at its ends, no empty part, no part . or .., no backslash"
            + ("; one slash before it is part of its name" if is_rooted else ""),
        )
    if not prefix:
        return key
    if not _BELOW_A_PREFIX.fullmatch(key):
        raise Refused(
            "InvalidKey",
            "the store has a keyPrefix, and below it a key has letters, digits and - _ + = @ . / only",
        )
    return _filled(prefix, namespace, rooted=rooted) + key


def _filled(prefix: str, namespace: str, *, rooted: bool) -> str:
    filled = prefix.replace(_PLACEHOLDER, namespace)
    # The API server holds a prefix to this as well; who weakened its rules must not open another's keys by that.
    if not namespace or _OPEN_ENDED.search(prefix) or _leads_away(filled.removesuffix("/"), rooted=rooted):
        raise Refused(
            "InvalidPrefix",
            "the store's keyPrefix leads out of itself; write one such as {namespace}/, with / or _ after it",
        )
    return filled


def _leads_away(path: str, *, rooted: bool) -> bool:
    below = path.removeprefix("/") if rooted else path
    return not _LEADS_AWAY.isdisjoint(below.split("/"))
