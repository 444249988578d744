"""The emergencies that the watches told of, and which ManagedSecrets each concerns.

A namespace may declare any number; the first of those that are open are followed, and the last of those that are done
and not acknowledged yet. So a look at a ManagedSecret costs the same however many there are.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias

import pydantic

from keyturn.api.emergency import AffectedState, EmergencyRotation, Revoke
from keyturn.core.errors import Stalled
from keyturn.core.keys import EmergencyKey
from keyturn.core.observation.emergency import Emergency, EmergencyScope

from .parsing import sentence

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from keyturn.core.keys import ObjectKey

__all__ = ["MOST_OPEN", "Declared", "EmergencyCache"]

_Turn: TypeAlias = "tuple[datetime, str]"

MOST_OPEN: Final = 20
"""Emergencies of one namespace that are followed until every service is updated."""
_MOST_DONE: Final = 100
"""Emergencies of one namespace whose documents are kept up to date until they are acknowledged."""


@dataclass(frozen=True, slots=True)
class Declared:
    """An EmergencyRotation, and which program wrote it."""

    emergency: EmergencyRotation
    by: str
    """The field manager: Kubernetes does not say which person it was."""
    scope: EmergencyScope
    states: Mapping[str, AffectedState]
    """How far each secret is, as the status tells."""

    @classmethod
    def of(cls, emergency: EmergencyRotation, by: str) -> Self:
        states = {one.name: one.state for one in emergency.status.secrets}
        return cls(emergency, by, EmergencyScope.of(emergency), states)

    @property
    def is_open(self) -> bool:
        """Not every service runs on new values."""
        return self.emergency.status.services_updated_at is None

    @property
    def is_closed(self) -> bool:
        """All is done, told and acknowledged."""
        status = self.emergency.status
        done = (status.rotated_at, status.services_updated_at, status.access_audit_at, status.documented_at)
        return None not in done


class EmergencyCache:
    """Emergencies by their keys; there are few, and nearly always none."""

    def __init__(self) -> None:
        self._of_namespace: defaultdict[str, dict[str, Declared | Stalled]] = defaultdict(dict)
        self._open: defaultdict[str, list[_Turn]] = defaultdict(list)
        self._done: defaultdict[str, list[_Turn]] = defaultdict(list)

    def put(self, key: EmergencyKey, body: Mapping[str, Any]) -> None:
        self._leave(key)
        try:
            emergency = EmergencyRotation.model_validate(body)
        except pydantic.ValidationError as error:
            self._of_namespace[key.namespace][key.name] = Stalled("InvalidSpec", f"{key}: {sentence(error)}")
        else:
            declared = self._of_namespace[key.namespace][key.name] = Declared.of(
                emergency, _declared_by(body)
            )
            self._join(key, declared)

    def drop(self, key: EmergencyKey) -> None:
        self._leave(key)
        self._of_namespace[key.namespace].pop(key.name, None)
        if not self._of_namespace[key.namespace]:
            del self._of_namespace[key.namespace]

    def declared(self, key: EmergencyKey) -> Declared | None:
        """Return an emergency that this version can read and that is not being deleted."""
        found = self._of_namespace.get(key.namespace, {}).get(key.name)
        if isinstance(found, Stalled) or found is None or found.emergency.metadata.deletion_timestamp:
            return None
        return found

    def known(self) -> list[EmergencyKey]:
        """Name all of them; metrics ask from another thread."""
        return [
            EmergencyKey(namespace, name)
            for namespace, found in list(self._of_namespace.items())
            for name in list(found)
        ]

    def of(self, key: ObjectKey, labels: Mapping[str, str]) -> tuple[Emergency, ...]:
        """Return the emergencies of its namespace that concern a ManagedSecret and are not closed."""
        found = (self.declared(one) for one in self.followed(key.namespace))
        return tuple(_seen_by(key.name, one) for one in found if one and one.scope.concerns(key.name, labels))

    def of_namespace(self, namespace: str) -> list[EmergencyKey]:
        """Name all of a namespace, sorted, be they followed or not."""
        return [EmergencyKey(namespace, name) for name in sorted(self._of_namespace.get(namespace, ()))]

    def followed(self, namespace: str) -> list[EmergencyKey]:
        """Name those of a namespace that are followed, sorted."""
        turns = [*self._open.get(namespace, ())[:MOST_OPEN], *self._done.get(namespace, ())[-_MOST_DONE:]]
        return [EmergencyKey(namespace, name) for name in sorted(name for _, name in turns)]

    def refusal(self, key: EmergencyKey) -> Stalled | None:
        """Say why an open emergency is not followed."""
        declared = self.declared(key)
        if declared is None or not declared.is_open or self._follows(key, declared):
            return None
        return Stalled(
            "TooManyEmergencies",
            f"{MOST_OPEN} emergencies of this namespace that were declared before are open, and no more are followed"
            " at a time; delete those that have nothing left to do",
        )

    def is_followed(self, key: EmergencyKey) -> bool:
        """Say whether its secrets turn, and its document is kept up to date until all is acknowledged."""
        declared = self.declared(key)
        return declared is not None and self._follows(key, declared)

    def _follows(self, key: EmergencyKey, declared: Declared) -> bool:
        turn = _turn(key, declared)
        if declared.is_open:
            return turn in self._open.get(key.namespace, ())[:MOST_OPEN]
        return declared.is_closed or turn in self._done.get(key.namespace, ())[-_MOST_DONE:]

    def _join(self, key: EmergencyKey, declared: Declared) -> None:
        if not declared.is_closed and not declared.emergency.metadata.deletion_timestamp:
            insort((self._open if declared.is_open else self._done)[key.namespace], _turn(key, declared))

    def _leave(self, key: EmergencyKey) -> None:
        declared = self._of_namespace.get(key.namespace, {}).get(key.name)
        if not isinstance(declared, Declared):
            return
        for turns in (self._open, self._done):
            there = turns[key.namespace]
            place = bisect_left(there, turn := _turn(key, declared))
            if there[place : place + 1] == [turn]:
                del there[place]
            if not there:
                del turns[key.namespace]


def _turn(key: EmergencyKey, declared: Declared) -> _Turn:
    started = declared.emergency.metadata.creation_timestamp
    assert started is not None, "the API server stamps what it stores"  # noqa: S101
    return started, key.name


def _seen_by(name: str, declared: Declared) -> Emergency:
    emergency = declared.emergency
    started = emergency.metadata.creation_timestamp
    assert started is not None, "the API server stamps what it stores"  # noqa: S101
    return Emergency(
        name=emergency.metadata.name,
        uid=emergency.metadata.uid,
        started=started,
        revoke=emergency.spec.revoke or Revoke.IMMEDIATELY,
        is_open=declared.is_open,
        is_through=declared.states.get(name) is AffectedState.ROLLED_OUT,
    )


def _declared_by(body: Mapping[str, Any]) -> str:
    """Name the field manager of the spec; one that writes the status later is us."""
    entries = body["metadata"].get("managedFields") or ()
    by_time = sorted(
        (one for one in entries if not one.get("subresource")), key=lambda one: one.get("time") or ""
    )
    return str(by_time[0].get("manager") or "") if by_time else ""
