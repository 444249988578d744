"""CAs in an emergency: a certificate is exposed as long as the CA that signs it is."""

import contextlib
import itertools
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import timedelta
from functools import partial

from keyturn.api.emergency import AffectedState
from keyturn.controllers.emergency.reconcile import EmergencyMemory
from keyturn.core.errors import Stalled
from keyturn.core.keys import EmergencyKey, ObjectKey
from keyturn.core.observation.emergency import Emergency
from keyturn.core.observation.observed import Observed, Specified, with_facts
from keyturn.core.reasons import ErrorReason
from keyturn.core.spec.desired import Desired
from keyturn.generators import generator_for
from keyturn.kube.cache.cache import InformerCache

_LONGEST_WAIT = timedelta(minutes=1)
_STUCK = frozenset({AffectedState.SUSPENDED, AffectedState.STALLED})
"""How long a certificate waits for its CA, from the declaration or the start of the process on."""


def with_signers(
    key: ObjectKey, observed: Specified, memory: EmergencyMemory, cache: InformerCache
) -> Observed:
    """Add to open emergencies whether the CAs that sign certificates of a ManagedSecret are rotated.

    Add as well whether it has a CA itself, which any other rotation continues to trust.
    """
    emergencies = observed.emergencies
    if any(generator_for(item.recipe).keeps_trust for item in observed.desired.items if item.recipe):
        emergencies = tuple(replace(one, own_only=True) for one in emergencies)
    items = _signed_items(key, observed.desired, cache)
    for signer in sorted(items):
        affecting = cache.emergencies.of(
            signer, cache.managed_labels(signer), partial(cache.value_names, signer)
        )
        for emergency in affecting:
            progress = memory.progress(signer, emergency.uid)
            is_elsewhere = progress is not None and progress.state is AffectedState.NOTHING_TO_ROTATE
            if not emergency.is_open or is_elsewhere:
                continue
            is_rotated = progress.has_new_ca if progress else _is_recorded(signer, emergency, cache)
            if not is_rotated:
                memory.wait_for(signer, key)
            is_stuck = progress is not None and progress.state in _STUCK
            goes_first = is_stuck or _takes_long(emergency, observed)
            emergencies = tuple(
                _signed(one, items[signer], None if is_rotated else signer.name, goes_first=goes_first)
                for one in emergencies
            )
    return with_facts(observed, emergencies=emergencies)


def refuse_circle(namespace: str, secret: str, issuer: str, cache: InformerCache) -> None:
    """Check that the Secret of a CA that does not exist yet is not signed by that of its certificate.

    Raises:
        Stalled: InvalidIssuer, with the Secrets that wait for each other.
    """
    if circle := _signing_circle(namespace, secret, issuer, cache):
        signed = ", ".join(f"{lower} by {upper}" for lower, upper in itertools.pairwise((secret, *circle)))
        raise Stalled(
            ErrorReason.INVALID_ISSUER,
            f"the certificates of Secrets that do not exist yet are to sign each other ({signed}); remove issuer from"
            " one of them, so that it signs itself",
        )


def _signing_circle(namespace: str, secret: str, issuer: str, cache: InformerCache) -> tuple[str, ...]:
    """Return the Secrets by which one that signs `secret` would be signed by it, in order; empty without a circle."""
    ways: list[tuple[str, ...]] = [(issuer,)]
    known = {issuer}
    while ways:
        way = ways.pop()
        if way[-1] == secret:
            return way
        found = [cache.managed(key) for key in cache.managed_with_target(namespace, way[-1])]
        for managed in (one[0] for one in found if one):
            for recipe in (item.generate for item in managed.spec.data if item.generate):
                with contextlib.suppress(Stalled):
                    above = generator_for(recipe).issuer_secret
                    ways += [(*way, above)] if above and above not in known else []
                    known |= {above} if above else set()
    return ()


def _signed_items(
    key: ObjectKey, desired: Desired, cache: InformerCache
) -> Mapping[ObjectKey, frozenset[str]]:
    """Return the items of a ManagedSecret that are certificates by the Secrets of others, by those."""
    items: dict[ObjectKey, frozenset[str]] = {}
    for item in desired.items:
        name = generator_for(item.recipe).issuer_secret if item.recipe else None
        for signer in _signers(key.namespace, name, cache) if name else ():
            if signer != key:
                items[signer] = items.get(signer, frozenset()) | {item.name}
    return items


def _signers(namespace: str, name: str, cache: InformerCache) -> Collection[ObjectKey]:
    """Return the ManagedSecret in the label of a Secret; without that, those that would write it."""
    meta = cache.secret(namespace, name)
    owner = ObjectKey(namespace, meta.owner) if meta else None
    return [owner] if owner and cache.has_managed(owner) else cache.managed_with_target(namespace, name)


def _is_recorded(signer: ObjectKey, emergency: Emergency, cache: InformerCache) -> bool:
    """Whether a ManagedSecret was rotated for an emergency, by the status, which a new process knows first."""
    declared = cache.emergencies.declared(EmergencyKey(signer.namespace, emergency.name))
    rows = declared.emergency.status.secrets if declared else ()
    return any(row.name == signer.name and row.rotated_at is not None for row in rows)


def _takes_long(emergency: Emergency, observed: Observed) -> bool:
    """Whether a CA was waited for long enough: it cannot be rotated, or it waits for this ManagedSecret itself."""
    began = max(emergency.started, observed.since or emergency.started)
    return observed.now >= began + _LONGEST_WAIT


def _signed(
    emergency: Emergency, items: frozenset[str], pending: str | None, *, goes_first: bool
) -> Emergency:
    """Return an emergency with a CA that signs `items`; `pending` if it is not rotated yet."""
    items = emergency.taken(items)
    if not emergency.is_unfinished_here or not items:
        return emergency
    emergency = replace(emergency, signed=emergency.signed | items)
    if pending is None or (emergency.signer and not emergency.goes_first):
        return emergency
    return replace(emergency, signer=pending, goes_first=goes_first)
