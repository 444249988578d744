"""Options of `keyturn run` for the audit webhook."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from keyturn.cli.options import Length

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

    from keyturn.endpoints.audit import AuditSettings

__all__ = ["audit_endpoint"]

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
_OPTIONS = (
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
        "--audit-client-ca", type=_FILE, help="CA whose client certificates authorise senders of events, PEM."
    ),
    click.option(
        "--audit-client-name",
        default="kube-apiserver",
        show_default=True,
        help="The common name of that certificate.",
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
    click.option(
        "--audit-many",
        type=click.IntRange(2),
        default=10,
        show_default=True,
        help="Number of different secrets read within 5 minutes that is unusual.",
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
        audit_client_ca: Path | None,
        audit_client_name: str,
        audit_allowed: tuple[str, ...],
        audit_learning: timedelta,
        audit_many: int,
        **others: Any,
    ) -> None:
        if audit_port is None:
            _leave_out(audit_cert, audit_key, audit_token_file, audit_client_ca)
            command(audit=None, **others)
            return
        from keyturn.endpoints.audit import AuditSettings  # noqa: PLC0415  # as with all commands

        if not (audit_cert and audit_key):
            raise click.UsageError("audit events need TLS: set --audit-cert and --audit-key")
        audit = AuditSettings(
            audit_port,
            audit_cert,
            audit_key,
            token_file=audit_token_file,
            client_ca=audit_client_ca,
            client_name=audit_client_name,
            allowed=audit_allowed,
            learning=audit_learning,
            many=audit_many,
        )
        command(audit=_checked(audit), **others)

    return functools.reduce(lambda wrapped, option: option(wrapped), reversed(_OPTIONS), with_endpoint)


def _leave_out(*files: Path | None) -> None:
    if any(files):
        raise click.UsageError("set the port that receives audit events: --audit-port 8443")


def _checked(audit: AuditSettings) -> AuditSettings:
    """Check the files at the start; the operator reads them again."""
    from keyturn.endpoints.audit.authentication import AuditAuthentication  # noqa: PLC0415
    from keyturn.endpoints.server_tls import CannotServe  # noqa: PLC0415

    try:
        AuditAuthentication(audit)
    except CannotServe as error:
        raise click.UsageError(str(error)) from None
    return audit
