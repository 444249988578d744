"""Options of `keyturn run`: metrics, audit webhook, contacts and the restart budget."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import Length

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import timedelta

    from keyturn.endpoints.audit import AuditSettings


def check_certificate(certificate: Path | None, key: Path | None, name: str) -> None:
    """Reject a certificate without its key, and invalid files; `name` is the prefix of their options."""
    from keyturn.endpoints.connections import CannotServe, ServerTls  # noqa: PLC0415  # as with all commands

    if bool(certificate) != bool(key):
        raise click.UsageError(f"a certificate needs its key: set --{name}-cert and --{name}-key, or neither")
    try:
        if certificate and key:
            ServerTls(certificate, key, name)
    except CannotServe as error:
        raise click.UsageError(str(error)) from None


# Metrics: port, authorization and TLS

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
_METRICS_OPTIONS = (
    click.option(
        "--metrics-port",
        default=8080,
        show_default=True,
        type=click.IntRange(0, 65535),
        help="The port of /metrics; 0 for a free one.",
    ),
    click.option(
        "--health-port",
        default=8081,
        show_default=True,
        type=click.IntRange(0, 65535),
        help="The port of the probes /livez and /readyz; 0 for a free one.",
    ),
    click.option(
        "--metrics-auth",
        is_flag=True,
        help="Require a token that the API server permits to get /metrics, with the audience keyturn-metrics,"
        " or by https that of the API server.",
    ),
    click.option(
        "--metrics-cert",
        type=_FILE,
        help="TLS certificate of the metrics, PEM; with it they are served by https only.",
    ),
    click.option("--metrics-key", type=_FILE, help="Its key, PEM."),
)


def metrics_endpoint(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options; the command receives them as `exposure`."""

    @functools.wraps(command)
    def with_metrics(
        *,
        metrics_port: int,
        health_port: int,
        metrics_auth: bool,
        metrics_cert: Path | None,
        metrics_key: Path | None,
        **others: Any,
    ) -> None:
        from keyturn.endpoints.server import Exposure, Ports  # noqa: PLC0415  # as with all commands

        check_certificate(metrics_cert, metrics_key, "metrics")
        ports = Ports(metrics_port, health_port)
        command(exposure=Exposure(ports, metrics_auth, metrics_cert, metrics_key), **others)

    return functools.reduce(lambda wrapped, option: option(wrapped), reversed(_METRICS_OPTIONS), with_metrics)


# Audit webhook

_AUDIT_OPTIONS = (
    click.option(
        "--audit-port",
        type=click.IntRange(0, 65535),
        help="Port that receives the API server's audit events at https://…:PORT/audit; off by default.",
    ),
    click.option("--audit-cert", type=_FILE, help="The certificate of that endpoint, PEM."),
    click.option("--audit-key", type=_FILE, help="Its key, PEM."),
    click.option(
        "--audit-token-file", type=_FILE, help="File with the token that authorises a sender of events."
    ),
    click.option(
        "--audit-allow",
        "audit_allowed",
        multiple=True,
        metavar="SUBJECT",
        help="User whose reads are never unusual; * and ? are wildcards; repeatable.",
    ),
    click.option(
        "--audit-learning",
        type=Length(),
        default="14d",
        show_default=True,
        help="Learning period after the first event, in which new readers are not unusual.",
    ),
)


def audit_endpoint(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options; the command receives them as `audit`, None without a webhook."""

    @functools.wraps(command)
    def with_endpoint(
        *,
        audit_port: int | None,
        audit_cert: Path | None,
        audit_key: Path | None,
        audit_token_file: Path | None,
        audit_allowed: tuple[str, ...],
        audit_learning: timedelta,
        **others: Any,
    ) -> None:
        if audit_port is None:
            _leave_out(audit_cert, audit_key, audit_token_file)
            command(audit=None, **others)
            return
        from keyturn.endpoints.audit import AuditSettings  # noqa: PLC0415  # as with all commands

        if not (audit_cert and audit_key and audit_token_file):
            raise click.UsageError(
                "audit events need TLS and a token: set --audit-cert, --audit-key and --audit-token-file"
            )
        audit = AuditSettings(
            audit_port,
            audit_cert,
            audit_key,
            audit_token_file,
            allowed=audit_allowed,
            learning=audit_learning,
        )
        command(audit=_checked(audit), **others)

    return functools.reduce(lambda wrapped, option: option(wrapped), reversed(_AUDIT_OPTIONS), with_endpoint)


def _leave_out(*files: Path | None) -> None:
    if any(files):
        raise click.UsageError("set the port that receives audit events: --audit-port 8443")


def _checked(audit: AuditSettings) -> AuditSettings:
    """Check the files at the start; the operator reads them again."""
    from keyturn.endpoints.audit.audit import read_token  # noqa: PLC0415  # as with all commands
    from keyturn.endpoints.connections import CannotServe, ServerTls  # noqa: PLC0415  # the same

    try:
        ServerTls(audit.certificate, audit.key, "audit")
        read_token(audit.token_file)
    except CannotServe as error:
        raise click.UsageError(str(error)) from None
    return audit


# Contacts: a file with the people or addresses of an incident

_MOST = 16
_LONGEST = 256
_FORMAT = "write lines such as Security Team: security@example.com"


class Contacts(click.ParamType["Mapping[str, str]"]):
    """A YAML file with a contact for each role."""

    name = "file"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Mapping[str, str]:
        """Return the contacts by role, in the order of the file."""
        if not isinstance(value, str):
            return dict(value)
        import yaml  # noqa: PLC0415  # when it runs

        try:
            found = yaml.safe_load(Path(value).read_text())
        except OSError as error:
            self.fail(f"{value}: {error.strerror}", param, ctx)
        except (yaml.YAMLError, UnicodeDecodeError):
            self.fail(f"{value} is not valid YAML; {_FORMAT}", param, ctx)
        if not isinstance(found, dict) or not all(map(_is_line, (*found, *found.values()))):
            self.fail(
                f"{value} has something other than lines of up to {_LONGEST} characters; {_FORMAT}",
                param,
                ctx,
            )
        if len(found) > _MOST:
            self.fail(f"{value} has {len(found)} contacts; write at most {_MOST}", param, ctx)
        return found


def _is_line(text: object) -> bool:
    return isinstance(text, str) and 0 < len(text) <= _LONGEST and text.isprintable()


# Restart budget

_RESTART_OPTIONS = (
    click.option(
        "--max-rolling",
        type=click.IntRange(1),
        help="Workloads of the cluster that Keyturn rolls at a time, emergencies aside; no limit by default.",
    ),
    click.option(
        "--restarts-per-minute",
        type=click.IntRange(1),
        help="Restarts that Keyturn begins per minute, emergencies aside; no limit by default.",
    ),
)


def restart_budget(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options; the command receives them as `restarts`."""

    @functools.wraps(command)
    def with_limits(*, max_rolling: int | None, restarts_per_minute: int | None, **others: Any) -> None:
        from keyturn.controllers.managedsecret.restart_budget import RestartLimits  # noqa: PLC0415

        command(restarts=RestartLimits(max_rolling, restarts_per_minute), **others)

    return functools.reduce(lambda wrapped, option: option(wrapped), reversed(_RESTART_OPTIONS), with_limits)
