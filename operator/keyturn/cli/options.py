"""Common options: cluster, namespace and output format."""

from __future__ import annotations

import enum
import functools
import gc
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

INTERRUPTED = 130
"""Exit code after Ctrl-C."""

_RARELY: Final = 100_000
"""Objects between two searches for garbage."""
_NAMESPACE_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
"""A label of RFC 1123."""


class Output(enum.StrEnum):
    """Output formats."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    YAML = "yaml"
    NAME = "name"

    @property
    def is_document(self) -> bool:
        """Whether the output is for programs."""
        return self in {Output.JSON, Output.YAML}


@dataclass(frozen=True, slots=True)
class Where:
    """Cluster and namespace; None as in the kubeconfig."""

    kubeconfig: str | None = None
    context: str | None = None
    namespace: str | None = None


@dataclass(frozen=True, slots=True)
class Selection:
    """Selected ManagedSecrets; without names and labels, all of them."""

    names: tuple[str, ...] = ()
    labels: str | None = None
    everywhere: bool = False
    is_confirmed: bool = False

    @property
    def name(self) -> str | None:
        """The only name, if there is exactly one."""
        return self.names[0] if len(self.names) == 1 else None

    @property
    def is_given(self) -> bool:
        """Whether the user has selected something; a command may require it."""
        return bool(self.names or self.labels or self.everywhere)

    def __str__(self) -> str:
        return f" that matches {self.labels!r}" if self.labels else ""


_CONTEXT = click.option(
    "--context", metavar="NAME", help="The kubeconfig context to use. Default: the current one."
)
_KUBECONFIG = click.option(
    "--kubeconfig",
    metavar="FILE",
    help="The kubeconfig. Default: $KUBECONFIG, in a pod its ServiceAccount, or ~/.kube/config.",
)
_HOME = click.option(
    "-n",
    "--namespace",
    metavar="NAME",
    help="The operator's namespace. Default: $POD_NAMESPACE, this pod's own, or keyturn-system.",
)
_NAMESPACE = click.option(
    "-n", "--namespace", metavar="NAME", help="The namespace. Default: that of the context."
)
_NAMED = click.option("-n", "--namespace", metavar="NAME", required=True, help="The namespace.")


class Length(click.ParamType["timedelta"]):
    """A duration in the syntax of the API."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        from keyturn.api.duration import parse_duration  # noqa: PLC0415  # when it runs

        try:
            return parse_duration(value)
        except ValueError as problem:
            self.fail(str(problem), param, ctx)


def check_namespace(name: str) -> None:
    """Refuse what cannot be the name of a namespace."""
    if not _NAMESPACE_NAME.fullmatch(name):
        raise click.UsageError(
            f"{name!r} cannot be a namespace: write up to 63 lowercase letters, digits and dashes,"
            " with no dash at either end"
        )


def place(command: Callable[..., None]) -> Callable[..., None]:
    """Add kubectl's options for cluster and namespace; the command receives them as `where`."""
    return _NAMESPACE(_CONTEXT(_KUBECONFIG(_placed(command))))


def named_place(command: Callable[..., None]) -> Callable[..., None]:
    """Add the same options for a command that requires the namespace."""
    return _NAMED(_CONTEXT(_KUBECONFIG(_placed(command))))


def home(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options for a cluster and the operator's namespace; the command receives them as `where`."""
    return _HOME(_CONTEXT(_KUBECONFIG(_placed(command))))


def _placed(command: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(command)
    def placed(*, kubeconfig: str | None, context: str | None, namespace: str | None, **others: Any) -> None:
        if namespace:
            check_namespace(namespace)
        # Imports create many objects and no garbage; to look for it takes a tenth of a short command.
        gc.set_threshold(_RARELY)
        command(where=Where(kubeconfig, context, namespace), **others)

    return placed


_HELP = {
    Output.TABLE: "table (default)",
    Output.WIDE: "wide with more columns",
    Output.JSON: "json or yaml with stable names",
    Output.NAME: "name for the names alone",
}


def formats(
    *allowed: Output, default: Output | None = None
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add -o; the command receives the format as `output`, or None if it has no default."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice([one.value for one in allowed]),
        default=default.value if default else None,
        callback=lambda _, __, written: Output(written) if written else None,
        help=f"The format: {', '.join(_HELP[one] for one in allowed if one in _HELP)}.",
    )


output = formats(*Output, default=Output.TABLE)
answer = formats(Output.JSON, Output.YAML, Output.NAME)
