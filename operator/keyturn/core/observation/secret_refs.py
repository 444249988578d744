"""References to Secrets in a pod spec."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from keyturn.api.status import Via

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Use", "uses_of"]

_Mention = tuple[str, Via, set[str] | None]

_CONTAINERS = ("containers", "initContainers", "ephemeralContainers")


@dataclass(frozen=True, slots=True)
class Use:
    """Use of one Secret by one pod template; `keys` is None if it uses all of them."""

    secret: str
    via: tuple[Via, ...]
    keys: frozenset[str] | None


def uses_of(pod_spec: Mapping[str, Any]) -> tuple[Use, ...]:
    """Return every Secret that a pod spec references, sorted by name.

    Source: Kubernetes, "Secrets", section "Using Secrets".
    """
    via: dict[str, set[Via]] = defaultdict(set)
    keys: dict[str, set[str] | None] = {}
    for secret, how, picked in _mentions(pod_spec):
        via[secret].add(how)
        so_far = keys.setdefault(secret, set())
        keys[secret] = None if so_far is None or picked is None else so_far | picked
    return tuple(
        Use(secret, tuple(sorted(via[secret])), None if picked is None else frozenset(picked))
        for secret, picked in sorted(keys.items())
    )


def _mentions(pod_spec: Mapping[str, Any]) -> Iterator[_Mention]:
    for group in _CONTAINERS:
        for container in pod_spec.get(group) or ():
            yield from _of_container(container)
    for volume in pod_spec.get("volumes") or ():
        yield from _of_volume(volume)
    for reference in pod_spec.get("imagePullSecrets") or ():
        yield from _mention(reference.get("name"), Via.IMAGE_PULL_SECRET, None)


def _of_container(container: Mapping[str, Any]) -> Iterator[_Mention]:
    for variable in container.get("env") or ():
        if reference := (variable.get("valueFrom") or {}).get("secretKeyRef"):
            yield from _mention(reference.get("name"), Via.ENV, {reference.get("key", "")})
    for source in container.get("envFrom") or ():
        if reference := source.get("secretRef"):
            yield from _mention(reference.get("name"), Via.ENV_FROM, None)


def _of_volume(volume: Mapping[str, Any]) -> Iterator[_Mention]:
    if source := volume.get("secret"):
        yield from _mention(source.get("secretName"), Via.VOLUME, _picked(source))
    for source in (volume.get("projected") or {}).get("sources") or ():
        if reference := source.get("secret"):
            yield from _mention(reference.get("name"), Via.PROJECTED, _picked(reference))


def _picked(source: Mapping[str, Any]) -> set[str] | None:
    items = source.get("items")
    return {item.get("key", "") for item in items} if items else None


def _mention(secret: str | None, via: Via, keys: set[str] | None) -> Iterator[_Mention]:
    if secret:
        yield secret, via, keys
