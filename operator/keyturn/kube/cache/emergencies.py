"""EmergencyRotations in the informer cache, and the ManagedSecrets that each affects.

A namespace may declare any number. Handled are the first MOST_OPEN open ones, and the latest done ones that are not
acknowledged yet, so a reconcile costs the same however many there are.
"""

from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Self, TypeAlias

import pydantic

from keyturn.api.base import validation_sentence
from keyturn.api.emergency import AffectedState, EmergencyRotation, Revoke
from keyturn.core.errors import Stalled
from keyturn.core.keys import EmergencyKey, ObjectKey
from keyturn.core.observation.emergency import Emergency, EmergencyScope
from keyturn.core.reasons import ErrorReason

from .objects import places_of, without

_Turn: TypeAlias = "tuple[datetime, str]"

MOST_OPEN: Final = 20
"""Maximum of open emergencies of one namespace that are handled."""
_MAX_DONE: Final = 100
"""Maximum of done emergencies of one namespace whose documents are kept up to date until acknowledgement."""
_STAGES: Final = frozenset(
    ("status", name) for name in ("rotatedAt", "servicesUpdatedAt", "accessAuditAt", "documentedAt")
)


@dataclass(frozen=True, slots=True)
class Declared:
    """An EmergencyRotation with the field manager that wrote it."""

    emergency: EmergencyRotation
    by: str
    """The field manager; Kubernetes does not record the user."""
    scope: EmergencyScope
    states: Mapping[str, AffectedState]
    """Progress of each secret, by the status."""
    flaw: Stalled | None = None
    """Why its status does not show whether it is open: then it is not handled, and its record stays as it is."""

    @classmethod
    def of(cls, emergency: EmergencyRotation, by: str, flaw: Stalled | None = None) -> Self:
        states = {row.name: row.state for row in emergency.status.secrets}
        return cls(emergency, by, EmergencyScope.of(emergency), states, flaw)

    @property
    def is_open(self) -> bool:
        """Whether some service does not run on new values yet."""
        return not self.emergency.status.has_updated_services

    @property
    def is_closed(self) -> bool:
        """Whether every stage is reached and acknowledged, and the document has it."""
        status = self.emergency.status
        return None not in status.stage_times.values() and status.report_name is not None


class EmergencyCache:
    """Emergencies by key; there are few, and usually none."""

    def __init__(self) -> None:
        self._of_namespace: defaultdict[str, dict[str, Declared | Stalled]] = defaultdict(dict)
        self._open: defaultdict[str, list[_Turn]] = defaultdict(list)
        self._done: defaultdict[str, list[_Turn]] = defaultdict(list)

    def put(self, key: EmergencyKey, body: Mapping[str, Any]) -> None:
        self._unindex(key)
        try:
            emergency, flaw = _parse(key, body)
        except pydantic.ValidationError as error:
            self._of_namespace[key.namespace][key.name] = _unreadable(key, error)
        else:
            declared = Declared.of(emergency, _declared_by(body), flaw)
            self._of_namespace[key.namespace][key.name] = declared
            if (
                not declared.flaw
                and not declared.is_closed
                and not declared.emergency.metadata.deletion_timestamp
            ):
                insort((self._open if declared.is_open else self._done)[key.namespace], _turn(key, declared))

    def drop(self, key: EmergencyKey) -> None:
        self._unindex(key)
        self._of_namespace[key.namespace].pop(key.name, None)
        if not self._of_namespace[key.namespace]:
            del self._of_namespace[key.namespace]

    def declared(self, key: EmergencyKey) -> Declared | None:
        """Return an emergency that this version can parse and that is not being deleted."""
        declared = self._of_namespace.get(key.namespace, {}).get(key.name)
        if (
            isinstance(declared, Stalled)
            or declared is None
            or declared.flaw
            or declared.emergency.metadata.deletion_timestamp
        ):
            return None
        return declared

    def flaw(self, key: EmergencyKey) -> Stalled | None:
        """Return why this version cannot parse an emergency, or None."""
        found = self._of_namespace.get(key.namespace, {}).get(key.name)
        return found.flaw if isinstance(found, Declared) else found

    def known(self) -> list[EmergencyKey]:
        """Return all keys; metrics call this from another thread."""
        return [
            EmergencyKey(namespace, name)
            for namespace, found in list(self._of_namespace.items())
            for name in list(found)
        ]

    def of(
        self, key: ObjectKey, labels: Mapping[str, str], has: Callable[[], Collection[str]] = tuple
    ) -> tuple[Emergency, ...]:
        """Return the emergencies that affect a ManagedSecret of their namespace and are not closed."""
        candidates = (self.declared(followed) for followed in self.followed(key.namespace))
        return tuple(
            _emergency_for(key.name, declared)
            for declared in candidates
            if declared and declared.scope.concerns(key.name, labels, has)
        )

    def followed(self, namespace: str) -> list[EmergencyKey]:
        """Return the keys of a namespace that are handled, sorted."""
        turns = [*self._open.get(namespace, ())[:MOST_OPEN], *self._done.get(namespace, ())[-_MAX_DONE:]]
        return [EmergencyKey(namespace, name) for name in sorted(name for _, name in turns)]

    def refusal(self, key: EmergencyKey) -> Stalled | None:
        """Return why an open emergency is not handled, or None."""
        declared = self.declared(key)
        if declared is None or not declared.is_open or self._follows(key, declared):
            return None
        return Stalled(
            ErrorReason.TOO_MANY_EMERGENCIES,
            f"{MOST_OPEN} earlier emergencies of this namespace are open, which is the limit;"
            " delete those that have nothing left to do",
        )

    def is_followed(self, key: EmergencyKey) -> bool:
        """Whether an emergency is handled: its secrets are rotated, its document is updated until it is closed."""
        declared = self.declared(key)
        return declared is not None and self._follows(key, declared)

    def _follows(self, key: EmergencyKey, declared: Declared) -> bool:
        turn = _turn(key, declared)
        if declared.is_open:
            return turn in self._open.get(key.namespace, ())[:MOST_OPEN]
        return declared.is_closed or turn in self._done.get(key.namespace, ())[-_MAX_DONE:]

    def _unindex(self, key: EmergencyKey) -> None:
        declared = self._of_namespace.get(key.namespace, {}).get(key.name)
        if not isinstance(declared, Declared):
            return
        for turns in (self._open, self._done):
            entries = turns[key.namespace]
            place = bisect_left(entries, turn := _turn(key, declared))
            if entries[place : place + 1] == [turn]:
                del entries[place]
            if not entries:
                del turns[key.namespace]


