"""Demands of an emergency on one ManagedSecret: new values, and settings that it overrides."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from keyturn.api.emergency import Revoke
from keyturn.api.rotation import OnFailure
from keyturn.core.observation.emergency import Emergency
from keyturn.core.observation.observed import Managed, Observed, Specified
from keyturn.core.reasons import RevisionReason
from keyturn.core.spec.desired import Desired
from keyturn.core.state.records import RevisionFacts
from keyturn.core.state.state import StateFacts

from .credential_slots import brings_credential, is_exhausted

COOL_DOWN = timedelta(minutes=5)
"""Minimum time between rotations for two emergencies, so repeated declarations do not exhaust services."""
MAX_ANSWERS = 20
"""Declarations that one revision answers; so many are open in a namespace at most."""
_WITH_CA = "/CA"
_UNLIMITED = 1_000_000
_MIN_OVERLAP = timedelta(seconds=1)


def asked_at(observed: Managed) -> tuple[Emergency, datetime | None] | None:
    """Return the first emergency that requires new values, and from when on; no time while it waits for a CA.

    Certificates wait for the rotation of the CA that signs them, if an emergency affects that, too. Where that cannot
    be rotated soon, all values are new before it, and the certificates once more after it. An emergency that waits
    does not delay another one.
    """
    asking = (one for one in observed.emergencies if one.is_open and _asks(one, observed))
    first = min(
        asking, key=lambda one: (_waits_for_signer(one, observed), one.started, one.name), default=None
    )
    if first is None:
        return None
    if _waits_for_signer(first, observed):
        return first, None
    made = [
        one.made
        for one in observed.state.revisions
        if one.reason == RevisionReason.EMERGENCY and one.made <= observed.now
    ]
    return first, max([first.started, *(time + COOL_DOWN for time in made)])


def waits_for_signer(observed: Managed) -> bool:
    """Whether the emergencies that require new values all wait for a CA."""
    asked = asked_at(observed)
    return asked is not None and asked[1] is None


def asked_items(observed: Managed) -> frozenset[str]:
    """Return the items that emergencies require new values of now: each that they take, or the rest after a rotation.

    One revision serves all that ask. The rest are certificates from before the rotation of their CA, and items that a
    change of the spec added. A rollback can have brought back values from before an emergency; then the rest alone is
    not enough.
    """
    generated = frozenset(item.name for item in observed.desired.items if item.recipe)
    opened = [one for one in observed.emergencies if one.is_open]
    is_new = all(has_only_new_values(one, observed) for one in opened)
    asked = frozenset[str]()
    for one in opened:
        if not _asks(one, observed) or _waits_for_signer(one, observed):
            continue
        _, stale = _renewal(replace(one, signer=None), observed)
        asked |= generated & stale if is_new else one.taken(generated)
    return asked


def _waits_for_signer(emergency: Emergency, observed: Managed) -> bool:
    if emergency.signer is None:
        return False
    return not emergency.goes_first or is_rotated_before(emergency, observed)


def is_rotated_before(emergency: Emergency, observed: Managed) -> bool:
    """Whether an emergency has rotated every value, though perhaps before the CA that signs one of them."""
    return bool(emergency.signed) and (renewed_by(without_signers(emergency), observed) is not None)


def without_signers(emergency: Emergency) -> Emergency:
    return replace(emergency, signer=None, signed=frozenset())


def without_delays(desired: Desired, emergencies: Iterable[Emergency]) -> Desired:
    """Return `desired` without delays, and without rollback to exposed values, while an emergency is open.

    The order of the waves stays, but a failed workload holds up none. Windows stay too, because they do not apply to
    emergencies but to all other rotations.
    """
    pressing = [emergency for emergency in emergencies if emergency.is_unfinished_here]
    if not pressing:
        return desired
    longest: dict[str, timedelta] = {}
    shared = desired.overlap
    for one in pressing:
        limit = timedelta(0) if one.revoke is Revoke.IMMEDIATELY else _MIN_OVERLAP
        longest |= {name: min(limit, longest.get(name, limit)) for name in one.taken(desired.names)}
        shared = min(limit, shared) if one.items is None else shared
    return replace(
        desired,
        overlap=shared,
        longest_overlaps=longest,
        debounce=timedelta(0),
        max_concurrent=_UNLIMITED,
        on_failure=OnFailure.HOLD,
    )


def revokes_at_once(observed: Observed, items: Collection[str]) -> bool:
    """Whether previous values of some items are removed at once, also those of a rotation in progress."""
    return any(
        one.is_unfinished_here
        and one.revoke is Revoke.IMMEDIATELY
        and (one.items is None or one.taken(items))
        for one in observed.emergencies
    )


# Which values are new.


def _asks(emergency: Emergency, observed: Managed) -> bool:
    if is_target_immutable(observed) or not generated_items(emergency, observed.desired):
        return False
    if _was_refused(emergency, observed):
        return False
    return renewed_by(emergency, observed) is None


def generated_items(emergency: Emergency, desired: Desired) -> frozenset[str]:
    """Return the generated items that an emergency takes."""
    return emergency.taken([item.name for item in desired.items if item.is_generated])


def _was_refused(emergency: Emergency, observed: Managed) -> bool:
    """Whether a database server has refused every candidate of an emergency's rotation."""
    last = observed.state.last_new_credential if is_exhausted(observed.state) else None
    if last is None or last.reason != RevisionReason.EMERGENCY or emergency.uid not in last.answers:
        return False
    return emergency.items is None or brings_credential(emergency.items, observed.desired)


