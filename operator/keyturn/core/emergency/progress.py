"""Progress of one ManagedSecret in an emergency."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TypeAlias

from keyturn.api.emergency import AffectedLogin, AffectedState
from keyturn.api.status import WorkloadState
from keyturn.core.errors import Stalled, Wait
from keyturn.core.labels import LEASES_REVOKED
from keyturn.core.observation.emergency import Emergency
from keyturn.core.observation.observed import Observed
from keyturn.core.rotation.emergency import (
    asked_at,
    first_answer,
    has_only_new_values,
    is_rotated_before,
    is_target_immutable,
    renewed_by,
)
from keyturn.core.rotation.leases import idle_leases, refused_leases, stated_at, unrevoked
from keyturn.core.rotation.old_pods import are_unread, behind_message, owners_behind, unread
from keyturn.core.rotation.ownership import is_created_again
from keyturn.core.rotation.publication import published_at, was_published
from keyturn.core.rotation.push import Unpushed, unpushed
from keyturn.core.rotation.rollout import progress_of_workloads
from keyturn.core.spec.desired import Desired
from keyturn.core.state.revision import RevisionFacts, is_found
from keyturn.core.texts import first_within
from keyturn.core.times import clock

from .logins import exposed_logins
from .size import MAX_MESSAGE

_CERTIFICATE = "tls.crt"
"""The key of a Secret that has the CA, if it has one."""
_WORST_FIRST = (
    AffectedState.FAILED,
    AffectedState.STALLED,
    AffectedState.SUSPENDED,
    AffectedState.PODS_UNKNOWN,
    AffectedState.RELOAD_UNPROVEN,
    AffectedState.ROTATED,
)
"""The states of a secret with new values that is not done."""
_OF_WORKLOADS: Mapping[WorkloadState, AffectedState] = {
    WorkloadState.FAILED: AffectedState.FAILED,
    WorkloadState.ROLLING: AffectedState.ROTATED,
    WorkloadState.PENDING: AffectedState.ROTATED,
    WorkloadState.RELOADED: AffectedState.RELOAD_UNPROVEN,
}
"""The states of workloads that keep a secret from being done."""
_Point: TypeAlias = "tuple[AffectedState, Sequence[str]]"
"""What keeps a secret from being done: the state that follows, and a message for each workload, pod or store."""


@dataclass(frozen=True, slots=True)
class Affected:
    """Progress of one ManagedSecret in an emergency."""

    state: AffectedState
    revision: int | None = None
    """The published revision, if its values are new since the declaration."""
    rotated: datetime | None = None
    """When those values were published."""
    message: str | None = None
    open_points: tuple[str, ...] = ()
    """Everything that keeps it from being done; the message has as many as fit."""
    workloads: tuple[str, ...] = ()
    """The consumers."""
    others: tuple[str, ...] | None = None
    """Owners of other pods that hold exposed values, each with a message; None if they were not read."""
    pulled: tuple[str, ...] = ()
    """Pulled items, each with its store, where they must be rotated."""
    literals: tuple[str, ...] = ()
    """Literal items, which the spec shows in plain text."""
    found: tuple[str, ...] = ()
    """Keys of an adopted Secret that no item writes; their values stay as they were found."""
    unpushed: tuple[Unpushed, ...] = ()
    """Destinations that may hold values from before the declaration."""
    logins: tuple[AffectedLogin, ...] = ()
    """Database logins with passwords from before the declaration."""
    has_new_ca: bool = False
    """Whether its Secret has a CA that is new since the declaration, whatever else is not."""


def affected(emergency: Emergency, observed: Observed, error: Wait | Stalled | None) -> Affected:
    """Return the progress of a secret, after a reconcile that ended with `error` or without one."""
    desired = observed.desired
    if desired is None:
        return _unrotated(observed, error)
    progress = Affected(
        AffectedState.PENDING,
        workloads=tuple(str(consumer.workload.key) for consumer in observed.consumers),
        pulled=tuple(
            f"{item.name} ({item.source.ref.name})"
            for item in desired.pulled
            if item.source and item.name not in _replaced_by_lease(emergency, observed)
        ),
        literals=tuple(item.name for item in desired.items if item.literal is not None),
        found=_found_keys(observed),
        logins=exposed_logins(emergency, observed, error),
        has_new_ca=_has_new_ca(emergency, observed, desired),
    )
    if not any(item.is_generated for item in desired.items):
        return _without_generated_values(progress, emergency, observed, desired, error)
    renewed = renewed_by(emergency, observed, desired)
    if renewed is None or not _was_published_since(renewed, observed):
        unrotated = _unrotated(observed, error)
        return replace(
            progress,
            state=unrotated.state,
            message=unrotated.message or _waiting(emergency, observed, desired),
        )
    return _rotated(progress, emergency, renewed, observed, desired, error)


def _has_new_ca(emergency: Emergency, observed: Observed, desired: Desired) -> bool:
    """Whether the new CA of a Secret is published; other certificates beside it may wait for another CA."""
    state, current = observed.state, observed.current
    if state is None or current is None:
        return False
    items = [name for name, keys in state.keys.items() if _CERTIFICATE in keys.values()]
    if not items and _CERTIFICATE not in state.templates:
        return False
    renewed = renewed_by(emergency, observed, desired, items)
    if renewed is None or current.number < renewed.number:
        return False
    if not has_only_new_values(emergency, current, state, desired):
        return False
    return any(published_at(one, observed) is not None for one in (renewed, current))


def _was_published_since(one: RevisionFacts, observed: Observed) -> bool:
    """Whether a revision or a later one was published."""
    is_later = observed.current is not None and observed.current.number > one.number
    return was_published(one, observed) or (is_later and observed.is_published)


def _without_generated_values(
    progress: Affected,
    emergency: Emergency,
    observed: Observed,
    desired: Desired,
    error: Wait | Stalled | None,
) -> Affected:
    """Return the progress of a secret without generated values, which waits for pods with earlier ones, too."""
    unrotated = _unrotated(observed, error)
    if observed.state is None and unrotated.message:  # what it has is unknown
        return replace(progress, state=unrotated.state, message=unrotated.message)
    if observed.current is not None:
        progress = _with_places(progress, observed, desired)
        if points := list(
            _open_points(progress, emergency, observed, observed.current.number, desired, error)
        ):
            waits = _with_points(progress, points)
            is_progress = waits.state is AffectedState.ROTATED
            return replace(waits, state=AffectedState.PENDING) if is_progress else waits
    message = _elsewhere(progress)
    if message is None and progress.literals:
        message = f"written in the spec: {', '.join(progress.literals)}"
    message = _with_statement(message, emergency, observed)
    current = observed.current
    if current is not None and _replaced_by_lease(emergency, observed) and not _elsewhere(progress):
        published = published_at(current, observed) or current.made
        done = AffectedState.ROLLED_OUT
        return replace(progress, state=done, message=message, revision=current.number, rotated=published)
    return replace(progress, state=AffectedState.NOTHING_TO_ROTATE, message=message)


def _with_places(progress: Affected, observed: Observed, desired: Desired) -> Affected:
    """Return the progress with the stores and the other pods that may hold earlier values."""
    return replace(progress, unpushed=unpushed(observed, desired), others=_others(observed, desired))


def _unrotated(observed: Observed, error: Wait | Stalled | None) -> Affected:
    if observed.managed.spec.suspend:
        return Affected(AffectedState.SUSPENDED, message="spec.suspend is true, so nothing is written")
    if isinstance(error, Stalled):
        return Affected(AffectedState.STALLED, message=f"{error.reason}: {error.message}")
    return Affected(AffectedState.PENDING, message=error.message if error else None)


def _kept_from(waits: str, state: AffectedState, observed: Observed, error: Wait | Stalled | None) -> _Point:
    """Return what the operator is still to do, with its state; or what keeps it from all writes, if anything does."""
    kept = _unrotated(observed, error)
    if kept.message is None or kept.state is AffectedState.PENDING:
        return state, [waits]
    return kept.state, [kept.message]


def _waiting(emergency: Emergency, observed: Observed, desired: Desired) -> str | None:
    if is_target_immutable(observed):
        other = "create another ManagedSecret for new values, and let its workloads use the new Secret"
        again = "delete it, so that it is created again, or " if is_created_again(desired) else ""
        return f"the Secret is immutable: {again}{other}"
    is_rotated = is_rotated_before(emergency, observed, desired)
    if emergency.signer and is_rotated:
        return (
            f"its certificate may still be signed by the exposed CA of the ManagedSecret {emergency.signer!r},"
            " which is not rotated yet"
        )
    if emergency.signer and not emergency.goes_first:
        return f"the ManagedSecret {emergency.signer!r}, whose CA signs its certificate, is rotated first"
    asking, when = asked_at(observed, desired) or (None, None)
    if asking is None or asking.name != emergency.name or when is None or when <= observed.now:
        return None
    if is_rotated:
        return f"its certificate may still be signed by an exposed CA; it is rotated again at {when:%H:%M:%S} UTC"
    return f"another emergency rotated it a moment ago; it is rotated again at {when:%H:%M:%S} UTC"


def _awaited_read(emergency: Emergency, observed: Observed, error: Wait | Stalled | None) -> str | None:
    """Return that the stores are still to be read for the emergency: dynamic credentials are issued by a read."""
    if emergency.uid not in {one.uid for one in observed.stale_for_emergencies}:
        return None
    return f"its stores are read again: {error.message}" if error else "its stores are read again"


def _rotated(
    progress: Affected,
    emergency: Emergency,
    renewed: RevisionFacts,
    observed: Observed,
    desired: Desired,
    error: Wait | Stalled | None,
) -> Affected:
    current = observed.current
    if current is None or current.number < renewed.number:
        number = current.number if current else None
        message = f"rolled back to revision {number}, which has the values from before the emergency; rotate it again"
        return replace(progress, state=AffectedState.FAILED, message=message)
    if observed.state and not has_only_new_values(emergency, current, observed.state, desired):
        message = (
            f"the record does not show that every value of revision {current.number} was generated since the"
            " declaration, such as after a rollback or an adoption; rotate it again"
        )
        return replace(progress, state=AffectedState.FAILED, message=message)
    rotated = published_at(renewed, observed) or published_at(current, observed) or renewed.made
    progress = replace(_with_places(progress, observed, desired), revision=current.number, rotated=rotated)
    if points := list(_open_points(progress, emergency, observed, current.number, desired, error)):
        return _with_points(progress, points)
    done = _elsewhere(progress) or _read_before(observed)
    return replace(
        progress, state=AffectedState.ROLLED_OUT, message=_with_statement(done, emergency, observed)
    )


def _with_points(progress: Affected, points: Sequence[_Point]) -> Affected:
    """Return the progress of a secret that waits, in the state that is worst, with a message about every point."""
    share = MAX_MESSAGE // len(points)
    return replace(
        progress,
        state=min((state for state, _ in points), key=_WORST_FIRST.index),
        message="; ".join(first_within(messages, share) for _, messages in points),
        open_points=tuple(dict.fromkeys(message for _, messages in points for message in messages)),
    )


def _open_points(
    progress: Affected,
    emergency: Emergency,
    observed: Observed,
    number: int,
    desired: Desired,
    error: Wait | Stalled | None,
) -> Iterator[_Point]:
    """Yield everything that keeps a secret with new values from being done, the first to come first."""
    if not observed.is_published:
        yield AffectedState.ROTATED, [f"the Secret is to be written with revision {number}"]
    yield from _points_of_pods(observed, desired)
    if _is_previous_readable(observed):
        yield AffectedState.ROTATED, ["the previous values are still readable"]
    if waits := _leased(observed):
        yield _kept_from(waits, AffectedState.ROTATED, observed, error)
    if refused := unrevoked(observed):
        yield _kept_from(refused.message, AffectedState.STALLED, observed, error)
    if previous := _previous_login(observed, desired):
        yield AffectedState.ROTATED, [previous]
    elif open_ := [login for login in progress.logins if login.refused_at is None]:
        yield AffectedState.STALLED, [f"login {login.login}: {login.message}" for login in open_]
    if progress.unpushed:
        yield _waiting_for_push(progress.unpushed)
    if waits := _awaited_read(emergency, observed, error):
        yield _kept_from(waits, AffectedState.ROTATED, observed, error)


def _points_of_pods(observed: Observed, desired: Desired) -> Iterator[_Point]:
    """Yield the workloads that are behind, those that are not proven to be current, and the owners of other pods."""
    workloads = progress_of_workloads(observed)
    for state, verdict in _OF_WORKLOADS.items():
        remedy = (
            "; remove that annotation, and Keyturn restarts it" if state is WorkloadState.RELOADED else ""
        )
        if messages := [f"{one.described()}{remedy}" for one in workloads if one.state is state]:
            yield verdict, messages
    if owners := owners_behind(observed, desired):
        yield AffectedState.ROTATED, [f"{owner} {behind_message(owner, observed)}" for owner in owners]
    if are_unread(observed):
        yield (
            AffectedState.PODS_UNKNOWN if observed.unread is None else AffectedState.ROTATED,
            [unread(observed)],
        )


def _is_previous_readable(observed: Observed) -> bool:
    overlapping = observed.target is not None and observed.target.overlapping
    return observed.current is not None and bool(observed.current.keeps_previous or overlapping)


def _previous_login(observed: Observed, desired: Desired) -> str | None:
    """Return a message with the logins that Keyturn closes at the database server."""
    if desired.database is None or observed.state is None:
        return None
    current = observed.state.current_credential
    logins = sorted(one.login for one in observed.state.open_credentials if one is not current)
    if not logins:
        return None
    problem = observed.account.problem if observed.account else None
    return f"the previous login {', '.join(logins)} is to be closed" + (
        f": {problem.message}" if problem else ""
    )


def _replaced_by_lease(emergency: Emergency, observed: Observed) -> frozenset[str]:
    """Return the items whose dynamic credentials were issued since the declaration."""
    state = observed.state
    if state is None:
        return frozenset()
    since = first_answer(emergency.uid, state)
    before = (one.number for one in state.revisions if since is None or one.number < since)
    exposed = frozenset[str]().union(*(state.leases_by_revision.get(number, ()) for number in before))
    return frozenset(item for item, lease in state.leases_by_item.items() if lease not in exposed)


def _leased(observed: Observed) -> str | None:
    """Return a message with the leases of earlier dynamic credentials that are to be revoked."""
    number = sum(lease.is_carried for lease in idle_leases(observed)) - len(refused_leases(observed))
    return f"leases of earlier credentials are to be revoked: {number}" if number else None


def _with_statement(message: str | None, emergency: Emergency, observed: Observed) -> str | None:
    """Return a message after a person's statement about leases of earlier credentials, if there is one."""
    stated = stated_at(observed)
    if stated is None or stated < emergency.started:
        return message
    statement = (
        f"a person states by {LEASES_REVOKED} that leases which Keyturn could not revoke were revoked at the store"
        f" by {clock(stated.astimezone(UTC))}; Keyturn has not seen it"
    )
    return "; ".join(part for part in (statement, message) if part)


