"""`keyturn run` and `keyturn crds`: commands of the operator's pod and of this repository."""

from __future__ import annotations

import gc
import ipaddress
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from keyturn.cli.options import check_namespace

from .run_options import Contacts, audit_endpoint, metrics_endpoint, restart_budget

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keyturn.controllers.managedsecret.restart_budget import RestartLimits
    from keyturn.controllers.manager import Options
    from keyturn.endpoints.audit import AuditSettings
    from keyturn.endpoints.server import Exposure
    from keyturn.runtime.reach import Reach

_LOG_FORMATS = ("console", "json")
_SECRET_SOURCES = ("watch", "by-name")
_YOUNG, _OLDER, _OLDEST = 10_000, 10, 10
"""Thresholds of the garbage collector: new containers, and collections of the previous generation."""


@click.command("run", short_help="Run the operator.")
@click.option("-n", "--namespace", "namespaces", multiple=True, help="Watch this namespace only; repeatable.")
@click.option("--all-namespaces", is_flag=True, help="Watch every namespace.")
@click.option(
    "--lease-namespace",
    metavar="NAME",
    help="Namespace of the Lease and of credentials of ClusterSecretStores and ClusterDatabaseTargets. Default:"
    " $POD_NAMESPACE, the pod's own, or keyturn-system.",
)
@click.option(
    "--workers",
    default=32,
    show_default=True,
    type=click.IntRange(1, 256),
    help="Number of objects reconciled concurrently.",
)
@restart_budget
@click.option(
    "--files-root",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Let ClusterSecretStores read files below this folder.",
)
@click.option(
    "--allow-host",
    "allowed_hosts",
    multiple=True,
    metavar="HOST[:PORT]",
    help="Allow stores and database targets to use private addresses of this host, and no TLS; repeatable.",
)
@click.option(
    "--cluster-cidr",
    "cluster_cidrs",
    multiple=True,
    metavar="CIDR",
    help="Deny stores and database targets this range of public addresses of pods, services or nodes; repeatable.",
)
@audit_endpoint
@click.option(
    "--contacts",
    type=Contacts(),
    help="YAML file with a contact for each role, shown in the status and the document of an emergency.",
)
@click.option(
    "--prove-encryption",
    is_flag=True,
    help="Read the API server's metrics to verify that Secrets are encrypted at rest.",
)
@click.option(
    "--secrets",
    type=click.Choice(_SECRET_SOURCES),
    default=_SECRET_SOURCES[0],
    show_default=True,
    help="Watch Secrets, or read those of ManagedSecrets by name: this needs no right to list Secrets, and detects"
    " changes within a minute.",
)
@metrics_endpoint
@click.option(
    "--log-format",
    type=click.Choice(_LOG_FORMATS),
    default=None,
    help="console on a terminal, otherwise json.",
)
@click.option("-v", "--verbose", is_flag=True, help="Log more; never a value.")
def run_command(
    namespaces: tuple[str, ...],
    all_namespaces: bool,  # noqa: FBT001 - click passes flags so
    lease_namespace: str | None,
    workers: int,
    files_root: Path | None,
    allowed_hosts: tuple[str, ...],
    cluster_cidrs: tuple[str, ...],
    contacts: Mapping[str, str] | None,
    prove_encryption: bool,  # noqa: FBT001
    secrets: str,
    log_format: str | None,
    verbose: bool,  # noqa: FBT001
    audit: AuditSettings | None,
    exposure: Exposure,
    restarts: RestartLimits,
) -> None:
    """Run the operator against the cluster of KUBECONFIG, or of the pod it runs in."""
    from keyturn.controllers import manager
    from keyturn.kube.secret_informer import SourceKind

    _check(namespaces, lease_namespace, all_namespaces=all_namespaces)
    _configure_logs(log_format, verbose=verbose)
    options = manager.Options(
        namespaces=None if all_namespaces else namespaces,
        lease_namespace=lease_namespace,
        exposure=exposure,
        workers=workers,
        restarts=restarts,
        reach=_reach(files_root, allowed_hosts, cluster_cidrs),
        audit=audit,
        source_kind=SourceKind(secrets),
        proves_encryption=prove_encryption,
        contacts=contacts or {},
    )
    _serve(options)


