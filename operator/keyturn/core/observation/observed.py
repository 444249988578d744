"""Observation of a ManagedSecret: all facts that one reconcile decides from, never values.

It is one of four cases, so that a rule asks for what it needs and checks nothing: `Managed` has a spec that can be
followed and a state Secret, `Specified` at least that spec, `Observed` perhaps neither. A ManagedSecret that is
suspended or deleted is no further case, because its status shows the same facts; `decision.next_step` does less then.
`WithAccount` is a `Managed` with a database account.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property, wraps
from typing import TYPE_CHECKING, Any, TypeVar

from keyturn.api.databasetarget import AccountManager
from keyturn.api.managedsecret import ManagedSecret
from keyturn.api.secretclass import SecretClass
from keyturn.api.status import WorkloadStatus
from keyturn.core.errors import Attempts, Stalled, Wait
from keyturn.core.keys import WorkloadKey
from keyturn.core.labels import FINALIZER, REFRESH, ROLLBACK, ROTATE
from keyturn.core.policy.checklist import NO_CHECKLIST_FACTS, ChecklistFacts
from keyturn.core.policy.rules import Violation
from keyturn.core.reasons import RevisionReason, RevisionResult
from keyturn.core.spec.desired import Desired
from keyturn.core.spec.references import AccountDesired
from keyturn.core.state.records import RevisionFacts, StoreLease
from keyturn.core.state.state import RollbackPause, StateFacts, Triggers
from keyturn.core.times import to_second

from .emergency import Emergency
from .external import NOT_PROBED, NOT_PULLED, AccountFacts, Pulled, RevocationProblem
from .workload import Pod, PodsSeen, Use, Workload

T = TypeVar("T")
Observation = TypeVar("Observation", bound="Observed")


@dataclass(frozen=True, slots=True)
class TargetFacts:
    """Facts of the target Secret, compared with the state."""

    owner: str | None
    """The ManagedSecret that its label names; None for a foreign Secret."""
    revision: int | None
    published: datetime | None
    """When its revision was first published, by the API server's clock."""
    differs: frozenset[str]
    """Keys that differ from its revision: edited, deleted or added by another writer."""
    has_metadata_of_spec: bool
    """Its labels and annotations match the spec."""
    overlapping: bool = False
    """It has the values of the overlap."""
    immutable: bool = False
    """Kubernetes rejects every change of its values."""
    foreign_owner: str | None = None
    """Its owner that is no ManagedSecret, as owner references and labels name it."""
    filled_by: str | None = None
    """The program that fills it, which also forbids merging keys."""
    other_type: str | None = None
    """Its type, if the spec has another."""
    taken: frozenset[str] = frozenset()
    """Keys to merge that have foreign values."""
    changed_by: str | None = None
    """The last field manager other than Keyturn."""
    recorded: bool = False
    """The values to adopt are recorded in a revision."""
    unadoptable: Stalled | None = None
    """Why its values cannot be adopted as they are."""
    account_manager: AccountManager | None = None
    """The other operator that sets its password at a database server."""


@dataclass(frozen=True, slots=True)
class Sibling:
    """Another managed Secret of the same workload."""

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
    """Every pod that is not terminating was created after the revision was published."""
    pods: PodsSeen | None = None
    """Its pods, if a decision or a message depends on them."""
    blocked_since: datetime | None = None
    """When terminating pods with earlier values last occupied the places of new ones beyond a deadline."""
    resumed: datetime | None = None
    """When its pause ended, if this process has seen that during the rollout."""
    completed: bool = False
    """Its controller has reported its rollout of the current revision as complete for a while."""

    @property
    def known_pods(self) -> tuple[Pod, ...]:
        """The pods of the last read; empty if pods were not read."""
        return self.pods.pods if self.pods else ()


@dataclass(frozen=True, slots=True)
class RestartWait:
    """Why the restarts of a ManagedSecret wait for others."""

    again: datetime
    """When to look again, if nothing wakes the object before."""
    limits: str
    """The limits, as options of `keyturn run`."""


