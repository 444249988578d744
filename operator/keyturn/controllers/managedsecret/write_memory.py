"""Memory of writes: of Secrets in progress, the last published revision, drift repairs, and restarts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keyturn.core.keys import ObjectKey, WorkloadKey
    from keyturn.core.observation.observed import DriftHistory, Restarted
    from keyturn.kube.secret_informer import SecretMeta


class Published(NamedTuple):
    """A revision that was written to the target Secret, and the resource version of that write."""

    number: int
    version: int


@dataclass(frozen=True, slots=True)
class Writing:
    """A write of a Secret that the API server has not answered yet."""

    name: str
    observed: set[str] = field(default_factory=set)
    """Resource versions that the watch reported meanwhile: an event often arrives before the answer."""


class WriteMemory:
    """Writes of Secrets by this process, by ManagedSecret."""

    def __init__(self) -> None:
        self._writing: dict[ObjectKey, Writing] = {}
        self._published: dict[ObjectKey, Published] = {}

    def begin(self, key: ObjectKey, name: str) -> Writing:
        writing = self._writing[key] = Writing(name)
        return writing

    def end(self, key: ObjectKey) -> None:
        self._writing.pop(key, None)

    def note_if_writing(self, key: ObjectKey, meta: SecretMeta) -> bool:
        """Note the version that the watch reports, if the Secret is being written; return whether it is.

        The answer of the write decides whether another writer has changed the Secret.
        """
        writing = self._writing.get(key)
        if writing is None or writing.name != meta.name:
            return False
        writing.observed.add(meta.resource_version)
        return True

    def published(self, key: ObjectKey) -> Published | None:
        return self._published.get(key)

    def publish(self, key: ObjectKey, number: int, version: str) -> None:
        """Record a revision that was written to the target Secret."""
        self._published[key] = Published(number, int(version))

    def forget(self, key: ObjectKey) -> None:
        self._writing.pop(key, None)
        self._published.pop(key, None)


class DriftRepairs:
    """Recent drift repairs, for their back-off, by ManagedSecret."""

    def __init__(self) -> None:
        self._histories: dict[ObjectKey, DriftHistory] = {}

    def history(self, key: ObjectKey) -> DriftHistory | None:
        return self._histories.get(key)

    def keep(self, key: ObjectKey, history: DriftHistory | None) -> None:
        """Replace the history; None ends the back-off."""
        if history is None:
            self._histories.pop(key, None)
        else:
            self._histories[key] = history

    def forget(self, key: ObjectKey) -> None:
        self._histories.pop(key, None)


class Restarts:
    """Restarts of workloads by this process with the current revision, by ManagedSecret.

    Another writer may remove the marker before the status has the restart.
    """

    def __init__(self) -> None:
        self._restarts: dict[ObjectKey, tuple[int, dict[WorkloadKey, Restarted]]] = {}

    def of(self, key: ObjectKey, current: int) -> Mapping[WorkloadKey, Restarted]:
        """Return the restarts with the current revision; those with another end, even if it returns."""
        number, written = self._restarts.get(key, (current, {}))
        if number != current:
            self.forget(key)
            return {}
        return dict(written)

    def record(self, key: ObjectKey, number: int, workload: WorkloadKey, done: Restarted) -> None:
        """Record a restart for a revision, in place of those for another one."""
        before, written = self._restarts.get(key, (number, {}))
        others = written if before == number else {}
        self._restarts[key] = (number, others | {workload: done})

    def forget(self, key: ObjectKey) -> None:
        self._restarts.pop(key, None)
