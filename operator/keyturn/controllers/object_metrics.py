"""Samples for /metrics of each ManagedSecret, store and emergency, and of the checklist; collected at each scrape."""

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from keyturn.api.managedsecret import ManagedSecret
from keyturn.api.secretclass import Priority
from keyturn.api.status import ManagedSecretStatus
from keyturn.api.workloads import DONE
from keyturn.checklist.monitor import ClusterEvidence
from keyturn.core.emergency.timeline import open_stages
from keyturn.core.errors import Stalled
from keyturn.core.keys import (
    CLUSTER_DATABASE_TARGET,
    CLUSTER_SECRET_STORE,
    DATABASE_TARGET,
    SECRET_STORE,
    ExternalKey,
)
from keyturn.core.labels import PRODUCTION
from keyturn.core.policy.checklist import (
    GRACE,
    NOT_REVOKED,
    OVERDUE,
    ChecklistTotals,
    Point,
    Verdict,
    judge_all,
    reported_violations,
)
from keyturn.core.reasons import ConditionReason
from keyturn.core.state.records import Phase
from keyturn.core.status.summary import condition, condition_of
from keyturn.endpoints.exposition import (
    DatabaseFacts,
    DeadlineFacts,
    Facts,
    ObjectFacts,
    PointFacts,
    StoreFacts,
)
from keyturn.kube.cache.cache import InformerCache
from keyturn.kube.cache.externals import ExternalCache, Key, Model

_FRESH = timedelta(minutes=10)
"""A read by the operator appears in the audit log within seconds, and there is one every 90 s."""
_MAX_AHEAD = timedelta(minutes=5)
"""How far the time of an audit event may be ahead of the clock of this machine."""
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9]{0,62}")


def facts(cache: InformerCache, evidence: ClusterEvidence, clock: Callable[[], datetime]) -> Iterator[Facts]:
    """Yield samples of all objects and of the checklist; `clock` is that of the API server.

    Runs in another thread, so it begins with copies of the keys.
    """
    now = clock()
    tally = _Tally(cache, now)
    for key in list(cache.managed_keys()):
        if managed := cache.managed(key):
            told = _of_object(managed[0], cache, now)
            tally.add(told, managed[0])
            yield told
    for at, store, is_ready in _checked(cache.stores, SECRET_STORE, CLUSTER_SECRET_STORE):
        yield StoreFacts(at.kind, at.namespace, at.name, store.spec.provider.kind, is_ready)
    for at, target, is_ready in _checked(cache.targets, DATABASE_TARGET, CLUSTER_DATABASE_TARGET):
        yield DatabaseFacts(at.kind, at.namespace, at.name, _word(target.status.engine or ""), is_ready)
    for declared in cache.emergencies.known():
        if found := cache.emergencies.declared(declared):
            yield DeadlineFacts(declared.namespace, declared.name, open_stages(found.emergency))
    yield from _of_checklist(tally.all, evidence)


@dataclass(slots=True)
class _Tally:
    """Counts over all objects of one scrape."""

    cache: InformerCache
    now: datetime
    all: ChecklistTotals = field(default_factory=ChecklistTotals)
    _environments: set[str] = field(default_factory=set)

    def add(self, told: ObjectFacts, managed: ManagedSecret) -> None:
        previous = managed.status.previous
        self._environments.add(self.cache.environment(told.namespace) or "")
        others = self._environments - {"", PRODUCTION}
        until = previous.valid_until if previous else None
        rules = {
            *told.violations,
            *([OVERDUE] if told.is_overdue else []),
            *([NOT_REVOKED] if until and self.now - until >= GRACE else []),
        }
        self.all = ChecklistTotals(
            count=self.all.count + 1,
            violated=self.all.violated | rules,
            has_environments=bool(others) and PRODUCTION in self._environments,
            keeps_old=self.all.keeps_old
            or (previous is not None and until is None)
            or _may_be_in_use(managed),
            has_unjudged=self.all.has_unjudged or not _is_judged(managed),
        )


def _is_judged(managed: ManagedSecret) -> bool:
    """Whether every rule was evaluated for the spec as it is, and for the values in the Secret."""
    status = managed.status
    if status.revision is None or status.observed_generation != managed.metadata.generation:
        return False
    compliant = condition(managed, "PolicyCompliant")
    return compliant is not None and compliant.status != "Unknown"


