"""What people ask of the operator: each a small patch of the ManagedSecret, answered in its status."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from keyturn.core.seen import REFRESH, ROLLBACK, ROTATE

from . import managed
from .follow import follow
from .printing import print_json, print_lines

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

    from keyturn.api.managedsecret import DataItem, ManagedSecret

    from .cluster import Cluster
    from .managed import Found

__all__ = ["Manner", "refresh", "resume", "rollback", "rotate", "suspend"]

_ROLLED_BACK = "RolledBack"


@dataclass(frozen=True, slots=True)
class Manner:
    """How it is asked and answered."""

    wait: timedelta | None = None
    """How long the answer is waited for; None for not at all."""
    as_json: bool = False
    """Standard output is one document; who waits for it is told on standard error how far it is."""

    def tell(self, line: str) -> None:
        if self.wait or not self.as_json:
            print_lines(line, err=self.as_json)

    def answer(self, action: str, now: ManagedSecret, **others: object) -> None:
        """End with what a program wants to know."""
        if not self.as_json:
            return
        known = {"namespace": now.metadata.namespace, "name": now.metadata.name, "action": action}
        told = {
            "changed": True,
            "request": None,
            "done": True if self.wait else None,
            "revision": now.status.revision,
            "suspended": bool(now.spec.suspend),
        }
        print_json({**known, **told, **others})


async def rotate(cluster: Cluster, name: str, manner: Manner) -> None:
    """Ask for a rotation by a trigger that was never there before."""
    _hold_to_what_turns(await managed.one(cluster, name))
    trigger = f"cli-{secrets.token_hex(6)}"
    found = await managed.annotate(cluster, name, ROTATE, trigger)
    manner.tell(f"managedsecret/{name} rotation requested")
    now = await _followed(cluster, found, lambda now: now.status.last_trigger == trigger, manner)
    manner.answer("rotate", now, request=trigger)


async def rollback(cluster: Cluster, name: str, to: int | None, manner: Manner) -> None:
    """Ask for an earlier revision; the text after the number makes the same request new."""
    before = await managed.one(cluster, name)
    number = to or _revision_before(before)
    if number == before.managed.status.revision:
        manner.tell(f"managedsecret/{name} holds revision {number} already")
        manner.answer("rollback", before.managed, changed=False)
        return
    request = f"{number}/cli-{secrets.token_hex(6)}"
    found = await managed.annotate(cluster, name, ROLLBACK, request)
    manner.tell(f"managedsecret/{name} rollback to revision {number} requested")
    now = await _followed(cluster, found, lambda now: now.status.revision == number, manner)
    manner.answer("rollback", now, request=request)


async def refresh(cluster: Cluster, name: str, manner: Manner) -> None:
    """Ask for the stores to be read now."""
    before = await managed.one(cluster, name)
    if not _pulls(before.managed):
        raise click.ClickException(f"nothing of {name} is read from a store; write `from` or `dataFrom`")
    request = f"cli-{secrets.token_hex(6)}"
    found = await managed.annotate(cluster, name, REFRESH, request)
    manner.tell(f"managedsecret/{name} refresh requested")
    now = await _followed(cluster, found, lambda now: now.status.last_refresh == request, manner)
    manner.answer("refresh", now, request=request)


async def suspend(cluster: Cluster, name: str, manner: Manner) -> None:
    """Stop every write for a ManagedSecret."""
    await _set_suspend(cluster, name, manner, said="suspended", to=True)


async def resume(cluster: Cluster, name: str, manner: Manner) -> None:
    """Let writes go on."""
    await _set_suspend(cluster, name, manner, said="resumed", to=False)


async def _set_suspend(cluster: Cluster, name: str, manner: Manner, *, said: str, to: bool) -> None:
    action, before = "suspend" if to else "resume", await managed.one(cluster, name)
    if bool(before.managed.spec.suspend) is to:
        manner.tell(f"managedsecret/{name} unchanged: it is {'suspended' if to else 'not suspended'}")
        manner.answer(action, before.managed, changed=False)
        return
    found = await managed.change(cluster, name, {"spec": {"suspend": to or None}})
    manner.tell(f"managedsecret/{name} {said}")
    manner.answer(action, found.managed)


def _hold_to_what_turns(found: Found) -> None:
    """Refuse to ask for a rotation of what is only read from stores, or given."""
    spec, name, pulls = found.managed.spec, found.key.name, _pulls(found.managed)
    if found.trouble or not (pulls or spec.data) or not all(_is_given(item) for item in spec.data):
        return
    instead = (
        f"have the stores read with `keyturn refresh {name}`" if pulls else "change the literals of its spec"
    )
    raise click.ClickException(f"{name} has nothing to rotate, since no value of it is made here; {instead}")


def _is_given(item: DataItem) -> bool:
    return item.from_ is not None or item.literal is not None


async def _followed(
    cluster: Cluster, found: Found, is_taken_up: Callable[[ManagedSecret], bool], manner: Manner
) -> ManagedSecret:
    """Wait where that is wanted; return the object as it was seen last."""
    if manner.wait:
        return await follow(cluster, found, is_taken_up, manner.wait, manner.tell)
    if found.managed.spec.suspend:  # who waits is told so by an error
        print_lines(f"note: it is suspended; this starts after `keyturn resume {found.key.name}`", err=True)
    return found.managed


def _pulls(found: ManagedSecret) -> bool:
    return bool(found.spec.data_from) or any(item.from_ for item in found.spec.data)


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
