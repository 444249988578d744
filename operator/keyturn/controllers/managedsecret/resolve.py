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
    managed: ManagedSecret, memo: ObjectMemory, mirror: InformerCache
) -> tuple[SecretClass | None, Desired | None, Stalled | None]:
    """Fill in what a spec leaves open from its class; what it asks for is None where something is wrong with it."""
    secret_class, known = None, memo.resolved
    of = (managed.metadata.uid, managed.metadata.generation)
    try:
        secret_class = _class_of(managed, mirror)
        if known and known.of == of and known.secret_class is secret_class:
            return secret_class, known.wanted, None
        wanted = wanted_by(managed, secret_class, lambda recipe: generator_for(recipe).outputs)
        schedule.check(wanted.cadence, wanted.windows)
        hold_together(managed, wanted)
        making_order(wanted)
    except Stalled as stalled:
        return secret_class, None, stalled
    memo.resolved = Resolved(of, secret_class, wanted)
    return secret_class, wanted, None


async def template_flaw(namespace: str, wanted: Desired) -> Stalled | None:
    """Look at the templates in a thread: a page of Liquid takes a while, and loading Liquid a fifth of a second."""
    if not wanted.templates:
        return None
    names = {item.name: tuple(item.keys) for item in wanted.items if not item.spreads}
    # What dataFrom brings is known only once it is read.
    is_open = any(item.spreads for item in wanted.items)
    try:
        if templates.is_known(wanted.templates, names, is_open=is_open):
            templates.check(wanted.templates, names, is_open=is_open)
        else:
            await threads.for_tenant(namespace, templates.check, wanted.templates, names, is_open=is_open)
    except Stalled as stalled:
        return stalled
    return None


def _class_of(managed: ManagedSecret, mirror: InformerCache) -> SecretClass | None:
    name = mirror.class_name(managed.spec.class_name)
    if name is None:
        return None
    found = mirror.secret_class(name)
    if found is None:
        there = ", ".join(sorted(mirror.class_names())) or "none"
        raise Stalled(
            "SecretClassNotFound",
            f"there is no SecretClass {name!r}; create it or write one of these as className: {there}",
        )
    return found