def _may_be_in_use(managed: ManagedSecret) -> bool:
    """Whether a workload, a store or a database server may still have an earlier value."""
    status = managed.status
    if status.unrevoked_leases or any(one.phase == Phase.CLOSING for one in status.credentials or ()):
        return True
    if (status.revision or 0) <= 1:
        return False
    current, pushed = condition(managed, "WorkloadsCurrent"), condition(managed, "Pushed")
    if current is None or current.status != "True":
        return True
    return pushed is not None and (pushed.status != "True" or pushed.reason == ConditionReason.KEPT)


def _of_checklist(every: ChecklistTotals, evidence: ClusterEvidence) -> Iterator[PointFacts]:
    """Yield the points that the operator checks."""
    for point, verdict in judge_all(every).items():
        yield PointFacts(point, verdict)
    if evidence.at_rest:
        yield PointFacts(Point.AT_REST, evidence.at_rest)
    if evidence.takes_events:
        # Whether the operator's own reads appear in the audit log; another replica may receive them.
        logged = evidence.logged
        is_proven = logged is not None and -_MAX_AHEAD <= datetime.now(UTC) - logged < _FRESH
        yield PointFacts(Point.ACCESS_LOG, Verdict.PASS if is_proven else Verdict.UNKNOWN)


def _of_object(managed: ManagedSecret, cache: InformerCache, now: datetime) -> ObjectFacts:
    status, class_name = managed.status, cache.class_name(managed.spec.class_name)
    of_values = {item.class_name for item in managed.spec.data if item.class_name}
    stalled, probe = condition(managed, "Stalled"), condition(managed, "CredentialValid")
    return ObjectFacts(
        namespace=managed.metadata.namespace,
        name=managed.metadata.name,
        class_name=class_name or "",
        priority=_priority(filter(None, (class_name, *of_values)), cache),
        owner=managed.spec.owner or "",
        revision=status.revision or 0,
        last_rotation=status.last_rotation_time,
        next_rotation=status.next_rotation_time,
        next_by_value={
            one.name: one.next_rotation_time for one in status.values or () if one.next_rotation_time
        },
        is_overdue=bool(status.overdue),
        is_due=_is_due(status, now),
        conditions={one.type: one.status == "True" for one in status.conditions if _WORD.fullmatch(one.type)},
        violations=tuple({one.rule for one in reported_violations(status)}),
        is_suspended=bool(managed.spec.suspend),
        stalled=_word(stalled.reason) if stalled and stalled.status == "True" else "",
        step=_word(status.rotation.step) if status.rotation else "",
        rotation_started=status.rotation.started_at if status.rotation else None,
        previous_valid_until=status.previous.valid_until if status.previous else None,
        workloads=len(status.workloads),
        workloads_current=sum(one.state in DONE for one in status.workloads),
        credential_valid=probe.status == "True" if probe and probe.status != "Unknown" else None,
        credential_contested=probe is not None and probe.reason == ConditionReason.CONTESTED,
        credentials_live=sum(one.phase != Phase.CLOSED for one in status.credentials or ()) or None,
        closing_since=min(
            (one.since for one in status.credentials or () if one.phase == Phase.CLOSING), default=None
        ),
    )


def _is_due(status: ManagedSecretStatus, now: datetime) -> bool | None:
    """Whether values are due that rotate on request only; None for those that rotate by schedule."""
    if not status.rotates_on_request or status.next_rotation_time is None:
        return None
    return status.next_rotation_time <= now


def _word(text: str) -> str:
    """Return a word of a status as a label value; any other text is replaced, since its author may be anyone."""
    return text if not text or _WORD.fullmatch(text) else "Unknown"


def _checked(known: ExternalCache[Key, Model], *kinds: str) -> Iterator[tuple[ExternalKey, Model, bool]]:
    """Yield the stores or database targets that were checked, and whether they are ready."""
    for key in [key for kind in kinds for key in known.keys(kind)]:
        try:
            found = known.get(key)
        except Stalled:
            continue  # invalid for this version; its users report that
        ready = condition_of(found.status.conditions, "Ready") if found else None
        if found and ready:
            yield key, found, ready.status == "True"


def _priority(class_names: Iterable[str], cache: InformerCache) -> str:
    """Return the highest priority of these classes; empty if none has one."""
    found = []
    for name in class_names:
        with suppress(Stalled):
            secret_class = cache.secret_class(name)
            found += [secret_class.spec.priority] if secret_class and secret_class.spec.priority else []
    return str(min(found, key=list(Priority).index, default=""))
