"""Which cluster and namespace a command speaks of, and how it prints what it found."""

from __future__ import annotations

import enum
import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

__all__ = ["Length", "Output", "Where", "home", "output", "place"]


class Output(enum.StrEnum):
    """How a command prints."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class Where:
    """The cluster and the namespace that are meant; what is None is as the kubeconfig says."""

    kubeconfig: str | None = None
    context: str | None = None
    namespace: str | None = None


_CONTEXT = click.option("--context", metavar="NAME", help="The context; else the kubeconfig's current one.")
_KUBECONFIG = click.option(
    "--kubeconfig", metavar="FILE", help="Else $KUBECONFIG, the pod's own account, or ~/.kube/config."
)
_HOME = click.option(
    "-n",
    "--namespace",
    metavar="NAME",
    help="The operator's namespace; else $POD_NAMESPACE, this pod's own, or keyturn-system.",
)
_NAMESPACE = click.option("-n", "--namespace", metavar="NAME", help="The namespace; else the context's.")


class Length(click.ParamType["timedelta"]):
    """A length of time as the API writes it."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        from keyturn.api.duration import parse_duration  # noqa: PLC0415  # when it runs

        try:
            return parse_duration(value)
        except ValueError as problem:
            self.fail(str(problem), param, ctx)


def place(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that name a cluster and a namespace, in kubectl's words; the command gets them as `where`."""
    return _NAMESPACE(_CONTEXT(_KUBECONFIG(_placed(command))))


def home(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that name a cluster and the operator's namespace there; the command gets them as `where`."""
    return _HOME(_CONTEXT(_KUBECONFIG(_placed(command))))


def _placed(command: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(command)
    def placed(*, kubeconfig: str | None, context: str | None, namespace: str | None, **others: Any) -> None:
        command(where=Where(kubeconfig, context, namespace), **others)

    return placed


output = click.option(
    "-o",
    "--output",
    type=click.Choice([one.value for one in Output]),
    default=Output.TABLE.value,
    callback=lambda _, __, written: Output(written),
    help="table (default), wide with more columns, or json with stable names.",
)
