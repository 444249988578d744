"""What people ask of the operator: each a small patch of the ManagedSecret, answered in its status."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import click

from keyturn.core.seen import REFRESH, ROLLBACK, ROTATE

from . import managed
from .follow import follow

if TYPE_CHECKING:
    from datetime import timedelta

    from keyturn.api.managedsecret import DataItem

    from .cluster import Cluster
    from .managed import Found

__all__ = ["resume", "rollback", "rotate", "suspend"]

_ROLLED_BACK = "RolledBack"


async def rotate(cluster: Cluster, name: str, wait: timedelta | None) -> None:
    """Ask for a rotation by a trigger that was never there before."""
    _hold_to_what_turns(await managed.one(cluster, name))
    trigger = f"cli-{secrets.token_hex(6)}"
    found = await managed.annotate(cluster, name, ROTATE, trigger)
    click.echo(f"managedsecret/{name} rotation requested")
    _hint(found, wait)
    if wait:
        await follow(cluster, found, lambda now: now.status.last_trigger == trigger, wait)


async def rollback(cluster: Cluster, name: str, to: int | None, wait: timedelta | None) -> None:
    """Ask for an earlier revision; the text after the number makes the same request new."""
    before = await managed.one(cluster, name)
    number = to or _revision_before(before)
    if number == before.managed.status.revision:
        click.echo(f"managedsecret/{name} holds revision {number} already")
        return
    found = await managed.annotate(cluster, name, ROLLBACK, f"{number}/cli-{secrets.token_hex(6)}")
    click.echo(f"managedsecret/{name} rollback to revision {number} requested")
    _hint(found, wait)
    if wait:
        await follow(cluster, found, lambda now: now.status.revision == number, wait)


async def suspend(cluster: Cluster, name: str) -> None:
    """Stop every write for a ManagedSecret."""
    await _set_suspend(cluster, name, said="suspended", to=True)


async def resume(cluster: Cluster, name: str) -> None:
    """Let writes go on."""
    await _set_suspend(cluster, name, said="resumed", to=False)


async def _set_suspend(cluster: Cluster, name: str, *, said: str, to: bool) -> None:
    before = await managed.one(cluster, name)
    if bool(before.managed.spec.suspend) is to:
        click.echo(f"managedsecret/{name} unchanged: it is {'suspended' if to else 'not suspended'}")
        return
    await managed.change(cluster, name, {"spec": {"suspend": to or None}})
    click.echo(f"managedsecret/{name} {said}")


def _hold_to_what_turns(found: Found) -> None:
    """Refuse to ask for a rotation of what is only read from stores, or given."""
    spec, name = found.managed.spec, found.key.name
    pulls = bool(spec.data_from) or any(item.from_ for item in spec.data)
    if found.trouble or not (pulls or spec.data) or not all(_is_given(item) for item in spec.data):
        return
    instead = (
        f'have the stores read with `kubectl annotate managedsecret {name} {REFRESH}="$(date)" --overwrite`'
        if pulls
        else "change the literals of its spec"
    )
    raise click.ClickException(f"{name} has nothing to rotate, since no value of it is made here; {instead}")


def _is_given(item: DataItem) -> bool:
    return item.from_ is not None or item.literal is not None


def _hint(found: Found, wait: timedelta | None) -> None:
    if found.managed.spec.suspend and not wait:  # who waits is told so by an error
        click.echo(f"note: it is suspended; this starts after `keyturn resume {found.key.name}`", err=True)


def _revision_before(found: Found) -> int:
    """Return the revision that the current one followed, as the history tells."""
    status = found.managed.status
    current = status.revision or 0
    good = [one.revision for one in status.history if one.result != _ROLLED_BACK and one.revision < current]
    if not good:
        raise click.ClickException(
            f"the history of {found.key.name} names no revision before {current}; name one with --to"
        )
    return max(good)
