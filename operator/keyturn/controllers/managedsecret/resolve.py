"""What a spec asks for, filled in from its class, or what is wrong with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keyturn import templates
from keyturn.controllers.context import Resolved
from keyturn.core.errors import Stalled
from keyturn.core.spec import schedule
from keyturn.core.spec.desired import wanted_by
from keyturn.core.spec.validation import hold_together
from keyturn.generators import generator_for
from keyturn.runtime import threadpools as threads

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
    """Fill in what a spec leaves open from its class; what it asks for is None where something is wrong with it."""
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
    """Look at the templates in a thread: a page of Liquid takes a while, and loading Liquid a fifth of a second."""
    if not desired.templates:
        return None
    names = {item.name: tuple(item.keys) for item in desired.items if not item.spreads}
    # What dataFrom brings is known only once it is read.
    is_open = any(item.spreads for item in desired.items)
    try:
        if templates.is_known(desired.templates, names, is_open=is_open):
            templates.check(desired.templates, names, is_open=is_open)
        else:
            await threads.for_tenant(namespace, templates.check, desired.templates, names, is_open=is_open)
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
            "SecretClassNotFound",
            f"there is no SecretClass {name!r}; create it or write one of these as className: {there}",
        )
    return found
