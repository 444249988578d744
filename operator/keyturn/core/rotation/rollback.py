"""Rollback to an earlier revision, after a failed rollout or on request."""

import re
from dataclasses import dataclass, replace
from datetime import datetime

from keyturn.api.workloads import WorkloadState
from keyturn.core.errors import Stalled
from keyturn.core.labels import ROLLBACK
from keyturn.core.observation.observed import Managed, Observed
from keyturn.core.reasons import ConditionReason, ErrorReason
from keyturn.core.state.records import Phase
from keyturn.core.state.state import RollbackPause, StateFacts, Triggers
from keyturn.core.texts import first_of

from .credential_slots import may_open, previous_still_open
from .emergency import is_exposed
from .ownership import refuse_change
from .publication import fallback_of, leases_last, lost_keys, may_return_to, publication_of
from .rollout import WorkloadProgress, next_changes, progress_of_workloads
from .rollout_obstacles import denied_until, stuck_pod_message
from .steps import Close, StateChange
from .triggers import waits_for_overlap, waits_for_previous, waits_until

# A suffix makes the same request new: "3" was handled, "3/again" was not. Two words of it are
# options, after a slash each: "3/again/hold".
_ASKED = re.compile(r"([0-9]{1,10})([^0-9].*)?")
HOLD = "hold"
"""Rotation is paused until a request or change of the spec, and not only until the next scheduled date."""
EVEN_EXPOSED = "even-exposed"
"""The revision is restored even if an emergency has exposed its values."""
_MAX_NAMED = 3
_MAX_CAUSE_LENGTH = 1024
"""Characters of the cause; users can edit the state Secret that has it."""


@dataclass(frozen=True, slots=True)
class GoBack(StateChange):
    """Make an earlier revision the current one, after a failed rollout or on request; rotations are paused then."""

    number: int
    rolled_back: int
    failed: bool
    lasts: bool = True
    """Whether rotation is paused until a request; otherwise until the next scheduled date."""

    def recorded(self, state: StateFacts, observed: Observed, now: datetime) -> StateFacts:
        triggers, pause = _triggers_after(self, state, observed), state.rollback_pause
        if self.number == self.rolled_back:
            if pause and not pause.failed:
                pause = replace(pause, lasts=self.lasts)  # the request can still prolong or shorten the pause
            return replace(state, triggers=triggers, rollback_pause=pause)
        return replace(
            _exchange(self, state.with_published(publication_of(observed)), observed, now),
            triggers=triggers,
            rotated=_rotated_before(self, state) if self.failed else state.rotated,
            current_number=self.number,
            rollback_pause=RollbackPause(
                self.rolled_back,
                observed.managed.metadata.generation,
                now,
                self.failed,
                failures(observed) if self.failed else "",
                lasts=self.lasts,
            ),
        )


def requested_return(observed: Managed) -> GoBack | None:
    """Return the rollback to the revision that `keyturn.dev/rollback` names, once for each text."""
    asked, options, state = _unhandled_return(observed), _options(observed), observed.state
    if asked is None or not may_return_to(asked, state, observed.desired):
        return None
    if asked != state.current_number and EVEN_EXPOSED not in options and is_exposed(asked, observed):
        return None
    refuse_change(observed, f"{ROLLBACK} asks for revision {asked}")
    return GoBack(asked, state.current_number, failed=False, lasts=HOLD in options)


def supersedes_request(step: GoBack, observed: Observed) -> bool:
    """Whether a requested rollback supersedes a rotation that was requested before it and has not begun.

    One that an earlier pass has not seen to wait may have been requested later: it starts after the rollback.
    """
    pause = observed.state.rollback_pause if observed.state else None
    generation = observed.managed.metadata.generation
    pauses = step.number != step.rolled_back or (pause is not None and pause.generation == generation)
    is_asked = isinstance(observed, Managed) and observed.is_requested and _has_waited(observed)
    return not step.failed and pauses and is_asked


