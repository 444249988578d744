"""Requests for ManagedSecrets: each is a small patch, which the operator answers in the status."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

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
from keyturn.kube.cache.objects import parse

from . import managed
from .managed import Failure, confirm, find
from .options import Output
from .printing import in_one_line, print_data, print_lines, print_names
from .wait import Waiting, follow

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime, timedelta

    from keyturn.api.managedsecret import DataItem, ManagedSecret
    from keyturn.core.keys import ObjectKey

    from .cluster import Cluster
    from .managed import FoundManagedSecret
    from .options import Selection


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
        raise NotApplicable(f"the Secret of {name} is immutable; create another ManagedSecret for new values")
    if found.trouble or not (pulls or spec.data) or not all(_is_given(item) for item in spec.data):
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


if TYPE_CHECKING:
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
) -> bool:
    """Make the request for one named object, whose failure is the command's, or for several, each with its line.

    Return whether it failed for some.
    """
    if selection.name:
        return await _of_one(cluster, selection.name, ask, manner)
    return await _of_many(cluster, action, ask, selection, manner)


async def _of_one(cluster: Cluster, name: str, ask: Ask, manner: BulkOptions) -> bool:
    asked = await ask(cluster, await managed.one(cluster, name))
    manner.tell(f"managedsecret/{name} {asked.said}")
    done = await _follow(cluster, asked, manner, Waiting(manner.wait))
    if manner.output is Output.NAME:
        print_names([name])
    elif manner.output:
        print_data(done.document(manner), manner.output)
    return False


async def _of_many(
    cluster: Cluster, action: str, ask: Ask, selection: Selection, manner: BulkOptions
) -> bool:
    there = await find(cluster, selection)
    if not there.found and not there.failures:
        place = "the cluster" if selection.everywhere else f"namespace {cluster.namespace!r}"
        unknown = "" if selection.everywhere else await managed.describe_empty(cluster)
        raise click.ClickException(
            f"there is no ManagedSecret{selection} in {place}, so nothing is done{unknown}"
        )
    if selection.everywhere and not selection.is_confirmed:
        confirm(action, len(there.found), len({one.key.namespace for one in there.found}))
    failures = list(there.failures)
    for failure in failures:
        _tell_failure(failure, selection)
    asked = [
        one
        for found in there.found
        if (one := await _make_request(cluster, found, ask, selection, manner, failures))
    ]
    done = await _follow_all(cluster, asked, selection, manner, failures)
    _answer(done, failures, manner)
    return bool(failures)


async def _make_request(
    cluster: Cluster,
    found: FoundManagedSecret,
    ask: Ask,
    selection: Selection,
    manner: BulkOptions,
    failures: list[Failure],
) -> Asked | None:
    """Make one request; if it does not apply, an object selected by label or --all is skipped, a named one fails."""
    try:
        asked = await ask(cluster.at(found.key.namespace), found)
    except (click.ClickException, errors.ApiError) as error:
        if isinstance(error, NotApplicable) and not selection.names:
            manner.tell(f"{_object(found.key, selection)} skipped: {in_one_line(error.message)}")
        else:
            failures.append(Failure.of(found.key, error, cluster))
            _tell_failure(failures[-1], selection)
        return None
    manner.tell(f"{_object(found.key, selection)} {asked.said}")
    return asked


async def _follow_all(
    cluster: Cluster, asked: list[Asked], selection: Selection, manner: BulkOptions, failures: list[Failure]
) -> list[_Done]:
    """Wait for all results concurrently."""
    slots, waiting = asyncio.Semaphore(_MAX_CONCURRENT), Waiting(manner.wait)

    async def one(asked: Asked) -> _Done | None:
        key = asked.found.key
        label = f"{key}: " if selection.everywhere else f"{key.name}: "
        async with slots:
            try:
                return await _follow(cluster.at(key.namespace), asked, manner, replace(waiting, label=label))
            except (click.ClickException, errors.ApiError) as error:
                failures.append(Failure.of(key, error, cluster))
                _tell_failure(failures[-1], selection)
                return None

    return [done for done in await asyncio.gather(*map(one, asked)) if done]


async def _follow(cluster: Cluster, asked: Asked, manner: BulkOptions, waiting: Waiting) -> _Done:
    """Wait for the result, if requested."""
    found, name = asked.found, asked.found.key.name
    if asked.is_taken_up is None:
        return _Done(asked, found)
    if manner.wait is not None:
        return _Done(asked, await follow(cluster, found, asked.is_taken_up, waiting, manner.tell))
    if found.managed.spec.suspend:  # with --wait an error reports that
        print_lines(f"note: {name} is suspended; this starts after `keyturn resume {name}`", err=True)
    return _Done(asked, found)


def _answer(done: list[_Done], failures: list[Failure], manner: BulkOptions) -> None:
    if manner.output is Output.NAME:
        print_names(one.now.key.name for one in done)
    elif manner.output:
        failed = [
            {"namespace": one.key.namespace, "name": one.key.name, "message": one.message} for one in failures
        ]
        print_data({"items": [one.document(manner) for one in done], "failures": failed}, manner.output)


def _tell_failure(failure: Failure, selection: Selection) -> None:
    print_lines(f"{_object(failure.key, selection)} failed: {in_one_line(failure.message)}", err=True)


def _object(key: ObjectKey, selection: Selection) -> str:
    return (
        f"managedsecret/{key.name} in {key.namespace}"
        if selection.everywhere
        else f"managedsecret/{key.name}"
    )
