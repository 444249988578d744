"""Where a key of a ManagedSecret lies in a store: below the store's prefix, or nowhere."""

from __future__ import annotations

import re
from typing import Final

from keyturn.providers.errors import Refused

__all__ = ["located"]

_PLACEHOLDER: Final = "{namespace}"
_OPEN_ENDED: Final = re.compile(r"[{]namespace[}]([-A-Za-z0-9]|$)")
"""A prefix after which the namespace team-a could be spelled by the namespace team."""
_BELOW_A_PREFIX: Final = re.compile(r"[-_+=@./A-Za-z0-9]+")
_FORBIDDEN: Final = ("\\", "\0")
_LEADS_AWAY: Final = frozenset({"", ".", ".."})


def located(key: str, prefix: str | None, namespace: str) -> str:
    """Return `key` with the prefix of its store before it.

    Nothing is cleaned: what a store could read in two ways is refused, so that no spelling leads out of the prefix.

    Raises:
        Refused: The sentence says how a key is written.
    """
    if not key or any(mark in key for mark in _FORBIDDEN) or _leads_away(key):
        raise Refused(
            "InvalidKey",
            "write a key such as prod/payments: no slash at its ends, no empty part, no part . or .., no backslash",
        )
    if not prefix:
        return key
    if not _BELOW_A_PREFIX.fullmatch(key):
        raise Refused(
            "InvalidKey",
            "the store has a keyPrefix, and below it a key has letters, digits and - _ + = @ . / only",
        )
    return _filled(prefix, namespace) + key


def _filled(prefix: str, namespace: str) -> str:
    filled = prefix.replace(_PLACEHOLDER, namespace)
    # The API server holds a prefix to this as well; who weakened its rules must not open another's keys by that.
    if not namespace or _OPEN_ENDED.search(prefix) or _leads_away(filled.removesuffix("/")):
        raise Refused(
            "InvalidPrefix",
            "the store's keyPrefix leads out of itself; write one such as {namespace}/, with / or _ after it",
        )
    return filled


def _leads_away(path: str) -> bool:
    return not _LEADS_AWAY.isdisjoint(path.split("/"))
