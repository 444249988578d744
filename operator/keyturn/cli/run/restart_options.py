"""Options of `keyturn run` for the restart budget."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable

_OPTIONS = (
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

    return functools.reduce(lambda wrapped, option: option(wrapped), reversed(_OPTIONS), with_limits)
