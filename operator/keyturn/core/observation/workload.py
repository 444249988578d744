"""Facts of workloads and pods: the Secrets that they use, restart marker, rollout state, and owners."""

import functools
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, NamedTuple, Self, TypeVar

from keyturn.api.workloads import Via, WorkloadKind
from keyturn.core.keys import WorkloadKey
from keyturn.core.times import may_precede

from .workload_kinds import replica_set_of, type_of

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
class Use:
    """Use of one Secret by one pod template; `keys` is None if it uses all of them."""

    secret: str
    via: tuple[Via, ...]
    keys: frozenset[str] | None
    optional: bool = False
    """A container starts without the Secret, or without a key that its environment names."""


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

    def with_template_of(self, other: Self) -> Self:
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

    def _has_observed(self, other: Self) -> bool:
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


# Pods: those of a workload, and those of a namespace that use Secrets, with their topmost owners


NOT_READY = "NotReady"
"""Reason of a running container whose probe has not succeeded."""
_MILD = frozenset({NOT_READY, "ContainerCreating", "PodInitializing"})
"""Reasons that every starting pod has for a while."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a pod does not run: reasons of the API, never its messages, which can quote a value."""

    reason: str
    container: str | None = None
    exit_code: int | None = None
    image: str | None = None
    """Set only if the image is missing."""

    @property
    def is_mild(self) -> bool:
        """Whether it normally passes."""
        return self.reason in _MILD

    def __str__(self) -> str:
        parts = [f"container {self.container}: {self.reason}" if self.container else self.reason]
        parts += [] if self.exit_code is None else [f"exit code {self.exit_code}"]
        parts += [f"image {self.image}"] if self.image else []
        return ", ".join(parts)


class Controller(NamedTuple):
    """The object that controls a pod, by its owner reference."""

    kind: str
    name: str
    uid: str
    hash: str = ""
    """Of a ReplicaSet of a workload: the hash of the pod template, which its name ends with."""
    workload_kind: str = ""
    """The kind of that workload, by the label that has the hash."""


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod with running containers, reduced to what decisions and reports need."""

    name: str
    uid: str
    version: str
    """Its resource version."""
    created: datetime
    began: datetime
    """When the container that runs longest was started; the pod's creation if that is unknown."""
    owner: tuple[str, str]
    """Kind and name of its topmost owner as far as the pod shows it; itself if it has none."""
    controller: Controller | None = None
    uses: tuple[Use, ...] = ()
    """The Secrets of its own spec."""
    template: str = ""
    """The template revision in the pod's labels, for a StatefulSet and a DaemonSet."""
    marker: str = ""
    """The restart marker of its template."""
    leaves: datetime | None = None
    """Since when it is terminating."""
    ready: bool = False
    never_ready: bool = False
    """The API proves that it was never ready."""
    restarts: int = 0
    """Restarts of the container with the most restarts."""
    crashes: int = 0
    """Restarts of the container that crashes most and is not ready now."""
    trouble: Trouble | None = None

    def marked(self, secret: str) -> int | None:
        """Return the revision of a Secret by the marker of its template; None if that does not have it."""
        return read_marker(self.marker).get(secret)

    def use_of(self, secret: str) -> Use | None:
        return next((use for use in self.uses if use.secret == secret), None)


@dataclass(frozen=True, slots=True)
class PodsSeen:
    """A list of pods: of a workload, of a namespace, or of those with earlier values that no consumer controls."""

    pods: tuple[Pod, ...] = ()
    again: datetime | None = None
    """When they are read again unless a decision depends on them before; None if no later read can differ."""
    deletable: bool = False
    """At least one may have to be deleted, and RBAC permits it."""
    forbidden: bool = False
    """RBAC forbids to list pods, or the list failed."""
    tried: frozenset[str] = frozenset()
    """UIDs of the pods whose eviction was requested since they were read."""


def is_of(pod: Pod, workload: Workload) -> bool:
    """Whether a workload controls a pod, some kinds by a ReplicaSet whose name has the template's hash."""
    controller = pod.controller
    if controller is None:
        return False
    if type_of(workload.key.kind).pod_hash is None:
        return controller.uid == workload.uid
    name = replica_set_of(workload.key.name, controller.hash)
    return (controller.workload_kind, controller.name) == (workload.key.kind, name)


@dataclass(frozen=True, slots=True)
class Owner:
    """The topmost owner of running pods that use one Secret; a pod without an owner is its own."""

    kind: str
    name: str
    pods: tuple[Pod, ...]
    uses: tuple[Use, ...]
    """How its pods use the Secret."""

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"

    @property
    def via(self) -> tuple[Via, ...]:
        return tuple(sorted({way for use in self.uses for way in use.via}))

    @property
    def keys(self) -> frozenset[str] | None:
        """The keys that its pods use; None for all."""
        known = [use.keys for use in self.uses if use.keys is not None]
        return frozenset[str]().union(*known) if len(known) == len(self.uses) else None

    @property
    def since(self) -> datetime:
        """Since when the oldest of its pods runs."""
        return min(pod.began for pod in self.pods)

    def started_before(self, published: datetime | None) -> int:
        """Return how many of its pods started before a publication."""
        return sum(published is not None and may_precede(pod.began, published) for pod in self.pods)


def owners_of(pods: Iterable[Pod], secret: str) -> tuple[Owner, ...]:
    """Return the owners of the pods that use a Secret, sorted by kind and name."""
    grouped: defaultdict[tuple[str, str], list[tuple[Pod, Use]]] = defaultdict(list)
    for pod in pods:
        if use := pod.use_of(secret):
            grouped[pod.owner].append((pod, use))
    return tuple(Owner(*owner, *zip(*found, strict=True)) for owner, found in sorted(grouped.items()))
