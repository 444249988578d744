"""How a declared emergency is followed: its secrets, its clock, and the document about it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from keyturn.core.emergency.deadlines import EmergencyFacts
from keyturn.core.emergency.progress import affected
from keyturn.core.emergency.status import rows_of, status_of, wake_up
from keyturn.core.emergency.timeline import DECLARED
from keyturn.core.keys import EmergencyKey, ObjectKey
from keyturn.kube import errors, paths
from keyturn.kube.client import Patch
from keyturn.kube.events import EventType, ObjectRef
from keyturn.kube.status import status_patch
from keyturn.runtime import failpoints

from .report_configmap import brought_up_to_date

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from keyturn.api.emergency import EmergencyRotation, EmergencyRotationStatus, TimelineEntry
    from keyturn.controllers.context import Context
    from keyturn.core.emergency.progress import Affected
    from keyturn.core.errors import Stalled, Wait
    from keyturn.core.observation.observed import Observed
    from keyturn.kube.cache.emergencies import Declared

__all__ = ["note_standing", "reconcile_emergency"]

_PACE = timedelta(seconds=1)
"""Hundreds of secrets turn at once, and each has something to tell."""
_SOON = timedelta(seconds=2)
_QUIET = frozenset({"SecretRotated", "SecretRolledOut", "SecretNothingToRotate"})
_GOOD_NEWS = frozenset({DECLARED, "Rotated", "ServicesUpdated", "AccessAudited", "Documented"})

_log = structlog.get_logger()


def note_standing(key: ObjectKey, observed: Observed, error: Wait | Stalled | None, context: Context) -> None:
    """Remember how far a secret is with each emergency, and have those looked at for which that is news."""
    memory = context.memory(key)
    standings = {one.uid: affected(one, observed, error) for one in observed.emergencies} or None
    if standings == memory.emergencies:
        return
    memory.emergencies = standings
    for one in observed.emergencies:
        context.alert(EmergencyKey(key.namespace, one.name))


async def reconcile_emergency(key: EmergencyKey, context: Context) -> datetime | None:
    """Bring status and document of one emergency up to date, and return when to look again.

    Safe at any moment, any number of times: everything is decided from what is there and from the time.

    Raises:
        ApiError: Something could not be written.
    """
    declared = context.cache.emergencies.declared(key)
    if declared is None:
        context.alarms.pop(key, None)
        return None
    emergency, alarm, now = declared.emergency, context.alarm(key), context.now()
    if declared.is_closed and not alarm.is_unfinished:
        return None
    if alarm.looked and now - alarm.looked < _PACE:
        return alarm.looked + _PACE
    refused = context.cache.emergencies.refusal(key)
    known = {} if refused else _known(declared, context)
    rows = tuple(emergency.status.secrets) if refused else rows_of(emergency, known, now)
    found = EmergencyFacts(now, emergency, declared.by, rows, alarm.trouble, refused)
    status = status_of(found)
    try:
        alarm.is_unfinished = True
        await _write(key, emergency, status, context)
        alarm.looked = now
        is_followed = context.cache.emergencies.is_followed(key)
        again = await brought_up_to_date(key, found, status, known, context) if is_followed else None
        alarm.is_unfinished = again is not None
    except (errors.Conflict, errors.NotFound, errors.AlreadyExists):
        return now + _SOON  # it has changed: the watch brings the newer one
    times = [time for time in (wake_up(found, status), again) if time]
    return min(times, default=None)


def _known(declared: Declared, context: Context) -> Mapping[str, Affected | None]:
    """Return what is known of each ManagedSecret that is there and concerned; None where it was not looked at yet."""
    metadata = declared.emergency.metadata
    known: dict[str, Affected | None] = {}
    for key in context.cache.managed_in(metadata.namespace):
        if declared.scope.concerns(key.name, context.cache.labels_of(key)):
            memory = context.memos.get(key)
            known[key.name] = (memory.emergencies or {}).get(metadata.uid) if memory else None
    return known


async def _write(
    key: EmergencyKey, emergency: EmergencyRotation, status: EmergencyRotationStatus, context: Context
) -> None:
    changes = status_patch(emergency.status, status)
    if not changes:
        return
    metadata = {"resourceVersion": emergency.metadata.resource_version, "uid": emergency.metadata.uid}
    path = f"{paths.emergency_rotation(key.namespace, key.name)}/status"
    failpoints.reached("before", "Clock")
    written = await context.api.patch(path, {"metadata": metadata, "status": changes}, Patch.MERGE)
    failpoints.reached("after", "Clock")
    context.cache.put_emergency(key, written)
    for entry in status.timeline[len(emergency.status.timeline) :]:
        _tell(key, emergency, entry, context)
    if emergency.status.services_updated_at is None and status.services_updated_at is not None:
        for other in context.cache.emergencies.followed(key.namespace):  # another one has its turn now
            context.alert(other)
    known = {one.name for one in emergency.status.secrets}
    for one in status.secrets:
        if one.name not in known:
            _tell_secret(ObjectKey(key.namespace, one.name), emergency, context)
    # What presses on a secret, and what does not any more, is decided from the status.
    for name in _turned(emergency, status):
        context.wake(ObjectKey(key.namespace, name))


def _turned(emergency: EmergencyRotation, status: EmergencyRotationStatus) -> list[str]:
    before = {one.name: one.state for one in emergency.status.secrets}
    return [one.name for one in status.secrets if before.get(one.name) is not one.state]


def _tell_secret(key: ObjectKey, emergency: EmergencyRotation, context: Context) -> None:
    """Tell whoever looks at a ManagedSecret why its values turn."""
    found = context.cache.managed(key)
    if found is None:
        return  # an emergency may name what is not there
    metadata = found[0].metadata
    regarding = ObjectRef(
        "keyturn.dev/v1alpha1", "ManagedSecret", metadata.namespace, metadata.name, metadata.uid
    )
    name = emergency.metadata.name
    note = f"the EmergencyRotation {name} concerns it: what is generated is made anew at once"
    context.events.post(regarding, "EmergencyDeclared", note)


def _tell(key: EmergencyKey, emergency: EmergencyRotation, entry: TimelineEntry, context: Context) -> None:
    if entry.reason in _QUIET:
        return
    metadata = emergency.metadata
    regarding = ObjectRef(
        "keyturn.dev/v1alpha1", "EmergencyRotation", metadata.namespace, metadata.name, metadata.uid
    )
    is_good = entry.reason in _GOOD_NEWS
    reason = "EmergencyDeclared" if entry.reason == DECLARED else entry.reason
    context.events.post(regarding, reason, entry.what, EventType.NORMAL if is_good else EventType.WARNING)
    tell = _log.info if is_good else _log.warning
    tell("emergency", emergency=str(key), reason=entry.reason, what=entry.what)
