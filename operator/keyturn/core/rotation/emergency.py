"""Demands of an emergency on one ManagedSecret: new values, and settings that it overrides."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from keyturn.api.emergency import Revoke
from keyturn.api.rotation import OnFailure
from keyturn.core.observation.emergency import CREATION_PRECISION, Emergency
from keyturn.core.reasons import RevisionReason

from .publication import published_at, was_published

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from datetime import datetime

    from keyturn.core.observation.observed import Observed
    from keyturn.core.spec.desired import Desired
    from keyturn.core.state.revision import RevisionFacts
    from keyturn.core.state.state import StateFacts

COOL_DOWN = timedelta(minutes=5)
"""Minimum time between rotations for two emergencies, so repeated declarations do not exhaust services."""
_UNLIMITED = 1_000_000
_MIN_OVERLAP = timedelta(seconds=1)


def asked_at(observed: Observed, desired: Desired) -> tuple[Emergency, datetime | None] | None:
    """Return the first emergency that requires new values, and from when on; no time while it waits for a CA.

    Certificates wait for the rotation of the CA that signs them, if an emergency affects that, too. Where that cannot
    be rotated soon, all values are new before it, and the certificates once more after it. An emergency that waits
    does not delay another one.
    """
    asking = (
        emergency
        for emergency in observed.emergencies
        if emergency.is_open and _asks(emergency, observed, desired)
    )
    first = min(
        asking,
        key=lambda one: (_waits_for_signer(one, observed, desired), one.started, one.name),
        default=None,
    )
    if first is None or observed.state is None:
        return None
    if _waits_for_signer(first, observed, desired):
        return first, None
    made = [
        revision.made
        for revision in observed.state.revisions
        if revision.reason == RevisionReason.EMERGENCY and revision.made <= observed.now + COOL_DOWN
    ]
    signed = [first.signed_from] if first.signed_from else []
    return first, max([first.started, *signed, *(time + COOL_DOWN for time in made)])


def waits_for_signer(observed: Observed, desired: Desired) -> bool:
    """Whether the emergencies that require new values all wait for a CA."""
    asked = asked_at(observed, desired)
    return asked is not None and asked[1] is None


def asked_items(emergency: Emergency, observed: Observed, desired: Desired) -> frozenset[str]:
    """Return the items that an emergency requires new values of: each generated one, or the rest after its rotation.

    The rest are certificates from before the rotation of their CA, and items that a change of the spec added. A
    rollback can have brought back values from before an emergency; then the rest alone is not enough.
    """
    current = observed.current
    is_new = current is not None and all(
        has_only_new_values(current, one.started, observed, desired)
        for one in observed.emergencies
        if one.is_open
    )
    generated = frozenset(item.name for item in desired.items if item.recipe)
    if not is_new:
        return generated
    _, stale = _renewal(replace(emergency, signer=None, own_only=True), observed, desired)
    return generated.intersection(stale)


def _waits_for_signer(emergency: Emergency, observed: Observed, desired: Desired) -> bool:
    if emergency.signer is None:
        return False
    return not emergency.goes_first or is_rotated_before(emergency, observed, desired)


def is_rotated_before(emergency: Emergency, observed: Observed, desired: Desired) -> bool:
    """Whether an emergency has rotated every value, though perhaps before the CA that signs one of them."""
    return bool(emergency.signed) and (
        renewed_by(replace(without_signers(emergency), own_only=True), observed, desired) is not None
    )


def without_signers(emergency: Emergency) -> Emergency:
    return replace(emergency, signer=None, signed_from=None)


def without_delays(desired: Desired, emergencies: Iterable[Emergency]) -> Desired:
    """Return `desired` without delays, and without rollback to exposed values, while an emergency is open.

    The order of the waves stays, but a failed workload holds up none. Windows stay too, because they do not apply to
    emergencies but to all other rotations.
    """
    pressing = [emergency for emergency in emergencies if emergency.is_unfinished_here]
    if not pressing:
        return desired
    at_once = any(emergency.revoke is Revoke.IMMEDIATELY for emergency in pressing)
    return replace(
        desired,
        overlap=timedelta(0) if at_once else min(desired.overlap, _MIN_OVERLAP),
        debounce=timedelta(0),
        max_concurrent=_UNLIMITED,
        on_failure=OnFailure.HOLD,
    )


def revokes_at_once(observed: Observed) -> bool:
    """Whether previous values are removed at once, also those of a rotation in progress."""
    return any(
        emergency.is_unfinished_here and emergency.revoke is Revoke.IMMEDIATELY
        for emergency in observed.emergencies
    )


def published_from(observed: Observed) -> datetime | None:
    """Return from when on a first publication is provably later than every declaration; None if it is already.

    In the second of a declaration it could not be distinguished from earlier values, and would be rotated again.
    """
    return max((end for end in _provable_for_another(observed) if observed.now < end), default=None)


def is_taken_over(observed: Observed) -> bool:
    """Whether a revision from before a declaration is published for it, and nothing else would prove that for long.

    The Secret has the time of its publication, but can be deleted.
    """
    one = observed.current
    return one is not None and any(
        not _was_unknown(one, end, observed) for end in _provable_for_another(observed)
    )


def _provable_for_another(observed: Observed) -> tuple[datetime, ...]:
    """Return the end of the second of each declaration whose rotation is another, unpublished revision's."""
    current = observed.current
    if current is None or current.reason == RevisionReason.EMERGENCY or was_published(current, observed):
        return ()
    return tuple(
        emergency.started + CREATION_PRECISION for emergency in observed.emergencies if emergency.is_open
    )


