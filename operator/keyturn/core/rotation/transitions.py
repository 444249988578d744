"""Transitions: what each step records in the state, without its values.

The operator adds the values and writes the result (`State.with_facts`, `State.of`); `keyturn plan` simulates with the
same functions, with an estimate of the content. A step without a function here records nothing in the state.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from keyturn.core.labels import FINALIZER
from keyturn.core.observation.observed import Managed, Observed, Specified
from keyturn.core.reasons import RevisionReason
from keyturn.core.spec.desired import Desired
from keyturn.core.spec.references import AccountDesired
from keyturn.core.state.records import UNKNOWN_REVISION, Credential, Phase, RevisionFacts
from keyturn.core.state.state import StateFacts, Triggers

from . import steps
from .credential_slots import (
    brings_credential,
    is_doubtful,
    previous_credential,
    staged_login,
    tries_of,
)
from .decision import next_number
from .emergency import answered, taken_items
from .publication import is_current_published, publication_of
from .rollout import is_under_way


@dataclass(frozen=True, slots=True)
class Content:
    """Facts about the values of a new revision: computed by the operator, estimated by a plan."""

    keys: Mapping[str, Mapping[str, str]]
    """Items, with the key of each output."""
    templates: Mapping[str, str]
    changed: frozenset[str]
    """Keys that differ from the base revision, also those that exist only during the overlap."""
    previous: frozenset[str]
    """Keys that have another value, or exist at all, only during the overlap."""
    begins_overlap: bool = False
    """Whether some of these have a value that the base revision did not keep, so that a new overlap begins."""
    fresh: frozenset[str] = frozenset()
    """Items whose values are generated for it."""
    begun: datetime | None = None
    """When the first of them was begun."""
    login: str | None = None
    """The login of the database account that an existing Secret names; None for a new revision."""


def record(
    step: steps.Recorded,
    state: StateFacts,
    observed: Observed,
    now: datetime,
) -> StateFacts:
    """Return what a step records that generates no revision, after its effect."""
    match step:
        case steps.StateChange():
            return step.recorded(state, observed, now)
        case steps.Push():
            return push(step, state)
        case steps.Withdraw():
            return state.without_pushed(step.destination.id)
        case steps.GiveBack():
            return state.without_lease(step.lease.id)
        case _:
            return _record_at_server(step, state, observed, now)


_PHASES = {
    steps.Action.APPLY: Phase.APPLIED,
    steps.Action.PROVE: Phase.PROVEN,
    steps.Action.ASSERT: None,
    steps.Action.REVOKE: Phase.CLOSED,
    steps.Action.RETIRE: Phase.CLOSED,
}
"""What is recorded of the credentials after an action; None if it is known."""


def _record_at_server(
    step: steps.Account, state: StateFacts, observed: Observed, now: datetime
) -> StateFacts:
    """Record the phase of the credentials; in the same write a proven candidate becomes the current revision.

    The passwords of closed ones are dropped with the other values of their revisions.
    """
    numbers, candidate = {one.revision for one in step.credentials}, state.candidate
    then = _PHASES[step.action]
    after = state.with_phase(then, now, numbers) if then else state
    if then is Phase.PROVEN and candidate and candidate.number in numbers:
        return replace(after.with_published(publication_of(observed)), current_number=candidate.number)
    if then is Phase.CLOSED:
        dropped = {one.number for one in after.revisions if one.credential in numbers}
        return replace(after, restorable=after.restorable - (dropped - {after.current_number}))
    return after


# New revisions


def take_over(state: StateFacts, observed: Observed) -> StateFacts:
    """Claim the state for a recreated ManagedSecret. Triggers of a new object are recorded as handled.

    A rollout that the previous object began is not judged, because its result is unknown: no rollback follows.
    """
    handled = state.triggers.with_handled(observed.requested).with_refreshed(observed.requested)
    # A rotation that was held stays held, such as after a restore: a schedule would bring back what was withdrawn.
    generation = observed.managed.metadata.generation
    pause = state.rollback_pause and replace(state.rollback_pause, generation=generation)
    # If the Secret is gone too, the state alone records that it was published.
    known = state if observed.target else state.with_published(state.released)
    if observed.target is None or observed.target.revision in {None, state.current_number}:
        known = known.with_revision_facts(replace(known.current, fallback=None))
    return replace(known, uid=observed.uid, triggers=handled, rollback_pause=pause, history=())


def claim(
    step: steps.Claim, observed: Specified, content: Content, created: datetime, now: datetime
) -> StateFacts:
    """Record an own Secret that was created at `created` and has no state."""
    # The state had recorded which workloads run which revision; a revision after the first may concern them all.
    keys = (key for of_outputs in content.keys.values() for key in of_outputs.values())
    changed = frozenset(keys if step.number > 1 else ())
    database, tables = observed.desired.account, observed.desired.timetables
    credentials = _found_credentials(step.number, database, content, now)
    facts = RevisionFacts(step.number, RevisionReason.CLAIMED, now, changed, previous=content.previous)
    if database:
        facts = replace(facts, credential=step.number)
        if lost := database.capacity.free_name([credentials[0].login]):  # it may have a password that is lost
            facts = replace(facts, supersedes=UNKNOWN_REVISION)
            credentials += (_credential(UNKNOWN_REVISION, lost, Phase.APPLIED, database, now),)
    status = observed.managed.status
    dates = {one.name: min(one.last_rotation_time, now) for one in status.values or ()}
    own = {one.own: dates.pop(one.own) for one in tables if one.own in dates}
    rotated = min([status.last_rotation_time or created, observed.now, *dates.values()])
    first = _first_state(replace(facts, dates=own), observed, content, rotated)
    # The state is lost, but no number is used twice.
    return replace(first, used=next_number(observed) - 1, credentials=credentials)


def adopt(
    step: steps.Adopt, state: StateFacts | None, observed: Specified, content: Content, now: datetime
) -> StateFacts:
    """Record the content of a Secret without owner; workloads that read it already run it, if nothing changed."""
    base = state.current_number if state else None
    credentials = _found_credentials(step.number, observed.desired.account, content, now)
    facts = RevisionFacts(
        step.number,
        RevisionReason.CLAIMED,
        now,
        content.changed,
        base=base,
        fallback=_fallback(observed) if content.changed else step.number,
        previous=content.previous,
        credential=step.number if credentials else None,
        dates=state.dates if state else {},
    )
    if state is None:
        # The age of the values counts from now; otherwise they would be rotated at once.
        return replace(_first_state(facts, observed, content, now), credentials=credentials)
    others = (one for one in state.credentials if not is_doubtful(one, state))
    known = replace(state, credentials=(*credentials, *others))
    return _on_top(facts, known, observed, content)


def stage(
    step: steps.Stage, state: StateFacts | None, observed: Specified, content: Content, now: datetime
) -> StateFacts:
    """Record a new revision."""
    desired, credential, supersedes, staged = observed.desired, None, None, tuple[Credential, ...]()
    if desired.account:
        credential, supersedes = _credential_facts(step, state, desired)
        staged = _staged_credential(step, state, desired, now)
    answers = answered(observed, step.reason.name) if observed.emergencies else frozenset[str]()
    rotated_before = None
    if state and step.reason.rotates:  # apart from a candidate that was given up before it was published
        rotated_before = (state.newest.rotated_before if state.newest.abandoned else None) or state.rotated
    facts = RevisionFacts(
        number=step.number,
        reason=step.reason.name,
        made=content.begun or now,
        changed=content.changed,
        base=state.current_number if state else None,
        fallback=_fallback(observed),
        previous=content.previous,
        credential=credential,
        supersedes=supersedes,
        rotated_before=rotated_before,
        fresh=content.fresh,
        answers=answers,
        taken=taken_items(answers, observed) if answers else {},
        dates=_dates(content.fresh, state, desired, now),
    )
    facts = _with_overlap_of(state.current, facts, content) if state else facts
    is_read = any(item.source and item.name in step.reason.fresh for item in desired.items)
    if state is None:
        first = replace(_first_state(facts, observed, content, now), credentials=staged)
        return replace(first, refreshed=now, refreshed_for=observed.refreshed_for) if is_read else first
    # A trigger that waits for its window stays unhandled by a rotation that does not wait for one.
    handled = state.triggers.with_handled(observed.requested) if step.reason.rotates else state.triggers
    alone = {one.own for one in desired.timetables}
    rotates_others = step.reason.rotates and not (step.reason.fresh and step.reason.fresh <= alone)
    handed_on = replace(
        state,
        rotated=now if rotates_others else state.rotated,
        triggers=handled.with_refreshed(observed.requested) if is_read else handled,
        refreshed=now if is_read else state.refreshed,
        refreshed_for=observed.refreshed_for if is_read else state.refreshed_for,
        credentials=(*staged, *state.credentials),
    )
    if staged and not state.current.abandoned:
        return handed_on.with_candidate(facts, desired.history_limit)
    return _on_top(facts, handed_on, observed, content)


def _dates(
    fresh: frozenset[str], state: StateFacts | None, desired: Desired, now: datetime
) -> dict[str, datetime]:
    """Return when the values with a schedule of their own were generated last, with a new revision."""
    own = [one.own for one in desired.timetables if one.own]
    return {
        name: now if name in fresh or state is None else state.dates.get(name, state.rotated) for name in own
    }


def _with_overlap_of(base: RevisionFacts, one: RevisionFacts, content: Content) -> RevisionFacts:
    """Return a new revision that keeps the overlap of the one before it, unless it begins its own."""
    if not base.overlaps or content.begins_overlap or one.credential == one.number:
        return one
    return replace(one, valid_until=base.valid_until, overlap_from=base.overlap_from or base.number)


def with_dependents(fresh: frozenset[str], needs: Mapping[str, frozenset[str]]) -> frozenset[str]:
    """Add the items that depend on a new value; `needs` are the items on which each item depends."""
    while more := {name for name, needed in needs.items() if needed & fresh} - fresh:
        fresh |= more
    return fresh


def _first_state(facts: RevisionFacts, observed: Observed, content: Content, rotated: datetime) -> StateFacts:
    return StateFacts(
        uid=observed.uid,
        rotated=rotated,
        triggers=Triggers.at_first(observed.requested),
        revisions=(facts,),
        restorable=frozenset({facts.number}),
        current_number=facts.number,
        keys=content.keys,
        templates=content.templates,
        lives={},
    )


def _on_top(facts: RevisionFacts, state: StateFacts, observed: Specified, content: Content) -> StateFacts:
    newer = state.with_published(publication_of(observed)).with_revision(
        facts, observed.desired.history_limit
    )
    return replace(newer, keys=content.keys, templates=content.templates, lives={})


def _fallback(observed: Specified) -> int | None:
    """Return the last revision that every workload ran: the current one, if no rollout is in progress."""
    if not isinstance(observed, Managed):
        return None
    is_through = not is_under_way(observed) and is_current_published(observed)
    return observed.current.number if is_through else observed.current.fallback


# Credentials of a database account


def _credential_facts(
    step: steps.Stage, state: StateFacts | None, desired: Desired
) -> tuple[int | None, int | None]:
    """Return the credential of a new revision, and the one that stays open during its overlap."""
    if brings_credential(step.reason.fresh, desired):
        previous = previous_credential(state) if state else None
        return step.number, previous.revision if previous and previous.is_open else None
    before = state.current_credential if state else None
    if state is None or before is None:
        return None, None
    return before.revision, None if state.current.ended else state.current.supersedes


def _staged_credential(
    step: steps.Stage, state: StateFacts | None, desired: Desired, now: datetime
) -> tuple[Credential, ...]:
    """Return the credential that a new revision brings, if any, before the server is touched."""
    database, login = desired.account, staged_login(step.reason.fresh, state, desired)
    if database is None or login is None or not brings_credential(step.reason.fresh, desired):
        return ()
    staged = _credential(step.number, login, Phase.STAGED, database, now)
    return (replace(staged, tries=tries_of(step.reason.name, state)),)


def _credential(number: int, login: str, phase: Phase, database: AccountDesired, now: datetime) -> Credential:
    return Credential(number, login, phase, now, item=database.password, target=database.target_name)


def _found_credentials(
    number: int, database: AccountDesired | None, content: Content, now: datetime
) -> tuple[Credential, ...]:
    """Return the credential of a Secret that exists: the server has it, and a login is to prove that."""
    if database is None:
        return ()
    return (_credential(number, content.login or database.capacity.names[0], Phase.APPLIED, database, now),)


# Stores


def push(step: steps.Push, state: StateFacts, *, kept: bool | None = None, ours: bool = False) -> StateFacts:
    """Record a push as done; `kept`: the store has other content, None if unchanged; `ours`: that of a push."""
    pushed = state.pushed_to(step.destination.id)
    if pushed is None:
        return state
    kept = pushed.kept if kept is None else kept
    return state.with_pushed(replace(pushed, done=True, kept=kept, ours=pushed.ours or ours or not kept))


def finalizers(step: steps.Finalize, before: Iterable[str]) -> list[str]:
    """Return the finalizers of a ManagedSecret after such a step."""
    others = [name for name in before if name != FINALIZER]
    return [*others, FINALIZER] if step.present else others
