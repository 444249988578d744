"""Reconciler of EmergencyRotation: progress of its secrets, deadlines, status, and incident document."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from http import HTTPStatus
from typing import Any, NamedTuple

import structlog

from keyturn.api import API_VERSION
from keyturn.api.emergency import AffectedSecret, EmergencyRotation, EmergencyRotationStatus, TimelineEntry
from keyturn.controllers.context import Context
from keyturn.core.emergency.progress import Affected, affected
from keyturn.core.emergency.status import absent_items, is_done, rows_of, status_of, wake_up
from keyturn.core.emergency.timeline import REPORT_FILE, EmergencyFacts, open_stages, report_name
from keyturn.core.errors import Stalled, Wait
from keyturn.core.keys import EmergencyKey, ObjectKey
from keyturn.core.labels import KEYTURN, MANAGED_BY
from keyturn.core.observation.observed import Observed
from keyturn.core.reasons import ErrorReason, EventReason, TimelineReason
from keyturn.core.times import pause_end
from keyturn.kube import errors, paths
from keyturn.kube.cache.emergencies import Declared
from keyturn.kube.events import EventType
from keyturn.runtime import failpoints

from .document import READERS_BEFORE, document


@dataclass(slots=True)
class EmergencyRecord:
    """One EmergencyRotation."""

    observed_at: datetime | None = None
    reported: datetime | None = None
    report: str | None = None
    """Document that the ConfigMap holds."""
    stages: frozenset[str] = frozenset()
    """Stages that were open when the document was written."""
    trouble: Stalled | None = None
    """Why the document cannot be written."""
    unread: datetime | None = None
    """Since when the progress of some affected ManagedSecret is unknown."""


class EmergencyMemory:
    """EmergencyRotations, and the progress of ManagedSecrets in each."""

    def __init__(self) -> None:
        self.records: dict[EmergencyKey, EmergencyRecord] = {}
        self.noted: dict[ObjectKey, Mapping[str, Affected]] = {}
        """Progress in each emergency, by the UID of that; of the ManagedSecrets that one affects."""
        self._waiting: defaultdict[ObjectKey, set[ObjectKey]] = defaultdict(set)
        """ManagedSecrets that wait for the progress of another one, by that."""

    def record(self, key: EmergencyKey) -> EmergencyRecord:
        return self.records.setdefault(key, EmergencyRecord())

    def progress(self, key: ObjectKey, uid: str) -> Affected | None:
        """Return the progress of a ManagedSecret in an emergency; None before its first reconcile."""
        return self.noted.get(key, {}).get(uid)

    def note(
        self, key: ObjectKey, observed: Observed, error: Wait | Stalled | None
    ) -> tuple[EmergencyKey, ...]:
        """Keep the progress of a ManagedSecret in each emergency; return the emergencies if it is new."""
        progress = {one.uid: affected(one, observed, error) for one in observed.emergencies}
        if progress == self.noted.get(key, {}):
            return ()
        self.noted.pop(key, None)
        if progress:
            self.noted[key] = progress
        return tuple(EmergencyKey(key.namespace, one.name) for one in observed.emergencies)

    def wait_for(self, other: ObjectKey, key: ObjectKey) -> None:
        """Note that a ManagedSecret waits for the progress of another one."""
        self._waiting[other].add(key)

    def take_waiting(self, key: ObjectKey) -> set[ObjectKey]:
        """Return the ManagedSecrets that wait for the progress of another one, once."""
        return self._waiting.pop(key, set())

    def forget(self, key: ObjectKey) -> None:
        """Drop the progress of a deleted ManagedSecret."""
        self.noted.pop(key, None)
        self._waiting.pop(key, None)


_MIN_DOCUMENT_INTERVAL = timedelta(seconds=10)
_RETRY_DELAY = timedelta(minutes=1)
_READERS_INTERVAL = timedelta(minutes=10)
"""Minimum time between updates for new readers only."""
_READ_TIMEOUT = timedelta(minutes=5)
"""How long the document waits for ManagedSecrets whose progress is unknown; then it names them."""


class DocumentProgress(NamedTuple):
    """How far the document is."""

    is_complete: bool
    """The ConfigMap has the document of the given status."""
    again: datetime | None
    """When to look at it again."""


@dataclass(frozen=True, slots=True)
class _Pass:
    """What one pass knows about an emergency."""

    key: EmergencyKey
    found: EmergencyFacts
    known: Mapping[str, Affected | None]
    """Progress of each affected ManagedSecret; None for one that was not reconciled yet."""
    record: EmergencyRecord
    context: Context


async def _update_report(this: _Pass, status: EmergencyRotationStatus) -> DocumentProgress:
    """Write the document if it has changed.

    Raises:
        ApiError: The write failed for now, such as Conflict: another writer changed the ConfigMap meanwhile.
    """
    found, known, record, now = this.found, this.known, this.record, this.found.now
    if None not in known.values():
        record.unread = None
    else:  # each ManagedSecret whose progress is unknown wakes the emergency
        record.unread = min(record.unread or now, now)  # a clock may be set back
        if now < (ends := record.unread + _READ_TIMEOUT):
            return DocumentProgress(is_complete=False, again=ends)
    emergency = found.emergency.model_copy(update={"status": status})
    stages = frozenset(open_stages(emergency))
    pause = pause_end(record.reported, _MIN_DOCUMENT_INTERVAL, now)
    if pause and stages == record.stages:
        return DocumentProgress(is_complete=False, again=pause)
    started, readers = emergency.metadata.creation_timestamp, None
    if this.context.readership and started:
        readers = this.context.readership(this.key.namespace, sorted(known), started - READERS_BEFORE)
    later = now + _READERS_INTERVAL if readers is not None and "AccessAudited" in stages else None
    text = document(emergency, found.declared_by, found.rows, known, readers)
    if text == record.report:
        return DocumentProgress(is_complete=True, again=later)
    before, record.trouble = record.trouble, await _write_document(emergency, text, this.context)
    record.reported, record.stages = now, stages
    if record.trouble:
        is_new = before is None or before.reason != record.trouble.reason
        return DocumentProgress(is_complete=False, again=now if is_new else now + _RETRY_DELAY)
    record.report = text
    return DocumentProgress(is_complete=True, again=now if before else later)


async def _write_document(emergency: EmergencyRotation, text: str, context: Context) -> Stalled | None:
    """Write the ConfigMap of the document; return why it cannot be written."""
    name, namespace = report_name(emergency), emergency.metadata.namespace
    path = paths.config_map(namespace, name)
    try:
        there = await context.api.get(path)
    except errors.NotFound:
        there = None
    owners = there["metadata"].get("ownerReferences") or () if there else ()
    if there is not None and all(one.get("uid") != emergency.metadata.uid for one in owners):
        return Stalled(
            ErrorReason.REPORT_NOT_OWNED,
            f"the ConfigMap {name!r} is foreign and not changed; delete or rename it",
        )
    failpoints.reached("before", "Paper")
    try:
        if there is None:
            await context.api.create(paths.config_maps(namespace), _new(name, emergency, text))
        elif (data := there.get("data") or {}).get(REPORT_FILE) != text:  # keys of others stay
            body = {**there, "apiVersion": "v1", "kind": "ConfigMap", "data": {**data, REPORT_FILE: text}}
            await context.api.replace(path, body)
    except errors.ApiError as error:
        is_denied = isinstance(error, errors.Invalid) and error.denier is not None
        if is_denied or isinstance(error, errors.Forbidden):
            who = f"the {error.denier}" if error.denier else "the API server"
            return Stalled(ErrorReason.REPORT_FORBIDDEN, f"{who} forbids writes of the ConfigMap {name!r}")
        if isinstance(error, errors.Invalid) or error.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            return Stalled(
                ErrorReason.REPORT_REFUSED,
                f"the API server rejects the ConfigMap {name!r}; remove foreign data from it, or delete it",
            )
        raise
    failpoints.reached("after", "Paper")
    return None


def _new(name: str, emergency: EmergencyRotation, text: str) -> dict[str, Any]:
    owner = {
        "apiVersion": API_VERSION,
        "kind": "EmergencyRotation",
        "name": emergency.metadata.name,
        "uid": emergency.metadata.uid,
    }
    metadata = {
        "name": name,
        "namespace": emergency.metadata.namespace,
        "labels": {MANAGED_BY: KEYTURN},
        "ownerReferences": [owner],
    }
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {REPORT_FILE: text}}


_MIN_UPDATE_INTERVAL = timedelta(seconds=1)
"""Minimum time between status updates: hundreds of secrets may report progress at once."""
_CONFLICT_DELAY = timedelta(seconds=2)

_log = structlog.get_logger()


async def reconcile_emergency(
    key: EmergencyKey, memory: EmergencyMemory, context: Context
) -> datetime | None:
    """Write status and document of one emergency; return when it is due again.

    Idempotent: everything follows from the cache and the time.
    """
    declared = context.cache.emergencies.declared(key)
    if declared is None:
        memory.records.pop(key, None)
        if flaw := context.cache.emergencies.flaw(key):
            _log.warning("emergency not readable", emergency=str(key), reason=flaw.message)
        return None
    emergency, record, now = declared.emergency, memory.record(key), context.now()
    if declared.is_closed:
        return None
    if later := pause_end(record.observed_at, _MIN_UPDATE_INTERVAL, now):
        return later
    refused = context.cache.emergencies.refusal(key)
    known = {} if refused else _known(declared, memory, context)
    rows = tuple(emergency.status.secrets) if refused else rows_of(emergency, known, now)
    absent = None if refused else _absent_items(declared, rows, context)
    found = EmergencyFacts(
        now, emergency, declared.by, rows, record.trouble, refused, context.contacts, absent
    )
    this, status = _Pass(key, found, known, record, context), status_of(found)
    try:
        again = await (_close if is_done(status) else _follow)(this, status)
    except (errors.Conflict, errors.NotFound, errors.AlreadyExists):
        return now + _CONFLICT_DELAY  # a conflict: the watch brings the newer object
    times = [time for time in (wake_up(found, status), again) if time]
    return min(times, default=None)


async def _follow(this: _Pass, status: EmergencyRotationStatus) -> datetime | None:
    """Write a status with open stages, then the document, which delays no status; return when to try again."""
    await _write(this, status)
    this.record.observed_at = this.found.now
    if not this.context.cache.emergencies.is_followed(this.key):
        return None
    return (await _update_report(this, status)).again


async def _close(this: _Pass, status: EmergencyRotationStatus) -> datetime | None:
    """Write the document, then the status without open stages; return when to try again.

    No pass follows a status with the name of the document, whatever becomes of this process.
    """
    found, record = this.found, this.record
    record.observed_at = found.now
    try:
        report = await _update_report(this, status)
    except errors.ApiError:
        await _write(this, status_of(replace(found, lacks_document=True)))
        raise
    found = replace(found, trouble=record.trouble, lacks_document=not report.is_complete)
    await _write(this, status_of(found))
    return report.again


def _known(declared: Declared, memory: EmergencyMemory, context: Context) -> Mapping[str, Affected | None]:
    """Return the progress of each affected ManagedSecret; None for one that was not reconciled yet."""
    metadata = declared.emergency.metadata
    known: dict[str, Affected | None] = {}
    for key in context.cache.managed_in(metadata.namespace):
        progress = memory.progress(key, metadata.uid)
        has, labels = partial(context.cache.value_names, key), context.cache.managed_labels(key)
        if progress or declared.scope.concerns(key.name, labels, has):
            known[key.name] = progress
    return known


def _absent_items(declared: Declared, rows: Iterable[AffectedSecret], context: Context) -> str | None:
    """Return which of the named values none of the selected ManagedSecrets has."""
    emergency, cache = declared.emergency, context.cache
    if emergency.spec.items is None:
        return None
    selected = (
        key
        for key in cache.managed_in(emergency.metadata.namespace)
        if declared.scope.selects(key.name, cache.managed_labels(key))
    )
    existing = {name for key in selected for name in cache.value_names(key)}
    return absent_items(emergency.spec.items, existing.union(*(row.items or () for row in rows)))


async def _write(this: _Pass, status: EmergencyRotationStatus) -> None:
    key, context, emergency = this.key, this.context, this.found.emergency
    path = f"{paths.emergency_rotation(key.namespace, key.name)}/status"
    put = partial(context.cache.put_emergency, key)
    write = context.own_writes.write_status
    if await write(context.api, key, path, emergency, status, put, failpoint="Clock") is None:
        return
    for entry in status.timeline[len(emergency.status.timeline) :]:
        _report_entry(key, emergency, entry, context)
    if emergency.status.services_updated_at is None and status.services_updated_at is not None:
        for other in context.cache.emergencies.followed(key.namespace):  # another emergency takes effect
            context.queue.add(other)
    before = {one.name: one.state for one in emergency.status.secrets}
    for one in status.secrets:
        secret = ObjectKey(key.namespace, one.name)
        # An emergency may name an object that does not exist.
        if one.name not in before and (managed := context.cache.managed(secret)):
            what = f" {', '.join(one.items)}" if one.items else ""
            note = f"the EmergencyRotation {key.name} selects it: generated values{what} rotate at once"
            context.events.record(managed[0], EventReason.EMERGENCY_DECLARED, note)
        # The status of an emergency decides which secrets it affects.
        if before.get(one.name) is not one.state:
            context.queue.add(secret)


def _report_entry(
    key: EmergencyKey, emergency: EmergencyRotation, entry: TimelineEntry, context: Context
) -> None:
    reason = TimelineReason(entry.reason)
    if reason.event is None:
        return
    is_good = reason.event == EventType.NORMAL
    name = EventReason.EMERGENCY_DECLARED if reason is TimelineReason.DECLARED else reason
    context.events.record(emergency, name, entry.what, EventType(reason.event))
    tell = _log.info if is_good else _log.warning
    tell("emergency", emergency=str(key), reason=entry.reason, what=entry.what)
