"""Options of `keyturn run` for the dashboard."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .certificates import check_certificate

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["page_for_people"]

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
_OPTIONS = (
    click.option(
        "--ui-port",
        type=click.IntRange(0, 65535),
        help="Port of the web UI at /ui, for `kubectl port-forward` only; off by default.",
    ),
    click.option(
        "--ui-cert",
        type=_FILE,
        help="TLS certificate of the web UI, PEM; with it the UI is served to all clients by https.",
    ),
    click.option("--ui-key", type=_FILE, help="Its key, PEM."),
)


def page_for_people(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options; the command receives them as `ui`, None without a dashboard."""

    @functools.wraps(command)
    def with_page(*, ui_port: int | None, ui_cert: Path | None, ui_key: Path | None, **others: Any) -> None:
        check_certificate(ui_cert, ui_key, "ui")
        if ui_port is None:
            if ui_cert:
                raise click.UsageError("set the port of the web UI: --ui-port 8082")
            command(ui=None, **others)
            return
        from keyturn.endpoints.dashboard.settings import DashboardSettings  # noqa: PLC0415  # as with all commands

        command(ui=DashboardSettings(ui_port, ui_cert, ui_key), **others)

    return functools.reduce(lambda wrapped, option: option(wrapped), reversed(_OPTIONS), with_page)
