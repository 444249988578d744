"""A cluster in memory: the few calls that Keyturn makes, with the API server's rules, and pods that read Secrets.

Everything above the calls is the operator's own code. The operator can be made to die at any of its writes.
"""

from __future__ import annotations

import copy
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from keyturn.api.base import docstrings_in
from keyturn.api.workloads import WorkloadKind
from keyturn.controllers.context import Context
from keyturn.controllers.managedsecret.memory import Memory
from keyturn.controllers.managedsecret.reconcile import reconcile
from keyturn.core.keys import ObjectKey, WorkloadKey
from keyturn.core.labels import MARKER, OWNER_LABEL
from keyturn.core.observation.workload import read_marker
from keyturn.core.observation.workload_kinds import type_of
from keyturn.core.reasons import ConditionReason, ErrorReason
from keyturn.kube import errors, paths
from keyturn.kube.client import Api, Page, Params
from keyturn.kube.secret_informer import meta_of
from keyturn.kube.state_secret import state_of
from keyturn.kube.wire import Body, Patch
from keyturn.kube.workloads import workload_of

KEY = ObjectKey("shop", "db")
MANAGED = paths.managed_secret("shop", "db")
_SECRETS = paths.secrets("shop") + "/"
TARGET = paths.secret("shop", "db")
STATE = paths.secret("shop", "db-keyturn")
_WORKLOADS = tuple(paths.workloads(kind, "shop") for kind in WorkloadKind)
SECOND = timedelta(seconds=1)
_SOON = timedelta(minutes=5)
_STEPS = frozenset(
    {
        "Stage",
        "Apply",
        "Prove",
        "Publish",
        "Settle",
        "Revoke",
        "Rollback",
        "RollOut",
        "WaitForPods",
        "Overlap",
    }
)
_ERRORS = frozenset(ErrorReason)
_LOOKS_IN_VAIN = 10
"""Pods of a rollout that comes to no end are read nine times in a minute."""


class Died(BaseException):
    """The process ended here, as by SIGKILL."""


@dataclass(slots=True)
class Pods:
    """What the pods of one workload read when they started; they are made anew all at once."""

    keys: frozenset[str] | None
    made: datetime
    read: dict[str, str] | None = field(repr=False)
    missed: bool = False
    """A revision since then had other values for what they read."""
    restarted_for: list[int] = field(default_factory=list)
    restarted_needlessly: list[int] = field(default_factory=list)
    marker: str = ""
    """The marker of the template that they were made from."""
    healthy: Pods | None = None
    """Those before them, which stay until new ones are ready."""
    leaving: list[Body] = field(default_factory=list)
    """The metadata of those that are terminating."""


class Quiet:
    """Takes events and tells nobody."""

    def record(self, *_: object, **__: object) -> None:
        pass