@dataclass(frozen=True, slots=True)
class DriftHistory:
    """Consecutive drift repairs of a Secret and their result."""

    generation: int
    """Generation of the spec; a write for another generation is no repair."""
    number: int
    repairs: int
    last: datetime
    by: str | None = None
    """The other field manager that changes the Secret."""
    changed: str | None = None
    """Difference between the last write and what the API server stored."""


@dataclass(frozen=True, slots=True)
class Restarted:
    """A restart of one workload."""

    marked: int | None
    """The marker that it has written; None if it removed it."""
    at: datetime


@dataclass(frozen=True, slots=True)
class Denial:
    """A restart of one workload that the API server rejected."""

    number: int
    """The revision of the restart."""
    since: datetime
    attempts: Attempts


@dataclass(frozen=True)
class Observed:
    """Facts of one reconcile; the input of `decision.next_step`.

    Without slots, so that `with_facts` copies all fields at once, and what follows from them is computed once.
    """

    now: datetime
    """The API server's time."""
    managed: ManagedSecret
    secret_class: SecretClass | None
    desired: Desired | None
    """None if the spec is invalid; `spec_error` has the reason."""
    spec_error: Stalled | None
    state: StateFacts | None = None
    state_owner: str | None = None
    """Owner of the Secret under the state Secret's name; None if the Secret is absent or has no owner."""
    state_is_foreign: bool = False
    target: TargetFacts | None = None
    mismatched_items: frozenset[str] = frozenset()
    """Items whose value the current recipe could not have generated, or whose literal changed."""
    violations: tuple[Violation, ...] = ()
    consumers: tuple[Consumer, ...] = ()
    deleted_of: str | None = None
    """The ManagedSecret that had the target by its status, if it is deleted: that one creates it again."""
    holders: PodsSeen | None = None
    """Pods with earlier values that no consumer controls; None if nothing is asserted about them now."""
    unread: Wait | None = None
    """Why pods could not be listed on which something depends; then no workload is acted on."""
    missing_targets: tuple[str, ...] = ()
    """Workloads of rollout.targets that do not exist."""
    has_wrong_binder: bool = False
    """The state Secret's owner reference differs from what the deletionPolicy requires."""
    other_target: str | None = None
    """A Secret that it has written under another target.name."""
    unchecked: str | None = None
    """The rule of the class that could not be checked, with the reason."""
    checklist_facts: ChecklistFacts = NO_CHECKLIST_FACTS
    """Facts for the rules of the checklist."""
    since: datetime | None = None
    """When this process became leader; work that an earlier one left open counts as new from then on."""
    pulled: Pulled = NOT_PULLED
    push_problems: Mapping[str, Attempts] = field(default_factory=dict)
    """Last failure of a push, by destination."""
    denials: Mapping[WorkloadKey, Denial] = field(default_factory=dict)
    """Restarts that the API server rejected since this process started, by workload."""
    restarted: Mapping[WorkloadKey, Restarted] = field(default_factory=dict)
    """Restarts by this process with the current revision."""
    drift_history: DriftHistory | None = None
    """Recent drift repairs by this process."""
    revocation_problems: Mapping[str, RevocationProblem] = field(default_factory=dict)
    """Last failure of a revocation, by lease."""
    emergencies: tuple[Emergency, ...] = ()
    """Declared emergencies that affect this ManagedSecret, and are not closed."""
    restart_wait: RestartWait | None = None
    """Why restarts wait for those of other ManagedSecrets; None if they do not."""
    account_desired: AccountDesired | None = None
    """The database account of the spec, which no class changes; None without one."""
    account: AccountFacts = NOT_PROBED
    """What the process knows of the database account."""
    dropped_status_fields: tuple[str, ...] = ()
    """Status fields that the installed CRD lacks, so the API server drops them."""
    state_problem: Stalled | None = None
    """Why the state Secret, which exists and is our own, could not be read."""

    @cached_property
    def results(self) -> dict[Callable[[Any], Any], Any]:
        """Results of the functions that are computed once for this observation, see `once`."""
        return {}

    @cached_property
    def current(self) -> RevisionFacts | None:
        """The revision that the Secret must hold."""
        return self.state.current if self.state else None

    @cached_property
    def name(self) -> str:
        return self.managed.metadata.name

    @cached_property
    def uid(self) -> str:
        return self.managed.metadata.uid

    @cached_property
    def owns_target(self) -> bool:
        """The Secret exists and this ManagedSecret owns it."""
        return self.target is not None and self.target.owner == self.name

    @cached_property
    def is_published(self) -> bool:
        """The Secret has the current revision."""
        return bool(self.target and self.state and self.target.revision == self.state.current_number)

    @cached_property
    def target_published(self) -> datetime | None:
        """When the revision in the Secret was first published; None if there is no Secret, or it has no time."""
        return self.target.published if self.target else None

    @cached_property
    def has_every_key(self) -> bool:
        """The Secret has every key of the spec, unchanged since its revision was written."""
        if self.target is None or not self.owns_target or self.target.differs:
            return False
        return self.desired is None or self.state is None or self.desired.names <= self.state.names

    @cached_property
    def requested(self) -> Triggers:
        """The requests in the object's spec and annotations."""
        rotation, annotations = self.managed.spec.rotation, self.managed.metadata.annotations
        return Triggers(
            rotation.trigger if rotation else None,
            annotations.get(ROTATE) or None,
            rollback=annotations.get(ROLLBACK) or None,
            refresh=annotations.get(REFRESH) or None,
        )

    @cached_property
    def is_inactive(self) -> bool:
        """No operation begins at a store or a database server: it is suspended, deleted, invalid, or not owned."""
        spec, metadata = self.managed.spec, self.managed.metadata
        return bool(self.spec_error or spec.suspend or metadata.deletion_timestamp or self.state_is_foreign)

    @cached_property
    def has_externals(self) -> bool:
        """A store or a database server has something of it, or is to get it, or its deletion waits for one.

        Without that no step, problem or date concerns them. Without a state it is unknown what they have.
        """
        state, desired = self.state, self.desired
        is_wanted = desired is None or bool(desired.pulled or desired.pushes or self.account_desired)
        has_some = state is None or bool(state.leases or state.pushed or state.credentials)
        return is_wanted or has_some or self.is_finalized

    @cached_property
    def is_finalized(self) -> bool:
        """The object has Keyturn's finalizer."""
        return FINALIZER in self.managed.metadata.finalizers

    @cached_property
    def stale_for_emergencies(self) -> tuple[Emergency, ...]:
        """Emergencies that require a new read of the stores, because exposed values may have been rotated there."""
        if self.desired is None or self.desired.refresh_interval is None:
            return ()
        read = self.state.refreshed_for if self.state else ()
        pulled = [item.name for item in self.desired.pulled]
        return tuple(
            one
            for one in self.emergencies
            if one.is_unfinished_here and one.uid not in read and one.taken(pulled)
        )

    @cached_property
    def refreshed_for(self) -> frozenset[str]:
        """UIDs of the open emergencies for which the stores were read, once a read of this pass is recorded."""
        before = self.state.refreshed_for if self.state else frozenset[str]()
        is_read = before.union(one.uid for one in self.stale_for_emergencies)
        return frozenset(one.uid for one in self.emergencies if one.is_open and one.uid in is_read)

    @cached_property
    def idle_leases(self) -> tuple[StoreLease, ...]:
        """The leases that neither the current revision nor a pending one holds."""
        if (state := self.state) is None or not state.leases:
            return ()
        of_candidate = state.leases_by_revision.get(state.candidate.number, ()) if state.candidate else ()
        held = self.pulled.in_hand.union(state.leases_by_item.values(), of_candidate)
        return tuple(lease for lease in state.leases if lease.id not in held)

    def reported(self, workload: Workload) -> WorkloadStatus | None:
        """Return what the status has of a workload."""
        return self.managed.status.by_workload.get((workload.key.kind, workload.key.name))

    @cached_property
    def has_open_emergency(self) -> bool:
        """Whether some emergency still waits for this ManagedSecret.

        A failed workload then holds up no other: the values of those that wait are exposed, or refused already.
        """
        return any(emergency.is_unfinished_here for emergency in self.emergencies)

    @cached_property
    def rollback_pause(self) -> RollbackPause | None:
        """The rollback that still pauses rotations, or None."""
        pause = self.state.rollback_pause if self.state else None
        if pause is None or self.state is None or pause.generation != self.managed.metadata.generation:
            return None
        return None if self.state.triggers.unhandled(self.requested) else pause


