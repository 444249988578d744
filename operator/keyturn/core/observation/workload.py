"""Facts of a Deployment, StatefulSet or DaemonSet: Secrets in use, restart marker and rollout state."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from keyturn.api.status import WorkloadKind

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from keyturn.core.keys import WorkloadKey

    from .secret_refs import Use

__all__ = ["Workload", "read_marker", "write_marker"]

_REVISION = re.compile(r"[0-9]{1,10}")


@dataclass(frozen=True, slots=True)
class Workload:
    """A Deployment, StatefulSet or DaemonSet, reduced to what a rollout needs."""

    key: WorkloadKey
    uid: str
    created: datetime
    uses: tuple[Use, ...]
    marker: str
    """The restart marker of its pod template: revisions by Secret."""
    restart: str | None
    """Its annotation keyturn.dev/restart: `never`, `allow` or None."""
    selector: str
    paused: bool
    settled: bool
    """Every pod runs the current pod template and is available."""
    failed: bool
    """The last rollout exceeded the Deployment's own progressDeadlineSeconds."""
    hint: str | None
    """Why a rollout does not complete automatically, if its update strategy requires manual steps."""
    idle: bool = False
    """It has zero replicas."""
    restarted: datetime | None = None
    """When the restart marker was last written, by managedFields."""
    templates: tuple[str, ...] = ()
    """Template revisions of which a StatefulSet creates pods now.

    Empty for other kinds, for manual update strategies, and while the status has not observed the current spec.
    """
    complaint: str | None = None
    """Error of its controller, such as a quota that keeps it from creating pods."""
    terminates: bool | None = None
    """Whether pods of it are terminating, by its controller's count; None without a count."""
    in_place: bool = False
    """By its update strategy a new pod starts only after an old one has ended."""

    @property
    def kind(self) -> WorkloadKind:
        return WorkloadKind(self.key.kind)

    def use_of(self, secret: str) -> Use | None:
        return next((use for use in self.uses if use.secret == secret), None)


def read_marker(marker: str) -> dict[str, int]:
    """Parse `<secret>=<revision>,…`; entries in another format are ignored."""
    entries = (entry.partition("=") for entry in marker.split(",") if entry)
    return {secret: int(revision) for secret, _, revision in entries if _REVISION.fullmatch(revision)}


def write_marker(revisions: Mapping[str, int]) -> str:
    """Format a marker, sorted, so equal revisions give equal text."""
    return ",".join(f"{secret}={revision}" for secret, revision in sorted(revisions.items()))
