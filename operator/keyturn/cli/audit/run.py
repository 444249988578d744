"""Runs the checklist for `keyturn audit`, and prints or publishes the report."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from keyturn.cli.printing import print_document, print_lines
from keyturn.core.policy.findings import Finding, Point, Verdict, in_order

from . import output as auditprint

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from keyturn.checklist.backup import Drill
    from keyturn.checklist.scope import Scope
    from keyturn.cli.cluster import Cluster
    from keyturn.cli.options import Where
    from keyturn.core.policy.findings import Report

__all__ = ["Asked", "Drilled", "report", "schedule"]

_FOUND, _CANNOT_LOOK = 1, 2
_LARGEST_SCHEDULE = 32 * 1024 * 1024
"""Bytes of a committed schedule: about 110 for each ManagedSecret."""


@dataclass(frozen=True, slots=True)
class Drilled:
    """A backup, and the namespace for its test restore."""

    backup: Path
    identity: Path
    namespace: str


@dataclass(frozen=True, slots=True)
class Asked:
    """What to check."""

    repository: Path | None
    where: Where
    all_namespaces: bool
    points: Collection[str]
    time_limit: float
    compare_context: str | None = None
    schedule: Path | None = None
    drill: Drilled | None = None
    report_name: str | None = None
    """Name under which the report is published; None to publish none."""
    operator_namespace: str | None = None
    """Namespace of the operator; None to detect it."""

    @property
    def looked_at(self) -> set[Point]:
        """The points that are checked, apart from those that only report that there was no check."""
        left_out = {
            *(() if self.drill else (Point.RECOVERY,)),
            *(() if self.repository else (Point.SOURCE_CONTROL,)),
        }
        return {Point(one) for one in self.points} - left_out

    @property
    def wants_cluster(self) -> bool:
        """Whether a cluster is needed; not for a repository alone."""
        where = self.where.kubeconfig or self.where.context or self.where.namespace or self.compare_context
        return (
            bool(where) or self.all_namespaces or bool(self.schedule or self.drill) or self.repository is None
        )


def report(asked: Asked, output: str, *, allow_unknown: bool) -> int:
    """Check, print the report, and return the exit code."""
    findings, scope = _checked(asked)
    found = in_order(findings)
    auditprint.FORMS[output](found, scope)
    if asked.report_name:
        _publish(found, asked, asked.report_name)
    if found.has(Verdict.FAIL):
        return _FOUND
    return _CANNOT_LOOK if found.has(Verdict.UNKNOWN) and not allow_unknown else 0


def schedule(where: Where, *, all_namespaces: bool) -> None:
    """Print the document that --schedule is compared with."""
    from keyturn.checklist.facts import Facts  # noqa: PLC0415  # only where a cluster is looked at
    from keyturn.checklist.points.schedule import document  # noqa: PLC0415  # the same
    from keyturn.cli.cluster import run  # noqa: PLC0415  # the same

    async def work(cluster: Cluster) -> str:
        await _require_namespace(cluster, all_namespaces=all_namespaces)
        facts = Facts(cluster.api, None if all_namespaces else cluster.namespace, cluster.now)
        await facts.list_classes()  # the document is wrong without what they set
        return document(await facts.list_declared())

    print_document(run(where, work))


def _publish(report: Report, asked: Asked, name: str) -> None:
    from keyturn.checklist.publishing import publish  # noqa: PLC0415  # only where asked for
    from keyturn.cli.cluster import run  # noqa: PLC0415  # the same

    async def work(cluster: Cluster) -> str:
        namespace = await _operator_namespace(asked, cluster)
        await publish(cluster.api, namespace, name, report, asked.looked_at, cluster.now())
        return namespace

    _tell(f"published as {name} in ConfigMap {run(asked.where, work)}/keyturn-checklist")


async def _operator_namespace(asked: Asked, cluster: Cluster) -> str:
    from keyturn.checklist.operator import find_namespace  # noqa: PLC0415  # only where a cluster is looked at

    return asked.operator_namespace or await find_namespace(cluster.api)


def _checked(asked: Asked) -> tuple[list[Finding], Scope]:
    from keyturn.checklist.scope import Scope  # noqa: PLC0415  # help and completion need none

    repository = str(asked.repository.resolve()) if asked.repository else None
    findings, scope = list[Finding](), Scope(datetime.now(UTC), repository=repository)
    if asked.wants_cluster:
        findings, here = _cluster(asked)
        namespace = None if asked.all_namespaces else here.namespace
        scope = replace(scope, server=here.server, namespace=namespace)
    if Point.SOURCE_CONTROL in asked.points:
        findings += _repository(asked)
    return findings, scope


def _cluster(asked: Asked) -> tuple[list[Finding], Cluster]:
    """Return the findings, and the cluster with its namespace."""
    from keyturn.checklist.cluster import check  # noqa: PLC0415  # only where a cluster is looked at
    from keyturn.checklist.facts import Facts  # noqa: PLC0415  # the same
    from keyturn.checklist.points.base import Checked, Other  # noqa: PLC0415  # the same
    from keyturn.cli.cluster import beside, run  # noqa: PLC0415  # the same

    committed, drill = _committed(asked.schedule), _drill(asked.drill)

    async def work(here: Cluster) -> tuple[list[Finding], Cluster]:
        await _require_namespace(here, all_namespaces=asked.all_namespaces)
        facts = Facts(here.api, None if asked.all_namespaces else here.namespace, here.now)
        operator = await _operator_namespace(asked, here)
        if asked.compare_context is None:
            return await check(Checked(facts, None, committed, drill, _tell, operator), asked.points), here
        where = replace(asked.where, context=asked.compare_context)
        async with beside(where) as there:
            namespace = None if asked.all_namespaces else there.namespace
            other = Other(asked.compare_context, Facts(there.api, namespace, there.now, facts.mark))
            return await check(Checked(facts, other, committed, drill, _tell, operator), asked.points), here

    return run(asked.where, work)


async def _require_namespace(cluster: Cluster, *, all_namespaces: bool) -> None:
    """Refuse a namespace that does not exist, in which every point would be fine."""
    from keyturn.cli.managed import describe_empty  # noqa: PLC0415  # only where a cluster is looked at

    if not all_namespaces:
        await describe_empty(cluster)


def _drill(drilled: Drilled | None) -> Drill | None:
    if drilled is None:
        return None
    from keyturn.checklist.backup import Drill  # noqa: PLC0415  # only where asked for
    from keyturn.cli.backup import read  # noqa: PLC0415  # the same

    return Drill(read(drilled.backup, drilled.identity), drilled.namespace)


def _committed(path: Path | None) -> str | None:
    if path is None:
        return None
    from keyturn.offline.dotenv import files  # noqa: PLC0415  # only where one is named
    from keyturn.offline.dotenv.files import Refused  # noqa: PLC0415  # the same

    try:
        content = files.read(path, _LARGEST_SCHEDULE)
    except Refused as refused:
        raise click.ClickException(str(refused)) from None
    if content is None:
        raise click.ClickException(f"there is no {path}; write it with keyturn audit schedule")
    return content.decode("utf-8", "replace")


def _repository(asked: Asked) -> Iterator[Finding]:
    from keyturn.checklist.repository import git, rules, source_control  # noqa: PLC0415  # where one is named

    if asked.repository is None:
        yield Finding(
            Point.SOURCE_CONTROL,
            Verdict.NOT_APPLICABLE,
            "no repository was named",
            "name one with --repository",
        )
        return
    until = time.monotonic() + asked.time_limit
    try:
        rules.load()
        opened = git.opened(asked.repository)
        yield from source_control.look(
            opened, lambda: time.monotonic() > until, lambda how_far: _tell(f"history: {how_far}")
        )
    except git.CannotLook as problem:
        raise click.ClickException(str(problem)) from None


def _tell(progress: str) -> None:
    """Print the progress on a terminal."""
    print_lines(progress, err=True)
