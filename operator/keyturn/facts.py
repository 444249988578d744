"""What metrics tell of each managed secret, read from the mirror when they are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .core.errors import Stalled
from .core.policy import rules_in
from .metrics import ObjectFacts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .api.managedsecret import ManagedSecret
    from .mirror import Mirror

__all__ = ["object_facts"]


def object_facts(mirror: Mirror) -> Iterator[ObjectFacts]:
    """Tell of every ManagedSecret; another thread may call it, so it begins with a copy of the keys."""
    for key in list(mirror.managed_keys()):
        found = mirror.managed(key)
        if found:
            yield _facts(found[0], mirror)


def _facts(managed: ManagedSecret, mirror: Mirror) -> ObjectFacts:
    status, class_name = managed.status, mirror.class_name(managed.spec.class_name)
    broken = (one for one in status.conditions if one.type == "PolicyCompliant" and one.status == "False")
    return ObjectFacts(
        namespace=managed.metadata.namespace,
        name=managed.metadata.name,
        class_name=class_name or "",
        priority=_priority(class_name, mirror) if class_name else "",
        revision=status.revision or 0,
        last_rotation=status.last_rotation_time,
        next_rotation=status.next_rotation_time,
        is_overdue=bool(status.overdue),
        conditions={one.type: one.status == "True" for one in status.conditions},
        violations=tuple(rule for one in broken for rule in set(rules_in(one.message))),
    )


def _priority(class_name: str, mirror: Mirror) -> str:
    try:
        secret_class = mirror.secret_class(class_name)
    except Stalled:
        return ""
    return str(secret_class.spec.priority or "") if secret_class else ""
