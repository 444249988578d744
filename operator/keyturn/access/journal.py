"""The last readers of each managed secret: when first, when last, how often."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from keyturn.core.reader import Reader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime

    from .event import Access

__all__ = ["Entry", "Journal", "Scope"]

_EACH: Final = 50
_ALL: Final = 50_000


class Scope(NamedTuple):
    """What was asked for: one secret, all of a namespace (no name), or all there are (neither)."""

    namespace: str
    name: str

    @property
    def reach(self) -> str:
        if self.name:
            return "secret"
        return "namespace" if self.namespace else "cluster"


@dataclass(slots=True)
class Entry:
    """What is remembered of one subject at one scope."""

    kind: str
    verbs: frozenset[str]
    first: datetime
    last: datetime
    kept: int = 0
    """Times that the record has, by all replicas together."""
    fresh: int = 0
    """Times since then, by this one."""

    def absorb(self, kept: Entry) -> None:
        """Take over what the record has; what is fresh comes on top of that."""
        self.verbs |= kept.verbs
        self.first, self.last = min(self.first, kept.first), max(self.last, kept.last)
        self.kept = kept.kept


@dataclass(slots=True)
class Journal:
    """Bounded for each scope and altogether: who floods one secret's page pushes nobody off another's."""

    has_news: bool = False
    """Somebody was seen for the first time since the record was written."""
    _pages: dict[Scope, OrderedDict[str, Entry]] = field(default_factory=dict)

    def note(self, scope: Scope, access: Access) -> None:
        page = self._pages.setdefault(scope, OrderedDict())
        entry = page.get(access.subject)
        if entry is None:
            entry = page[access.subject] = Entry(access.kind, frozenset(), access.time, access.time)
            self.has_news = True
            self._trim(page)
        if access.verb not in entry.verbs:
            entry.verbs |= {access.verb}
        entry.first, entry.last = min(entry.first, access.time), max(entry.last, access.time)
        entry.fresh += 1
        page.move_to_end(access.subject)

    def readers_of(self, namespace: str, names: Iterable[str], since: datetime) -> list[Reader]:
        """Return who has read any of the named secrets since then, the last one first."""
        scopes = (*(Scope(namespace, name) for name in names), Scope(namespace, ""), Scope("", ""))
        found = [
            _reader(scope, subject, entry, since)
            for scope in scopes
            for subject, entry in self._pages.get(scope, {}).items()
            if entry.last >= since
        ]
        return sorted(found, key=lambda one: one.last, reverse=True)

    def merge(self, scope: Scope, subject: str, kept: Entry) -> None:
        """Take in what the record has of one subject."""
        page = self._pages.setdefault(scope, OrderedDict())
        if entry := page.get(subject):
            entry.absorb(kept)
            return
        page[subject] = kept
        page.move_to_end(subject, last=False)
        self._trim(page)

    def entries(self) -> Iterator[tuple[Scope, str, Entry]]:
        """Yield all there is, of each page the last reader first."""
        for scope, page in self._pages.items():
            for subject, entry in reversed(page.items()):
                yield scope, subject, entry

    def sweep(self, is_kept: Callable[[Scope], bool], since: datetime) -> None:
        """Forget the pages that are not kept, whoever was last seen before that time, and what is too much."""
        for scope, page in list(self._pages.items()):
            self._trim(page)
            for subject in [one for one, entry in page.items() if entry.last < since]:
                del page[subject]
            if not page or not is_kept(scope):
                del self._pages[scope]

    def _trim(self, page: OrderedDict[str, Entry]) -> None:
        most = max(2, min(_EACH, _ALL // len(self._pages)))
        while len(page) > most:
            page.popitem(last=False)


def _reader(scope: Scope, subject: str, entry: Entry, since: datetime) -> Reader:
    return Reader(
        subject=subject,
        kind=entry.kind,
        verbs=entry.verbs,
        first=entry.first,
        last=entry.last,
        count=entry.kept + entry.fresh,
        reach=scope.reach,
        is_new=entry.first >= since,
    )
