"""Reconciler of SecretClass: checks the class against its own policy and writes the status."""

import math
import sys
from contextlib import suppress
from datetime import timedelta

from keyturn.api.base import format_duration
from keyturn.api.rotation import ClassRotation
from keyturn.api.secretclass import SecretClass, SecretClassStatus
from keyturn.core.errors import Stalled
from keyturn.core.observation.external import Health
from keyturn.core.policy.rules import Evidence, Strength, violations_of
from keyturn.core.reasons import ClassReason, ErrorReason
from keyturn.core.spec import schedule
from keyturn.core.spec.schedule import Every, cadence_of, windows_of
from keyturn.core.status.conditions import stamp_all
from keyturn.core.status.summary import readiness_of
from keyturn.generators import generator_for
from keyturn.kube import errors, paths

from .context import Context

_GENERATED = "generate"
_STRONG = Strength(sys.maxsize, math.inf)
_OFTEN = Every(timedelta(0), 0)


async def reconcile_class(name: str, context: Context) -> None:
    """Check a class and write the result to its status."""
    try:
        secret_class = context.cache.secret_class(name)
    except Stalled:
        return  # an object that cannot be parsed gets no status; its users report the error
    if secret_class is None:
        return
    status = _status(secret_class, flaw_of(secret_class), context)
    path = f"{paths.secret_class(name)}/status"
    write, put = context.own_writes.write_status, context.cache.put_class
    with suppress(errors.Conflict, errors.NotFound):  # after a conflict the watch brings the newer object
        await write(context.api, name, path, secret_class, status, put)


def flaw_of(secret_class: SecretClass) -> Stalled | None:
    """Return what contradicts itself in a class, or None."""
    spec = secret_class.spec
    cadence, windows = cadence_of(spec.rotation), windows_of(spec.rotation)
    try:
        schedule.check(cadence, windows)
        _check_spread(spec.rotation)
        strength = generator_for(spec.generate).strength() if spec.generate else None
    except Stalled as stalled:
        return stalled
    # What the class leaves open is decided, and checked, in each ManagedSecret.
    own = Evidence(
        {_GENERATED: strength or _STRONG}, cadence or _OFTEN, frozenset({_GENERATED}), windows=windows
    )
    violated = violations_of(secret_class, own)
    return (
        Stalled(ErrorReason.POLICY_VIOLATION, "; ".join(one.message for one in violated))
        if violated
        else None
    )


def _check_spread(rotation: ClassRotation | None) -> None:
    """Check that a class spreads rotations over an interval at most."""
    if rotation is None or rotation.spread is None or rotation.every is None:
        return
    if rotation.spread > rotation.every:
        raise Stalled(
            ErrorReason.INVALID_SCHEDULE,
            f"rotation.spread ({format_duration(rotation.spread)}) is longer than rotation.every"
            f" ({format_duration(rotation.every)}); write a shorter spread",
        )


def _status(secret_class: SecretClass, flaw: Stalled | None, context: Context) -> SecretClassStatus:
    reason, message = (flaw.reason, flaw.message) if flaw else _ready_reason(secret_class, context)
    verdicts = readiness_of(Health(is_ready=flaw is None, reason=reason, message=message))
    before, generation = secret_class.status.conditions, secret_class.metadata.generation
    return SecretClassStatus(
        observed_generation=generation, conditions=stamp_all(verdicts, before, context.now(), generation)
    )


def _ready_reason(secret_class: SecretClass, context: Context) -> tuple[str, str]:
    """Return reason and message for a valid class: the namespaces that may use it."""
    name, marked = secret_class.metadata.name, context.cache.default_classes()
    if name not in marked:
        return ClassReason.VALID, "managed secrets may use this class"
    if name == marked[0]:
        return ClassReason.DEFAULT, "managed secrets that name no class use this one"
    return (
        ClassReason.NOT_DEFAULT,
        f"it is marked as the default class, but the newer {marked[0]} takes precedence",
    )
