"""How an event about a ManagedSecret is posted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .kube.events import EventType, ObjectRef

if TYPE_CHECKING:
    from .core.seen import Seen
    from .world import World

__all__ = ["post"]


def post(seen: Seen, world: World, reason: str, note: str, type_: EventType = EventType.NORMAL) -> None:
    metadata = seen.managed.metadata
    regarding = ObjectRef(
        "keyturn.dev/v1alpha1", "ManagedSecret", metadata.namespace, metadata.name, metadata.uid
    )
    world.events.post(regarding, reason, note, type_)
