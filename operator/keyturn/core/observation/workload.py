"""Facts of a workload: Secrets that its pods use, restart marker, rollout state."""

from __future__ import annotations

import functools
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, TypeVar

from keyturn.api.status import Via, WorkloadKind
from keyturn.core.keys import WorkloadKey

FILES = frozenset({Via.VOLUME, Via.PROJECTED})
"""Ways in which a pod uses a Secret as files, which the kubelet updates."""
KUBELET_SYNC = timedelta(minutes=2)
"""Within this time every kubelet has updated the files of a volume: its sync period of one minute, with jitter."""
_REVISION = re.compile(r"[0-9]{1,10}")
_T = TypeVar("_T")
_Mention = tuple[str, Via, set[str] | None, bool]
_CONTAINERS = ("containers", "initContainers", "ephemeralContainers")
_MOST_SHARED_KEYS, _MOST_SHARED_CHARACTERS = 4, 256
_MOST_SHARED = 4096
"""Characters of a marker whose revisions are kept for others with the same one."""


@dataclass(frozen=True, slots=True)
class Workload:
    """A workload of one of the kinds in `workload_kinds`, reduced to what a rollout needs."""

    key: WorkloadKey
    uid: str
    created: datetime
    uses: tuple[Use, ...]
    marker: str
    """The restart marker of its pod template: revisions by Secret."""
    restart: str | None
    """Its annotation keyturn.dev/restart: `never`, `allow`, any other text, or None."""
    selector: str
    paused: bool
    settled: bool
    """Every pod runs the current pod template and is available."""
    failed: bool
    """The last rollout has failed by its controller's own rules, such as progressDeadlineSeconds."""
    hint: str | None
    """Why a rollout does not complete automatically, if its update strategy requires manual steps."""
    idle: bool = False
    """It has zero replicas."""
    restarted: datetime | None = None
    """When the restart marker was last written, by managedFields."""
    templates: tuple[str, ...] = ()
    """Template revisions of which a StatefulSet creates pods now.

    Empty for other kinds, for manual update strategies, and while the status has not observed the current spec.
    """
    complaint: str | None = None
    """Error of its controller, such as a quota that keeps it from creating pods."""
    terminates: bool | None = None
    """Whether pods of it are terminating, by its controller's count; None without a count."""
    reload: str | None = None
    """Its annotation keyturn.dev/reload: `wait`, any other text, or None."""
    in_place: bool = False
    """By its update strategy a new pod starts only after an old one has ended."""
    template_of: WorkloadKey | None = None
    """The workload whose pod template it uses; None if it has its own."""
    template_uid: str | None = None
    """The UID of that workload, if it exists."""
    template_generation: int | None = None
    """The generation of that workload that its status describes; None if its controller does not report it."""
    progressed: datetime | None = None
    """When its controller last changed the progress of its rollout.

    Known if that has failed, or if it uses the template of another workload.
    """
    progressing: datetime | None = None
    """Since when its controller reports progress, which a pause interrupts; known while it is not settled."""
    has_template: bool = True
    """Its pods are restarted by the marker on a pod template, not by a field with a time."""
    generation: int = 0
    is_updated: bool = False
    """Every pod runs the current pod template, whether or not it is available."""
    aborted: bool = False
    """Its controller has aborted the last rollout."""
    keeps_earlier: bool = False
    """Pods of an earlier template run next to those of the current one, by its controller's count.

    Known of an Argo Rollout, which may keep them after its rollout: nothing else changes when it ends them.
    """

    @property
    def kind(self) -> WorkloadKind:
        return WorkloadKind(self.key.kind)

    def use_of(self, secret: str) -> Use | None:
        return next((use for use in self.uses if use.secret == secret), None)

    def marked(self, secret: str) -> int | None:
        """Return the revision of a Secret by its restart marker; None if that does not have it."""
        return read_marker(self.marker).get(secret)

    def has_failed_since(self, time: datetime | None) -> bool:
        """Whether the last rollout has failed, and its controller has not reported that by `time` already."""
        is_earlier = time is not None and self.progressed is not None and self.progressed <= time
        return self.failed and not is_earlier

    def with_template_of(self, other: Workload) -> Workload:
        """Return it with the pod template of another workload, which it uses.

        Before its controller has observed that template, its status describes an earlier one.
        """
        is_observed = self._has_observed(other)
        return replace(
            self,
            settled=self.settled and is_observed,
            failed=self.failed and is_observed,
            aborted=self.aborted and is_observed,
            uses=other.uses,
            marker=other.marker,
            restart=self.restart or other.restart,
            selector=self.selector or other.selector,
            restarted=other.restarted,
            template_uid=other.uid,
        )

    def _has_observed(self, other: Workload) -> bool:
        """Whether its status describes the pod template of `other`.

        Argo Rollouts 1.0 reports no generation: the progress of the rollout must have changed since the restart.
        """
        if self.template_generation is not None:
            return self.template_generation >= other.generation
        if other.restarted is None:
            return True
        return self.progressed is not None and self.progressed >= other.restarted