class Specified(Observed):
    """Facts of a ManagedSecret whose spec can be followed."""

    desired: Desired


class Managed(Specified):
    """Facts of a ManagedSecret whose spec can be followed, and whose state Secret is read: at least one revision."""

    state: StateFacts

    @cached_property
    def current(self) -> RevisionFacts:
        """The revision that the Secret must hold."""
        return self.state.current

    @cached_property
    def published(self) -> datetime:
        """When the current revision was published; without a time in the Secret, the last known time before that.

        Now while the Secret has another revision.
        """
        if self.target and self.target.revision and not self.is_published:
            return self.now
        return self.target_published or self.state.released

    @cached_property
    def is_requested(self) -> bool:
        """A trigger requests a rotation that has not begun."""
        return bool(self.state.triggers.unhandled(self.requested))

    @cached_property
    def unhandled_rollback(self) -> str | None:
        """The request for a rollback that was not handled yet."""
        asked = self.requested.rollback
        return asked if asked != self.state.triggers.rollback else None

    @cached_property
    def asks_to_refresh(self) -> bool:
        """A read of the stores is requested, by annotation or by an emergency."""
        asked = self.requested.refresh
        is_asked = asked is not None and asked != self.state.triggers.refresh
        return is_asked or bool(self.stale_for_emergencies)

    @cached_property
    def is_recorded_complete(self) -> bool:
        """The record has the rollout of the current revision as complete, since the last rollback if any.

        The history in the status has it, or the state, in which an overlap has begun. A revision whose rollout has
        failed is in the history, too.
        """
        pause, history, number = self.state.rollback_pause, self.managed.status.history, self.current.number
        if pause is not None:
            back = (number, RevisionReason.ROLLED_BACK, to_second(pause.at))
            return any((entry.revision, entry.reason, entry.started_at) == back for entry in history)
        is_succeeded = any(
            (one.revision, one.result) == (number, RevisionResult.SUCCEEDED) for one in history
        )
        return is_succeeded or self.current.began_overlap

    def has_current_marker(self, workload: Workload) -> bool:
        """Whether the restart marker of a workload has the current revision."""
        return workload.marked(self.desired.secret) == self.current.number

    @cached_property
    def is_urgent(self) -> bool:
        """Restarts do not wait for other workloads: of an emergency, and after a rollback."""
        return self.rollback_pause is not None or self.has_open_emergency