def _parse(key: EmergencyKey, body: Mapping[str, Any]) -> tuple[EmergencyRotation, Stalled | None]:
    """Parse an emergency, whose status decides what rotates, and is a record.

    Of secrets whose progress cannot be parsed the names stay, because they are affected. Without a time of a stage,
    it is unknown whether the emergency is open.
    """
    try:
        return EmergencyRotation.model_validate(body), None
    except pydantic.ValidationError as error:
        flaw, places = _unreadable(key, error), places_of(error)
    known = without(body, [place for place in places if place[:2] != ("status", "secrets")])
    rows = {place[2] for place in places if place[:2] == ("status", "secrets") and len(place) > 2}  # noqa: PLR2004
    for number in rows:
        row = known["status"]["secrets"][number]
        name = row.get("name") if isinstance(row, dict) else None
        known["status"]["secrets"][number] = {"name": name, "state": AffectedState.PENDING}
    if not any(place[:2] in _STAGES for place in places):
        try:
            return EmergencyRotation.model_validate(known), None
        except pydantic.ValidationError:
            pass
    return EmergencyRotation.model_validate({**body, "status": {}}), flaw


def _unreadable(key: EmergencyKey, error: pydantic.ValidationError) -> Stalled:
    return Stalled(ErrorReason.INVALID_SPEC, f"{key}: {validation_sentence(error)}")


def _turn(key: EmergencyKey, declared: Declared) -> _Turn:
    started = declared.emergency.metadata.creation_timestamp
    assert started is not None, "the API server stamps what it stores"  # noqa: S101
    return started, key.name


def _emergency_for(name: str, declared: Declared) -> Emergency:
    emergency = declared.emergency
    started = emergency.metadata.creation_timestamp
    assert started is not None, "the API server stamps what it stores"  # noqa: S101
    return Emergency(
        name=emergency.metadata.name,
        uid=emergency.metadata.uid,
        started=started,
        revoke=emergency.spec.revoke or Revoke.IMMEDIATELY,
        evict=bool(emergency.spec.evict),
        is_open=declared.is_open,
        items=None if emergency.spec.items is None else frozenset(emergency.spec.items),
        is_complete=declared.states.get(name) is AffectedState.ROLLED_OUT,
    )


def _declared_by(body: Mapping[str, Any]) -> str:
    """Return the field manager of the spec, the oldest entry; the operator writes only the status."""
    entries = body["metadata"].get("managedFields") or ()
    by_time = sorted(
        (entry for entry in entries if not entry.get("subresource")),
        key=lambda entry: entry.get("time") or "",
    )
    return str(by_time[0].get("manager") or "") if by_time else ""
