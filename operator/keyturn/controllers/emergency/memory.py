"""Memory of emergencies: the progress of each affected ManagedSecret, and the incident documents."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from keyturn.core.emergency.progress import affected
from keyturn.core.keys import EmergencyKey

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from keyturn.core.emergency.progress import Affected
    from keyturn.core.errors import Stalled, Wait
    from keyturn.core.keys import ObjectKey
    from keyturn.core.observation.observed import Observed


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
        self._records: dict[EmergencyKey, EmergencyRecord] = {}
        self._progress: dict[ObjectKey, Mapping[str, Affected]] = {}
        self._waiting: defaultdict[ObjectKey, set[ObjectKey]] = defaultdict(set)
        """ManagedSecrets that wait for the progress of another one, by that."""

    def record(self, key: EmergencyKey) -> EmergencyRecord:
        return self._records.setdefault(key, EmergencyRecord())

    def drop_record(self, key: EmergencyKey) -> None:
        """Drop the record of a deleted EmergencyRotation."""
        self._records.pop(key, None)

    def progress(self, key: ObjectKey, uid: str) -> Affected | None:
        """Return the progress of a ManagedSecret in an emergency; None before its first reconcile."""
        return self._progress.get(key, {}).get(uid)

    def note(
        self, key: ObjectKey, observed: Observed, error: Wait | Stalled | None
    ) -> tuple[EmergencyKey, ...]:
        """Keep the progress of a ManagedSecret in each emergency; return the emergencies if it is new."""
        progress = {one.uid: affected(one, observed, error) for one in observed.emergencies}
        if progress == self._progress.get(key, {}):
            return ()
        self._progress.pop(key, None)
        if progress:
            self._progress[key] = progress
        return tuple(EmergencyKey(key.namespace, one.name) for one in observed.emergencies)

    def wait_for(self, other: ObjectKey, key: ObjectKey) -> None:
        """Note that a ManagedSecret waits for the progress of another one."""
        self._waiting[other].add(key)

    def take_waiting(self, key: ObjectKey) -> set[ObjectKey]:
        """Return the ManagedSecrets that wait for the progress of another one, once."""
        return self._waiting.pop(key, set())

    def forget(self, key: ObjectKey) -> None:
        """Drop the progress of a deleted ManagedSecret."""
        self._progress.pop(key, None)
        self._waiting.pop(key, None)