def read_marker(marker: str) -> Mapping[str, int]:
    """Parse `<secret>=<revision>,…`; entries in another format are ignored."""
    return _read_marker(marker) if len(marker) <= _MOST_SHARED else _read_marker.__wrapped__(marker)


@functools.lru_cache(maxsize=1024)
def _read_marker(marker: str) -> Mapping[str, int]:
    entries = (entry.partition("=") for entry in marker.split(",") if entry)
    return MappingProxyType(
        {secret: int(revision) for secret, _, revision in entries if _REVISION.fullmatch(revision)}
    )


def write_marker(revisions: Mapping[str, int]) -> str:
    """Format a marker, sorted, so equal revisions give equal text."""
    return ",".join(f"{secret}={revision}" for secret, revision in sorted(revisions.items()))


@dataclass(frozen=True, slots=True)
class Use:
    """Use of one Secret by one pod template; `keys` is None if it uses all of them."""

    secret: str
    via: tuple[Via, ...]
    keys: frozenset[str] | None
    optional: bool = False
    """A container starts without the Secret, or without a key that its environment names."""


def uses_of(pod_spec: Mapping[str, Any]) -> tuple[Use, ...]:
    """Return every Secret whose values the containers of a pod get, sorted by name.

    Those of `imagePullSecrets` are none: the kubelet reads them at each pull, and no container gets them.

    Source: Kubernetes, "Secrets", section "Using Secrets".
    """
    via: dict[str, set[Via]] = defaultdict(set)
    keys: dict[str, set[str] | None] = {}
    optional: set[str] = set()
    for secret, how, picked, is_optional in _mentions(pod_spec):
        via[secret].add(how)
        optional |= {secret} if is_optional else set()
        so_far = keys.setdefault(secret, set())
        keys[secret] = None if so_far is None or picked is None else so_far | picked
    return tuple(
        Use(
            secret,
            _shared(tuple(sorted(via[secret]))),
            None if picked is None else _kept(frozenset(picked)),
            secret in optional,
        )
        for secret, picked in sorted(keys.items())
    )


def _kept(keys: frozenset[str]) -> frozenset[str]:
    """Return a set of keys, which others share if it is small: most workloads use the same few keys."""
    is_small = len(keys) <= _MOST_SHARED_KEYS and sum(map(len, keys)) <= _MOST_SHARED_CHARACTERS
    return _shared(keys) if is_small else keys


@functools.lru_cache(maxsize=1024)
def _shared(found: _T) -> _T:
    return found


def _mentions(pod_spec: Mapping[str, Any]) -> Iterator[_Mention]:
    for group in _CONTAINERS:
        for container in pod_spec.get(group) or ():
            yield from _of_container(container)
    for volume in pod_spec.get("volumes") or ():
        yield from _of_volume(volume)


def _of_container(container: Mapping[str, Any]) -> Iterator[_Mention]:
    for variable in container.get("env") or ():
        if reference := (variable.get("valueFrom") or {}).get("secretKeyRef"):
            yield from _mention(reference, Via.ENV, {reference.get("key", "")})
    for source in container.get("envFrom") or ():
        if reference := source.get("secretRef"):
            yield from _mention(reference, Via.ENV_FROM, None)


def _of_volume(volume: Mapping[str, Any]) -> Iterator[_Mention]:
    if source := volume.get("secret"):
        yield from _mention({"name": source.get("secretName")}, Via.VOLUME, _picked(source))
    for source in (volume.get("projected") or {}).get("sources") or ():
        if reference := source.get("secret"):
            yield from _mention({"name": reference.get("name")}, Via.PROJECTED, _picked(reference))


def _picked(source: Mapping[str, Any]) -> set[str] | None:
    items = source.get("items")
    return {item.get("key", "") for item in items} if items else None


def _mention(reference: Mapping[str, Any], via: Via, keys: set[str] | None) -> Iterator[_Mention]:
    if secret := reference.get("name"):
        yield secret, via, keys, bool(reference.get("optional"))