class Cluster(Api):
    """The API server's objects by path, and the operator's process.

    It is an `Api` for the types only, so that a call with another signature is found by mypy.
    """

    kind: ClassVar = "Deployment"
    """The kind of its workloads."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.now = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
        namespace = {"metadata": {"name": "shop", "uid": "uid-shop", "resourceVersion": "0"}}
        self.objects: dict[str, Body] = {paths.namespace("shop"): namespace}
        self.pods: dict[str, Pods] = {}
        self.writes = 0
        self.doomed: set[int] = set()
        """The revisions with which no pod gets ready."""
        self.grace = timedelta(0)
        """How long pods are terminating."""
        self.lists = 0
        """How often pods were listed."""
        self.namespace_lists = 0
        """How often those were all pods of the namespace."""
        self.lists_fail = False
        """Whether pods cannot be listed."""
        self.budget: int | None = None
        """How many pods may be evicted; None without a limit."""
        self.other_pods: list[Body] = []
        """Pods that no workload of the cluster owns."""
        self.dies_at: float | None = None
        """The write at which the process dies: before 1, 2, …, or after it at 1.5, 2.5, …"""
        self._version = 0
        self._uids = 0
        self.create_managed(spec)
        self._start()

    # The operator's process

    def _start(self) -> None:
        self.context = self._started()
        self.memory = Memory(self.context)

    def _started(self) -> Context:
        context = Context(api=self, events=Quiet(), now=lambda: self.now)  # type: ignore[arg-type]  # a fake
        # Pauses depend on how long a list takes, and no time passes here that would end them.
        context.pods.share = 1.0
        return context

    def tell(self) -> None:
        """Let the watches tell of everything, and of everything that is gone."""
        cache = self.context.cache
        if MANAGED in self.objects:
            cache.put_managed(self.objects[MANAGED])
        else:
            cache.drop_managed(KEY)
        self.tell_secrets()
        for name in self.pods:
            self.tell_workload(self.kind, name)

    def tell_workload(self, kind: str, name: str) -> None:
        body = self.objects[paths.workload(kind, "shop", name)]
        if self.context.cache.record_version(WorkloadKey("shop", kind, name), body):
            self.context.cache.put_workload(workload_of(kind, body))

    def tell_secrets(self) -> None:
        for path in {TARGET, STATE, *(path for path in self.objects if path.startswith(_SECRETS))}:
            body = self.objects.get(path)
            if body and OWNER_LABEL in body["metadata"].get("labels", {}):
                self.context.cache.put_secret(meta_of(body))
            else:
                self.context.cache.drop_secret(ObjectKey("shop", path.rsplit("/", 1)[-1]))

    async def look(self) -> datetime | None:
        """Let the operator look once; a process that dies is started again and looks later."""
        self.now += SECOND
        self._end_pods()
        try:
            return await reconcile(KEY, self.memory, self.context)
        except Died:
            self.dies_at = None
            self.restart()
            return self.now
        finally:
            self._end_pods()

    def _end_pods(self) -> None:
        """Let pods end whose time is over: no clock that is set brings them back."""
        for pods in self.pods.values():
            over = (datetime.fromisoformat(one["deletionTimestamp"]) for one in pods.leaving)
            pods.leaving = [one for one, end in zip(pods.leaving, over, strict=True) if end > self.now]

    def restart(self) -> None:
        """End the process, with all that goes on in it, and start another one."""
        self.memory.forget(KEY)
        self._start()
        self.tell()

    async def settle(self) -> None:
        """Let time pass until the operator rests: no write, and nothing due soon but another look."""
        quiet = 0
        for _ in range(80):
            self.tell()
            before = self.writes
            until = await self.look()
            waits = until is not None and until < self.now + _SOON
            rolled = self.finish_rollouts()
            quiet = quiet + 1 if self.writes == before and not rolled else 0
            if quiet and (not waits or quiet == _LOOKS_IN_VAIN):
                return
            if until and waits:
                self.now = max(self.now, until)
        raise AssertionError("the operator does not come to rest")

    def finish_rollouts(self) -> bool:
        """Let the pods of every rollout become available, or fail; say whether there was one."""
        unfinished = [name for name in self.pods if not self._is_seen(name)]
        for name in unfinished:
            body = self.objects[self.template_path(name)]
            marker = body["spec"]["template"]["metadata"]["annotations"].get(MARKER, "")
            self.observe(name, available=0 if read_marker(marker).get("db") in self.doomed else 1)
            self._stamp(self.objects[self.path_of(name)])
        for pods in self.pods.values():
            if pods.read is None:
                pods.read = self._readable(pods.keys)
        return bool(unfinished)

    def _is_seen(self, name: str) -> bool:
        return self.is_observed(name)

    # The controller of the workloads

    def path_of(self, name: str) -> str:
        return paths.workload(self.kind, "shop", name)

    def template_path(self, name: str) -> str:
        """Return the path of the object that has the pod template."""
        return self.path_of(name)

    def is_observed(self, name: str) -> bool:
        """Say whether the controller has observed the newest pod template."""
        body = self.objects[self.path_of(name)]
        return bool(body["status"]["observedGeneration"] == body["metadata"]["generation"])

    def observe(self, name: str, available: int) -> None:
        """Let the controller observe the newest pod template."""
        body = self.objects[self.path_of(name)]
        generation = body["metadata"]["generation"]
        body["status"] |= {"observedGeneration": generation, "availableReplicas": available}

    # What people do

    def create_managed(self, spec: dict[str, Any]) -> None:
        self._uids += 1
        metadata = {"name": "db", "namespace": "shop", "uid": f"uid-{self._uids}", "generation": 1}
        self.objects[MANAGED] = {"metadata": metadata | {"annotations": {}}, "spec": spec}
        self._stamp(self.objects[MANAGED])

    def change_managed(self) -> dict[str, Any]:
        """Return the spec, to be changed by the caller."""
        body = self.objects[MANAGED]
        body["metadata"]["generation"] += 1
        self._stamp(body)
        spec: dict[str, Any] = body["spec"]
        return spec

    def touch_managed(self) -> None:
        """Count what was done to the metadata as a change."""
        self._stamp(self.objects[MANAGED])

    def put(self, path: str, body: Body) -> None:
        """Store an object that another program has created now."""
        body["metadata"]["creationTimestamp"] = self._second()
        self.objects[path] = self._stamp(body)

    def add_workload(self, name: str, keys: frozenset[str] | None) -> None:
        self.now += 2 * SECOND  # creation times have whole seconds: of the same one, it might be older
        container: dict[str, Any] = {"name": "app"}
        if keys is None:
            container["envFrom"] = [{"secretRef": {"name": "db"}}]
        else:
            container["env"] = [
                {"name": key, "valueFrom": {"secretKeyRef": {"name": "db", "key": key, "optional": True}}}
                for key in sorted(keys)
            ]
        self.pods[name] = Pods(keys, self.now, self._readable(keys))
        body: dict[str, Any] = {
            "metadata": {"name": name, "namespace": "shop", "uid": f"uid-of-{name}", "generation": 1},
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": {"app": name}},
                "template": {"metadata": {"annotations": {}}, "spec": {"containers": [container]}},
            },
            "status": {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1},
        }
        body["metadata"]["creationTimestamp"] = self.now.replace(microsecond=0).isoformat()
        self.objects[self.path_of(name)] = self._stamp(body)
        self._compare(self.pods[name])

    def pause(self, name: str, *, paused: bool) -> None:
        body = self.objects[self.path_of(name)]
        body["spec"]["paused"] = paused
        self._stamp(body)

    def is_paused(self, name: str) -> bool:
        return bool(self.objects[self.path_of(name)]["spec"].get("paused"))

    def edit_target(self, name: str, data: str) -> None:
        if body := self.objects.get(TARGET):
            body["data"][name] = data
            self._stamp(body)

    def undress_target(self) -> None:
        if body := self.objects.get(TARGET):
            body["metadata"]["annotations"] = {}
            self._stamp(body)

    def data(self) -> dict[str, str]:
        body = self.objects.get(TARGET)
        return dict(body["data"]) if body else {}

    # The API server, as far as the operator calls it

    async def get(self, path: str, *, metadata_only: bool = False) -> Body:  # noqa: ARG002
        if path not in self.objects:
            raise errors.NotFound("get", path, 404, "NotFound")
        return copy.deepcopy(self.objects[path])

    async def create(self, path: str, body: Body) -> Body:
        if path.endswith("/eviction"):
            with self._writing():
                if self.budget == 0:
                    raise errors.Throttled("create", path, 429, "TooManyRequests")
                name = body["metadata"]["name"]
                self.other_pods = [pod for pod in self.other_pods if pod["metadata"]["name"] != name]
                return {}
        one = f"{path}/{body['metadata']['name']}"
        with self._writing():
            if one in self.objects:
                raise errors.AlreadyExists("create", one, 409, "AlreadyExists")
            self._uids += 1
            made = copy.deepcopy(body)
            made["metadata"] |= {
                "uid": f"uid-{self._uids}",
                "creationTimestamp": self._second(),
                "managedFields": [{"manager": "keyturn"}],
            }
            self.objects[one] = self._stamp(made)
            self._revise(one)
        return copy.deepcopy(made)

    async def replace(self, path: str, body: Body) -> Body:
        with self._writing():
            if path.endswith("/status"):
                return self._with_status(path.removesuffix("/status"), body)
            there = self._unchanged("update", path, body["metadata"]["resourceVersion"])
            kept = {
                name: there["metadata"][name]
                for name in ("uid", "creationTimestamp", "managedFields")
                if name in there["metadata"]
            }
            made = copy.deepcopy(body)
            made["metadata"] |= kept
            self.objects[path] = self._stamp(made)
            self._revise(path)
        return copy.deepcopy(made)

    async def patch(self, path: str, body: Body, kind: Patch, params: Params | None = None) -> Body:
        with self._writing():
            if path.startswith(_WORKLOADS):
                assert params == {"fieldManager": "keyturn"} | (
                    {"force": "true"} if kind is Patch.APPLY else {}
                )
                return self._restarted(path, body)
            return self._finalized(path, body)

    async def pages(
        self,
        path: str,
        params: Params | None = None,
        *,
        limit: int = 1000,  # noqa: ARG002
        metadata_only: bool = False,
    ) -> AsyncGenerator[Page, None]:
        if path == paths.workloads(self.kind, "shop"):
            assert params
            name = str(params["fieldSelector"]).removeprefix("metadata.name=")
            there = [self.objects[one] for one in (self.path_of(name),) if one in self.objects]
            yield Page(copy.deepcopy(there), "1", first=True)
            return
        assert path == paths.pods("shop")
        self.lists += 1
        if self.lists_fail:
            raise errors.Unavailable("list", path, 503, "ServiceUnavailable")
        if not params or "labelSelector" not in params:
            self.namespace_lists += 1
            yield Page([*copy.deepcopy(self.other_pods), *self._pods_of_workloads()], "1", first=True)
            return
        name = str(params["labelSelector"]).removeprefix("app=")
        pods = self.pods[name]
        there = [self._pod(name, one) for one in (pods, pods.healthy) if one]
        there += [{"metadata": one, "status": {}} for one in pods.leaving]
        yield Page(
            [{"metadata": one["metadata"]} if metadata_only else one for one in there], "1", first=True
        )

    def _pods_of_workloads(self) -> Iterator[Body]:
        """Yield the pods of each workload, with the Secrets of its present template."""
        for name, pods in self.pods.items():
            body = self.objects.get(self.path_of(name)) or {"spec": {}}
            template = body["spec"].get("template") or {
                "spec": {}
            }  # without it the template is another object's
            for one in (pods, pods.healthy):
                if one:
                    spec = {"containers": [], **copy.deepcopy(template["spec"]), "nodeName": "node"}
                    yield self._pod(name, one) | {"spec": spec}

    def _pod(self, name: str, pods: Pods) -> Body:
        """Return a pod: of those that are doomed, every other one crashes, and one is never ready."""
        number = read_marker(pods.marker).get("db")
        container: Body = {"name": "app", "ready": number not in self.doomed, "restartCount": 0}
        if number in self.doomed and self.crashes(number):
            container |= {"restartCount": 5, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}
        conditions = [{"type": "Ready", "status": str(container["ready"])}]
        status = {"conditions": conditions, "containerStatuses": [container]}
        return {"metadata": self._metadata(name, pods), "status": status}

    def crashes(self, number: int | None) -> bool:
        """Say whether the pods of a doomed revision crash, rather than never get ready."""
        return number is not None and number % 2 == 0

    def _finalized(self, path: str, body: Body) -> Body:
        """Change the finalizers; an object that somebody has deleted goes with the last of them."""
        metadata = body["metadata"]
        there = self._unchanged("patch", path, metadata["resourceVersion"])
        assert metadata["uid"] == there["metadata"]["uid"]
        there["metadata"]["finalizers"] = list(metadata["finalizers"])
        if there["metadata"].get("deletionTimestamp") and not metadata["finalizers"]:
            del self.objects[path]
        return copy.deepcopy(self._stamp(there))

    def _with_status(self, path: str, body: Body) -> Body:
        metadata = body["metadata"]
        there = self._unchanged("update", path, metadata["resourceVersion"])
        assert metadata["uid"] == there["metadata"]["uid"]
        there["status"] = copy.deepcopy(body["status"])
        assert [one for one in there["status"].get("conditions", ()) if not _is_documented(one)] == []
        return copy.deepcopy(self._stamp(there))

    def _restarted(self, path: str, body: Body) -> Body:
        name, there = path.rsplit("/", 1)[-1], self.objects[path]
        assert body["metadata"]["uid"] == there["metadata"]["uid"]
        marker = body["spec"]["template"]["metadata"]["annotations"][MARKER] or ""
        annotations = there["spec"]["template"]["metadata"]["annotations"]
        annotations.pop(MARKER, None)
        annotations |= {MARKER: marker} if marker else {}
        there["metadata"]["generation"] += 1
        there["metadata"]["managedFields"] = [
            {"manager": "keyturn", "operation": "Apply", "time": self._second()}
        ] * bool(marker)
        self._replace_pods(name, marker)
        return copy.deepcopy(self._stamp(there))

    def _replace_pods(self, name: str, marker: str) -> None:
        """Make pods anew; with a template that healthy ones were made from, those stay and the others go."""
        pods = self.pods[name]
        if pods.healthy and pods.healthy.marker == marker:
            kept = pods.healthy
            pods.leaving.append(self._leaving(name, pods))
            pods.made, pods.read, pods.missed, pods.marker = kept.made, kept.read, kept.missed, kept.marker
            pods.healthy = None
            return
        revision = read_marker(marker)["db"]
        pods.restarted_for.append(revision)
        if not pods.missed and self._is_known(read_marker(pods.marker).get("db")):
            pods.restarted_needlessly.append(revision)
        before = Pods(pods.keys, pods.made, pods.read, pods.missed, marker=pods.marker)
        if revision in self.doomed:
            pods.healthy = pods.healthy or before
        else:
            pods.leaving += [self._leaving(name, one) for one in (pods.healthy, before) if one]
            pods.healthy = None
        pods.made, pods.read, pods.missed, pods.marker = self.now, self._readable(pods.keys), False, marker

    def _metadata(self, name: str, pods: Pods) -> Body:
        """Return what the metadata of a pod says; all pods of one template are one."""
        hash_ = pods.marker.replace("=", "-") or "first"
        return {
            "name": f"{name}-{hash_}",
            "uid": f"uid-of-{name}-{hash_}",
            "resourceVersion": "1",
            "creationTimestamp": pods.made.replace(microsecond=0).isoformat(),
            "annotations": {MARKER: pods.marker} if pods.marker else {},
            "labels": {"app": name, str(type_of(self.kind).pod_hash): hash_},
            "ownerReferences": [
                {"kind": "ReplicaSet", "name": f"{name}-{hash_}", "uid": "uid", "controller": True}
            ],
        }

    def _leaving(self, name: str, pods: Pods) -> Body:
        ends = (self.now + self.grace).isoformat()
        seconds = int(self.grace.total_seconds())
        return self._metadata(name, pods) | {"deletionTimestamp": ends, "deletionGracePeriodSeconds": seconds}

    def _readable(self, keys: frozenset[str] | None) -> dict[str, str] | None:
        if TARGET not in self.objects:
            return None  # the kubelet waits for the Secret
        return {name: data for name, data in self.data().items() if keys is None or name in keys}

    def _is_known(self, revision: int | None) -> bool:
        """Say whether the state can tell what has changed since a revision."""
        if revision is None:
            return True
        return STATE in self.objects and revision in state_of(self.objects[STATE]).revisions

    def _revise(self, path: str) -> None:
        """Note whose pods have read something else than the revision that was just recorded."""
        if path == STATE:
            for pods in self.pods.values():
                self._compare(pods)
                if pods.healthy:
                    self._compare(pods.healthy)

    def _compare(self, pods: Pods) -> None:
        """Note whether pods have read something else than what is recorded: it may not be published yet."""
        if STATE not in self.objects:
            return
        data = state_of(self.objects[STATE]).current.data()
        should = {
            key: value.to_base64() for key, value in data.items() if pods.keys is None or key in pods.keys
        }
        pods.missed = pods.missed or pods.read != should

    def _unchanged(self, verb: str, path: str, version: str) -> Body:
        if path not in self.objects:
            raise errors.NotFound(verb, path, 404, "NotFound")
        there = self.objects[path]
        if there["metadata"]["resourceVersion"] != version:
            raise errors.Conflict(verb, path, 409, "Conflict")
        return there

    def _stamp(self, body: Body) -> Body:
        self._version += 1
        body["metadata"]["resourceVersion"] = str(self._version)
        return body

    def _second(self) -> str:
        return self.now.replace(microsecond=0).isoformat()

    def _writing(self) -> _Write:
        return _Write(self)


class _Write:
    """One write, at whose ends the process may die."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def __enter__(self) -> None:
        self._cluster.writes += 1
        self._die_at(self._cluster.writes)

    def __exit__(self, *_: object) -> None:
        self._die_at(self._cluster.writes + 0.5)

    def _die_at(self, moment: float) -> None:
        if self._cluster.dies_at == moment:
            raise Died


def _is_documented(condition: Body) -> bool:
    """Say whether the documentation has the reason of a ManagedSecret's condition."""
    type_, reason = condition["type"], condition["reason"]
    rows = docstrings_in(ConditionReason.__module__)[ConditionReason.__name__]
    others: set[str] = {one for one in ConditionReason if f"`{type_}`" in rows[one.name].partition("|")[0]}
    if type_ == "Rotating" and condition["status"] == "True":
        others |= _STEPS
    if type_ == "PolicyCompliant" and condition["status"] == "False":
        return True  # the name of a rule
    return reason in others or reason in _ERRORS