def _configure_logs(log_format: str | None, *, verbose: bool) -> None:
    from keyturn.runtime import logs

    chosen = log_format or ("console" if sys.stderr.isatty() else "json")
    logs.configure(logs.LogFormat(chosen), logging.DEBUG if verbose else logging.INFO)


def _serve(options: Options) -> None:
    import structlog
    import uvloop

    from keyturn.controllers import manager
    from keyturn.endpoints import server
    from keyturn.kube.connection import NotConfigured
    from keyturn.kube.errors import HistoryLost
    from keyturn.kube.leader_election import LeadershipLost
    from keyturn.runtime import threadpools
    from keyturn.runtime.memory_protection import keep_memory_unseen

    keep_memory_unseen()
    _tune_garbage_collector()
    code = 0
    try:
        uvloop.run(manager.run(options))
    except* (NotConfigured, server.CannotListen) as group:
        click.ClickException(str(_first(group))).show()
        code = 1
    except* LeadershipLost:
        code = 1  # the cause is logged; the next start is a standby
    except* HistoryLost as group:
        structlog.get_logger().error("API server state older than before", reason=str(_first(group)))
        code = 1
    except* Exception as group:  # noqa: BLE001  # a process that raises it waits for threads
        sys.excepthook(type(group), group, group.__traceback__)  # logs without the messages of foreign errors
        code = 1
    threadpools.end_process(code)


def _tune_garbage_collector() -> None:
    """Freeze what is loaded, and collect less often: a reconcile allocates much, but hardly any cycles.

    https://docs.python.org/3/library/gc.html#gc.freeze
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, _OLDER, _OLDEST)


def _check(namespaces: tuple[str, ...], own: str | None, *, all_namespaces: bool) -> None:
    if bool(namespaces) == all_namespaces:
        raise click.UsageError(
            "select the namespaces: --namespace NAME (repeatable) or --all-namespaces, not both"
        )
    for name in (*namespaces, *([] if own is None else [own])):
        check_namespace(name)


def _reach(files_root: Path | None, hosts: tuple[str, ...], cidrs: tuple[str, ...]) -> Reach:
    """Parse the addresses that stores may use."""
    from keyturn.runtime.reach import AllowedHost, Reach

    try:
        allowed = frozenset(AllowedHost.parse(host) for host in hosts)
    except ValueError as error:
        raise click.UsageError(f"--allow-host: {error}") from None
    try:
        inside = tuple(ipaddress.ip_network(cidr) for cidr in cidrs)
    except ValueError:
        raise click.UsageError("--cluster-cidr: write a range such as 10.0.0.0/8 or fd00::/8") from None
    return Reach(files_root=files_root, allowed=allowed, inside=inside)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    inner: BaseException = group
    while isinstance(inner, BaseExceptionGroup):
        inner = inner.exceptions[0]
    return inner


@click.command("crds", short_help="Print the CustomResourceDefinitions.")
@click.option("--output", type=click.Path(path_type=Path), help="The folder to write them to.")
@click.option(
    "--check",
    type=click.Path(path_type=Path),
    help="Fail if the files of this folder differ from the models.",
)
def crds_command(output: Path | None, check: Path | None) -> None:
    """Print the CustomResourceDefinitions, ready for `kubectl apply --server-side -f -`."""
    from keyturn.installation import crds

    if check:
        if drifted := crds.drifted(check):
            raise click.ClickException(
                f"out of date: {', '.join(drifted)}; run keyturn crds --output {check}"
            )
    elif output:
        crds.write(output)
    else:
        for name, text in crds.render().items():
            if name.startswith("keyturn.dev_"):
                click.echo(f"---\n{text}", nl=False)