# Which values are new.


def _asks(emergency: Emergency, observed: Observed, desired: Desired) -> bool:
    if (
        observed.state is None
        or is_target_immutable(observed)
        or not any(item.is_generated for item in desired.items)
    ):
        return False
    return renewed_by(emergency, observed, desired) is None


def is_target_immutable(observed: Observed) -> bool:
    return observed.target is not None and observed.target.immutable


def renewed_by(
    emergency: Emergency, observed: Observed, desired: Desired, only: Collection[str] = ()
) -> RevisionFacts | None:
    """Return the revision with which every generated value is later than the declaration; None if there is none.

    An unpublished rotation in progress counts: the emergency takes it over instead of starting a second one. A
    certificate from before the rotation of the CA that signs it does not. Of `only` some items the others do not
    matter.
    """
    renewed, _ = _renewal(emergency, observed, desired, only)
    return renewed


def _renewal(
    emergency: Emergency, observed: Observed, desired: Desired, only: Collection[str] = ()
) -> tuple[RevisionFacts | None, frozenset[str]]:
    """Return that revision, and the items that are not later than the declaration."""
    if observed.state is None:
        return None, frozenset()
    generated = _generated_items(observed.state, desired)
    stale = generated.intersection(only) or generated
    if emergency.signer and not emergency.signed.isdisjoint(stale):
        return None, stale
    for revision in reversed(observed.state.revisions):
        if not _may_renew(revision, emergency, observed):
            continue
        is_signed_before = emergency.signed_from is not None and revision.made < emergency.signed_from
        exposed = stale & emergency.signed if is_signed_before else frozenset()
        stale = (stale - revision.fresh) | exposed
        if not stale:
            return revision, stale
    return None, stale


def _may_renew(one: RevisionFacts, emergency: Emergency, observed: Observed) -> bool:
    """Whether values that were generated for a revision count as new since a declaration."""
    if one.abandoned or one.reason == RevisionReason.CLAIMED:
        return False
    if emergency.own_only and one.base is not None and one.reason != RevisionReason.EMERGENCY:
        return False
    return _is_since(one, emergency.started, observed)


def has_only_new_values(one: RevisionFacts, started: datetime, observed: Observed, desired: Desired) -> bool:
    """Whether a revision has no generated value from before a declaration, as far as its ancestors are recorded.

    After a rollback a revision is derived from an earlier one, and does not have the values of the one rolled back.
    """
    if observed.state is None:
        return False
    found: RevisionFacts | None = one
    stale = _generated_items(observed.state, desired)
    while stale and found is not None:
        if found.reason == RevisionReason.CLAIMED or not _is_since(found, started, observed):
            return False
        if _is_rotated_since(found, started, observed):
            return True
        stale -= found.fresh
        found = observed.state.revision(found.base)
    return True


def _generated_items(state: StateFacts, desired: Desired) -> frozenset[str]:
    """Return the generated items that the current revision has."""
    return state.names.intersection(item.name for item in desired.items if item.is_generated)


def _is_rotated_since(one: RevisionFacts, started: datetime, observed: Observed) -> bool:
    """Whether a revision was made for an emergency since a declaration, which changed all that can be changed.

    Its time may be that of another replica, whose clock is a little ahead.
    """
    return one.reason == RevisionReason.EMERGENCY and started <= one.made <= observed.now + COOL_DOWN


def _is_since(one: RevisionFacts, started: datetime, observed: Observed) -> bool:
    """Whether a revision is provably later than a declaration.

    Within its second only the emergency's own revision is. A time in the future, of a clock that was wrong, proves
    nothing.
    """
    if _is_rotated_since(one, started, observed):
        return True
    provable = started + CREATION_PRECISION
    if _was_unknown(one, provable, observed):
        return True
    published = published_at(one, observed)
    if published is not None:
        return provable <= published <= observed.now
    return observed.current is one and not was_published(one, observed)


def _was_unknown(one: RevisionFacts, provable: datetime, observed: Observed) -> bool:
    """Whether it is recorded that a revision was not made yet, or not published yet, later than a declaration."""
    return any(time is not None and provable <= time <= observed.now for time in (one.made, one.unpublished))


def is_exposed(number: int, observed: Observed) -> bool:
    """Whether a revision has values from before an emergency: from before a declaration, or its rotation."""
    one = observed.state.revision(number) if observed.state else None
    if one is None or observed.state is None:
        return False
    made = (known.number for known in observed.state.revisions if known.reason == RevisionReason.EMERGENCY)
    if any(one.number < later for later in made):
        return True
    declared = [emergency.started for emergency in observed.emergencies]
    declared += [observed.exposed_at] if observed.exposed_at else []
    return any(
        not _is_since(one, started, observed)
        or (
            observed.desired is not None and not has_only_new_values(one, started, observed, observed.desired)
        )
        for started in declared
    )
