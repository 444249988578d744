"""The readers of each managed secret: when first, when last, how often."""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from keyturn.core.emergency.readers import Reader, ReaderStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from datetime import datetime

    from .event import Access

__all__ = ["AccessLog", "AccessScope", "Entry", "crowd_of", "gathered"]

_EACH: Final = 50
_ALL: Final = 50_000


class AccessScope(NamedTuple):
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
    """What is remembered of one subject at one scope, or of a crowd of them."""

    kind: str
    verbs: frozenset[str]
    first: datetime
    last: datetime
    kept: int = 0
    """Times that the record has, by all replicas together."""
    fresh: int = 0
    """Times since then, by this one."""
    standing: ReaderStatus = ReaderStatus.UNKNOWN
    """What was known of it when it was seen first; NEW of a crowd where one of it was new."""

    def absorb(self, kept: Entry) -> None:
        """Take over what the record has; what is fresh comes on top of that."""
        if kept.first < self.first:
            self.standing = kept.standing
        self._stretch(kept)
        self.kept = kept.kept

    def gather(self, one: Entry) -> None:
        """Count another subject in; the record does not know that yet."""
        self.widen(one)
        self.fresh += one.kept + one.fresh

    def widen(self, other: Entry) -> None:
        """Take in when and how another was there, and not how often."""
        if other.standing is ReaderStatus.NEW:
            self.standing = ReaderStatus.NEW
        self._stretch(other)

    def _stretch(self, other: Entry) -> None:
        self.verbs |= other.verbs
        self.first, self.last = min(self.first, other.first), max(self.last, other.last)


