"""Arguments and options that select ManagedSecrets, as in kubectl."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from .options import Selection, Where

if TYPE_CHECKING:
    from collections.abc import Callable

_KINDS = frozenset(
    {"managedsecret", "managedsecrets", "ms", "managedsecret.keyturn.dev", "managedsecrets.keyturn.dev"}
)


def completed(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete names from the cluster."""
    from .completion_names import names as known  # noqa: PLC0415  # only for the Tab key

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
    "-l",
    "--selector",
    "labels",
    metavar="SELECTOR",
    help="Select by labels, such as team=auth,tier!=test.",
)


def looked_at(command: Callable[..., None]) -> Callable[..., None]:
    """Add NAME..., -l and -A for a read-only command, which receives them as `selection`."""

    @functools.wraps(command)
    def chosen(*, names: tuple[str, ...], labels: str | None, all_namespaces: bool, **others: Any) -> None:
        _refuse_both(names, labels)
        if names and all_namespaces:
            raise click.UsageError("a NAME is of one namespace: leave out -A, or say which with --namespace")
        command(selection=Selection(names, labels, all_namespaces), **others)

    everywhere = click.option("-A", "--all-namespaces", is_flag=True, help="In every namespace.")
    return names(_labels(everywhere(chosen)))


def acted_on(command: Callable[..., None]) -> Callable[..., None]:
    """Add NAME..., -l, --all, -A and --yes for a command with changes, which receives them as `selection`."""

    @functools.wraps(command)
    def chosen(
        *,
        names: tuple[str, ...],
        labels: str | None,
        takes_all: bool,
        all_namespaces: bool,
        yes: bool,
        **others: Any,
    ) -> None:
        _refuse_both(names, labels)
        if takes_all and (names or labels):
            raise click.UsageError("write --all, or names, or --selector")
        if not (names or labels or takes_all):
            raise click.UsageError("name a ManagedSecret, or write --selector or --all")
        if names and all_namespaces:
            raise click.UsageError("a NAME is of one namespace: leave out -A, or say which with --namespace")
        command(selection=Selection(names, labels, all_namespaces, yes), **others)

    takes_all = click.option("--all", "takes_all", is_flag=True, help="Every ManagedSecret of the namespace.")
    everywhere = click.option(
        "-A",
        "--all-namespaces",
        is_flag=True,
        help="In every namespace, with --selector or --all; asks for confirmation.",
    )
    yes = click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation.")
    return names(_labels(takes_all(everywhere(yes(chosen)))))


def _refuse_both(names: tuple[str, ...], labels: str | None) -> None:
    if names and labels is not None:
        raise click.UsageError("write names or --selector, not both")
    if labels is not None and not labels.strip():
        raise click.UsageError("--selector is empty; write one such as team=auth")
