"""`keyturn run` and `keyturn crds`: commands of the operator's pod and of this repository."""

from __future__ import annotations

import gc
import ipaddress
import logging
import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import FILE, Length, check_namespace

if TYPE_CHECKING:
    from keyturn.controllers.manager import Options
    from keyturn.endpoints.audit import AuditSettings
    from keyturn.endpoints.server import Exposure
    from keyturn.runtime.reach import Reach

_LOG_FORMATS = ("console", "json")
_SECRET_SOURCES = ("watch", "by-name")
_YOUNG, _OLDER, _OLDEST = 10_000, 10, 10
"""Thresholds of the garbage collector: new containers, and collections of the previous generation."""
_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
_PORT = click.IntRange(0, 65535)
_MOST_CONTACTS, _LONGEST_CONTACT = 16, 256


def _contacts(_: click.Context, __: click.Parameter, file: Path | None) -> Mapping[str, str]:
    """Return the contact of each role, in the order of the file."""
    if file is None:
        return {}
    import yaml

    try:
        found = yaml.safe_load(file.read_text())
    except (OSError, yaml.YAMLError, UnicodeDecodeError):
        found = None
    is_short = isinstance(found, dict) and len(found) <= _MOST_CONTACTS
    if not is_short or not all(map(_is_contact, (*found, *found.values()))):
        raise click.BadParameter(
            f"{file} has to have up to {_MOST_CONTACTS} lines such as Security Team: security@example.com, with up to"
            f" {_LONGEST_CONTACT} characters for role and contact"
        )
    return dict(found)


def _is_contact(text: object) -> bool:
    return isinstance(text, str) and 0 < len(text) <= _LONGEST_CONTACT and text.isprintable()


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
@click.option(
    "--max-rolling",
    type=click.IntRange(1),
    help="Workloads of the cluster that Keyturn rolls at a time, emergencies aside; no limit by default.",
)
@click.option(
    "--restarts-per-minute",
    type=click.IntRange(1),
    help="Restarts that Keyturn begins per minute, emergencies aside; no limit by default.",
)
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
@click.option(
    "--audit-port",
    type=_PORT,
    help="Port that receives the API server's audit events at https://…:PORT/audit; off by default.",
)
@click.option("--audit-cert", type=_FILE, help="The certificate of that endpoint, PEM.")
@click.option("--audit-key", type=_FILE, help="Its key, PEM.")
@click.option(
    "--audit-token-file", type=_FILE, help="File with the token that authorises a sender of events."
)
@click.option(
    "--audit-allow",
    "audit_allowed",
    multiple=True,
    metavar="SUBJECT",
    help="User whose reads are never unusual; * and ? are wildcards; repeatable.",
)
@click.option(
    "--audit-learning",
    type=Length(),
    default="14d",
    show_default=True,
    help="Learning period after the first event, in which new readers are not unusual.",
)
@click.option(
    "--contacts",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    callback=_contacts,
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
@click.option(
    "--metrics-port",
    default=8080,
    show_default=True,
    type=_PORT,
    help="The port of /metrics; 0 for a free one.",
)
@click.option(
    "--health-port",
    default=8081,
    show_default=True,
    type=_PORT,
    help="The port of the probes /livez and /readyz; 0 for a free one.",
)
@click.option(
    "--metrics-auth",
    is_flag=True,
    help="Require a token that the API server permits to get /metrics, with the audience keyturn-metrics,"
    " or by https that of the API server.",
)
@click.option(
    "--metrics-cert",
    type=_FILE,
    help="TLS certificate of the metrics, PEM; with it they are served by https only.",
)
@click.option("--metrics-key", type=_FILE, help="Its key, PEM.")
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
    files_root: Path | None,
    allowed_hosts: tuple[str, ...],
    cluster_cidrs: tuple[str, ...],
    log_format: str | None,
    verbose: bool,  # noqa: FBT001
    **given: Any,
) -> None:
    """Run the operator against the cluster of KUBECONFIG, or of the pod it runs in."""
    from keyturn.controllers import manager
    from keyturn.controllers.managedsecret.restart_budget import RestartLimits
    from keyturn.kube.secret_informer import SourceKind

    if bool(namespaces) == all_namespaces:
        raise click.UsageError(
            "select the namespaces: --namespace NAME (repeatable) or --all-namespaces, not both"
        )
    for name in (*namespaces, *([] if lease_namespace is None else [lease_namespace])):
        check_namespace(name)
    options = manager.Options(
        namespaces=None if all_namespaces else namespaces,
        lease_namespace=lease_namespace,
        exposure=_exposure(**_taken("metrics", given), health_port=given["health_port"]),
        workers=given["workers"],
        restarts=RestartLimits(given["max_rolling"], given["restarts_per_minute"]),
        reach=_reach(files_root, allowed_hosts, cluster_cidrs),
        audit=_audit(**_taken("audit", given)),
        source_kind=SourceKind(given["secrets"]),
        proves_encryption=given["prove_encryption"],
        contacts=given["contacts"],
    )
    _configure_logs(log_format, verbose=verbose)
    _serve(options)