@dataclass(slots=True)
class _Page:
    """Who read at one scope, the last one last."""

    entries: OrderedDict[str, Entry] = field(default_factory=OrderedDict)
    forgotten: int = 0
    """How often somebody was taken off it for want of room."""

    def trim(self, most: int) -> None:
        """Make room: crowds are counted together; then those go that are neither of the first nor of the last."""
        while len(self.entries) > most:
            if (found := gathered(self.entries, most)) is None:
                self._forget_one(most)
                continue
            crowd, members = found
            for subject in members:
                one = self.entries.pop(subject)
                if crowd in self.entries:
                    self.entries[crowd].gather(one)
                else:
                    self.entries[crowd] = one
            self.entries.move_to_end(crowd)

    def _forget_one(self, most: int) -> None:
        """Forget whoever was not seen for longest; the first ones stay, so that no flood washes them away."""
        by_age = sorted(self.entries, key=lambda subject: self.entries[subject].first)
        del self.entries[min(by_age[most // 2 :], key=lambda subject: self.entries[subject].last)]
        self.forgotten += 1


@dataclass(slots=True)
class AccessLog:
    """Bounded for each scope, each namespace and altogether: no flood pushes anybody off the page of another."""

    has_news: bool = False
    """Somebody was seen for the first time since the record was written."""
    _pages: dict[AccessScope, _Page] = field(default_factory=dict)
    _of_namespace: Counter[str] = field(default_factory=Counter)

    @property
    def is_empty(self) -> bool:
        return not self._pages

    @property
    def is_fresh(self) -> bool:
        """Somebody was seen since the record was written."""
        return any(entry.fresh for _, _, entry in self.entries())

    def note(self, scope: AccessScope, access: Access, standing: ReaderStatus = ReaderStatus.UNKNOWN) -> None:
        page = self._page(scope)
        entry = page.entries.get(access.subject)
        if entry is None:
            entry = Entry(access.kind, frozenset(), access.time, access.time, standing=standing)
            page.entries[access.subject] = entry
            self.has_news = True
        if access.verb not in entry.verbs:
            entry.verbs |= {access.verb}
        entry.first, entry.last = min(entry.first, access.time), max(entry.last, access.time)
        entry.fresh += 1
        page.entries.move_to_end(access.subject)
        page.trim(self._most(scope))

    def readers_of(self, namespace: str, names: Iterable[str], since: datetime) -> list[Reader]:
        """Return who has read any of the named secrets since then, the last one first."""
        found = [
            _reader(scope, subject, entry, since)
            for scope in _scopes(namespace, names)
            if scope in self._pages
            for subject, entry in self._pages[scope].entries.items()
            if entry.last >= since
        ]
        return sorted(found, key=lambda one: one.last, reverse=True)

    def forgotten(self, namespace: str, names: Iterable[str]) -> int:
        """Say how often a reader of any of the named secrets was forgotten for want of room."""
        pages = (self._pages[scope] for scope in _scopes(namespace, names) if scope in self._pages)
        return sum(page.forgotten for page in pages)

    def merge(self, scope: AccessScope, subject: str, kept: Entry) -> None:
        """Take in what the record has of one subject."""
        page, most = self._page(scope), self._most(scope)
        if entry := page.entries.get(subject):
            entry.absorb(kept)
        elif len(page.entries) >= most and (crowd := page.entries.get(crowd_of(subject) or "")):
            crowd.widen(kept)  # it may be counted there already
        else:
            page.entries[subject] = kept
            page.entries.move_to_end(subject, last=False)
            page.trim(most)

    def note_forgotten(self, scope: AccessScope, times: int) -> None:
        """Take in how often the record says that somebody was forgotten."""
        page = self._page(scope)
        page.forgotten = max(page.forgotten, times)

    def pages(self) -> Iterator[tuple[AccessScope, int]]:
        """Yield each page with how often somebody was forgotten there."""
        for scope, page in self._pages.items():
            yield scope, page.forgotten

    def entries(self) -> Iterator[tuple[AccessScope, str, Entry]]:
        """Yield all there is, of each page the last reader first."""
        for scope, page in self._pages.items():
            for subject, entry in reversed(page.entries.items()):
                yield scope, subject, entry

    def sweep(self, is_kept: Callable[[AccessScope], bool], since: datetime) -> None:
        """Forget the pages that are not kept, whoever was last seen before that time, and what is too much."""
        for scope, page in list(self._pages.items()):
            for subject in [one for one, entry in page.entries.items() if entry.last < since]:
                del page.entries[subject]
            page.trim(self._most(scope))
            if not page.entries or not is_kept(scope):
                del self._pages[scope]
                self._of_namespace[scope.namespace] -= 1
        self._of_namespace = +self._of_namespace

    def _page(self, scope: AccessScope) -> _Page:
        if scope not in self._pages:
            self._pages[scope] = _Page()
            self._of_namespace[scope.namespace] += 1
        return self._pages[scope]

    def _most(self, scope: AccessScope) -> int:
        """Say how many have room on a page: namespaces share alike, and so do the pages of each."""
        share = _ALL // len(self._of_namespace)
        return max(2, min(_EACH, share // self._of_namespace[scope.namespace]))


def _scopes(namespace: str, names: Iterable[str]) -> tuple[AccessScope, ...]:
    """Return where a read of the named secrets is noted."""
    return (
        *(AccessScope(namespace, name) for name in names),
        AccessScope(namespace, ""),
        AccessScope("", ""),
    )


def _reader(scope: AccessScope, subject: str, entry: Entry, since: datetime) -> Reader:
    return Reader(
        subject=subject,
        kind=entry.kind,
        verbs=entry.verbs,
        first=entry.first,
        last=entry.last,
        count=entry.kept + entry.fresh,
        reach=scope.reach,
        standing=_standing(subject, entry, since),
    )


def _standing(subject: str, entry: Entry, since: datetime) -> ReaderStatus:
    """Say whether it was new after a time; of a crowd nobody knows when the new one came."""
    is_crowd = crowd_of(subject) == subject
    if entry.standing is ReaderStatus.NEW and is_crowd:
        return ReaderStatus.NEW
    return entry.standing if entry.first >= since else ReaderStatus.KNOWN


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
