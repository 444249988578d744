"""Classifies audit events: the secret that they concern, metrics, and unusual reads."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from itertools import product
from typing import TYPE_CHECKING, Final

import structlog

from keyturn.core.emergency.readers import ReaderStatus
from keyturn.core.keys import ObjectKey
from keyturn.core.labels import PRODUCTION
from keyturn.core.state.state import state_name
from keyturn.runtime import metrics

from .access_log import AccessLog, AccessScope
from .baseline import Unusual
from .event import Access, LoginFailed, Missed, Refusal, SubjectKind

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from keyturn.kube.cache.cache import InformerCache

    from .baseline import Habits
    from .event import Told

__all__ = ["Watcher"]

_LOG_INTERVAL: Final = timedelta(hours=1)
_MAX_LOGGED: Final = 1_000
_MIN_LOGGED_FAILURES: Final = 20
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


@dataclass(slots=True)
class Watcher:
    """Processes events; those that concern no managed secret leave no trace."""

    cache: InformerCache
    habits: Habits
    journal: AccessLog
    now: Callable[[], datetime]
    """Clock of the API server, which limits the times of events."""
    allowed: Sequence[str] = ()
    """Subjects whose reads are always expected, as patterns with * and ?."""
    refused: AccessLog = field(default_factory=AccessLog)
    """Rejected reads."""
    is_ourselves: Callable[[str], bool] = lambda _: False
    note_own: Callable[[datetime], None] = lambda _: None
    """Called for a read by the operator itself, which proves that reads of Secrets are logged."""
    _said: OrderedDict[tuple[str, ...], datetime] = field(default_factory=OrderedDict)
    _failures: OrderedDict[str, int] = field(default_factory=OrderedDict)

    @staticmethod
    def announce() -> None:
        """Export all counters with 0: an alert on an increase misses a counter that begins at 1."""
        for unusual in Unusual:
            metrics.SECRET_ACCESS_UNUSUAL.labels(unusual)
        for verb, kind in product(("get", "list", "watch"), SubjectKind):
            metrics.SECRET_ACCESS_REFUSED.labels(verb, kind)
        metrics.AUTHENTICATION_FAILURES.labels("apiserver")

    def take(self, told: Told) -> None:
        match told:
            case LoginFailed():
                metrics.AUTHENTICATION_FAILURES.labels("apiserver").inc()
                self._note_failure(told)
            case Refusal(access):
                access = self._timed(access)
                if not self.is_ourselves(access.subject) and (scope := self._scope(access)):
                    metrics.SECRET_ACCESS_REFUSED.labels(access.verb, access.kind).inc()
                    self.refused.note(scope, access)
                    self._log_access("refused access", ("refused", access.subject), scope, access)
            case Missed(access):
                self._note_own(self._timed(access))
            case Access():
                access = self._timed(told)
                if self.is_ourselves(access.subject):
                    self._note_own(access)
                elif scope := self._scope(access):
                    self._note(scope, access)

    def _timed(self, access: Access) -> Access:
        """Limit the time of an event: one from a wrong clock would decide for years what is new or recent."""
        now = self.now()
        time = min(max(access.time, now - _MAX_AGE), now + _MAX_AHEAD)
        return access if time == access.time else replace(access, time=time)

    def _note_own(self, access: Access) -> None:
        if access.verb in _READS and self.is_ourselves(access.subject):
            self.note_own(access.time)

    def _note(self, scope: AccessScope, access: Access) -> None:
        metrics.SECRET_ACCESS.labels(access.verb, access.kind).inc()
        if access.kind in _EXPECTED or self._is_allowed(scope, access.subject):
            self.journal.note(scope, access, ReaderStatus.KNOWN)
            return
        found = self.habits.judge(scope, access)
        self.journal.note(scope, access, self._standing(found, access))
        is_person = access.kind in {SubjectKind.USER, SubjectKind.ANONYMOUS}
        if is_person and self._is_production(scope):
            found.append(Unusual.PERSON)
        for unusual in found:
            metrics.SECRET_ACCESS_UNUSUAL.labels(unusual).inc()
            what = (unusual, access.subject, *scope)
            self._log_access("unusual access", what, scope, access, reason=str(unusual))

    def _standing(self, found: Collection[Unusual], access: Access) -> ReaderStatus:
        if Unusual.FIRST in found:
            return ReaderStatus.NEW
        return ReaderStatus.UNKNOWN if self.habits.is_learning(access.time) else ReaderStatus.KNOWN

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

    def _is_production(self, scope: AccessScope) -> bool:
        namespaces = (scope.namespace,) if scope.namespace else self.cache.managed_namespaces()
        return any(self.cache.environment(one) == PRODUCTION for one in namespaces)

    def _is_allowed(self, scope: AccessScope, subject: str) -> bool:
        """Whether a subject may read a scope; for a namespace, everything managed there."""
        if subject in _CONTROLLERS or any(fnmatchcase(subject, one) for one in self.allowed):
            return True
        if scope.name:
            return self._allows(ObjectKey(*scope), subject)
        reached = self.cache.managed_in(scope.namespace)
        return bool(reached) and all(self._allows(key, subject) for key in reached)

    def _allows(self, key: ObjectKey, subject: str) -> bool:
        found = self.cache.class_of(key)
        allowed = found.spec.access.allowed if found and found.spec.access else ()
        return any(fnmatchcase(subject, one) for one in allowed)

    def _log_access(
        self, event: str, what: tuple[str, ...], scope: AccessScope, access: Access, **more: str
    ) -> None:
        """Log once per hour; metrics have no names."""
        before = self._said.get(what)
        if before and access.time - before < _LOG_INTERVAL:
            return
        self._said[what] = access.time
        self._said.move_to_end(what)
        while len(self._said) > _MAX_LOGGED:
            self._said.popitem(last=False)
        _log.warning(
            event,
            **more,
            subject=access.subject,
            verb=access.verb,
            namespace=scope.namespace,
            secret=scope.name or "all",
        )

    def _note_failure(self, failed: LoginFailed) -> None:
        """Log an address after 20 failures, and at each doubling."""
        times = self._failures.pop(failed.address, 0) + 1
        self._failures[failed.address] = times
        while len(self._failures) > _MAX_LOGGED:
            self._failures.popitem(last=False)
        ratio, rest = divmod(times, _MIN_LOGGED_FAILURES)
        if rest == 0 and ratio & (ratio - 1) == 0:
            _log.warning("logins refused", address=failed.address, times=times)