def _read_before(observed: Observed) -> str | None:
    """Return a message with the previous values that pods have read in addition, during an overlap that has ended."""
    previous = observed.current.previous if observed.current else frozenset()
    if not previous or not observed.consumers:
        return None
    keys = ", ".join(sorted(previous))
    return (
        f"its pods have read the previous value of {keys} next to the new one;"
        " restart them if they still accept it"
    )


def _others(observed: Observed, desired: Desired) -> tuple[str, ...] | None:
    if observed.holders is None or observed.holders.forbidden:
        return None
    return tuple(f"{owner} {behind_message(owner, observed)}" for owner in owners_behind(observed, desired))


def _waiting_for_push(unpushed: Iterable[Unpushed]) -> _Point:
    places = sorted(unpushed, key=lambda destination: (not destination.needs_a_person, destination.place))
    state = AffectedState.STALLED if places[0].needs_a_person else AffectedState.ROTATED
    return state, [f"pushTo: {destination.message}" for destination in places]


def _found_keys(observed: Observed) -> tuple[str, ...]:
    kept = observed.state.keys if observed.state else {}
    return tuple(sorted(key for name, keys in kept.items() if is_found(name) for key in keys.values()))


def _elsewhere(progress: Affected) -> str | None:
    pulled = f"to be rotated at its store: {', '.join(progress.pulled)}" if progress.pulled else None
    found = (
        f"kept as found in the adopted Secret, to be replaced by hand: {', '.join(progress.found)}"
        if progress.found
        else None
    )
    return "; ".join(message for message in (pulled, found) if message) or None
