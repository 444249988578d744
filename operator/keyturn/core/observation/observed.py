"""Everything one look at the world found about a managed secret: facts, never values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from keyturn.core.labels import FINALIZER, REFRESH, ROLLBACK, ROTATE
from keyturn.core.policy.checklist import NO_SIGNS, Signs
from keyturn.core.state.state import Triggers

from .emergency import DECLARED_WITHIN
from .store_reads import NOT_PULLED, Pulled

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from keyturn.api.managedsecret import ManagedSecret
    from keyturn.api.secretclass import SecretClass
    from keyturn.core.errors import Stalled
    from keyturn.core.keys import WorkloadKey
    from keyturn.core.policy.rules import Violation
    from keyturn.core.spec.desired import Desired
    from keyturn.core.state.revision import RevisionFacts
    from keyturn.core.state.state import Held, StateFacts

    from .emergency import Emergency
    from .pods import PodsSeen
    from .secret_refs import Use
    from .store_reads import PushProblem
    from .workload import Workload

__all__ = ["Consumer", "Denial", "DriftHistory", "Observed", "Sibling", "TargetFacts"]


@dataclass(frozen=True, slots=True)
class TargetFacts:
    """The native Secret, compared with what the state says it should be."""

    owner: str | None
    """The ManagedSecret that its label names; None for a foreign Secret."""
    revision: int | None
    published: datetime | None
    """When its revision was first written, by the API server's clock."""
    differs: frozenset[str]
    """Keys that differ from the revision it carries: edited, deleted or added by somebody else."""
    dressed: bool
    """Its labels and annotations are as the spec says."""
    overlapping: bool = False
    """It carries what the overlap asks for."""
    immutable: bool = False
    """Kubernetes takes no other values for it any more."""
    holder: str | None = None
    """Who owns it without being a ManagedSecret, as far as it says so."""
    filled_by: str | None = None
    """Which program fills it, so that not even keys may be merged into it."""
    other_type: str | None = None
    """Its type, where that is another than the spec asks for."""
    taken: frozenset[str] = frozenset()
    """Keys to be merged into it that hold values of somebody else."""
    changed_by: str | None = None
    """Who else has written it last, by the name that this program gives itself."""
    recorded: bool = False
    """What it holds and we would adopt is recorded in some revision."""


@dataclass(frozen=True, slots=True)
class Sibling:
    """Another managed Secret that the same workload uses."""

    secret: str
    revision: int
    published: datetime | None


@dataclass(frozen=True, slots=True)
class Consumer:
    """A workload that uses this Secret, or that the spec lists."""

    workload: Workload
    use: Use | None
    """None for a listed workload that does not consume the Secret."""
    siblings: tuple[Sibling, ...] = ()
    renewed: bool = False
    """Each of its pods that is not terminating was created after the revision was published."""
    pods: PodsSeen | None = None
    """Its pods, where what is said or done depends on them (see `needs`)."""
    held_up: datetime | None = None
    """When pods with earlier values were last seen that held the places of new ones over a deadline."""


