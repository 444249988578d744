"""Requests for one ManagedSecret: a small patch, which the operator answers in the status."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click
import pydantic

from keyturn.api.emergency import EmergencyRotation
from keyturn.core.labels import REFRESH, ROLLBACK, ROTATE
from keyturn.core.observation.emergency import concerns
from keyturn.core.reasons import RevisionReason, RevisionResult
from keyturn.core.rotation.rollback import EVEN_EXPOSED, HOLD, exposed_message
from keyturn.core.spec.desired import history_limit_of
from keyturn.core.times import clock
from keyturn.kube import errors, paths
from keyturn.kube.cache.parsing import parse

from . import managed

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from keyturn.api.managedsecret import DataItem, ManagedSecret

    from .cluster import Cluster
    from .managed import FoundManagedSecret


class NotApplicable(click.ClickException):
    """The request does not apply to the ManagedSecret."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that was made for one ManagedSecret."""

    found: FoundManagedSecret
    action: str
    said: str
    """The message for the user, such as `rotation requested`."""
    request: str | None = None
    """Text of the annotation."""
    is_taken_up: Callable[[ManagedSecret], bool] | None = None
    """Whether a status answers the request; None if there is nothing to wait for."""
    changed: bool = True


async def rotate(cluster: Cluster, found: FoundManagedSecret) -> Asked:
    """Request a rotation by a new trigger text."""
    _check_rotatable(found)
    trigger = f"cli-{secrets.token_hex(6)}"
    now = await managed.annotate(cluster, found.key.name, ROTATE, trigger)
    said = f"rotation requested{_applied(found.managed)}{_overlap(found.managed)}"
    return Asked(now, "rotate", said, trigger, lambda now: now.status.last_trigger == trigger)


@dataclass(frozen=True, slots=True)
class Return:
    """The options of a rollback."""

    to: int | None = None
    """The revision; None for the previous one."""
    hold: bool = False
    even_exposed: bool = False

    @property
    def words(self) -> str:
        """The part of the annotation's text that has the options."""
        return f"{f'/{HOLD}' if self.hold else ''}{f'/{EVEN_EXPOSED}' if self.even_exposed else ''}"


async def rollback(cluster: Cluster, found: FoundManagedSecret, back: Return) -> Asked:
    """Request an earlier revision; the text after the number makes a repeated request new."""
    number = back.to or _revision_before(found)
    if number == found.managed.status.revision:
        if not back.hold:
            return Asked(found, "rollback", f"holds revision {number} already", changed=False)
    else:
        _check_restorable(found, number)
        if not back.even_exposed:
            await _refuse_exposed(cluster, found.managed, number)
    request = f"{number}/cli-{secrets.token_hex(6)}{back.words}"
    now = await managed.annotate(cluster, found.key.name, ROLLBACK, request)
    said = f"rollback to revision {number} requested"
    return Asked(now, "rollback", said, request, lambda now: now.status.revision == number)


async def refresh(cluster: Cluster, found: FoundManagedSecret) -> Asked:
    """Request a read of the stores."""
    name = found.key.name
    if not _pulls(found.managed):
        raise NotApplicable(f"no value of {name} is read from a store; write `from` or `dataFrom`")
    request = f"cli-{secrets.token_hex(6)}"
    now = await managed.annotate(cluster, name, REFRESH, request)
    return Asked(now, "refresh", "refresh requested", request, lambda now: now.status.last_refresh == request)


async def suspend(cluster: Cluster, found: FoundManagedSecret) -> Asked:
    """Suspend all writes for a ManagedSecret."""
    if found.managed.spec.suspend:
        return Asked(found, "suspend", "unchanged: it is suspended", changed=False)
    now = await managed.change(cluster, found.key.name, {"spec": {"suspend": True}})
    return Asked(now, "suspend", "suspended")


async def resume(cluster: Cluster, found: FoundManagedSecret) -> Asked:
    """Resume writes."""
    if not found.managed.spec.suspend:
        return Asked(found, "resume", "unchanged: it is not suspended", changed=False)
    now = await managed.change(cluster, found.key.name, {"spec": {"suspend": None}})
    return Asked(now, "resume", "resumed")


