"""What `keyturn audit` looks at, and how it tells what it found."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from keyturn.checklist.finding import Finding, Point, Verdict, in_order

from . import auditprint

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from .options import Where

__all__ = ["Asked", "report"]

_FOUND, _CANNOT_LOOK = 1, 2


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be looked at."""

    repository: Path | None
    where: Where
    all_namespaces: bool
    points: Collection[str]
    time_limit: float

    @property
    def wants_cluster(self) -> bool:
        """A repository alone needs none, unless one is named."""
        named = self.where.kubeconfig or self.where.context or self.where.namespace or self.all_namespaces
        return bool(named) or self.repository is None


def report(asked: Asked, output: str, *, allow_unknown: bool) -> int:
    """Look, print what was found, and return the exit code."""
    found = in_order(_found(asked))
    auditprint.FORMS[output](found)
    if found.has(Verdict.FAIL):
        return _FOUND
    return _CANNOT_LOOK if found.has(Verdict.UNKNOWN) and not allow_unknown else 0


def _found(asked: Asked) -> Iterator[Finding]:
    if Point.SOURCE_CONTROL in asked.points:
        yield from _repository(asked)


def _repository(asked: Asked) -> Iterator[Finding]:
    from keyturn.checklist.repository import git, source_control  # noqa: PLC0415  # only where one is named

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
        opened = git.opened(asked.repository)
        yield from source_control.look(opened, lambda: time.monotonic() > until, _tell)
    except git.CannotLook as problem:
        raise click.ClickException(str(problem)) from None


def _tell(progress: str) -> None:
    """Let somebody who waits see how far it has come."""
    click.echo(f"history: {progress}", err=True)
