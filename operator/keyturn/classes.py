"""Whether a SecretClass can be followed, said in its status."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .api.secretclass import SecretClassStatus
from .core import schedule
from .core.conditions import Verdict, stamped
from .core.errors import Stalled
from .core.policy import violations_of
from .core.wanted import cadence_of
from .kube import errors, paths
from .kube.client import Patch
from .statuses import status_patch
from .world import generator_for

if TYPE_CHECKING:
    from .api.secretclass import SecretClass
    from .world import World

__all__ = ["reconcile_class"]


async def reconcile_class(name: str, world: World) -> None:
    """Check a class, and write what is wrong with it where its author looks.

    Raises:
        ApiError: The status could not be written.
    """
    try:
        secret_class = world.mirror.secret_class(name)
    except Stalled:
        return  # its users say so; a status cannot be written over what cannot be read
    if secret_class is None:
        return
    changes = status_patch(secret_class.status, _status(secret_class, _flaw(secret_class), world))
    if not changes:
        return
    metadata = {"resourceVersion": secret_class.metadata.resource_version}
    body = {"metadata": metadata, "status": changes}
    try:
        written = await world.api.patch(f"{paths.secret_class(name)}/status", body, Patch.MERGE)
    except (errors.Conflict, errors.NotFound):
        return  # it has changed: the watch brings the newer one
    world.mirror.put_class(written)


def _flaw(secret_class: SecretClass) -> Stalled | None:
    recipe = secret_class.spec.generate
    try:
        schedule.check(cadence_of(secret_class.spec.rotation))
        strength = generator_for(recipe).strength() if recipe else None
    except Stalled as stalled:
        return stalled
    broken = violations_of(secret_class, {"generate": strength}) if strength else ()
    return Stalled("PolicyViolation", "; ".join(one.message for one in broken)) if broken else None


def _status(secret_class: SecretClass, flaw: Stalled | None, world: World) -> SecretClassStatus:
    good = ("Valid", "managed secrets may use this class")
    reason, message = (flaw.reason, flaw.message) if flaw else good
    verdicts = [("Ready", Verdict("False" if flaw else "True", reason, message))]
    if flaw:
        verdicts.append(("Stalled", Verdict("True", reason, message)))
    before, generation = secret_class.status.conditions, secret_class.metadata.generation
    return SecretClassStatus(
        observed_generation=generation,
        conditions=[stamped(type_, verdict, before, world.now(), generation) for type_, verdict in verdicts],
    )
