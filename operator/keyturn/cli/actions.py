"""Requests for ManagedSecrets: each is a small patch, which the operator answers in the status."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import click
import pydantic

from keyturn.api.emergency import EmergencyRotation
from keyturn.api.managedsecret import ManagedSecret
from keyturn.core.keys import ObjectKey
from keyturn.core.labels import REFRESH, ROLLBACK, ROTATE
from keyturn.core.observation.emergency import concerns
from keyturn.core.reasons import RevisionReason, RevisionResult
from keyturn.core.rotation.rollback import EVEN_EXPOSED, HOLD, exposed_message
from keyturn.core.spec.desired import history_limit_of
from keyturn.core.times import clock
from keyturn.kube import errors, paths
from keyturn.kube.cache.objects import parse

from . import managed
from .cluster import Cluster
from .managed import Failure, FoundManagedSecret, confirm, describe_none, find
from .options import Output, Selection, exit_code
from .printing import in_one_line, print_data, print_lines, print_names
from .wait import Waiting, follow


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
            made = [one for one in found.managed.status.history if one.reason != RevisionReason.ROLLED_BACK]
            done = next((one.finished_at for one in made if one.revision == number), None)
            if any(one.reason == RevisionReason.EMERGENCY and one.revision > number for one in made) or (
                done and any(done <= started for started in await _list_declarations(cluster, found.managed))
            ):
                raise click.ClickException(exposed_message(found.managed.metadata.name, number))
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
        raise NotApplicable(f"the Secret of {name} is immutable; create another ManagedSecret for new values")
    is_generated = any(item.from_ is None and item.literal is None for item in spec.data)
    if found.trouble or is_generated or not (pulls or spec.data):
        return
    instead = f"read the stores with `keyturn refresh {name}`" if pulls else "change the literals of its spec"
    raise NotApplicable(f"{name} has nothing to rotate, because none of its values is generated; {instead}")


def _applied(found: ManagedSecret) -> str:
    """Return what to do for values that nothing applies outside of the Secret."""
    status = found.status
    if not (
        status.rotates_on_request or any("on request" in (one.schedule or "") for one in status.values or ())
    ):
        return ""
    return "; nothing applies the new values outside of the Secret: apply them where they are used, or logins fail"


def _overlap(found: ManagedSecret) -> str:
    """Return what the rotation waits for, and which previous value ends with it."""
    previous, templates = found.status.previous, found.spec.target.template.data or {}
    keeps = any(item.keep_previous for item in found.spec.data) or any(
        "previous" in text for text in templates.values()
    )
    if previous is None or not (keeps or found.spec.account):
        return ""
    until = f", at {clock(previous.valid_until)}" if previous.valid_until else ""
    return f"; it starts when the overlap with revision {previous.revision} is over{until}"


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


async def _list_declarations(cluster: Cluster, found: ManagedSecret) -> list[datetime]:
    """Return when emergencies that affect the object were declared; none without permission to list them."""
    metadata, times = found.metadata, []

    def has() -> list[str]:
        return [item.name for item in found.spec.data]

    try:
        async for page in cluster.api.pages(paths.emergency_rotations(metadata.namespace)):
            every = [parse(EmergencyRotation, body) for body in page.items]
            times += [
                one.metadata.creation_timestamp
                for one in every
                if concerns(one, metadata.name, metadata.labels, has)
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


Ask = Callable[[Cluster, FoundManagedSecret], Awaitable[Asked]]


# One request for each selected ManagedSecret, with a line for each, and the wait for the results

_MAX_CONCURRENT = 20
"""Maximum concurrent waits: each has a watch."""


@dataclass(frozen=True, slots=True)
class BulkOptions:
    """How requests are made and results printed."""

    wait: timedelta | None = None
    """Maximum wait; None not to wait."""
    output: Output | None = None
    """Output format for programs; progress is printed to standard error then."""

    def tell(self, line: str) -> None:
        if self.output is None:
            print_lines(line)
        elif self.wait is not None:
            print_lines(line, err=True)


@dataclass(frozen=True, slots=True)
class _Done:
    """A request with the last observed object."""

    asked: Asked
    now: FoundManagedSecret

    def document(self, manner: BulkOptions) -> dict[str, Any]:
        now, asked = self.now.managed, self.asked
        return {
            "namespace": now.metadata.namespace,
            "name": now.metadata.name,
            "action": asked.action,
            "changed": asked.changed,
            "request": asked.request,
            "done": True if manner.wait is not None else None,
            "revision": now.status.revision,
            "suspended": bool(now.spec.suspend),
        }


async def carry_out(
    cluster: Cluster, action: str, ask: Ask, selection: Selection, manner: BulkOptions
) -> int:
    """Make the request for each selected object, with a line for each; the failure of a single one is the command's.

    Return the exit code.
    """
    there = await find(cluster, selection)
    if not there.found and not there.failures:
        raise click.ClickException(f"{await describe_none(cluster, selection)}; nothing is done")
    if selection.everywhere and not selection.is_confirmed:
        confirm(action, len(there.found), len({one.key.namespace for one in there.found}))
    bulk = _Bulk(cluster, selection, manner, Waiting(manner.wait))
    for failure in there.failures:
        bulk.add_failure(failure)
    asked = [one for found in there.found if (one := await bulk.make(ask, found))]
    slots = asyncio.Semaphore(_MAX_CONCURRENT)
    done = [one for one in await asyncio.gather(*(bulk.follow(one, slots) for one in asked)) if one]
    if manner.output is Output.NAME:
        print_names(one.now.key.name for one in done)
    elif manner.output and selection.name:
        print_data(done[0].document(manner), manner.output)
    elif manner.output:
        failed = [
            {"namespace": one.key.namespace, "name": one.key.name, "message": one.message}
            for one in bulk.failures
        ]
        print_data({"items": [one.document(manner) for one in done], "failures": failed}, manner.output)
    return exit_code(has_failed=bool(bulk.failures))


@dataclass(frozen=True, slots=True)
class _Bulk:
    """The requests of one command, and those that failed."""

    cluster: Cluster
    selection: Selection
    manner: BulkOptions
    waiting: Waiting
    failures: list[Failure] = field(default_factory=list)

    async def make(self, ask: Ask, found: FoundManagedSecret) -> Asked | None:
        """Make one request; if it does not apply, one that -l or --all selects is skipped, a named one fails."""
        try:
            asked = await ask(self.cluster.at(found.key.namespace), found)
        except (click.ClickException, errors.ApiError) as error:
            if isinstance(error, NotApplicable) and not self.selection.names:
                self.manner.tell(f"{self._name(found.key)} skipped: {in_one_line(error.message)}")
            else:
                self._fail(found.key, error)
            return None
        self.manner.tell(f"{self._name(found.key)} {asked.said}")
        return asked

    async def follow(self, asked: Asked, slots: asyncio.Semaphore) -> _Done | None:
        """Wait for the result, if requested."""
        found, key = asked.found, asked.found.key
        if asked.is_taken_up is None:
            return _Done(asked, found)
        if self.manner.wait is None:
            if found.managed.spec.suspend:  # with --wait an error reports that
                said = f"note: {key.name} is suspended; this starts after `keyturn resume {key.name}`"
                print_lines(said, err=True)
            return _Done(asked, found)
        label = "" if self.selection.name else f"{key if self.selection.everywhere else key.name}: "
        waiting, here = replace(self.waiting, label=label), self.cluster.at(key.namespace)
        async with slots:
            try:
                return _Done(asked, await follow(here, found, asked.is_taken_up, waiting, self.manner.tell))
            except (click.ClickException, errors.ApiError) as error:
                self._fail(key, error)
                return None

    def _fail(self, key: ObjectKey, error: click.ClickException | errors.ApiError) -> None:
        if self.selection.name:
            raise error
        self.add_failure(Failure.of(key, error, self.cluster))

    def add_failure(self, failure: Failure) -> None:
        self.failures.append(failure)
        print_lines(f"{self._name(failure.key)} failed: {in_one_line(failure.message)}", err=True)

    def _name(self, key: ObjectKey) -> str:
        place = f" in {key.namespace}" if self.selection.everywhere else ""
        return f"managedsecret/{key.name}{place}"