def _check_rotatable(found: FoundManagedSecret) -> None:
    """Reject a rotation of values that all come from stores or literals, and of an immutable Secret."""
    spec, name, pulls = found.managed.spec, found.key.name, _pulls(found.managed)
    if spec.target.immutable and found.managed.status.revision:
        raise NotApplicable(f"the Secret of {name} is immutable; write another target.name for new values")
    if found.trouble or not (pulls or spec.data) or not all(_is_given(item) for item in spec.data):
        return
    instead = f"read the stores with `keyturn refresh {name}`" if pulls else "change the literals of its spec"
    raise NotApplicable(f"{name} has nothing to rotate, because none of its values is generated; {instead}")


def _applied(found: ManagedSecret) -> str:
    """Return what to do for values that nothing applies outside of the Secret."""
    if not found.status.rotates_on_request:
        return ""
    return "; nothing applies the new values outside of the Secret: apply them where they are used, or logins fail"


def _overlap(found: ManagedSecret) -> str:
    """Return what the rotation waits for, and which previous value ends with it."""
    previous, templates = found.status.previous, found.spec.target.template.data or {}
    keeps = any(item.keep_previous for item in found.spec.data) or any(
        "previous" in text for text in templates.values()
    )
    if previous is None or not (keeps or found.spec.database):
        return ""
    until = f", at {clock(previous.valid_until)}" if previous.valid_until else ""
    return f"; it starts when the overlap with revision {previous.revision} is over{until}"


def _is_given(item: DataItem) -> bool:
    return item.from_ is not None or item.literal is not None


def _pulls(found: ManagedSecret) -> bool:
    return bool(found.spec.data_from) or any(item.from_ for item in found.spec.data)


def _revision_before(found: FoundManagedSecret) -> int:
    """Return the revision before the current one, by the history."""
    status = found.managed.status
    current = status.revision or 0
    good = [
        one.revision
        for one in status.history
        if one.result != RevisionResult.ROLLED_BACK and one.revision < current
    ]
    if good:
        return max(good)
    others = sorted(_perhaps_kept(found.managed))
    if current <= 1 and not others:
        raise click.ClickException(f"{found.key.name} has no earlier revision")
    there = f", such as {others[-1]}" if others else ""
    raise click.ClickException(
        f"the history of {found.key.name} names no revision before {current}; name one with --to{there}"
    )


async def _refuse_exposed(cluster: Cluster, found: ManagedSecret, number: int) -> None:
    """Reject a revision that an emergency has exposed by the history; the operator checks its own record."""
    made = [one for one in found.status.history if one.reason != RevisionReason.ROLLED_BACK]
    done = next((one.finished_at for one in made if one.revision == number), None)
    if any(one.reason == RevisionReason.EMERGENCY and one.revision > number for one in made) or (
        done and any(done <= started for started in await _list_declarations(cluster, found))
    ):
        raise click.ClickException(exposed_message(found.metadata.name, number))


async def _list_declarations(cluster: Cluster, found: ManagedSecret) -> list[datetime]:
    """Return when emergencies that affect the object were declared; none without permission to list them."""
    metadata, times = found.metadata, []
    try:
        async for page in cluster.api.pages(paths.emergency_rotations(metadata.namespace)):
            every = [parse(EmergencyRotation, body) for body in page.items]
            times += [
                one.metadata.creation_timestamp
                for one in every
                if concerns(one, metadata.name, metadata.labels)
            ]
    except (errors.Forbidden, errors.Unavailable, pydantic.ValidationError):
        return []
    return [time for time in times if time]


def _check_restorable(found: FoundManagedSecret, number: int) -> None:
    """Reject a revision whose values cannot be kept any more, so that no unanswerable annotation remains."""
    name, others = found.key.name, _perhaps_kept(found.managed)
    if number in others or found.managed.status.revision is None:
        return
    there = f"available: {', '.join(map(str, sorted(others)))}" if others else "no earlier revision is kept"
    raise click.ClickException(
        f"revision {number} of {name} is not available for rollback; {there} (see `keyturn history {name}`)"
    )


def _perhaps_kept(found: ManagedSecret) -> set[int]:
    """Return the revisions that may be kept: the latest ones, and the last that every workload ran."""
    status = found.status
    made = [status.revision or 0, *(one.revision for one in status.history)]
    latest = range(max(made) - history_limit_of(found), max(made) + 1)
    good = (one.revision for one in status.history if one.result == RevisionResult.SUCCEEDED)
    last = next((one for one in good if one != status.revision), 0)
    return {one for one in (*latest, last) if one > 0 and one != status.revision}
