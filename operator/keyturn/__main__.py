"""The command line: `keyturn run` and `keyturn crds`."""

from __future__ import annotations

import asyncio
import logging
import re
import sys
from pathlib import Path

import click

from . import __version__, crdgen, logs, web
from .kube.config import NotConfigured
from .kube.lease import LeadershipLost
from .runner import Options, run

__all__ = ["main"]

_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="keyturn")
def main() -> None:
    """Keyturn owns the whole life of a secret in Kubernetes."""


@main.command("run", short_help="Run the operator.")
@click.option("-n", "--namespace", "namespaces", multiple=True, help="Serve this namespace only; repeatable.")
@click.option("--all-namespaces", is_flag=True, help="Serve every namespace.")
@click.option(
    "--workers", default=16, show_default=True, type=click.IntRange(1, 256), help="Objects at a time."
)
@click.option("--metrics-port", default=8080, show_default=True, type=click.IntRange(0, 65535))
@click.option("--health-port", default=8081, show_default=True, type=click.IntRange(0, 65535))
@click.option(
    "--log-format",
    type=click.Choice([one.value for one in logs.LogFormat]),
    default=None,
    help="console on a terminal, otherwise json.",
)
@click.option("-v", "--verbose", is_flag=True, help="Log more; never a value.")
def run_command(
    namespaces: tuple[str, ...],
    all_namespaces: bool,  # noqa: FBT001 - click passes flags so
    workers: int,
    metrics_port: int,
    health_port: int,
    log_format: str | None,
    verbose: bool,  # noqa: FBT001
) -> None:
    """Run the operator against the cluster of KUBECONFIG, or of the pod it runs in."""
    if bool(namespaces) == all_namespaces:
        raise click.UsageError(
            "say which namespaces are served: --namespace NAME (repeatable) or --all-namespaces"
        )
    for name in namespaces:
        if not _NAMESPACE.fullmatch(name):
            raise click.UsageError(
                f"{name!r} cannot be a namespace: write up to 63 lowercase letters, digits and dashes,"
                " with no dash at either end"
            )
    chosen = log_format or ("console" if sys.stderr.isatty() else "json")
    logs.configure(logs.LogFormat(chosen), logging.DEBUG if verbose else logging.INFO)
    options = Options(
        namespaces=None if all_namespaces else namespaces,
        ports=web.Ports(metrics_port, health_port),
        workers=workers,
    )
    try:
        asyncio.run(run(options))
    except* (NotConfigured, web.CannotListen) as group:
        raise click.ClickException(str(_first(group))) from None
    except* LeadershipLost:
        sys.exit(1)  # the elector has said why; the next start begins as a standby


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    inner: BaseException = group
    while isinstance(inner, BaseExceptionGroup):
        inner = inner.exceptions[0]
    return inner


@main.command("crds")
@click.option("--output", type=click.Path(path_type=Path), help="Write them into this folder.")
@click.option(
    "--check", type=click.Path(path_type=Path), help="Fail if this folder's differ from the models."
)
def crds_command(output: Path | None, check: Path | None) -> None:
    """Print the CustomResourceDefinitions, ready for `kubectl apply -f -`."""
    if check:
        if drifted := crdgen.drifted(check):
            raise click.ClickException(
                f"out of date: {', '.join(drifted)}; run keyturn crds --output {check}"
            )
    elif output:
        crdgen.write(output)
    else:
        for name, text in crdgen.render().items():
            if name.startswith("keyturn.dev_"):
                click.echo(f"---\n{text}", nl=False)


if __name__ == "__main__":
    main()
