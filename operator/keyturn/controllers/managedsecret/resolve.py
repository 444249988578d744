"""Resolves a spec with the defaults of its class, or returns what is invalid in it."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final, NamedTuple, TypeVar

from keyturn import templates
from keyturn.api.managedsecret import ManagedSecret, ManagedSecretSpec
from keyturn.api.secretclass import SecretClass
from keyturn.checklist.schedule import unapplied, unscheduled
from keyturn.core.errors import Stalled
from keyturn.core.keys import ObjectKey
from keyturn.core.reasons import ErrorReason
from keyturn.core.spec import schedule
from keyturn.core.spec.desired import Desired, resolve_spec
from keyturn.core.spec.references import AccountDesired
from keyturn.generators import generator_for
from keyturn.kube.cache.cache import InformerCache
from keyturn.runtime import threadpools

from .generate import making_order

T = TypeVar("T")

_MOST_KEPT: Final = 64
_CERTIFICATE: Final = "tls.crt"
"""The key of a Secret that has the certificate of a CA."""
_PREVIOUS: Final = "previous"
_READS_PREVIOUS: Final = re.compile(r"\{[{%][^}]*\bprevious\s*[.\[]")


class Parsed(NamedTuple):
    """A ManagedSecret parsed from the cache, and the error in its spec, if any."""

    version: int
    managed: ManagedSecret
    spec_error: Stalled | None


class Resolved(NamedTuple):
    """A resolved spec, which follows from the spec and its classes alone; a changed class is another object."""

    spec: ManagedSecretSpec
    secret_class: SecretClass | None
    of_values: Mapping[str, SecretClass]
    """Classes that values name themselves."""
    desired: Desired


class ParsedSpecs:
    """Specs as parsed and resolved for the last passes; they are large, so few are kept.

    A rotation has several passes, most of them after events of workloads.
    """

    def __init__(self) -> None:
        self._parsed: dict[ObjectKey, Parsed] = {}
        self.resolved: dict[ObjectKey, Resolved] = {}

    def parsed(self, key: ObjectKey, cache: InformerCache) -> Parsed | None:
        """Return a ManagedSecret of the cache, parsed once for each version; None if it was deleted."""
        version, known = cache.version_of(key), self._parsed.get(key)
        if known and known.version == version:
            return known
        found = cache.managed(key)
        return _keep(self._parsed, key, Parsed(version, *found)) if found else None

    def forget_values(self, key: ObjectKey) -> None:
        """Drop a spec that has literals, which may be values."""
        known = self._parsed.get(key)
        if known and any(item.literal is not None for item in known.managed.spec.data):
            self.forget(key)

    def forget(self, key: ObjectKey) -> None:
        self._parsed.pop(key, None)
        self.resolved.pop(key, None)


def _keep(kept: dict[ObjectKey, T], key: ObjectKey, new: T) -> T:
    """Keep what was parsed or resolved now, in place of the oldest."""
    kept.pop(key, None)
    if len(kept) == _MOST_KEPT:
        del kept[next(iter(kept))]
    kept[key] = new
    return new


def resolved(
    managed: ManagedSecret, specs: ParsedSpecs, cache: InformerCache, account: AccountDesired | None = None
) -> tuple[SecretClass | None, Desired | None, Stalled | None]:
    """Return the class, the resolved spec and the error; the resolved spec is None after an error."""
    key = ObjectKey(managed.metadata.namespace, managed.metadata.name)
    secret_class, known = None, specs.resolved.get(key)
    try:
        name = cache.class_name(managed.spec.class_name)
        secret_class = None if name is None else cache.secret_class(name)
        if name is not None and secret_class is None:
            raise _no_class(name, cache, 'write className: ""')
        of_values = cache.classes_of_values(managed)
        for item in managed.spec.data:
            if item.class_name and item.class_name not in of_values:
                raise _no_class(item.class_name, cache, f"remove className of data item {item.name!r}")
        if (
            known
            and known.spec == managed.spec  # the status may be another one
            and known.secret_class is secret_class
            and known.desired.account == account
            and all(known.of_values.get(name) is one for name, one in of_values.items())
        ):
            return secret_class, known.desired, None
        desired = resolve_spec(managed, secret_class, lambda recipe: generator_for(recipe).outputs, of_values)
        desired = replace(
            desired, account=account, unscheduled=unscheduled(desired), unapplied=unapplied(desired)
        )
        _check_schedule(managed, desired)
        making_order(desired)
        _check_issuers(desired)
    except Stalled as stalled:
        return secret_class, None, stalled
    _keep(specs.resolved, key, Resolved(managed.spec, secret_class, of_values, desired))
    return secret_class, desired, None


def _check_schedule(managed: ManagedSecret, desired: Desired) -> None:
    keeping = next((item.name for item in desired.items if item.keep_previous and not item.own), None)
    schedule.check(desired.cadence, desired.windows)
    schedule.check_jitter(managed.spec.rotation, desired.cadence)
    # An item named previous hides these values.
    reads = bool(desired.reads_previous) and _PREVIOUS not in desired.names
    readers = (key for key, text in desired.templates.items() if reads and _READS_PREVIOUS.search(text))
    reader = next(readers, None)
    schedule.check_overlap(desired.cadence, desired.overlap, desired.max_overlap, keeping, reader)
    for item in desired.items:
        if own := item.own:
            schedule.check(own.cadence, desired.windows, item.name)
            kept = item.name if item.keep_previous else None
            schedule.check_overlap(own.cadence, own.overlap, desired.max_overlap, kept, reader)
    schedule.check_gather(desired.gather, [one.cadence for one in desired.timetables])
    for one in managed.spec.data:
        if one.rotation and one.name not in desired.rotates:
            raise Stalled(
                ErrorReason.INVALID_SCHEDULE,
                f"data item {one.name!r} has a rotation of its own, and rotation.only leaves it out; name it there"
                " too, or remove one of the two",
            )


def _check_issuers(desired: Desired) -> None:
    """Check that no certificate is signed by its own Secret, whose CA would be replaced in the same revision.

    A CA of another writer, to which a certificate is added by Merge, has keys that no item writes.
    """
    for item in desired.items:
        signer = generator_for(item.recipe).issuer_secret if item.recipe else None
        if signer == desired.secret and _CERTIFICATE in desired.every_key:
            raise Stalled(
                ErrorReason.INVALID_GENERATOR,
                f"data item {item.name!r}: issuer.secretRef names the Secret {signer!r} that this ManagedSecret"
                " writes; generate the CA in another ManagedSecret",
            )


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
            await threadpools.run_for_tenant(
                namespace, templates.check, desired.templates, names, is_open=is_open
            )
    except Stalled as stalled:
        return stalled
    return None


def _no_class(name: str, cache: InformerCache, remedy: str) -> Stalled:
    there = ", ".join(sorted(cache.class_names()))
    return Stalled(
        ErrorReason.SECRET_CLASS_NOT_FOUND,
        f"there is no SecretClass {name!r}; create it or write one of these as className: {there}"
        if there
        else f"there is no SecretClass {name!r}, and the cluster has none; create it, or {remedy}",
    )
