"""CAs in an emergency: a certificate is exposed as long as the CA that signs it is."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from keyturn.api.emergency import AffectedState
from keyturn.core.keys import EmergencyKey, ObjectKey
from keyturn.core.observation.emergency import DECLARED_WITHIN
from keyturn.core.observation.observed import with_facts
from keyturn.generators import generator_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from keyturn.controllers.emergency.memory import EmergencyMemory
    from keyturn.core.observation.emergency import Emergency
    from keyturn.core.observation.observed import Observed
    from keyturn.core.spec.desired import Desired
    from keyturn.kube.cache.cache import InformerCache

__all__ = ["with_signers"]


def with_signers(
    key: ObjectKey, observed: Observed, memory: EmergencyMemory, cache: InformerCache
) -> Observed:
    """Add to open emergencies whether the CAs that sign certificates of a ManagedSecret are rotated.

    Add as well whether it has a CA itself, which any other rotation continues to trust.
    """
    if observed.desired is None or not observed.is_pressed:
        return observed
    emergencies = observed.emergencies
    if any(generator_for(item.recipe).keeps_trust for item in observed.desired.items if item.recipe):
        emergencies = tuple(replace(one, own_only=True) for one in emergencies)
    for signer in sorted(set(_signers(key, observed.desired, cache))):
        for emergency in cache.emergencies.of(signer, cache.managed_labels(signer)):
            if not emergency.is_open:
                continue
            rotated, waits = _rotated(signer, emergency, memory, cache)
            if waits:
                memory.wait_for(signer, key)
            emergencies = tuple(_signed(one, signer, rotated, waits=waits) for one in emergencies)
    return with_facts(observed, emergencies=emergencies)


def _signers(key: ObjectKey, desired: Desired, cache: InformerCache) -> Iterator[ObjectKey]:
    """Yield the other ManagedSecrets whose Secrets sign certificates of a ManagedSecret."""
    for item in desired.items:
        name = generator_for(item.recipe).issuer_secret if item.recipe else None
        meta = cache.secret(key.namespace, name) if name else None
        signer = ObjectKey(key.namespace, meta.owner) if meta else key
        if signer != key and cache.has_managed(signer):
            yield signer


def _rotated(
    signer: ObjectKey, emergency: Emergency, memory: EmergencyMemory, cache: InformerCache
) -> tuple[datetime | None, bool]:
    """Return when a ManagedSecret was rotated for an emergency, and whether that is still to come.

    The status has the first such time; a process that has just started knows no other one.
    """
    progress = memory.progress(signer, emergency.uid)
    if progress and progress.state is AffectedState.NOTHING_TO_ROTATE:
        return None, False
    if progress and progress.revision is None:
        return None, True
    declared = cache.emergencies.declared(EmergencyKey(signer.namespace, emergency.name))
    rows = declared.emergency.status.secrets if declared else ()
    recorded = next((row.rotated_at for row in rows if row.name == signer.name), None)
    rotated = recorded or (progress.rotated if progress else None)
    return rotated, rotated is None


def _signed(emergency: Emergency, signer: ObjectKey, rotated: datetime | None, *, waits: bool) -> Emergency:
    """Return an emergency with a CA, whose time of rotation has whole seconds."""
    if not emergency.presses:
        return emergency
    times = [time for time in (emergency.signed_from, rotated and rotated + DECLARED_WITHIN) if time]
    return replace(
        emergency,
        signer=emergency.signer or (signer.name if waits else None),
        signed_from=max(times, default=None),
    )
