"""Options of `keyturn run` for metrics: port, authorization and TLS."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .certificates import check_certificate

if TYPE_CHECKING:
    from collections.abc import Callable

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
_OPTIONS = (
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

    return functools.reduce(lambda wrapped, option: option(wrapped), reversed(_OPTIONS), with_metrics)
