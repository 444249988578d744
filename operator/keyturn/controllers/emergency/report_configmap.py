"""ConfigMap with the incident document: written only if Keyturn owns it, and only if the document has changed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from keyturn.api import API_VERSION
from keyturn.core.emergency.status import open_stages
from keyturn.core.emergency.timeline import report_name
from keyturn.core.errors import Stalled
from keyturn.core.labels import KEYTURN, MANAGED_BY
from keyturn.core.reasons import ErrorReason
from keyturn.core.times import pause_end
from keyturn.kube import errors, paths
from keyturn.runtime import failpoints

from .document import READERS_BEFORE, document

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from keyturn.api.emergency import EmergencyRotation, EmergencyRotationStatus
    from keyturn.controllers.context import Context
    from keyturn.core.emergency.progress import Affected
    from keyturn.core.emergency.readers import Readership
    from keyturn.core.emergency.timeline import EmergencyFacts
    from keyturn.core.keys import EmergencyKey
    from keyturn.kube.wire import Body

    from .memory import EmergencyRecord

FILE = "report.md"
_MIN_UPDATE_INTERVAL = timedelta(seconds=10)
_RETRY_DELAY = timedelta(minutes=1)
_READERS_INTERVAL = timedelta(minutes=10)
"""Minimum time between updates for new readers only."""
_READ_TIMEOUT = timedelta(minutes=5)
"""How long the document waits for ManagedSecrets whose progress is unknown; then it names them."""


@dataclass(frozen=True, slots=True)
class DocumentProgress:
    """How far the document is."""

    is_complete: bool
    """The ConfigMap has the document of the given status."""
    again: datetime | None
    """When to look at it again."""


async def update_report(
    key: EmergencyKey,
    found: EmergencyFacts,
    status: EmergencyRotationStatus,
    known: Mapping[str, Affected | None],
    record: EmergencyRecord,
    context: Context,
) -> DocumentProgress:
    """Write the document if it has changed.

    Raises:
        ApiError: The write failed for now, such as Conflict: another writer changed the ConfigMap meanwhile.
    """
    now = found.now
    if waits := _waits_until(known, record, now):
        return DocumentProgress(is_complete=False, again=waits)
    emergency = found.emergency.model_copy(update={"status": status})
    stages = frozenset(open_stages(emergency))
    pause = pause_end(record.reported, _MIN_UPDATE_INTERVAL, now)
    if pause and stages == record.stages:
        return DocumentProgress(is_complete=False, again=pause)
    readers = _readers(key, emergency, known, context)
    later = now + _READERS_INTERVAL if readers is not None and "AccessAudited" in stages else None
    text = document(emergency, found.declared_by, found.rows, known, readers)
    if text == record.report:
        return DocumentProgress(is_complete=True, again=later)
    before, record.trouble = record.trouble, await _write(key, emergency, text, context)
    record.reported, record.stages = now, stages
    if record.trouble:
        again = now if _differ(before, record.trouble) else now + _RETRY_DELAY
        return DocumentProgress(is_complete=False, again=again)
    record.report = text
    return DocumentProgress(is_complete=True, again=now if before else later)


def _waits_until(
    known: Mapping[str, Affected | None], record: EmergencyRecord, now: datetime
) -> datetime | None:
    """Return until when the document waits for the progress of ManagedSecrets, each of which wakes the emergency."""
    if None not in known.values():
        record.unread = None
        return None
    record.unread = min(record.unread or now, now)  # a clock may be set back
    ends = record.unread + _READ_TIMEOUT
    return ends if now < ends else None


def _readers(
    key: EmergencyKey, emergency: EmergencyRotation, known: Mapping[str, Affected | None], context: Context
) -> Readership | None:
    """Return the recorded reads of the secrets; None without audit events."""
    started = emergency.metadata.creation_timestamp
    if context.readership is None or started is None:
        return None
    return context.readership(key.namespace, sorted(known), started - READERS_BEFORE)


def _differ(before: Stalled | None, after: Stalled) -> bool:
    return before is None or before.reason != after.reason


async def _write(
    key: EmergencyKey, emergency: EmergencyRotation, text: str, context: Context
) -> Stalled | None:
    name = report_name(emergency)
    path = paths.config_map(key.namespace, name)
    try:
        there = await context.api.get(path)
    except errors.NotFound:
        there = None
    if there is not None and not _is_ours(there, emergency):
        return Stalled(
            ErrorReason.REPORT_NOT_OWNED,
            f"the ConfigMap {name!r} is foreign and not changed; delete or rename it",
        )
    failpoints.reached("before", "Paper")
    try:
        if there is None:
            await context.api.create(paths.config_maps(key.namespace), _new(name, emergency, text))
        elif (there.get("data") or {}).get(FILE) != text:
            await context.api.replace(path, _updated_body(there, text))
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


def _is_ours(there: Body, emergency: EmergencyRotation) -> bool:
    owners = there["metadata"].get("ownerReferences") or ()
    return any(one.get("uid") == emergency.metadata.uid for one in owners)


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
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {FILE: text}}


def _updated_body(there: Body, text: str) -> Body:
    """Replace the document and keep foreign keys."""
    data = {**(there.get("data") or {}), FILE: text}
    return {**there, "apiVersion": "v1", "kind": "ConfigMap", "data": data}
