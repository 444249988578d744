"""Makes one request for each selected ManagedSecret, prints a line for each, and waits for the results."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import click

from keyturn.kube import errors

from . import managed
from .actions import NotApplicable
from .options import Output
from .printing import print_data, print_lines, print_names
from .selection import Failure, confirm, find
from .text import in_one_line
from .wait import Waiting, follow

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import timedelta

    from keyturn.core.keys import ObjectKey

    from .actions import Asked
    from .cluster import Cluster
    from .managed import FoundManagedSecret
    from .options import Selection

    Ask = Callable[[Cluster, FoundManagedSecret], Awaitable[Asked]]

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
