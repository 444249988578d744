"""The emergencies that the watches told of, and which ManagedSecrets each concerns."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pydantic

from .api.emergency import AffectedState, EmergencyRotation, Revoke
from .core.emergency import Emergency, concerns
from .core.errors import Stalled
from .refusals import sentence

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .core.keys import ObjectKey

__all__ = ["AlarmKey", "Alarms", "Declared"]


@dataclass(frozen=True, slots=True, order=True)
class AlarmKey:
    """An EmergencyRotation."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"EmergencyRotation {self.namespace}/{self.name}"

    @classmethod
    def of_body(cls, body: Mapping[str, Any]) -> AlarmKey:
        return cls(body["metadata"]["namespace"], body["metadata"]["name"])


@dataclass(frozen=True, slots=True)
class Declared:
    """An EmergencyRotation, and which program wrote it."""

    emergency: EmergencyRotation
    by: str
    """The field manager: Kubernetes does not say which person it was."""

    @property
    def is_closed(self) -> bool:
        """All is done, told and acknowledged."""
        status = self.emergency.status
        done = (status.rotated_at, status.services_updated_at, status.access_audit_at, status.documented_at)
        return None not in done


class Alarms:
    """Emergencies by their keys; there are few, and nearly always none."""

    def __init__(self) -> None:
        self._of_namespace: defaultdict[str, dict[str, Declared | Stalled]] = defaultdict(dict)

    def put(self, key: AlarmKey, body: Mapping[str, Any]) -> None:
        try:
            emergency = EmergencyRotation.model_validate(body)
        except pydantic.ValidationError as error:
            self._of_namespace[key.namespace][key.name] = Stalled("InvalidSpec", f"{key}: {sentence(error)}")
        else:
            self._of_namespace[key.namespace][key.name] = Declared(emergency, _declared_by(body))

    def drop(self, key: AlarmKey) -> None:
        self._of_namespace[key.namespace].pop(key.name, None)
        if not self._of_namespace[key.namespace]:
            del self._of_namespace[key.namespace]

    def declared(self, key: AlarmKey) -> Declared | None:
        """Return an emergency that this version can read and that is not being deleted."""
        found = self._of_namespace.get(key.namespace, {}).get(key.name)
        if isinstance(found, Stalled) or found is None or found.emergency.metadata.deletion_timestamp:
            return None
        return found

    def known(self) -> list[AlarmKey]:
        """Name all of them; metrics ask from another thread."""
        return [
            AlarmKey(namespace, name)
            for namespace, found in list(self._of_namespace.items())
            for name in list(found)
        ]

    def of(self, key: ObjectKey, labels: Mapping[str, str]) -> tuple[Emergency, ...]:
        """Return the emergencies of its namespace that concern a ManagedSecret and are not closed."""
        found = (self.declared(one) for one in self.of_namespace(key.namespace))
        return tuple(
            _seen_by(key.name, one.emergency)
            for one in found
            if one and not one.is_closed and concerns(one.emergency, key.name, labels)
        )

    def of_namespace(self, namespace: str) -> list[AlarmKey]:
        return [AlarmKey(namespace, name) for name in sorted(self._of_namespace.get(namespace, ()))]


def _seen_by(name: str, emergency: EmergencyRotation) -> Emergency:
    row = next((one for one in emergency.status.secrets if one.name == name), None)
    started = emergency.metadata.creation_timestamp
    assert started is not None, "the API server stamps what it stores"  # noqa: S101
    return Emergency(
        name=emergency.metadata.name,
        uid=emergency.metadata.uid,
        started=started,
        revoke=emergency.spec.revoke or Revoke.IMMEDIATELY,
        is_open=emergency.status.services_updated_at is None,
        is_through=row is not None and row.state is AffectedState.ROLLED_OUT,
    )


def _declared_by(body: Mapping[str, Any]) -> str:
    """Name the field manager of the spec; one that writes the status later is us."""
    entries = body["metadata"].get("managedFields") or ()
    by_time = sorted(
        (one for one in entries if not one.get("subresource")), key=lambda one: one.get("time") or ""
    )
    return str(by_time[0].get("manager") or "") if by_time else ""
