"""Resolves a spec with the defaults of its class, or returns what is invalid in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keyturn import templates
from keyturn.controllers.context import Resolved
from keyturn.core.errors import Stalled
from keyturn.core.reasons import ErrorReason
from keyturn.core.spec import schedule
from keyturn.core.spec.desired import wanted_by
from keyturn.core.spec.validation import hold_together
from keyturn.generators import generator_for
from keyturn.runtime import threadpools

from .generate import making_order

if TYPE_CHECKING:
    from keyturn.api.managedsecret import ManagedSecret
    from keyturn.api.secretclass import SecretClass
    from keyturn.controllers.context import ObjectMemory
    from keyturn.core.spec.desired import Desired
    from keyturn.kube.cache.cache import InformerCache

__all__ = ["resolved", "template_flaw"]


def resolved(
    managed: ManagedSecret, memory: ObjectMemory, cache: InformerCache
) -> tuple[SecretClass | None, Desired | None, Stalled | None]:
    """Return the class, the resolved spec and the error; the resolved spec is None after an error."""
    secret_class, known = None, memory.resolved
    of = (managed.metadata.uid, managed.metadata.generation)
    try:
        secret_class = _class_of(managed, cache)
        if known and known.of == of and known.secret_class is secret_class:
            return secret_class, known.desired, None
        desired = wanted_by(managed, secret_class, lambda recipe: generator_for(recipe).outputs)
        schedule.check(desired.cadence, desired.windows)
        hold_together(managed, desired)
        making_order(desired)
    except Stalled as stalled:
        return secret_class, None, stalled
    memory.resolved = Resolved(of, secret_class, desired)
    return secret_class, desired, None


async def template_flaw(namespace: str, desired: Desired) -> Stalled | None:
    """Check the templates in a thread: a page of Liquid takes a while, and the import of Liquid 0.2 s."""
    if not desired.templates:
        return None
    names = {item.name: tuple(item.keys) for item in desired.items if not item.spreads}
    # The keys of dataFrom are known only after a read.
    is_open = any(item.spreads for item in desired.items)
    try:
        if templates.is_known(desired.templates, names, is_open=is_open):
            templates.check(desired.templates, names, is_open=is_open)
        else:
            await threadpools.for_tenant(
                namespace, templates.check, desired.templates, names, is_open=is_open
            )
    except Stalled as stalled:
        return stalled
    return None


def _class_of(managed: ManagedSecret, cache: InformerCache) -> SecretClass | None:
    name = cache.class_name(managed.spec.class_name)
    if name is None:
        return None
    found = cache.secret_class(name)
    if found is None:
        there = ", ".join(sorted(cache.class_names())) or "none"
        raise Stalled(
            ErrorReason.SECRET_CLASS_NOT_FOUND,
            f"there is no SecretClass {name!r}; create it or write one of these as className: {there}",
        )
    return found
