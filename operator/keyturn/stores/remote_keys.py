"""Maps a key of a ManagedSecret to a key of a store, below the store's prefix."""

from __future__ import annotations

import re
from typing import Final

from .providers.errors import Refused

_PLACEHOLDER: Final = "{namespace}"
_OPEN_ENDED: Final = re.compile(r"[{]namespace[}]([-A-Za-z0-9]|$)")
"""A prefix with which the namespace team could name keys of the namespace team-a."""
_BELOW_A_PREFIX: Final = re.compile(r"[-_+=@./A-Za-z0-9]+")
_FORBIDDEN: Final = ("\\", "\0")
_LEADS_AWAY: Final = frozenset({"", ".", ".."})


def located(key: str, prefix: str | None, namespace: str, *, rooted: bool = False) -> str:
    """Return `key` with the prefix of its store.

    Nothing is normalised: a key with two possible readings is rejected, so that no spelling leaves the prefix. In a
    `rooted` store a leading slash is part of a name.

    Raises:
        Refused: The message has the rule for keys.
    """
    is_rooted = rooted and not prefix
    if any(mark in key for mark in _FORBIDDEN) or _escapes_prefix(key, rooted=is_rooted):
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
    # The API server checks the prefix too; this holds even if its validation rules were weakened.
    if (
        not namespace
        or _OPEN_ENDED.search(prefix)
        or _escapes_prefix(filled.removesuffix("/"), rooted=rooted)
    ):
        raise Refused(
            "InvalidPrefix",
            "the store's keyPrefix is not safe as a path; write one such as {namespace}/, with / or _ after it",
        )
    return filled


def _escapes_prefix(path: str, *, rooted: bool) -> bool:
    below = path.removeprefix("/") if rooted else path
    return not _LEADS_AWAY.isdisjoint(below.split("/"))
