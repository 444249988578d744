"""Common options: cluster, namespace, output format, and the selection of ManagedSecrets."""

import enum
import functools
import gc
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import click
from click.shell_completion import CompletionItem

INTERRUPTED = 130
"""Exit code after Ctrl-C."""
_ATTENTION = 3
"""Exit code of a successful command that found something requiring manual action."""

_RARELY: Final = 100_000
"""Objects between two searches for garbage."""
_NAMESPACE_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
"""A label of RFC 1123."""


def exit_code(*, has_failed: bool, needs_a_person: bool = False) -> int:
    return 1 if has_failed else _ATTENTION if needs_a_person else 0


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


class Length(click.ParamType["timedelta"]):
    """A duration in the syntax of the API."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        from keyturn.api.base import parse_duration  # noqa: PLC0415  # when it runs

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


FILE = click.Path(path_type=Path)
_CONTEXT = click.option(
    "--context", metavar="NAME", help="The kubeconfig context to use. Default: the current one."
)
_KUBECONFIG = click.option(
    "--kubeconfig",
    metavar="FILE",
    help="The kubeconfig. Default: $KUBECONFIG, in a pod its ServiceAccount, or ~/.kube/config.",
)


def _place(about: str, *, required: bool = False) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make the decorator with kubectl's options for cluster and namespace; the command receives them as `where`."""
    named = click.option("-n", "--namespace", metavar="NAME", required=required, help=about)

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def placed(
            *, kubeconfig: str | None, context: str | None, namespace: str | None, **others: Any
        ) -> None:
            if namespace:
                check_namespace(namespace)
            # Imports create many objects and no garbage; to look for it takes a tenth of a short command.
            gc.set_threshold(_RARELY)
            command(where=Where(kubeconfig, context, namespace), **others)

        return named(_CONTEXT(_KUBECONFIG(placed)))

    return decorate


place = _place("The namespace. Default: that of the context.")
named_place = _place("The namespace.", required=True)
home = _place("The operator's namespace. Default: $POD_NAMESPACE, this pod's own, or keyturn-system.")


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


def manifest_files(
    text: str, *, required: bool = False
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return the option -f for files and folders of manifests, as in kubectl."""
    kind = click.Path(exists=True, allow_dash=True)
    return click.option("-f", "--filename", "files", type=kind, multiple=True, required=required, help=text)


# Selection of ManagedSecrets, as in kubectl

_KINDS = frozenset(
    {"managedsecret", "managedsecrets", "ms", "managedsecret.keyturn.dev", "managedsecrets.keyturn.dev"}
)


def completed(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete names from the cluster."""
    from .cluster import names as known  # noqa: PLC0415  # only for the Tab key

    options = ctx.params
    asked = Where(options.get("kubeconfig"), options.get("context"), options.get("namespace"))
    return [CompletionItem(one) for one in known(asked) if one.startswith(incomplete)]


def _plain(given: str) -> str:
    """Accept the form managedsecret.keyturn.dev/NAME, which kubectl prints."""
    kind, slash, rest = given.partition("/")
    if not slash:
        return given
    if kind.lower() not in _KINDS or not rest:
        raise click.UsageError(f"{given!r} is not a ManagedSecret; write NAME or managedsecret/NAME")
    return rest


def _plain_all(_: click.Context, __: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_plain(one) for one in given))


name = click.argument("name", shell_complete=completed, callback=lambda _, __, given: _plain(given))
names = click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=completed, callback=_plain_all)
_labels = click.option(
    "-l", "--selector", "labels", metavar="SELECTOR", help="Select by labels, such as team=auth,tier!=test."
)


def looked_at(command: Callable[..., None]) -> Callable[..., None]:
    """Add NAME..., -l and -A for a read-only command, which receives them as `selection`."""
    everywhere = click.option("-A", "--all-namespaces", is_flag=True, help="In every namespace.")
    return names(_labels(everywhere(_selecting(command, requires=False))))


def acted_on(command: Callable[..., None]) -> Callable[..., None]:
    """Add NAME..., -l, --all, -A and --yes for a command with changes, which receives them as `selection`."""
    takes_all = click.option("--all", "takes_all", is_flag=True, help="Every ManagedSecret of the namespace.")
    everywhere = click.option(
        "-A",
        "--all-namespaces",
        is_flag=True,
        help="In every namespace, with --selector or --all; asks for confirmation.",
    )
    yes = click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation.")
    return names(_labels(takes_all(everywhere(yes(_selecting(command, requires=True))))))


def _selecting(command: Callable[..., None], *, requires: bool) -> Callable[..., None]:
    @functools.wraps(command)
    def chosen(
        *,
        names: tuple[str, ...],
        labels: str | None,
        all_namespaces: bool,
        takes_all: bool = False,
        yes: bool = False,
        **others: Any,
    ) -> None:
        if names and labels is not None:
            raise click.UsageError("write names or --selector, not both")
        if labels is not None and not labels.strip():
            raise click.UsageError("--selector is empty; write one such as team=auth")
        if takes_all and (names or labels):
            raise click.UsageError("write --all, or names, or --selector")
        if requires and not (names or labels or takes_all):
            raise click.UsageError("name a ManagedSecret, or write --selector or --all")
        if names and all_namespaces:
            raise click.UsageError("a NAME is of one namespace: leave out -A, or say which with --namespace")
        command(selection=Selection(names, labels, all_namespaces, yes), **others)

    return chosen