def is_target_immutable(observed: Observed) -> bool:
    return observed.target is not None and observed.target.immutable


def renewed_by(emergency: Emergency, observed: Managed, only: Collection[str] = ()) -> RevisionFacts | None:
    """Return the revision with which every generated value is later than the declaration; None if there is none.

    A certificate from before the rotation of the CA that signs it is not. Of `only` some items the others do not
    matter.
    """
    renewed, _ = _renewal(emergency, observed, only)
    return renewed


def _renewal(
    emergency: Emergency, observed: Managed, only: Collection[str] = ()
) -> tuple[RevisionFacts | None, frozenset[str]]:
    """Return that revision, and the items that are not later than the declaration."""
    state, generated = observed.state, emergency.taken(_generated_items(observed))
    wanted, since = generated.intersection(only) or generated, first_answer(emergency.uid, state)
    if since is None or (emergency.signer and not emergency.signed.isdisjoint(wanted)):
        return None, wanted
    renewed, stale = None, wanted
    for one in reversed(state.revisions):
        if one.number < since or one.abandoned or one.reason == RevisionReason.CLAIMED:
            continue
        stale -= one.fresh
        if _with_ca(emergency) not in one.answers:
            stale |= one.fresh & emergency.signed & wanted
        renewed = None if stale else renewed or one
    return renewed, stale


def answered(observed: Observed, reason: str) -> frozenset[str]:
    """Return the declarations that a revision answers which is staged now: values generated for it are later.

    The rotation of a CA that continues to trust the previous one answers none. A declaration whose CAs are rotated is
    answered under a second name.
    """
    is_own = observed.state is None or reason == RevisionReason.EMERGENCY
    counting = [one for one in observed.emergencies if is_own or not one.own_only]
    latest = sorted(counting, key=lambda one: (one.is_open, one.started, one.uid))[-MAX_ANSWERS:]
    signed = (_with_ca(one) for one in latest if one.signed and one.signer is None)
    return frozenset([*(one.uid for one in latest), *signed])


def _with_ca(emergency: Emergency) -> str:
    return f"{emergency.uid}{_WITH_CA}"


def taken_items(answers: frozenset[str], observed: Specified) -> Mapping[str, frozenset[str]]:
    """Return the items that answered declarations take, of those that do not take all.

    They are recorded, because a closed emergency is not observed any more.
    """
    some = (one for one in observed.emergencies if one.uid in answers and one.items is not None)
    return {one.uid: one.taken(observed.desired.names) for one in some}


def first_answer(uid: str, state: StateFacts) -> int | None:
    """Return the first revision that answers a declaration: it and all with higher numbers were staged later."""
    return min((one.number for one in state.revisions if uid in one.answers), default=None)


def stale_items(uid: str, number: int, state: StateFacts, generated: frozenset[str]) -> frozenset[str]:
    """Return the generated items that no revision of a lineage has replaced since a declaration that takes them.

    The rotation for an emergency replaces all that its lineage has not, if no other one takes single values. Values
    that were found are of unknown age.
    """
    since = first_answer(uid, state)
    first = state.revision(since)
    stale = generated & first.taken.get(uid, generated) if first else generated
    for one in state.lineage(number):
        if since is None or one.number < since or one.reason == RevisionReason.CLAIMED:
            break
        if one.reason == RevisionReason.EMERGENCY and uid in one.answers and not one.taken:
            return frozenset()
        stale -= one.fresh
    return stale


def has_only_new_values(emergency: Emergency, observed: Managed) -> bool:
    """Whether the current revision has no generated value from before a declaration, such as after a rollback."""
    generated = emergency.taken(_generated_items(observed))
    return not stale_items(emergency.uid, observed.current.number, observed.state, generated)


def _generated_items(observed: Managed) -> frozenset[str]:
    """Return the generated items that the current revision has."""
    return observed.state.names.intersection(
        item.name for item in observed.desired.items if item.is_generated
    )


def is_exposed(number: int, observed: Managed) -> bool:
    """Whether a revision has values from before a declaration: one that is not closed, or that a revision answers."""
    state, generated = observed.state, _generated_items(observed)
    if state.revision(number) is None:
        return False
    declared = {one.uid for one in observed.emergencies}.union(*(one.answers for one in state.revisions))
    for uid in declared:
        since = first_answer(uid, state)
        if not uid.endswith(_WITH_CA) and (
            since is None or number < since or stale_items(uid, number, state, generated)
        ):
            return True
    return False
