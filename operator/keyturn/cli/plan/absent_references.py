"""Finds stores, database targets and signing Secrets that a spec names and that do not exist."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from keyturn.controllers.managedsecret.generate import absent_issuer
from keyturn.core.errors import Stalled
from keyturn.core.keys import ObjectKey, StoreKey, TargetKey
from keyturn.core.reasons import ErrorReason
from keyturn.generators import generator_for
from keyturn.kube import errors, paths
from keyturn.kube.cache.cache import InformerCache
from keyturn.kube.cache.managed_secrets import WHOLE
from keyturn.kube.cache.references import permitted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keyturn.core.spec.desired import Desired
    from keyturn.kube.client import Api

    from .manifest import Manifest

__all__ = ["Absent", "find_absent"]

_ABSENT: Final = frozenset({ErrorReason.STORE_NOT_FOUND, ErrorReason.TARGET_NOT_READY})


@dataclass(frozen=True, slots=True)
class Absent:
    """A store, a database target or a signing Secret that does not exist."""

    reason: str
    message: str
    items: frozenset[str]
    """Items that are read from it, or signed by it."""
    is_target: bool


async def find_absent(
    api: Api, namespace: str, desired: Desired, declared: Manifest
) -> tuple[tuple[Absent, ...], tuple[str, ...]]:
    """Return what does not exist, except what manifests declare, and the blind spots."""
    externals, unknown = await _find_externals(api, namespace, desired, declared)
    issuers, unread = await _find_issuers(api, namespace, desired, declared)
    return (*externals, *issuers), (*unknown, *unread)


async def _find_externals(
    api: Api, namespace: str, desired: Desired, declared: Manifest
) -> tuple[list[Absent], list[str]]:
    cache, blind_spots = InformerCache(WHOLE), list[str]()
    named = {key: items for key, items in _named(desired, namespace).items() if key not in declared.externals}
    for kind, place in sorted({(key.kind, key.namespace) for key in named}):
        keys = type(next(key for key in named if key.kind == kind))
        try:
            async for page in api.pages(paths.externals(kind, place)):
                for body in page.items:
                    cache.put_external(keys.of_body(kind, body), body)
        except errors.Forbidden:
            blind_spots.append(
                f"you may not list {kind}s: whether those that the spec names exist is unknown"
            )
            named = {key: items for key, items in named.items() if key.kind != kind}
    found = (_absent(key, items, namespace, cache) for key, items in named.items())
    return [one for one in found if one], blind_spots


async def _find_issuers(
    api: Api, namespace: str, desired: Desired, declared: Manifest
) -> tuple[list[Absent], list[str]]:
    absent, blind_spots = list[Absent](), list[str]()
    for name, items in _issuers(desired).items():
        if ObjectKey(namespace, name) in declared.targets:
            continue
        try:
            await api.get(paths.secret(namespace, name), metadata_only=True)
        except errors.NotFound:
            reason = ErrorReason.ISSUER_NOT_FOUND
            absent.append(Absent(reason, absent_issuer(name), items, is_target=False))
        except errors.Forbidden:
            blind_spots.append(f"whether the Secret {name!r} that signs a certificate exists is unknown")
    return absent, blind_spots


def _issuers(desired: Desired) -> Mapping[str, frozenset[str]]:
    """Return the Secrets that sign certificates, each with the items that it signs."""
    named: dict[str, frozenset[str]] = {}
    for item in desired.items:
        if item.recipe and (name := generator_for(item.recipe).issuer_secret):
            named[name] = named.get(name, frozenset()) | {item.name}
    return named


def _named(desired: Desired, namespace: str) -> Mapping[StoreKey | TargetKey, frozenset[str]]:
    """Return what a spec names, each with the items that are read from it."""
    named: dict[StoreKey | TargetKey, frozenset[str]] = {}
    for item in desired.pulled:
        if item.source:
            key = StoreKey.of(item.source.ref, namespace)
            named[key] = named.get(key, frozenset()) | {item.name}
    for destination in desired.pushes:
        named.setdefault(StoreKey.of(destination.ref, namespace), frozenset())
    if desired.database:
        named[TargetKey.of(desired.database.target, namespace)] = frozenset()
    return named


def _absent(
    key: StoreKey | TargetKey, items: frozenset[str], namespace: str, cache: InformerCache
) -> Absent | None:
    try:
        if isinstance(key, StoreKey):
            permitted(key, cache.stores, namespace, cache)
        else:
            permitted(key, cache.targets, namespace, cache)
    except Stalled as stalled:
        if stalled.reason in _ABSENT:
            return Absent(stalled.reason, stalled.message, items, isinstance(key, TargetKey))
    return None
