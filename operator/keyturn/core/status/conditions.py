"""Conditions of a ManagedSecret, by kstatus and the Kubernetes API conventions.

Also those of a failed observation.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from keyturn.api.managedsecret import ManagedSecret
from keyturn.api.meta import MOST_TEXT, Condition
from keyturn.api.status import ManagedSecretStatus, RotationStatus
from keyturn.api.workloads import DONE, WorkloadState
from keyturn.core.errors import Stalled, Wait
from keyturn.core.labels import REFRESH
from keyturn.core.observation.observed import Managed, Observed, Specified
from keyturn.core.policy.checklist import findings_of
from keyturn.core.policy.rules import Violation, joined_messages
from keyturn.core.reasons import ConditionReason, RevisionReason
from keyturn.core.rotation import old_pods, triggers
from keyturn.core.rotation.completion import precedes_announced_keys
from keyturn.core.rotation.rollout import Turn, WorkloadProgress
from keyturn.core.rotation.schedule_dates import spread_since
from keyturn.core.rotation.store_steps import push_problem
from keyturn.core.spec.desired import Desired
from keyturn.core.spec.references import Destination
from keyturn.core.texts import FEW, few, first_of
from keyturn.core.times import to_second

from .credentials import credential_valid
from .summary import ConditionVerdict, condition, with_state

_WAITING: dict[str, str] = {
    RevisionReason.TRIGGERED: "the requested rotation starts when the overlap of the previous values is over",
    RevisionReason.ROTATION_DUE: "the rotation that is due starts when the overlap of the previous values is over",
    RevisionReason.SPEC_CHANGED: "the changed spec asks for another value, and waits for pods with the previous one",
}
"""What waits for the overlap of previous values, by its reason."""
_PROMOTION = (
    "the next rotation, which is requested or due, starts when every pod has the key that it promotes"
)


@dataclass(frozen=True, slots=True)
class ConditionInput:
    """Input of the conditions."""

    observed: Observed
    everyone: tuple[WorkloadProgress, ...]
    rotation: RotationStatus | None
    error: Wait | Stalled | None
    hindrance: Wait | None = None
    """An error that keeps a write from being done for more than a moment."""


def conditions_of(look: ConditionInput) -> list[Condition]:
    """Return the conditions, each with the time of its last transition."""
    before, metadata = look.observed.managed.status.conditions, look.observed.managed.metadata
    return stamp_all(_verdicts(look), before, look.observed.now, metadata.generation)


def _verdicts(look: ConditionInput) -> Iterator[tuple[str, ConditionVerdict]]:
    observed = look.observed
    yield "Ready", _ready(look)
    yield "Rotating", _rotating(look)
    yield "WorkloadsCurrent", _workloads_current(look)
    yield "PolicyCompliant", _policy_compliant(observed)
    if isinstance(observed, Specified):
        if observed.desired.pulled and (refreshed := _refreshed(observed)):
            yield "Refreshed", refreshed
        if observed.desired.pushes:
            yield "Pushed", _pushed(observed)
    if observed.has_externals and (valid := credential_valid(observed)):
        yield "CredentialValid", valid
    # Present only while true, as kstatus has it for Reconciling and Stalled.
    is_whole = observed.has_every_key and not observed.mismatched_items
    if look.hindrance and is_whole:
        yield "Hindered", ConditionVerdict("True", look.hindrance.reason, look.hindrance.message)
    if isinstance(look.error, Wait) and not is_whole:
        yield "Reconciling", ConditionVerdict("True", look.error.reason, look.error.message)
    elif _is_changed_spec_to_be_written(look):
        yield "Reconciling", ConditionVerdict("True", ConditionReason.SPEC_CHANGED, _rotating(look).message)
    if isinstance(look.error, Stalled):
        yield "Stalled", ConditionVerdict("True", look.error.reason, look.error.message)
    if dropped := observed.dropped_status_fields:
        message = (
            f"the installed CRD is older than the operator, and the API server drops {', '.join(dropped)};"
            " apply the CRDs of the operator's release"
        )
        yield "CrdOutdated", ConditionVerdict("True", ConditionReason.FIELDS_MISSING, message)


def _is_changed_spec_to_be_written(look: ConditionInput) -> bool:
    """Whether the target Secret still has the content of an earlier spec.

    Routine rotations do not count as Reconciling.
    """
    rotation = look.rotation
    if rotation is None or isinstance(look.error, Stalled):
        return False
    return rotation.reason == RevisionReason.SPEC_CHANGED and rotation.step in {
        "Stage",
        "Apply",
        "Prove",
        "Publish",
    }


def _ready(look: ConditionInput) -> ConditionVerdict:
    observed, error = look.observed, look.error
    if not observed.has_every_key:
        return _unready(look)
    number = observed.target.revision if observed.target else None
    kept_back = error if isinstance(error, Stalled) else look.hindrance
    if kept_back:
        message = f"the Secret holds revision {number}, unchanged: {kept_back.message}"
        return ConditionVerdict("True", ConditionReason.PUBLISHED, message)
    if observed.managed.spec.suspend:
        return ConditionVerdict(
            "True", ConditionReason.SUSPENDED, "nothing is written while spec.suspend is true"
        )
    return ConditionVerdict(
        "True", ConditionReason.PUBLISHED, f"the Secret holds revision {number} with every key"
    )


def _unready(look: ConditionInput) -> ConditionVerdict:
    if look.error:
        return ConditionVerdict("False", look.error.reason, look.error.message)
    if look.observed.managed.spec.suspend:
        return ConditionVerdict(
            "False", ConditionReason.SUSPENDED, "spec.suspend is true and the Secret is not complete"
        )
    observed, rotation = look.observed, look.rotation
    if isinstance(observed, Managed) and not rotation and (lacking := _rolled_back_keys(observed)):
        return ConditionVerdict("False", ConditionReason.LACKS_KEYS, lacking)
    return ConditionVerdict("False", ConditionReason.PROGRESSING, "the Secret is being written")


def _rolled_back_keys(observed: Managed) -> str | None:
    """Return which items of the spec are newer than the revision that was restored; None if there is none."""
    if not observed.state.is_rolled_back or not observed.is_published:
        return None
    lacking = observed.desired.names - observed.state.names
    if not lacking:
        return None
    return (
        f"rolled back to revision {observed.current.number}, which has no {few(lacking)};"
        f" run `keyturn rotate {observed.name}` or change the spec to end this"
    )


def _rotating(look: ConditionInput) -> ConditionVerdict:
    if look.rotation is None:
        return _idle(look.observed)
    message, observed = look.rotation.message or _what_is_under_way(look), look.observed
    desired = observed.desired
    breaks = f"; {triggers.breakage_of(desired)}" if desired and desired.on_request else ""
    waits = _waiting(observed) if isinstance(observed, Managed) else ""
    return ConditionVerdict("True", look.rotation.step, f"{message}{waits}{breaks}")


def _waiting(observed: Managed) -> str:
    """Return what waits for the end of a rotation; empty if nothing does."""
    next_ = triggers.waits_for_overlap(observed)
    if next_ is None:
        return ""
    return f"; {_PROMOTION if precedes_announced_keys(next_, observed) else _WAITING[next_.name]}"


def _idle(observed: Observed) -> ConditionVerdict:
    is_suspended = observed.managed.spec.suspend
    opens = triggers.waits_until(observed) if isinstance(observed, Managed) and not is_suspended else None
    if opens:
        waiting = few(observed.pulled.waiting)
        what = f"{waiting} changed in stores and will be written" if waiting else "the next rotation starts"
        return ConditionVerdict(
            "False",
            ConditionReason.WAITS_FOR_WINDOW,
            f"{what} when a window opens: {opens:%Y-%m-%d %H:%M} UTC",
        )
    if (
        observed.rollback_pause is None
        and observed.desired
        and observed.desired.rotates_nothing
        and (observed.requested.spec is not None or observed.requested.annotation is not None)
    ):
        return ConditionVerdict(
            "False", ConditionReason.NOTHING_TO_ROTATE, nothing_to_rotate(observed.desired)
        )
    if isinstance(observed, Specified) and triggers.is_due_on_request(observed):
        return ConditionVerdict("False", ConditionReason.DUE, _due_on_request(observed))
    if (
        not isinstance(observed, Managed)
        or not (pause := observed.rollback_pause)
        or not triggers.is_paused(observed)
    ):
        spread = _spread(observed) if isinstance(observed, Managed) else ""
        return ConditionVerdict("False", ConditionReason.IDLE, f"no rotation is in progress{spread}")
    resumes = triggers.resume_time(observed)
    until = f" until {resumes:%Y-%m-%d %H:%M} UTC" if resumes else ""
    return ConditionVerdict(
        "False",
        ConditionReason.HELD,
        f"scheduled rotation is paused since the rollback from revision {pause.number}{until};"
        f" run `keyturn rotate {observed.name}` or change the spec to end the pause",
    )


def _spread(observed: Managed) -> str:
    """Return why an overdue rotation waits: its schedule is newer than its date."""
    since, due = spread_since(observed), triggers.scheduled_time(observed)
    if since is None:
        return ""
    return f"; the schedule of {since:%Y-%m-%d %H:%M} UTC made one overdue, which is due at {due:%Y-%m-%d %H:%M} UTC"


def _due_on_request(observed: Specified) -> str:
    due = triggers.due_on_request(observed)
    return (
        f"due since {due:%Y-%m-%d %H:%M} UTC and waits for a request: {triggers.breakage_of(observed.desired)}; run"
        f" `keyturn rotate {observed.name}` when you can do so, or write appliedBy: Application if something does"
    )


def nothing_to_rotate(desired: Desired) -> str:
    """Return why a requested rotation does nothing, and what to do instead."""
    if desired.pulled:
        return (
            f"no value is generated, so a trigger has no effect; write a new text to {REFRESH} to read stores"
        )
    return "no value is generated, so a trigger has no effect; change the literals, or write generate"


def _what_is_under_way(look: ConditionInput) -> str:
    current, step = look.observed.current, look.rotation.step if look.rotation else ""
    if step != "Overlap" or current is None or current.valid_until is None:
        return f"the next step is {step}"
    return f"the previous values stay valid until {current.valid_until:%Y-%m-%d %H:%M} UTC"


def _workloads_current(look: ConditionInput) -> ConditionVerdict:
    behind = [progress for progress in look.everyone if progress.state not in DONE]
    absent = look.observed.missing_targets
    count = len(look.everyone)
    if look.observed.desired is None:
        return ConditionVerdict(
            "Unknown", ConditionReason.SPEC_NOT_FOLLOWED, "workloads are not checked until the spec is fixed"
        )
    if absent:
        return ConditionVerdict(
            "False",
            ConditionReason.TARGET_NOT_FOUND,
            f"rollout.targets names workloads that do not exist: {first_of(absent, FEW)}",
        )
    if look.observed.unread and not any(one.state is WorkloadState.FAILED for one in behind):
        return ConditionVerdict("Unknown", ConditionReason.PODS_UNKNOWN, old_pods.unread(look.observed))
    if not behind:
        return _no_workload_behind(look.observed, count)
    is_unknown = all(
        progress.leaving and progress.consumer.pods and progress.consumer.pods.forbidden
        for progress in behind
    )
    return ConditionVerdict(
        "Unknown" if is_unknown else "False",
        ConditionReason.PODS_UNKNOWN if is_unknown else _why_behind(behind),
        f"{count - len(behind)} of {count} workloads run the current revision; {behind[0].described()}",
    )


def _no_workload_behind(observed: Observed, count: int) -> ConditionVerdict:
    if not isinstance(observed, Managed):
        return ConditionVerdict("Unknown", ConditionReason.NOT_PUBLISHED, "no revision is published yet")
    if not observed.is_published:
        message = f"revision {observed.state.current_number} is not in the Secret"
        return ConditionVerdict("Unknown", ConditionReason.NOT_PUBLISHED, message)
    if other := _other_pods(observed):
        return other
    reason = ConditionReason.ALL_CURRENT if count else ConditionReason.NO_CONSUMERS
    return ConditionVerdict("True", reason, f"{count} of {count} workloads run the current revision")


def _other_pods(observed: Managed) -> ConditionVerdict | None:
    """Return the verdict about pods that no consumer controls; None if none holds an earlier revision."""
    if old_pods.are_unread(observed):
        return ConditionVerdict("Unknown", ConditionReason.PODS_UNKNOWN, old_pods.unread(observed))
    if summary := old_pods.waiting_message(observed):
        count = len(old_pods.owners_behind(observed))
        owners = "1 owner of pods is" if count == 1 else f"{count} owners of pods are"
        return ConditionVerdict(
            "False", ConditionReason.NOT_RESTARTED, f"{owners} not restarted by Keyturn; {summary}"
        )
    return None


def _why_behind(behind: list[WorkloadProgress]) -> str:
    if any(progress.state is WorkloadState.FAILED for progress in behind):
        return ConditionReason.ROLLOUT_FAILED
    if all(progress.turn is Turn.REFUSED for progress in behind):
        return ConditionReason.RESTART_REFUSED
    return ConditionReason.ROLLING_OUT


def known_revision(observed: Observed) -> int | None:
    """Return the revision of the Secret, or that of the status; None if nothing was written yet."""
    before = observed.managed.status.revision
    return (observed.target.revision if observed.target and observed.owns_target else None) or before


def violated_rules(observed: Observed) -> tuple[Violation, ...]:
    """Return the violated rules of the class, then those of the checklist that the class does not have."""
    return (*observed.violations, *findings_of(observed.checklist_facts))


def _policy_compliant(observed: Observed) -> ConditionVerdict:
    """Evaluate the rules of the class and of the checklist."""
    if observed.desired is None:
        return ConditionVerdict(
            "Unknown", ConditionReason.SPEC_NOT_FOLLOWED, "rules are not checked until the spec is fixed"
        )
    if observed.state is None and known_revision(observed) is not None:
        return ConditionVerdict(
            "Unknown",
            ConditionReason.NOT_CHECKED,
            "values are not checked while the state Secret is absent or cannot be read",
        )
    if violated := violated_rules(observed):
        return ConditionVerdict("False", violated[0].rule, joined_messages(violated))
    if observed.state is None:
        return ConditionVerdict(
            "Unknown", ConditionReason.NOT_CHECKED, "the Secret has no values yet; the spec violates no rule"
        )
    if observed.unchecked:
        return ConditionVerdict(
            "True",
            ConditionReason.PARTLY_CHECKED,
            f"every rule that can be checked holds; {observed.unchecked}",
        )
    whose = "the class and of the checklist" if observed.secret_class else "the checklist"
    return ConditionVerdict("True", ConditionReason.COMPLIANT, f"every rule of {whose} holds")


def _refreshed(observed: Observed) -> ConditionVerdict | None:
    """Return the result of the last read of the stores.

    Before the first one of this process, the previous condition.
    """
    if problem := observed.pulled.problem:
        return ConditionVerdict("False", problem.reason, problem.message)
    if retained := few(observed.pulled.retained):
        stays = f"every value was read; {retained} is gone in the store and stays because of deletionPolicy: Retain"
        return ConditionVerdict("True", ConditionReason.RETAINED, stays)
    if observed.pulled.read or observed.pulled.was_read:
        return ConditionVerdict("True", ConditionReason.READ, "every value was read from its store")
    before = condition(observed.managed, "Refreshed")
    return ConditionVerdict(before.status, before.reason, before.message) if before else None


def _pushed(observed: Specified) -> ConditionVerdict:
    if problem := push_problem(observed):
        return ConditionVerdict("False", problem.reason, problem.message)
    records = [
        observed.state.pushed_to(push.id) if observed.state else None for push in observed.desired.pushes
    ]
    done = [
        record
        for record in records
        if record and observed.state and record.has(observed.state.current_number)
    ]
    count = f"{len(done)} of {len(records)} places hold the current revision"
    if len(done) < len(records):
        return ConditionVerdict("False", ConditionReason.PROGRESSING, count)
    if kept := [Destination.at(record.place) for record in done if record.kept]:
        return ConditionVerdict(
            "True",
            ConditionReason.KEPT,
            f"{kept[0]} has a value already, which updatePolicy: IfNotExists keeps",
        )
    return ConditionVerdict("True", ConditionReason.PUSHED, count)


_REPLACED = ("Ready", "Hindered", "Reconciling", "Stalled")


def status_unseen(managed: ManagedSecret, error: Wait, now: datetime) -> ManagedSecretStatus:
    """Return the status after a failed observation: Ready=Unknown with the reason, other conditions unchanged."""
    before, generation = managed.status, managed.metadata.generation
    kept = [one for one in before.conditions if one.type not in _REPLACED]
    ready = ConditionVerdict("Unknown", error.reason, error.message)
    waits = ConditionVerdict("True", error.reason, error.message)
    verdicts = (("Ready", ready), ("Reconciling", waits))
    first, last = stamp_all(verdicts, before.conditions, now, generation)
    return with_state(managed, before.model_copy(update={"conditions": [first, *kept, last]}))


# Times of conditions


def stamp_all(
    verdicts: Iterable[tuple[str, ConditionVerdict]],
    before: Sequence[Condition],
    now: datetime,
    generation: int,
) -> list[Condition]:
    """Return the conditions for verdicts by type; lastTransitionTime changes only with the status."""
    known = {(one.type, one.status): one.last_transition_time for one in before}
    return [
        Condition(
            type=type_,
            status=verdict.status,
            reason=verdict.reason,
            message=verdict.message[:MOST_TEXT],
            last_transition_time=known.get((type_, verdict.status)) or to_second(now),
            observed_generation=generation,
        )
        for type_, verdict in verdicts
    ]