@dataclass(frozen=True, slots=True)
class Observed:
    """One look at the world."""

    now: datetime
    """By the API server's clock."""
    managed: ManagedSecret
    secret_class: SecretClass | None
    desired: Desired | None
    """None where the spec cannot be followed; `trouble` says why."""
    trouble: Stalled | None
    state: StateFacts | None
    state_owner: str | None
    """Who owns the Secret that has the state Secret's name; None where there is none or nobody does."""
    state_is_foreign: bool
    target: TargetFacts | None
    unfit: frozenset[str]
    """Values that today's recipe could not have made, or literals that the spec changed."""
    violations: tuple[Violation, ...]
    consumers: tuple[Consumer, ...]
    missing_targets: tuple[str, ...] = ()
    """Workloads that the spec lists and the namespace does not have."""
    unbound: bool = False
    """The state Secret is deleted with the ManagedSecret where it should outlive it, or outlives it."""
    left: tuple[str, ...] = ()
    """Secrets of ours under names that the spec no longer has."""
    unchecked: str | None = None
    """Which rule of the class could not be checked, and why."""
    signs: Signs = NO_SIGNS
    """What the checklist finds, whatever the class asks for."""
    since: datetime | None = None
    """When this process began to act; what another one had left open is as new as that."""
    pulled: Pulled = NOT_PULLED
    push_problems: Mapping[str, PushProblem] = field(default_factory=dict)
    """What kept the last try to push to a place from being done."""
    denials: Mapping[WorkloadKey, Denial] = field(default_factory=dict)
    """Whose restart the API server has refused to this process."""
    fight: DriftHistory | None = None
    """How often this process has put the Secret back lately."""
    returns: Mapping[str, datetime] = field(default_factory=dict)
    """The loans that could not be given back, with when that is tried again."""
    emergencies: tuple[Emergency, ...] = ()
    """The declared emergencies that concern this secret."""
    lost: tuple[str, ...] = ()
    """The fields of the status that the installed CRD does not have, so that the API server drops them."""

    @property
    def name(self) -> str:
        return self.managed.metadata.name

    @property
    def uid(self) -> str:
        return self.managed.metadata.uid

    @property
    def current(self) -> RevisionFacts | None:
        """The revision that the Secret must hold."""
        return self.state.current if self.state else None

    @property
    def is_ours(self) -> bool:
        """The Secret is there and this ManagedSecret wrote it."""
        return self.target is not None and self.target.owner == self.name

    @property
    def is_published(self) -> bool:
        """The Secret carries the current revision."""
        return bool(self.target and self.state and self.target.revision == self.state.current_number)

    @property
    def is_complete(self) -> bool:
        """The Secret has every key that the spec names, as the revision it carries has them."""
        if self.target is None or not self.is_ours or self.target.differs:
            return False
        return self.desired is None or self.state is None or self.desired.names <= self.state.names

    @property
    def requested(self) -> Triggers:
        """The requests that stand in the object now."""
        rotation, annotations = self.managed.spec.rotation, self.managed.metadata.annotations
        return Triggers(
            rotation.trigger if rotation else None,
            annotations.get(ROTATE) or None,
            rollback=annotations.get(ROLLBACK) or None,
            refresh=annotations.get(REFRESH) or None,
        )

    @property
    def is_finalized(self) -> bool:
        """Kubernetes keeps the object, when it is deleted, until we take our finalizer off."""
        return FINALIZER in self.managed.metadata.finalizers

    @property
    def asks_to_refresh(self) -> bool:
        """Somebody asks for the stores to be read now."""
        asked = self.requested.refresh
        if self.state is None:
            return False
        return (asked is not None and asked != self.state.triggers.refresh) or bool(self.rereads_for)

    @property
    def rereads_for(self) -> tuple[str, ...]:
        """The emergencies for which the stores are to be read anew: what is exposed may have been turned there."""
        if self.state is None or self.desired is None or self.desired.refresh_interval is None:
            return ()
        read = self.state.refreshed
        pressing = (one for one in self.emergencies if one.presses)
        return tuple(one.name for one in pressing if read is None or read < one.started + DECLARED_WITHIN)

    def read_for(self, read: datetime) -> datetime:
        """Return the time as of which a reading counts: for an emergency, as of the end of its declaration's second.

        An earlier reading of that second may have brought what is exposed, and could not be told from this one.
        """
        names = self.rereads_for
        ends = (one.started + DECLARED_WITHIN for one in self.emergencies if one.name in names)
        return max([read, *ends])

    @property
    def held(self) -> Held | None:
        """The return to an earlier revision that still keeps rotations from starting."""
        held = self.state.held if self.state else None
        if held is None or self.state is None or held.generation != self.managed.metadata.generation:
            return None
        return None if self.state.triggers.unhandled(self.requested) else held


@dataclass(frozen=True, slots=True)
class Denial:
    """What the API server has said to the restart of one workload."""

    number: int
    """The revision that it was to be restarted for."""
    since: datetime
    again: datetime
    """When it is tried again."""
    times: int
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class DriftHistory:
    """How often in a row a Secret was put back, and what came of it."""

    generation: int
    """Of the spec: what another one asks for is no repair."""
    number: int
    repairs: int
    last: datetime
    by: str | None = None
    """Who else writes it, by the name that this program gives itself."""
    changed: str | None = None
    """What of the last write was not stored as it was sent."""
