"""Runs the checklist for `keyturn audit`, and prints the report as text, JSON or SARIF."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import click

from keyturn import __version__
from keyturn.core.policy.checklist import Finding, Point, Verdict, in_order

from .printing import in_one_line, print_document, print_json, print_lines, room, table

if TYPE_CHECKING:
    from keyturn.checklist.backup import Drill
    from keyturn.core.policy.checklist import Report

    from .cluster import Cluster
    from .options import Where

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
    compare_context: str | None = None
    schedule: Path | None = None
    drill: Drilled | None = None
    operator_namespace: str = "keyturn-system"

    @property
    def wants_cluster(self) -> bool:
        """Whether a cluster is needed; not for a repository alone."""
        where = self.where.kubeconfig or self.where.context or self.where.namespace or self.compare_context
        return (
            bool(where) or self.all_namespaces or bool(self.schedule or self.drill) or self.repository is None
        )


@dataclass(frozen=True, slots=True)
class _Scope:
    """Time and subject of a report; None for what was not checked."""

    made: datetime
    repository: str | None
    server: str | None = None
    namespace: str | None = None
    """The namespace, or None for all of the cluster."""

    def __str__(self) -> str:
        where = f"namespace {self.namespace}" if self.namespace else "all namespaces"
        subjects = [f"{self.server}, {where}"] if self.server else []
        subjects += [f"repository {self.repository}"] if self.repository else []
        return f"{self.made:%Y-%m-%d %H:%M:%S} UTC, keyturn {__version__}: {', '.join(subjects)}"


def report(asked: Asked, output: str, *, allow_unknown: bool) -> int:
    """Check, print the report, and return the exit code."""
    findings, cluster = _cluster(asked) if asked.wants_cluster else ([], None)
    scope = _Scope(
        datetime.now(UTC),
        str(asked.repository.resolve()) if asked.repository else None,
        cluster.server if cluster else None,
        cluster.namespace if cluster and not asked.all_namespaces else None,
    )
    if Point.SOURCE_CONTROL in asked.points:
        findings += _repository(asked)
    found = in_order(findings)
    match output:
        case "json":
            _print_json(found, scope)
        case "sarif":
            print_json(sarif(found))
        case _:
            _print_table(found, scope)
    if found.has(Verdict.FAIL):
        return _FOUND
    return _CANNOT_LOOK if found.has(Verdict.UNKNOWN) and not allow_unknown else 0


def _print_table(report: Report, scope: _Scope) -> None:
    rows = [
        (one.point, one.verdict, f"{one.where}:{one.line}" if one.line else one.where, one.evidence)
        for one in report.findings
    ]
    print_lines(table(("POINT", "VERDICT", "WHERE", "EVIDENCE"), rows, room()))
    remedies = {(one.point, one.remedy): None for one in report.findings if one.remedy}
    if remedies:
        print_lines("", "To be done:", *(in_one_line(f"  {point}: {remedy}") for point, remedy in remedies))
    counts = ", ".join(f"{count} {verdict}" for verdict, count in report.counts.items())
    print_lines("", in_one_line(f"{scope}. Points: {counts}"))


def _print_json(report: Report, scope: _Scope) -> None:
    print_json(
        {
            "madeAt": scope.made,
            "version": __version__,
            "server": scope.server,
            "namespace": scope.namespace,
            "repository": scope.repository,
            "counts": {str(verdict): count for verdict, count in report.counts.items()},
            "points": [
                {"number": point.number, "point": point, "asks": point.asks, "verdict": verdict}
                for point, verdict in report.verdicts.items()
            ],
            "findings": [
                {
                    "point": one.point,
                    "verdict": one.verdict,
                    "where": one.where or None,
                    "line": one.line or None,
                    "evidence": one.evidence,
                    "remedy": one.remedy or None,
                }
                for one in report.findings
            ],
        }
    )


def schedule(where: Where, *, all_namespaces: bool) -> None:
    """Print the document that --schedule is compared with."""
    from keyturn.checklist.facts import Facts  # noqa: PLC0415  # only where a cluster is looked at
    from keyturn.checklist.schedule import document  # noqa: PLC0415  # the same

    from .cluster import run  # noqa: PLC0415  # the same

    async def work(cluster: Cluster) -> str:
        await _require_namespace(cluster, all_namespaces=all_namespaces)
        facts = Facts(cluster.api, None if all_namespaces else cluster.namespace, cluster.now)
        await facts.list_classes()  # the document is wrong without what they set
        return document(await facts.list_declared())

    print_document(run(where, work))


def _cluster(asked: Asked) -> tuple[list[Finding], Cluster]:
    """Return the findings, and the cluster with its namespace."""
    from keyturn.checklist.cluster import Checked, check  # noqa: PLC0415  # only where a cluster is looked at
    from keyturn.checklist.facts import Facts  # noqa: PLC0415  # the same

    from .cluster import connect, run  # noqa: PLC0415  # the same

    committed, drill = _committed(asked.schedule), _drill(asked.drill)

    async def work(here: Cluster) -> tuple[list[Finding], Cluster]:
        await _require_namespace(here, all_namespaces=asked.all_namespaces)
        facts = Facts(here.api, None if asked.all_namespaces else here.namespace, here.now)
        checked = Checked(facts, None, committed, drill, asked.operator_namespace)
        if asked.compare_context is None:
            return await check(checked, asked.points), here
        async with connect(replace(asked.where, context=asked.compare_context)) as there:
            namespace = None if asked.all_namespaces else there.namespace
            other = asked.compare_context, Facts(there.api, namespace, there.now, facts.mark)
            return await check(replace(checked, other=other), asked.points), here

    return run(asked.where, work)


async def _require_namespace(cluster: Cluster, *, all_namespaces: bool) -> None:
    """Refuse a namespace that does not exist, in which every point would be fine."""
    from .managed import describe_empty  # noqa: PLC0415  # only where a cluster is looked at

    if not all_namespaces:
        await describe_empty(cluster)


def _drill(drilled: Drilled | None) -> Drill | None:
    if drilled is None:
        return None
    from keyturn.checklist.backup import Drill  # noqa: PLC0415  # only where asked for

    from .backup import read  # noqa: PLC0415  # the same

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
    from keyturn.checklist import git, source_control  # noqa: PLC0415  # only where one is named

    if asked.repository is None:
        yield Finding(
            Point.SOURCE_CONTROL,
            Verdict.NOT_APPLICABLE,
            "no repository was named",
            "name one with --repository",
        )
        return
    try:
        yield from source_control.look(asked.repository)
    except git.CannotLook as problem:
        raise click.ClickException(str(problem)) from None


# Report as SARIF 2.1.0 in the subset that GitHub code scanning accepts
#
# Code scanning shows each result as a problem, and refuses a file with a result that has no physical location. So the
# results are the failed checks only; unknown points are notifications of the run, and what passed is left out.

_SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_MAX_RESULTS: Final = 5_000
"""Code scanning shows that many of a run."""


def sarif(report: Report) -> dict[str, Any]:
    """Return every failed check as a result, and every point as a rule."""
    failed = [one for one in report.findings if one.verdict is Verdict.FAIL]
    rules = [_rule(point) for point in Point]
    notifications = [
        {
            "level": "warning",
            "message": {"text": _text(one)},
            "associatedRule": {"id": one.point.value, "index": one.point.number - 1},
        }
        for one in report.findings
        if one.verdict is Verdict.UNKNOWN
    ]
    run = {
        "tool": {"driver": {"name": "keyturn audit", "version": __version__, "rules": rules}},
        "columnKind": "unicodeCodePoints",
        "invocations": [{"executionSuccessful": True, "toolExecutionNotifications": notifications}],
        "results": [_result(one) for one in failed[:_MAX_RESULTS]],
    }
    return {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(point: Point) -> dict[str, Any]:
    return {
        "id": point.value,
        "name": point.value.title().replace("-", ""),
        "shortDescription": {"text": point.asks},
        "fullDescription": {"text": f"Point {point.number} of the secrets checklist: {point.asks}."},
        "help": {"text": f"keyturn audit --only {point.value} prints the evidence and the remedies."},
        "defaultConfiguration": {"level": "error"},
        "properties": {"tags": ["security"], "precision": "high", "security-severity": "8.0"},
    }


def _result(one: Finding) -> dict[str, Any]:
    return {
        "ruleId": one.point.value,
        "ruleIndex": one.point.number - 1,
        "kind": "fail",
        "level": "error",
        "message": {"text": _text(one)},
        "locations": [_location(one)],
    }


def _text(one: Finding) -> str:
    return f"{one.evidence}. To be done: {one.remedy}" if one.remedy else one.evidence


def _location(one: Finding) -> dict[str, Any]:
    """Return a file of the repository, or a path that stands for an object of the cluster or for a whole point."""
    if one.where and one.point is Point.SOURCE_CONTROL:
        return _physical(one.where, one.line or 1)
    if not one.where:
        return _physical(f"checklist/{one.point.value}")
    return _physical(f"cluster/{one.where}") | {
        "logicalLocations": [{"fullyQualifiedName": one.where, "kind": "object"}]
    }


def _physical(path: str, line: int = 1) -> dict[str, Any]:
    artifact = {"uri": quote(path), "uriBaseId": "%SRCROOT%"}
    return {"physicalLocation": {"artifactLocation": artifact, "region": {"startLine": line}}}
