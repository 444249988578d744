"""Reconciler of EmergencyRotation: progress of its secrets, deadlines, status, and incident document."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

import structlog

from keyturn.core.emergency.status import is_done, rows_of, status_of, wake_up
from keyturn.core.emergency.timeline import EmergencyFacts
from keyturn.core.keys import ObjectKey
from keyturn.core.reasons import EventReason, TimelineReason
from keyturn.core.times import pause_end
from keyturn.kube import errors, paths
from keyturn.kube import status as statuses
from keyturn.kube.events import EventType

from .report_configmap import update_report

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from keyturn.api.emergency import EmergencyRotation, EmergencyRotationStatus, TimelineEntry
    from keyturn.controllers.context import Context
    from keyturn.core.emergency.progress import Affected
    from keyturn.core.keys import EmergencyKey
    from keyturn.kube.cache.emergencies import Declared

    from .memory import EmergencyMemory, EmergencyRecord

_MIN_UPDATE_INTERVAL = timedelta(seconds=1)
"""Minimum time between status updates: hundreds of secrets may report progress at once."""
_CONFLICT_DELAY = timedelta(seconds=2)

_log = structlog.get_logger()


async def reconcile_emergency(
    key: EmergencyKey, memory: EmergencyMemory, context: Context
) -> datetime | None:
    """Write status and document of one emergency; return when it is due again.

    Idempotent: everything follows from the cache and the time.

    Raises:
        ApiError: A write failed.
    """
    declared = context.cache.emergencies.declared(key)
    if declared is None:
        memory.drop_record(key)
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
    found = EmergencyFacts(now, emergency, declared.by, rows, record.trouble, refused, context.contacts)
    status = status_of(found)
    write = _close if is_done(status) else _follow
    try:
        again = await write(key, found, status, known, record, context)
    except (errors.Conflict, errors.NotFound, errors.AlreadyExists):
        return now + _CONFLICT_DELAY  # a conflict: the watch brings the newer object
    times = [time for time in (wake_up(found, status), again) if time]
    return min(times, default=None)


async def _follow(
    key: EmergencyKey,
    found: EmergencyFacts,
    status: EmergencyRotationStatus,
    known: Mapping[str, Affected | None],
    record: EmergencyRecord,
    context: Context,
) -> datetime | None:
    """Write a status with open stages, then the document, which delays no status; return when to try again."""
    await _write(key, found.emergency, status, context)
    record.observed_at = found.now
    if not context.cache.emergencies.is_followed(key):
        return None
    return (await update_report(key, found, status, known, record, context)).again


async def _close(
    key: EmergencyKey,
    found: EmergencyFacts,
    status: EmergencyRotationStatus,
    known: Mapping[str, Affected | None],
    record: EmergencyRecord,
    context: Context,
) -> datetime | None:
    """Write the document, then the status without open stages; return when to try again.

    No pass follows a status with the name of the document, whatever becomes of this process.
    """
    record.observed_at = found.now
    try:
        report = await update_report(key, found, status, known, record, context)
    except errors.ApiError:
        await _write(key, found.emergency, status_of(replace(found, lacks_document=True)), context)
        raise
    found = replace(found, trouble=record.trouble, lacks_document=not report.is_complete)
    await _write(key, found.emergency, status_of(found), context)
    return report.again


def _known(declared: Declared, memory: EmergencyMemory, context: Context) -> Mapping[str, Affected | None]:
    """Return the progress of each affected ManagedSecret; None for one that was not reconciled yet."""
    metadata = declared.emergency.metadata
    known: dict[str, Affected | None] = {}
    for key in context.cache.managed_in(metadata.namespace):
        progress = memory.progress(key, metadata.uid)
        if progress or declared.scope.concerns(key.name, context.cache.managed_labels(key)):
            known[key.name] = progress
    return known


async def _write(
    key: EmergencyKey, emergency: EmergencyRotation, status: EmergencyRotationStatus, context: Context
) -> None:
    path = paths.emergency_rotation_status(key.namespace, key.name)
    write = statuses.write(context.api, "EmergencyRotation", path, emergency, status, failpoint="Clock")
    put = partial(context.cache.put_emergency, key)
    if await context.own_writes.write_status(key, emergency, write, put) is None:
        return
    for entry in status.timeline[len(emergency.status.timeline) :]:
        _report_entry(key, emergency, entry, context)
    if emergency.status.services_updated_at is None and status.services_updated_at is not None:
        for other in context.cache.emergencies.followed(key.namespace):  # another emergency takes effect
            context.alert(other)
    known = {one.name for one in emergency.status.secrets}
    for one in status.secrets:
        if one.name not in known:
            _report_rotation(ObjectKey(key.namespace, one.name), emergency, context)
    # The status of an emergency decides which secrets it affects.
    for name in _changed_secrets(emergency, status):
        context.wake(ObjectKey(key.namespace, name))


def _changed_secrets(emergency: EmergencyRotation, status: EmergencyRotationStatus) -> list[str]:
    before = {one.name: one.state for one in emergency.status.secrets}
    return [one.name for one in status.secrets if before.get(one.name) is not one.state]


def _report_rotation(key: ObjectKey, emergency: EmergencyRotation, context: Context) -> None:
    """Post an Event about a ManagedSecret that the emergency rotates."""
    found = context.cache.managed(key)
    if found is None:
        return  # an emergency may name an object that does not exist
    name = emergency.metadata.name
    note = f"the EmergencyRotation {name} selects it: generated values rotate at once"
    context.events.record(found[0], EventReason.EMERGENCY_DECLARED, note)


def _report_entry(
    key: EmergencyKey, emergency: EmergencyRotation, entry: TimelineEntry, context: Context
) -> None:
    reason = TimelineReason.of(entry.reason)
    if reason.event is None:
        return
    is_good = reason.event == EventType.NORMAL
    name = EventReason.EMERGENCY_DECLARED if reason is TimelineReason.DECLARED else reason
    context.events.record(emergency, name, entry.what, EventType(reason.event))
    tell = _log.info if is_good else _log.warning
    tell("emergency", emergency=str(key), reason=entry.reason, what=entry.what)
