"""What we know of a workload: what it uses, what its pods run, and whether it may be restarted."""

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
    """A Deployment, StatefulSet or DaemonSet, as far as a rollout needs it."""

    key: WorkloadKey
    uid: str
    created: datetime
    uses: tuple[Use, ...]
    marker: str
    """The marker on its pod template: which revisions the template asks for."""
    restart: str | None
    """What the workload itself says of restarts: `never`, `allow` or nothing."""
    selector: str
    paused: bool
    settled: bool
    """Every pod runs the current pod template and is available."""
    failed: bool
    """The last rollout missed the progress deadline of the Deployment itself."""
    hint: str | None
    """Why a rollout will not finish by itself, where the spec says so."""
    idle: bool = False
    """It wants no pods."""
    restarted: datetime | None = None
    """When our marker was last written, as the API server recorded it."""
    templates: tuple[str, ...] = ()
    """Of which revisions of its pod template a StatefulSet makes pods now.

    None are known of other kinds, where pods are replaced by hand, and while its status speaks of an older spec.
    """
    complaint: str | None = None
    """What its controller complains of, such as pods that a quota does not let it create."""
    terminates: bool | None = None
    """Whether pods of it are terminating, as its controller counts them; None where it counts none."""
    in_place: bool = False
    """By its strategy a new pod starts only where an old one has ended."""

    @property
    def kind(self) -> WorkloadKind:
        return WorkloadKind(self.key.kind)

    def use_of(self, secret: str) -> Use | None:
        return next((use for use in self.uses if use.secret == secret), None)


def read_marker(marker: str) -> dict[str, int]:
    """Read `<secret>=<revision>,…`; what is not of that form was not written by us and is ignored."""
    entries = (entry.partition("=") for entry in marker.split(",") if entry)
    return {secret: int(revision) for secret, _, revision in entries if _REVISION.fullmatch(revision)}


def write_marker(revisions: Mapping[str, int]) -> str:
    """Write the marker: sorted, so that the same revisions always make the same text."""
    return ",".join(f"{secret}={revision}" for secret, revision in sorted(revisions.items()))