def _has_waited(observed: Managed) -> bool:
    """Whether a requested rotation waited at the last status: for a window, or behind a rotation in progress."""
    status = observed.managed.status
    waits = ("Rotating", ConditionReason.WAITS_FOR_WINDOW)
    if waits in ((one.type, one.reason) for one in status.conditions):
        return True
    still_waits = waits_until(observed) or waits_for_previous(observed) or waits_for_overlap(observed)
    return status.rotation is not None and bool(still_waits)


def _triggers_after(step: GoBack, state: StateFacts, observed: Observed) -> Triggers:
    """Return the handled requests; `last` is not one that is superseded, since that rotation was not done."""
    if supersedes_request(step, observed):
        return replace(state.triggers.with_handled(observed.requested), last=state.triggers.last)
    return replace(state.triggers, rollback=observed.requested.rollback or state.triggers.rollback)


def _rotated_before(step: GoBack, state: StateFacts) -> datetime:
    """Return when the values of a restored revision were rotated, so that a rotation that failed is still due."""
    rotated, number = state.rotated, step.rolled_back
    while number != step.number and (one := state.revision(number)) is not None:
        rotated, number = one.rotated_before or rotated, one.base or step.number
    return rotated


def _exchange(step: GoBack, state: StateFacts, observed: Observed, now: datetime) -> StateFacts:
    """Record that the credentials of the revision that is given up, and of a candidate, are to be closed."""
    back, given_up = state.credential_of(step.number), state.credential_of(step.rolled_back)
    if back is None or given_up is None:
        return state
    is_replaced = given_up is not back or state.candidate is not None
    if state.candidate:
        state = Close((state.candidate.number,)).recorded(state, observed, now)
    if given_up is not back:
        state = state.with_phase(Phase.CLOSING, now, {given_up.revision})
        if publication_of(observed) is None:
            state = state.with_revision_facts(replace(state.current, abandoned=True))
    if is_replaced and observed.account_desired and not observed.account_desired.capacity.overlaps:
        state = state.with_phase(Phase.STAGED, now, {back.revision})  # the server has one password at a time
    restored = state.revision(step.number)
    superseded = state.credential(restored.supersedes) if restored else None
    if restored and superseded and not superseded.is_proven:
        state = state.with_revision_facts(replace(restored, ended=True))
    return state


def refuse_unknown_return(observed: Managed) -> None:
    """Reject a requested rollback to a revision without values, or with exposed ones; called after all other steps.

    Raises:
        Stalled: NoSuchRevision, with the available revisions, CredentialRevoked, or RevisionExposed.
    """
    asked, state = _unhandled_return(observed), observed.state
    if asked is None:
        return
    if may_return_to(asked, state, observed.desired):
        raise Stalled(ErrorReason.REVISION_EXPOSED, exposed_message(observed.name, asked))
    available = {number for number in state.restorable if may_return_to(number, state, observed.desired)}
    others = sorted(available - {state.current_number})
    kept = ", ".join(str(number) for number in others)
    hint = f"write one of {kept}" if kept else "no earlier revision is kept, so remove the annotation"
    if lost := lost_keys(asked, state, observed.desired) if asked in state.restorable else None:
        lacking = f"the key ring {first_of(sorted(lost), _MAX_NAMED)} of revision {asked} lacks keys in use"
        raise Stalled(ErrorReason.NO_SUCH_REVISION, f"{ROLLBACK}: {lacking}; {hint}")
    if not leases_last(asked, state):
        raise Stalled(
            ErrorReason.CREDENTIAL_REVOKED,
            f"{ROLLBACK}: the dynamic credentials of revision {asked} are revoked at their store; {hint}",
        )
    if observed.desired.account and state.revision(asked):
        raise Stalled(
            ErrorReason.CREDENTIAL_REVOKED,
            f"{ROLLBACK}: the database server does not accept the credential of revision {asked}; {hint}",
        )
    what = f"revision {asked} is not available for rollback" if asked else "no revision is named for rollback"
    raise Stalled(ErrorReason.NO_SUCH_REVISION, f"{ROLLBACK}: {what}; {hint}")