class WithAccount(Managed):
    """Facts of a `Managed` whose password is that of a database account."""

    account_desired: AccountDesired


_DERIVED = frozenset(
    name
    for case in (Observed, Specified, Managed)
    for name, member in vars(case).items()
    if isinstance(member, cached_property)
)

if TYPE_CHECKING:
    from dataclasses import replace

    with_facts = replace  # so that the fields are checked
else:

    def with_facts(observed: Observed, **facts: object) -> Observed:
        """Return a copy with other facts, as `dataclasses.replace` does, which sets one field after another.

        It is of the case that its facts make it.
        """
        fields = vars(observed) | facts
        for name in _DERIVED & fields.keys():
            del fields[name]
        case: type[Observed] = Managed if fields["account_desired"] is None else WithAccount
        if fields["desired"] is None or fields["state"] is None:
            case = Observed if fields["desired"] is None else Specified
        copy = object.__new__(case)
        vars(copy).update(fields)
        return copy


def once(compute: Callable[[Observation], T]) -> Callable[[Observation], T]:
    """Decorate a function of an observation, so that it is computed once for each."""

    @wraps(compute)
    def known(observed: Observation) -> T:
        if compute not in observed.results:
            observed.results[compute] = compute(observed)
        result: T = observed.results[compute]
        return result

    return known
