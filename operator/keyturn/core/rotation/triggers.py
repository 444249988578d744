"""Triggers of a new revision: all reasons, each a named check, and when the next one is due.

Values change for these reasons only; a restart of the operator is none.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from keyturn.api.account import USERNAME
from keyturn.core.observation.observed import Managed, Observed, Specified, once
from keyturn.core.reasons import RevisionReason
from keyturn.core.spec.desired import Desired
from keyturn.core.spec.items import Timetable
from keyturn.core.spec.schedule import is_open, next_due, opening, starts_at
from keyturn.core.state.records import Validity, is_found
from keyturn.core.state.state import StateFacts
from keyturn.core.texts import first_of

from .completion import (
    drops_kept_value,
    entries_to_read,
    overlap_end,
    precedes_announced_keys,
    without_awaited,
)
from .credential_slots import brings_credential, is_exhausted, is_locked, may_open
from .emergency import asked_at, asked_items
from .schedule_dates import last_known_time, recorded_time, scheduled_dates, stays_overdue
from .steps import Reason

ON_REQUEST = frozenset({RevisionReason.TRIGGERED, RevisionReason.EMERGENCY})
"""Reasons of rotations that a person asked for."""
_MAX_NAMED = 5
_UNAPPLIED = (
    "in the Secret alone (appliedBy: Nobody): until you apply the new value where it is used, servers refuse it, and"
    " data that the old one encrypted is unreadable"
)


def first_reason(observed: Specified) -> Reason:
    """Return the reason for the first revision."""
    reason, message = RevisionReason.CREATED, "the Secret is written for the first time"
    if observed.managed.status.revision is not None:
        reason, message = RevisionReason.LOST, "the Secret and its state are gone; new values are generated"
    return Reason(reason, message, observed.desired.names, rotates=True)


def emergency_was_declared(observed: Managed) -> Reason | None:
    """Rotate the values that emergencies take, regardless of windows and schedule."""
    asked = asked_at(observed) if observed.emergencies else None
    if asked is None or asked[1] is None or observed.now < asked[1]:
        return None
    fresh = asked_items(observed)
    return Reason(RevisionReason.EMERGENCY, f"the emergency {asked[0].name} asks for it", fresh, rotates=True)


def candidate_was_abandoned(observed: Managed) -> Reason | None:
    """Continue a rotation whose candidate was given up before it was published, with another one."""
    last, database = observed.state.last_new_credential, observed.desired.account
    if last is None or database is None or not last.abandoned or is_exhausted(observed.state):
        return None
    fresh = {item.name for item in observed.desired.items if item.recipe and item.name in last.fresh}
    return Reason(
        last.reason,
        f"revision {last.number} was given up before it was published",
        frozenset(fresh | {database.password}),
        rotates=True,
    )


def account_is_new(observed: Managed) -> Reason | None:
    database = observed.desired.account
    if database is None or observed.current.credential is not None or is_exhausted(observed.state):
        return None
    fresh = frozenset({database.password})
    return Reason(
        RevisionReason.SPEC_CHANGED, "the database account is managed from now on", fresh, rotates=False
    )


def items_were_added(observed: Managed) -> Reason | None:
    added = observed.desired.names - observed.state.names
    if observed.desired.account and observed.current.credential is None:
        added -= {USERNAME}  # `account_is_new` brings it, with a password
    if not added:
        return None
    return Reason(RevisionReason.SPEC_CHANGED, f"data has new items: {_list(added)}", added, rotates=False)


def items_were_removed(observed: Managed) -> Reason | None:
    if not (removed := removed_items(observed.desired, observed.state)):
        return None
    fresh = entries_to_read(observed)
    return Reason(RevisionReason.SPEC_CHANGED, f"data no longer has: {_list(removed)}", fresh, rotates=False)


def removed_items(desired: Desired, state: StateFacts) -> frozenset[str]:
    """Return the items that the current revision has and the next one has not.

    Adopted values stay until an item writes their key.
    """
    gone = state.names - desired.names
    if not desired.target_policy.keeps_others:
        return gone
    return frozenset(
        name
        for name in gone
        if not is_found(name) or not desired.every_key.isdisjoint(state.keys[name].values())
    )


def keys_were_renamed(observed: Managed) -> Reason | None:
    unread, now, then = _unread(observed), observed.desired.keys, observed.state.keys
    renamed = {
        name
        for name in now.keys() & then
        if now[name] != then[name] and (name not in unread or now[name].keys() == then[name].keys())
    }
    if not renamed:
        return None
    fresh = entries_to_read(observed)
    return Reason(
        RevisionReason.SPEC_CHANGED, f"keys of data changed: {_list(renamed)}", fresh, rotates=False
    )


def templates_were_changed(observed: Managed) -> Reason | None:
    if observed.state.templates == observed.desired.templates:
        return None
    fresh = entries_to_read(observed)
    return Reason(RevisionReason.SPEC_CHANGED, "target.template.data changed", fresh, rotates=False)


def recipe_refuses_value(observed: Managed) -> Reason | None:
    mismatched_items = observed.mismatched_items - _unread(observed)
    if not mismatched_items:
        return None
    return Reason(
        RevisionReason.SPEC_CHANGED,
        f"the spec asks for other values: {_list(mismatched_items)}",
        mismatched_items,
        rotates=False,
    )


def _unread(observed: Managed) -> frozenset[str]:
    """Return the items that cannot be read now: their values stay, and block nothing else."""
    return (
        frozenset(item.name for item in observed.desired.pulled) if observed.pulled.problem else frozenset()
    )


def renewal_was_requested(observed: Managed) -> Reason | None:
    if not observed.is_requested or not is_open(observed.desired.windows, observed.now):
        return None
    return Reason(
        RevisionReason.TRIGGERED, "a new trigger asks for it", observed.desired.rotates, rotates=True
    )


def rotation_is_due(observed: Managed) -> Reason | None:
    if not (dates := _automatic_dates(observed)) or not is_open(observed.desired.windows, observed.now):
        return None
    until = _gathered_until(observed)
    gathered = [one for one, due in dates.items() if due <= until]
    if not gathered:
        return None
    fresh = frozenset[str]().union(*(one.values for one in gathered))
    due = min(dates[one] for one in gathered)
    which = f"{_list(fresh)}: " if len(dates) > 1 else ""
    when = "was due at" if due <= observed.now else "is due at"
    return Reason(RevisionReason.ROTATION_DUE, f"{which}{when} {due:%Y-%m-%d %H:%M} UTC", fresh, rotates=True)


def _gathered_until(observed: Managed) -> datetime:
    """Return until when values may be due that rotate now: a while ahead if one is due, so that few restarts come."""
    lives = _validities(observed).values()
    times = [
        *_automatic_dates(observed).values(),
        *(_renewal_of(one, observed.desired, observed.now) for one in lives),
    ]
    is_due = any(when <= observed.now for when in times)
    return observed.now + observed.desired.gathers if is_due else observed.now


def value_is_ending(observed: Managed) -> Reason | None:
    """Renew a value that is about to expire, such as a certificate, and no other."""
    if not (lives := _validities(observed)):
        return None
    until = _gathered_until(observed)
    ends = {name: _renewal_of(life, observed.desired, observed.now) for name, life in lives.items()}
    ending = frozenset(name for name, end in ends.items() if end <= until)
    if not ending:
        return None
    return Reason(RevisionReason.ENDING, f"about to expire: {_list(ending)}", ending, rotates=False)


def store_has_others(observed: Managed) -> Reason | None:
    changed = observed.pulled.changed & observed.desired.names
    if not changed or store_change_waits(changed, observed):
        return None
    return Reason(
        RevisionReason.REFRESHED, f"values changed in stores: {_list(changed)}", changed, rotates=False
    )


def store_change_waits(changed: frozenset[str], observed: Managed) -> bool:
    """Whether values that changed in stores wait for a window.

    Values of leases do not wait, because the earlier ones may expire before it opens; nor do those of an emergency.
    """
    leased = not changed.isdisjoint(observed.state.leases_by_item)
    if observed.desired.pulls_at_once or observed.stale_for_emergencies or leased:
        return False
    return bool(changed) and not is_open(observed.desired.windows, observed.now)


REVISION_CHECKS: tuple[Callable[[Managed], Reason | None], ...] = (
    emergency_was_declared,
    candidate_was_abandoned,
    account_is_new,
    items_were_added,
    items_were_removed,
    keys_were_renamed,
    templates_were_changed,
    recipe_refuses_value,
    renewal_was_requested,
    rotation_is_due,
    value_is_ending,
    store_has_others,
)


def reason_for_revision(observed: Managed) -> Reason | None:
    """Return all reasons that apply, joined under the name of the first rotation, so one revision serves them all.

    A new password of a database account waits until the previous one is closed; all else does not. While the login
    is locked at the server, which the new one would open, it also waits for a request.
    """
    applying = _applying_reasons(observed)
    reasons = [reason for reason in applying if not _waits_for_pods(reason, observed)]
    if observed.desired.account is not None and not may_open(observed):
        reasons = [reason for reason in reasons if not brings_credential(reason.fresh, observed.desired)]
    if observed.has_externals and is_locked(observed):
        # The first one names the revision.
        asking = [reason for reason in reasons if reason.name in ON_REQUEST]
        others = (one for one in reasons if one not in asking)
        reasons = asking + [one for one in others if not brings_credential(one.fresh, observed.desired)]
    if not reasons:
        return None
    reasons = without_awaited(reasons, observed)
    first = one = next((reason for reason in reasons if reason.rotates), reasons[0])
    for other in reasons:
        one = one if other is first else one.joined(other)
    return one


def is_asked(observed: Managed) -> bool:
    """Whether a person asks for a rotation, by a trigger or an emergency."""
    return any(reason.name in ON_REQUEST for reason in _applying_reasons(observed))


def waits_for_previous(observed: Managed) -> bool:
    """Whether a reason for a new password waits until another credential is closed or proven."""
    if observed.desired.account is None or may_open(observed):
        return False
    return any(brings_credential(reason.fresh, observed.desired) for reason in _applying_reasons(observed))


def waits_for_overlap(observed: Managed) -> Reason | None:
    """Return the first reason for new values that waits for an overlap or for an announced key; None if none does."""
    return next((one for one in _applying_reasons(observed) if _waits_for_pods(one, observed)), None)


def _waits_for_pods(reason: Reason, observed: Managed) -> bool:
    return drops_kept_value(reason, observed) or precedes_announced_keys(reason, observed)


def _applying_reasons(observed: Managed) -> list[Reason]:
    """Return the reasons that apply.

    While a rollback pauses rotation, only an emergency applies, or a change in a store that neither revision has.
    """
    is_held = is_paused(observed) and not observed.pulled.changed
    if is_held and not emergency_was_declared(observed):
        return []
    return [reason for check in REVISION_CHECKS if (reason := check(observed))]


def due_time(observed: Managed) -> datetime | None:
    """Return when the next rotation is due without a request: by schedule, or because a value expires."""
    renewals = (life.renew for life in _validities(observed).values())
    return min([*renewals, *_automatic_dates(observed).values()], default=None)


def scheduled_time(observed: Managed) -> datetime | None:
    """Return when the next rotation by schedule is due."""
    return min(scheduled_dates(observed).values(), default=None)


@once
def _automatic_dates(observed: Managed) -> Mapping[Timetable, datetime]:
    """Return when each schedule starts a rotation, which it does not for values that rotate on request only.

    A date before a rollback on request is skipped.
    """
    pause = observed.rollback_pause
    dates = {one: due for one, due in scheduled_dates(observed).items() if not one.on_request}
    if pause is None or pause.lasts:
        return dates
    return {
        one: due if due > pause.at else next_due(one.cadence, pause.at, observed.uid) or due
        for one, due in dates.items()
    }


def _automatic_chances(observed: Managed) -> list[datetime]:
    """Return when the rotation of each schedule may start, which waits for an overlap of its values."""
    dates = _automatic_dates(observed).items()
    return [max(due, overlap_end(one.values, observed) or due) for one, due in dates]


def resume_time(observed: Managed) -> datetime | None:
    """Return when rotation resumes after a rollback on request; None if it waits for a request or change of the spec.

    It resumes in a window, so that nothing that waited meanwhile starts outside of one.
    """
    pause, desired = observed.rollback_pause, observed.desired
    if pause is None or pause.lasts:
        return None
    times = [
        _renewal_of(_renewed_after(pause.at, life), desired, observed.now)
        for life in _validities(observed).values()
        if life.end > pause.at
    ]
    dates = _automatic_dates(observed).values()
    times += [starts_at(scheduled, desired.windows, observed.now) for scheduled in dates]
    return min(times, default=None)


def _renewed_after(rollback: datetime, life: Validity) -> Validity:
    """Return a validity whose renewal was not due at a rollback: half of the time that was left is then over."""
    return life if life.renew > rollback else replace(life, renew=rollback + (life.end - rollback) / 2)


def is_paused(observed: Managed) -> bool:
    """Whether a rollback pauses rotation now."""
    if observed.rollback_pause is None:
        return False
    resumes = resume_time(observed)
    return resumes is None or observed.now < resumes


@once
def start_time(observed: Managed) -> datetime | None:
    """Return when the next rotation starts; due and requested ones wait for a window."""
    asked = asked_at(observed) if observed.emergencies else None
    if is_paused(observed):
        return min((when for when in (resume_time(observed), asked and asked[1]) if when), default=None)
    desired, windows = observed.desired, observed.desired.windows
    end = overlap_end(desired.rotates, observed)
    times = [_renewal_of(life, desired, observed.now) for life in _validities(observed).values()]
    times += [starts_at(chance, windows, observed.now) for chance in _automatic_chances(observed)]
    is_waiting = observed.is_requested or observed.pulled.waiting
    if observed.is_requested and end:
        times.append(starts_at(end, windows, observed.now))
    elif is_waiting and not is_open(windows, observed.now):
        times.append(opening(windows, observed.now))
    if asked and asked[1]:
        times.append(asked[1])
    return min(times, default=None)


def waits_until(observed: Managed) -> datetime | None:
    """Return when the window opens that a rotation or a change in a store waits for; None if none waits."""
    if is_open(observed.desired.windows, observed.now):
        return None
    due, start = due_time(observed), start_time(observed)
    is_due = due is not None and due <= observed.now
    waits = is_due or observed.is_requested or bool(observed.pulled.waiting)
    return start if waits and start and start > observed.now else None


def is_overdue(observed: Observed) -> bool:
    """Whether a rotation is due and a window was open since then."""
    time = overdue_time(observed)
    if time is not None and time <= observed.now:
        return True
    return not isinstance(observed, Managed) and stays_overdue(observed)


def overdue_time(observed: Observed) -> datetime | None:
    """Return from when on a rotation is overdue, also if it is suspended or held after a rollback."""
    if not isinstance(observed, Managed):
        return None if observed.managed.status.rotates_on_request else last_known_time(observed)
    desired = observed.desired
    chances = [_renewal_of(life, desired, life.renew) for life in _validities(observed).values()]
    chances += [opening(desired.windows, chance) for chance in _automatic_chances(observed)]
    return min(chances, default=None)


def _renewal_of(life: Validity, desired: Desired, now: datetime) -> datetime:
    """Return when an expiring value is renewed: in a window, or at once if it would expire before one opens."""
    start = starts_at(life.renew, desired.windows, now)
    return start if start < life.end else life.renew


def _validities(observed: Managed) -> dict[str, Validity]:
    """Return the validity of values by item, without pulled ones, which the store renews."""
    if not (lives := observed.state.lives):
        return {}
    names = {item.name for item in observed.desired.items if not item.source}
    return {name: life for name, life in lives.items() if name in names}


def _list(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


# Values that rotate on request only, because nothing applies them outside of the Secret (appliedBy: Nobody)


def due_on_request(observed: Observed) -> datetime | None:
    """Return when values are due by schedule that rotate on request only; None for all others."""
    status = observed.managed.status
    if not isinstance(observed, Managed):
        known = recorded_time(observed) or status.next_rotation_time
        return known if status.rotates_on_request else None
    if not observed.desired.on_request:
        return None
    return min((due for one, due in scheduled_dates(observed).items() if one.on_request), default=None)


def rotates_on_request(observed: Observed) -> bool:
    """Whether values that are due next wait for a request."""
    due = due_on_request(observed)
    others = _automatic_dates(observed).values() if isinstance(observed, Managed) else ()
    return due is not None and all(due <= other for other in others)


def is_due_on_request(observed: Observed) -> bool:
    """Whether values are due that wait for a request."""
    due = due_on_request(observed)
    return due is not None and due <= observed.now


def next_time(observed: Observed) -> datetime | None:
    """Return when the next rotation starts, or when values are due that wait for a request."""
    if not isinstance(observed, Managed):
        return last_known_time(observed)
    start, due = start_time(observed), due_on_request(observed)
    if start is None or due is None:
        return start or due
    return start if observed.is_requested else min(start, due)


def breakage_of(desired: Desired) -> str:
    """Return what a rotation breaks."""
    return f"a rotation changes {first_of(sorted(desired.on_request), _MAX_NAMED)} {_UNAPPLIED}"


def breakage_by_change(replaced: Collection[str]) -> str:
    """Return what a change of the spec breaks that replaces values, or may replace them."""
    return f"this change gives {first_of(sorted(replaced), _MAX_NAMED)} another value {_UNAPPLIED}"
