"""Which readers are counted together where a page has no room for each: those that one authority can make many of."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .access_log import Entry

__all__ = ["crowd_of", "gathered"]

_ACCOUNT: Final = "system:serviceaccount:"
_NODE: Final = "system:node:"
_AS: Final = " as "
_FIRST: Final = 5
"""As many of a crowd keep an entry of their own, if there is room: those that came first."""


def crowd_of(subject: str) -> str | None:
    """Name the crowd that a reader belongs to: the accounts of a namespace, nodes, names that one subject takes."""
    who, acts_as, _ = subject.partition(_AS)
    if acts_as:
        return f"{who}{_AS}*"
    if subject.startswith(_ACCOUNT):
        return f"{subject.rpartition(':')[0]}:*"
    return f"{_NODE}*" if subject.startswith(_NODE) else None


def gathered(entries: Mapping[str, Entry], most: int) -> tuple[str, list[str]] | None:
    """Return the largest crowd with those of it that lose their entry; None where that makes no room."""
    members: defaultdict[str, list[str]] = defaultdict(list)
    for subject in entries:
        crowd = crowd_of(subject)
        if crowd and crowd != subject:
            members[crowd].append(subject)
    alone = min(_FIRST, most // 4)
    found = {crowd: _late(subjects, entries, alone) for crowd, subjects in members.items()}
    # One alone is no crowd, unless there is one already.
    found = {crowd: late for crowd, late in found.items() if len(late) > 1 or (late and crowd in entries)}
    return max(found.items(), key=lambda one: len(one[1]), default=None)


def _late(subjects: list[str], entries: Mapping[str, Entry], alone: int) -> list[str]:
    return sorted(subjects, key=lambda subject: entries[subject].first)[alone:]