def _taken(part: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that begin with the name of a part, without it."""
    return {name.removeprefix(f"{part}_"): one for name, one in given.items() if name.startswith(f"{part}_")}


def _exposure(port: int, health_port: int, *, auth: bool, cert: Path | None, key: Path | None) -> Exposure:
    from keyturn.endpoints.connections import CannotServe, ServerTls
    from keyturn.endpoints.server import Exposure, Ports

    if bool(cert) != bool(key):
        raise click.UsageError(
            "a certificate needs its key: set --metrics-cert and --metrics-key, or neither"
        )
    try:
        if cert and key:
            ServerTls(cert, key, "metrics")
    except CannotServe as error:
        raise click.UsageError(str(error)) from None
    return Exposure(Ports(port, health_port), auth, cert, key)


def _audit(
    port: int | None,
    cert: Path | None,
    key: Path | None,
    token_file: Path | None,
    allowed: tuple[str, ...],
    learning: timedelta,
) -> AuditSettings | None:
    """Return the settings of the webhook, whose files the operator reads again; None without a port."""
    from keyturn.endpoints.audit import AuditSettings
    from keyturn.endpoints.audit.audit import read_token
    from keyturn.endpoints.connections import CannotServe, ServerTls

    if port is None:
        if cert or key or token_file:
            raise click.UsageError("set the port that receives audit events: --audit-port 8443")
        return None
    if not (cert and key and token_file):
        raise click.UsageError(
            "audit events need TLS and a token: set --audit-cert, --audit-key and --audit-token-file"
        )
    try:
        ServerTls(cert, key, "audit")
        read_token(token_file)
    except CannotServe as error:
        raise click.UsageError(str(error)) from None
    return AuditSettings(port, cert, key, token_file, allowed=allowed, learning=learning)


def _configure_logs(log_format: str | None, *, verbose: bool) -> None:
    from keyturn.runtime import logs

    chosen = log_format or ("console" if sys.stderr.isatty() else "json")
    logs.configure(logs.LogFormat(chosen), logging.DEBUG if verbose else logging.INFO)


def _serve(options: Options) -> None:
    import structlog
    import uvloop

    from keyturn.controllers import manager
    from keyturn.endpoints import server
    from keyturn.kube.config import NotConfigured
    from keyturn.kube.errors import HistoryLost
    from keyturn.kube.leader_election import LeadershipLost
    from keyturn.runtime import threadpools
    from keyturn.runtime.memory_protection import keep_memory_unseen

    keep_memory_unseen()
    # A reconcile allocates much, but hardly any cycles: https://docs.python.org/3/library/gc.html#gc.freeze
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, _OLDER, _OLDEST)
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
@click.option("--output", type=FILE, help="The folder to write them to.")
@click.option("--check", type=FILE, help="Fail if the files of this folder differ from the models.")
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
