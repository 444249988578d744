"""Classifies audit events: the secret that they concern, metrics, and unusual reads."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from fnmatch import fnmatchcase
from itertools import product
from typing import Final

import structlog

from keyturn.core.keys import ObjectKey
from keyturn.core.observation.emergency import ReaderStatus
from keyturn.core.state.state import state_name
from keyturn.kube.cache.cache import InformerCache
from keyturn.runtime import metrics

from .access_log import AccessScope, Record
from .event import Access, AccessOutcome, LoginFailed, SubjectKind, Told

_LOG_INTERVAL: Final = timedelta(hours=1)
_MAX_LOGGED: Final = 1_000
_MAX_AHEAD: Final = timedelta(minutes=1)
_MAX_AGE: Final = timedelta(days=1)
"""The API server drops an event that it cannot deliver within minutes."""
# Controllers of Kubernetes, which delete in every namespace. Nodes and the control plane are expected as well.
_CONTROLLERS: Final = tuple(
    f"system:serviceaccount:kube-system:{name}"
    for name in ("namespace-controller", "generic-garbage-collector", "resourcequota-controller")
)
_READS: Final = frozenset({"get", "list"})
_EXPECTED: Final = frozenset({SubjectKind.NODE, SubjectKind.SYSTEM})

_log = structlog.get_logger()


class Unusual(StrEnum):
    """Why a read is reported."""

    UNLISTED = "NotListed"
    NEW = "NewReader"


@dataclass(slots=True)
class Watcher:
    """Processes events; those that concern no managed secret leave no trace."""

    cache: InformerCache
    now: Callable[[], datetime]
    """Clock of the API server, which limits the times of events."""
    learning: timedelta
    """Time after the first event in which no reader is new."""
    allowed: Sequence[str] = ()
    """Subjects whose reads are always expected, as patterns with * and ?."""
    record: Record = field(default_factory=Record)
    """Requests that are not stored yet."""
    known: Record = field(default_factory=Record)
    """The stored record."""
    sending: Record = field(default_factory=Record)
    """Requests that are being stored."""
    is_ourselves: Callable[[str], bool] = lambda _: False
    note_own: Callable[[datetime], None] = lambda _: None
    """Called for a read by the operator itself, which proves that reads of Secrets are logged."""
    _logged: OrderedDict[tuple[str, ...], datetime] = field(default_factory=OrderedDict)

    @staticmethod
    def announce() -> None:
        """Export all counters with 0: an alert on an increase misses a counter that begins at 1."""
        for unusual in Unusual:
            metrics.SECRET_ACCESS_UNUSUAL.labels(unusual)
        for verb, kind in product(("get", "list", "watch"), SubjectKind):
            metrics.SECRET_ACCESS_REFUSED.labels(verb, kind)
        metrics.AUTHENTICATION_FAILURES.labels("apiserver")

    @property
    def records(self) -> tuple[Record, ...]:
        """All that is known of requests."""
        return self.record, self.sending, self.known

    @property
    def since(self) -> datetime | None:
        """Time of the first event."""
        return min((one.since for one in self.records if one.since), default=None)

    def take(self, told: Told) -> None:
        if isinstance(told, LoginFailed):
            metrics.AUTHENTICATION_FAILURES.labels("apiserver").inc()
            return
        access = self._timed(told)
        if self.is_ourselves(access.subject):
            if access.verb in _READS and access.outcome is not AccessOutcome.REFUSED:
                self.note_own(access.time)
        elif access.outcome is not AccessOutcome.MISSED and (scope := self._scope(access)):
            if access.outcome is AccessOutcome.REFUSED:
                metrics.SECRET_ACCESS_REFUSED.labels(access.verb, access.kind).inc()
                self.record.refused.note(scope, access)
                self._log_access("refused access", "", scope, access)
            else:
                self._note(scope, access)

    def _timed(self, access: Access) -> Access:
        """Limit the time of an event: one from a wrong clock would decide for years what is new or recent."""
        now = self.now()
        time = min(max(access.time, now - _MAX_AGE), now + _MAX_AHEAD)
        return access if time == access.time else replace(access, time=time)

    def _note(self, scope: AccessScope, access: Access) -> None:
        metrics.SECRET_ACCESS.labels(access.verb, access.kind).inc()
        self.record.since = min(access.time, self.since or access.time)
        listed = self._is_listed(scope, access)
        status = ReaderStatus.KNOWN
        if not listed:
            is_learning = access.time - self.record.since < self.learning
            status = ReaderStatus.UNKNOWN if is_learning else ReaderStatus.NEW
        is_known = any(access.subject in one.read.pages.get(scope, ()) for one in self.records)
        self.record.read.note(scope, access, status)
        if listed is False or (status is ReaderStatus.NEW and not is_known):
            unusual = Unusual.UNLISTED if listed is False else Unusual.NEW
            metrics.SECRET_ACCESS_UNUSUAL.labels(unusual).inc()
            self._log_access("unusual access", unusual, scope, access)

    def _is_listed(self, scope: AccessScope, access: Access) -> bool | None:
        """Whether a read is expected; None if no class decides that, so that a new reader is reported."""
        patterns = (*_CONTROLLERS, *self.allowed)
        if access.kind in _EXPECTED or _matches(access.subject, patterns):
            return True
        reached = [ObjectKey(*scope)] if scope.name else self.cache.managed_in(scope.namespace)
        classes = [self.cache.class_of(key) for key in reached]
        lists = [one.spec.access.allowed if one and one.spec.access else None for one in classes]
        if any(one is not None and not _matches(access.subject, one) for one in lists):
            return False
        return True if lists and None not in lists else None

    def _scope(self, access: Access) -> AccessScope | None:
        """Return the managed scope of a read; None if it concerns nothing managed."""
        if access.name:
            owner = self._owner(access.namespace, access.name)
            return AccessScope(access.namespace, owner) if owner else None
        if access.verb == "create":
            return None  # rejected before the API server knew its name
        namespaces = self.cache.managed_namespaces()
        reached = access.namespace in namespaces if access.namespace else bool(namespaces)
        return AccessScope(access.namespace, "") if reached else None

    def _owner(self, namespace: str, name: str) -> str | None:
        """Return the ManagedSecret of a target or state Secret."""
        if meta := self.cache.secret(namespace, name):
            is_ours = meta.written and self.cache.has_managed(ObjectKey(namespace, meta.owner))
            return meta.owner if is_ours else None
        # The Secret does not exist, or not any more.
        for owner in (name, name.removesuffix(state_name(""))):
            if self.cache.has_managed(ObjectKey(namespace, owner)):
                return owner
        return None

    def _log_access(self, event: str, reason: str, scope: AccessScope, access: Access) -> None:
        """Log once per hour; metrics have no names."""
        what = (event, reason, access.subject, *scope)
        before = self._logged.get(what)
        if before and access.time - before < _LOG_INTERVAL:
            return
        self._logged[what] = access.time
        self._logged.move_to_end(what)
        while len(self._logged) > _MAX_LOGGED:
            self._logged.popitem(last=False)
        where = {"namespace": scope.namespace, "secret": scope.name or "all"}
        more = {"reason": str(reason)} if reason else {}
        _log.warning(event, **more, subject=access.subject, verb=access.verb, **where)


def _matches(subject: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(subject, one) for one in patterns)
