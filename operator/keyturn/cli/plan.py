"""`keyturn plan`: what a rotation, or a manifest, would do if it were asked for now."""

from __future__ import annotations

from dataclasses import replace
from typing import IO, TYPE_CHECKING

from keyturn.core.seen import ROTATE

from . import managed
from .foresight import foresee
from .look import look_at
from .manifest import found_in_manifest
from .planned import Plan
from .planprint import print_plan

if TYPE_CHECKING:
    from keyturn.core.seen import Seen

    from .cluster import Cluster
    from .options import Output

__all__ = ["show", "show_manifest"]

_UNKNOWN_TRIGGER = "keyturn plan: a trigger that nobody has written"


async def show(cluster: Cluster, name: str, output: Output) -> bool:
    """Print what a rotation would do; say whether it would be refused."""
    found = await managed.one(cluster, name)
    look = await look_at(cluster, found)
    asked = _with_trigger(_awake(look.seen))
    return print_plan(Plan(found, look, foresee(asked, look.makers), is_rotation=True), output)


async def show_manifest(cluster: Cluster, file: IO[bytes], output: Output) -> bool:
    """Print what applying a manifest would do; say whether it would be refused."""
    found, applied = await found_in_manifest(cluster, file)
    look = await look_at(cluster, found, applied)
    return print_plan(Plan(found, look, foresee(_awake(look.seen), look.makers), is_rotation=False), output)


def _with_trigger(seen: Seen) -> Seen:
    metadata = seen.managed.metadata
    annotations = {**metadata.annotations, ROTATE: _UNKNOWN_TRIGGER}
    changed = metadata.model_copy(update={"annotations": annotations})
    return replace(seen, managed=seen.managed.model_copy(update={"metadata": changed}))


def _awake(seen: Seen) -> Seen:
    """Look at what would follow after a resume; that it is suspended is said apart."""
    spec = seen.managed.spec.model_copy(update={"suspend": None})
    return replace(seen, managed=seen.managed.model_copy(update={"spec": spec}))
