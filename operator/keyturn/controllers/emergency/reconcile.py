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


def note_standing(key: ObjectKey, seen: Observed, error: Wait | Stalled | None, world: Context) -> None:
    """Remember how far a secret is with each emergency, and have those looked at for which that is news."""
    memo = world.memo(key)
    standings = {one.uid: affected(one, seen, error) for one in seen.emergencies} or None
    if standings == memo.emergencies:
        return
    memo.emergencies = standings
    for one in seen.emergencies:
        world.alert(EmergencyKey(key.namespace, one.name))


async def reconcile_emergency(key: EmergencyKey, world: Context) -> datetime | None:
    """Bring status and document of one emergency up to date, and return when to look again.

    Safe at any moment, any number of times: everything is decided from what is there and from the time.

    Raises:
        ApiError: Something could not be written.
    """
    declared = world.mirror.emergencies.declared(key)
    if declared is None:
        world.alarms.pop(key, None)
        return None
    emergency, alarm, now = declared.emergency, world.alarm(key), world.now()
    if declared.is_closed and not alarm.is_unfinished:
        return None
    if alarm.looked and now - alarm.looked < _PACE:
        return alarm.looked + _PACE
    refused = world.mirror.emergencies.refusal(key)
    known = {} if refused else _known(declared, world)
    rows = tuple(emergency.status.secrets) if refused else rows_of(emergency, known, now)
    found = EmergencyFacts(now, emergency, declared.by, rows, alarm.trouble, refused)
    status = status_of(found)
    try:
        alarm.is_unfinished = True
        await _write(key, emergency, status, world)
        alarm.looked = now
        is_followed = world.mirror.emergencies.is_followed(key)
        again = await brought_up_to_date(key, found, status, known, world) if is_followed else None
        alarm.is_unfinished = again is not None
    except (errors.Conflict, errors.NotFound, errors.AlreadyExists):
        return now + _SOON  # it has changed: the watch brings the newer one
    times = [time for time in (wake_up(found, status), again) if time]
    return min(times, default=None)


def _known(declared: Declared, world: Context) -> Mapping[str, Affected | None]:
    """Return what is known of each ManagedSecret that is there and concerned; None where it was not looked at yet."""
    metadata = declared.emergency.metadata
    known: dict[str, Affected | None] = {}
    for key in world.mirror.managed_in(metadata.namespace):
        if declared.scope.concerns(key.name, world.mirror.labels_of(key)):
            memo = world.memos.get(key)
            known[key.name] = (memo.emergencies or {}).get(metadata.uid) if memo else None
    return known


async def _write(
    key: EmergencyKey, emergency: EmergencyRotation, status: EmergencyRotationStatus, world: Context
) -> None:
    changes = status_patch(emergency.status, status)
    if not changes:
        return
    metadata = {"resourceVersion": emergency.metadata.resource_version, "uid": emergency.metadata.uid}
    path = f"{paths.emergency_rotation(key.namespace, key.name)}/status"
    failpoints.reached("before", "Clock")
    written = await world.api.patch(path, {"metadata": metadata, "status": changes}, Patch.MERGE)
    failpoints.reached("after", "Clock")
    world.mirror.put_emergency(key, written)
    for entry in status.timeline[len(emergency.status.timeline) :]:
        _tell(key, emergency, entry, world)
    if emergency.status.services_updated_at is None and status.services_updated_at is not None:
        for other in world.mirror.emergencies.followed(key.namespace):  # another one has its turn now
            world.alert(other)
    known = {one.name for one in emergency.status.secrets}
    for one in status.secrets:
        if one.name not in known:
            _tell_secret(ObjectKey(key.namespace, one.name), emergency, world)
    # What presses on a secret, and what does not any more, is decided from the status.
    for name in _turned(emergency, status):
        world.wake(ObjectKey(key.namespace, name))


def _turned(emergency: EmergencyRotation, status: EmergencyRotationStatus) -> list[str]:
    before = {one.name: one.state for one in emergency.status.secrets}
    return [one.name for one in status.secrets if before.get(one.name) is not one.state]


def _tell_secret(key: ObjectKey, emergency: EmergencyRotation, world: Context) -> None:
    """Tell whoever looks at a ManagedSecret why its values turn."""
    found = world.mirror.managed(key)
    if found is None:
        return  # an emergency may name what is not there
    metadata = found[0].metadata
    regarding = ObjectRef(
        "keyturn.dev/v1alpha1", "ManagedSecret", metadata.namespace, metadata.name, metadata.uid
    )
    name = emergency.metadata.name
    note = f"the EmergencyRotation {name} concerns it: what is generated is made anew at once"
    world.events.post(regarding, "EmergencyDeclared", note)


def _tell(key: EmergencyKey, emergency: EmergencyRotation, entry: TimelineEntry, world: Context) -> None:
    if entry.reason in _QUIET:
        return
    metadata = emergency.metadata
    regarding = ObjectRef(
        "keyturn.dev/v1alpha1", "EmergencyRotation", metadata.namespace, metadata.name, metadata.uid
    )
    is_good = entry.reason in _GOOD_NEWS
    reason = "EmergencyDeclared" if entry.reason == DECLARED else entry.reason
    world.events.post(regarding, reason, entry.what, EventType.NORMAL if is_good else EventType.WARNING)
    tell = _log.info if is_good else _log.warning
    tell("emergency", emergency=str(key), reason=entry.reason, what=entry.what)
