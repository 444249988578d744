"""Checks certificate files before the operator starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from pathlib import Path


def check_certificate(certificate: Path | None, key: Path | None, name: str) -> None:
    """Reject a certificate without its key, and invalid files; `name` is the prefix of their options."""
    from keyturn.endpoints.server_tls import CannotServe, ServerTls  # noqa: PLC0415  # as with all commands

    if bool(certificate) != bool(key):
        raise click.UsageError(f"a certificate needs its key: set --{name}-cert and --{name}-key, or neither")
    try:
        ServerTls.of(certificate, key, name)
    except CannotServe as error:
        raise click.UsageError(str(error)) from None
