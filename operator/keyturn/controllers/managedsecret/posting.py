"""How an event about a ManagedSecret is posted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keyturn.kube.events import EventType, ObjectRef

if TYPE_CHECKING:
    from keyturn.api.managedsecret import ManagedSecret
    from keyturn.controllers.context import World
    from keyturn.core.observation.observed import Seen

__all__ = ["post", "post_about"]


def post(seen: Seen, world: World, reason: str, note: str, type_: EventType = EventType.NORMAL) -> None:
    post_about(seen.managed, world, reason, note, type_)


def post_about(managed: ManagedSecret, world: World, reason: str, note: str, type_: EventType) -> None:
    """Post what concerns an object of which nothing more was seen."""
    metadata = managed.metadata
    regarding = ObjectRef(
        "keyturn.dev/v1alpha1", "ManagedSecret", metadata.namespace, metadata.name, metadata.uid
    )
    world.events.post(regarding, reason, note, type_)