def exposed_message(name: str, number: int) -> str:
    """Return why a rollback to an exposed revision is refused, and what to do instead."""
    return (
        f"revision {number} of {name} was made before an emergency, so its values are exposed; roll back to a later"
        f" revision, or run `keyturn rollback {name} --to {number} --even-exposed` to publish them again"
    )


def return_after_failure(observed: Managed) -> GoBack:
    """Return the rollback to the last good revision.

    Raises:
        Stalled: There is none, or it failed as well, or onFailure is Hold.
    """
    good = fallback_of(observed)
    if good is not None:
        return GoBack(good, observed.current.number, failed=True)
    failed = ", ".join(str(one.consumer.workload.key) for one in _failed(observed)[:_MAX_NAMED])
    what = f"{failed} did not become ready with revision {observed.current.number}"
    stuck = stuck_pod_message(observed.consumers)
    if observed.has_open_emergency:
        help_ = stuck or _help(observed, "rotate")
        message = f"{what}; the others are restarted nevertheless, because of an emergency; {help_}"
        raise Stalled(ErrorReason.ROLLOUT_FAILED, message, min(next_changes(observed), default=None))
    help_ = stuck or _help(observed, "rotate", "rollback")
    retries = (denied_until(one.workload, observed) for one in observed.consumers)
    again = min((when for when in retries if when), default=None)
    raise Stalled(ErrorReason.ROLLOUT_FAILED, f"{what}; no other workload is restarted; {help_}", again)


def _help(observed: Managed, *commands: str) -> str:
    """Return what ends a failed rollout; a rotation does not that waits for the end of this rollout."""
    waits = ""
    if observed.desired.account and not may_open(observed):
        commands = tuple(command for command in commands if command != "rotate")
        waits = f"; {previous_still_open(observed.state)}"
    runs = " or ".join(f"`keyturn {command} {observed.name}`" for command in commands)
    return f"fix the workload{f', or run {runs}' if runs else ''}{waits}"


def ask_for_help(observed: Managed) -> None:
    """Report a finished rollback as stalled.

    Raises:
        Stalled: RolledBack, with what the user can do.
    """
    if observed.rollback_pause and observed.rollback_pause.failed:
        known = cause_of(observed.rollback_pause)
        cause = f" ({known})" if known else ""
        raise Stalled(
            ErrorReason.ROLLED_BACK,
            f"workloads did not become ready with revision {observed.rollback_pause.number}; rolled back to revision"
            f" {observed.current.number}{cause}. Fix the cause, then run `keyturn rotate {observed.name}` or change"
            " the spec",
        )


def cause_of(pause: RollbackPause) -> str | None:
    """Return which workloads failed before a rollback, as the record has it; None if nothing failed."""
    return pause.cause[:_MAX_CAUSE_LENGTH] or None


def failures(observed: Observed) -> str:
    """Return which workloads failed, with pods and reasons; empty without one.

    A rollback records it, because it removes the pods that show the cause.
    """
    failed = _failed(observed)
    causes = [f"{one.consumer.workload.key}: {one.message}" for one in failed[:_MAX_NAMED]]
    more = [f"{len(failed) - _MAX_NAMED} more"] if len(failed) > _MAX_NAMED else []
    return "; ".join([*causes, *more])[:_MAX_CAUSE_LENGTH]


def _failed(observed: Observed) -> list[WorkloadProgress]:
    return [one for one in progress_of_workloads(observed) if one.state is WorkloadState.FAILED]


def _unhandled_return(observed: Managed) -> int | None:
    asked = observed.unhandled_rollback
    return None if asked is None else _leading_number(asked)


def _options(observed: Observed) -> list[str]:
    return (observed.requested.rollback or "").split("/")[1:]


def _leading_number(asked: str) -> int:
    match = _ASKED.fullmatch(asked)
    return int(match[1]) if match else 0
