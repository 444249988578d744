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

    return functools.reduce(lambda wrapped, option: option(wrapped), reversed(_OPTIONS), with_endpoint)


def _leave_out(*files: Path | None) -> None:
    if any(files):
        raise click.UsageError("set the port that receives audit events: --audit-port 8443")


def _checked(audit: AuditSettings) -> AuditSettings:
    """Check the files at the start; the operator reads them again."""
    from keyturn.endpoints.audit.endpoint import read_token  # noqa: PLC0415  # as with all commands
    from keyturn.endpoints.server_tls import CannotServe, ServerTls  # noqa: PLC0415  # the same

    try:
        ServerTls(audit.certificate, audit.key, "audit")
        read_token(audit.token_file)
    except CannotServe as error:
        raise click.UsageError(str(error)) from None
    return audit
