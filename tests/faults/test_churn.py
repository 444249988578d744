"""Two replicas under requests, kills, freezes and faults of the API server, judged by a record of every write.

`make test` has each of them once, `make soak TIMES=10` forty minutes of them. The record is the test's own: what the
API server accepted of which replica, and what it had stored when each pod was created and started. A value is a
digest.
"""

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from threading import Timer
from typing import Any, Final

import orjson
import pytest
import yaml
from aiohttp import web
from urllib3.exceptions import HTTPError

from sandbox.harness import eventually
from tests.faults.apiserver import Cluster, values_of
from tests.faults.namespace import (
    BYSTANDER,
    CONSUMERS,
    KEPT,
    NAME,
    ROTATED,
    WorkloadNamespace,
    digest,
    workload_namespaces,
)
from tests.faults.proxy import Asked, FaultProxy, delay, drop, end_watch, lose, refuse
from tests.support.objects import Refused
from tests.support.operator import Operator
from tests.support.soak import SEED, TIMES, chance

_SECONDS: Final = 0 if TIMES == 1 else 240 * TIMES
_REST: Final = 240.0
"""Seconds until all is done after the last fault; a busy machine and back-off make it long."""
_OBJECTS: Final = 3
_REPLICAS: Final = ("churn-a", "churn-b")
_TERM: Final = 10.0
"""Seconds of a Lease."""
_REASONS: Final = frozenset({"Created", "Triggered", "SpecChanged"})
_PREVIOUS: Final = f"{ROTATED}.previous"
_ITEMS: Final = [
    {"name": ROTATED, "generate": {"bytes": {}}, "keepPrevious": True},
    {"name": KEPT, "generate": {"password": {"length": 32}}},
]
_CRASHES: Final = ("Traceback (most recent call last)", '"event": "process failed"')
pytestmark = pytest.mark.timeout(_SECONDS + 3 * _REST)


@dataclass(frozen=True, slots=True)
class Written:
    """A write of a replica; its version orders it among all writes of the cluster."""

    version: int
    """For one without an answer the newest version before it."""
    writer: str
    path: str
    body: Any
    is_sure: bool = True
    """Whether the API server said that it accepted it."""


class Recorder(FaultProxy):
    """Records what the API server accepts of each replica, and what it may have accepted."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        super().__init__(cluster, folder)
        self.written: list[Written] = []
        self.is_away = False
        """Whether replicas reach no API server, because an older state of it is restored."""
        self.pending = 0
        """Writes without an answer yet."""
        self._newest = 0
        self._writers: dict[str, str] = {}

    def kubeconfig(self, account: Path) -> Path:
        token = yaml.safe_load(account.read_text())["users"][0]["user"]["token"]
        self._writers[f"Bearer {token}"] = account.stem
        return super().kubeconfig(account)

    async def _forward(self, asked: Asked) -> web.StreamResponse:
        if not asked.is_write:
            return await super()._forward(asked)
        if self.is_away:  # what is written before `go_back` would be forgotten
            return web.Response(status=HTTPStatus.SERVICE_UNAVAILABLE)
        writer, before = self._writers[asked.request.headers["Authorization"]], self._newest
        unsure = Written(before, writer, asked.path, orjson.loads(asked.body), is_sure=False)
        self.pending += 1
        try:
            answer = await super()._forward(asked)
        except BaseException:
            self.written.append(unsure)
            raise
        finally:
            self.pending -= 1
        if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            self.written.append(unsure)
        elif answer.status < HTTPStatus.BAD_REQUEST and isinstance(answer, web.Response):
            body = orjson.loads(bytes(answer.body))  # type: ignore[arg-type]  # as it was read
            version = int((body.get("metadata") or {}).get("resourceVersion") or 0)
            if version > before:  # otherwise it has changed nothing
                self._newest = max(self._newest, version)
                self.written.append(Written(version, writer, asked.path, body))
        return answer

    def go_back(self, version: int) -> None:
        """Forget what was written later: a backup of that version is restored."""
        self.written = [one for one in self.written if one.version <= version]
        self._newest = version
        self.stored.clear()

    def contents(self, namespace: str) -> list[tuple[int, str, bool]]:
        """Return the values that were written into the Secret, with their version and whether they were accepted."""
        return [
            (one.version, digest(values_of(one.body)[ROTATED]), one.is_sure)
            for one in self.written
            if f"/namespaces/{namespace}/secrets" in one.path and one.body["metadata"]["name"] == NAME
        ]

    def strange_writes(self) -> Iterator[str]:
        """Name each write of a replica that did not hold the Lease at that version."""
        holders: set[str] = set()
        for one in sorted(self.written, key=lambda one: one.version):
            if "/leases" in one.path:
                now = {one.writer} if one.body["spec"].get("holderIdentity") else set()
                holders = now if one.is_sure else now | holders
            elif one.is_sure and "/events" not in one.path and one.writer not in holders:
                yield f"{one.writer} wrote {one.path} at {one.version}, when {sorted(holders)} had the Lease"


@dataclass(slots=True)
class Pod:
    """Versions between which it was created and became ready; it read the Secret between the two."""

    after: int
    ready: int | None = None


@dataclass(slots=True)
class Record:
    """What was seen of one namespace, and what was wrong."""

    space: WorkloadNamespace
    recorder: Recorder
    pods: dict[str, Pod] = field(default_factory=dict)
    version: int = 0
    """Of the last list of pods."""
    causes: int = 1
    scaled: Counter[str] = field(default_factory=Counter)
    trigger: str = "at-creation"
    wrong: list[str] = field(default_factory=list)

    def look(self) -> None:
        """Compare what each running pod read with what the Secret has; a pod runs before and after that read."""
        before = self._running()
        secret = self.space.cluster.get(self.space.target)
        after = self._running()
        if secret is None:
            return
        there, contents = values_of(secret), self.recorder.contents(self.space.namespace)
        readable = {digest(there[name]) for name in (ROTATED, _PREVIOUS) if name in there}
        for uid in before.keys() & after.keys():
            held = _held(self.pods[uid], contents)
            if held and not held & readable:
                revision = secret["metadata"]["annotations"]["keyturn.dev/revision"]
                self.wrong.append(
                    f"{self.space.namespace}/{before[uid]} holds one of {sorted(held)}, and the Secret of revision"
                    f" {revision} has {sorted(readable)}"
                )

    def _running(self) -> dict[str, str]:
        listed = self.space.cluster.get(f"/api/v1/namespaces/{self.space.namespace}/pods")
        version, found = int(listed["metadata"]["resourceVersion"]), {}
        for body in listed["items"]:
            metadata = body["metadata"]
            if metadata["labels"]["app"] not in CONSUMERS:
                continue
            pod = self.pods.setdefault(metadata["uid"], Pod(self.version))
            conditions = (body.get("status") or {}).get("conditions") or ()
            if any(one["type"] == "Ready" and one["status"] == "True" for one in conditions):
                pod.ready = pod.ready or version
            if pod.ready:
                found[metadata["uid"]] = metadata["name"]
        self.version = version
        return found

    def go_back(self, version: int, trigger: str, scaled: Counter[str]) -> None:
        self.trigger, self.scaled = trigger, scaled
        self.pods = {uid: pod for uid, pod in self.pods.items() if pod.after <= version}
        for pod in self.pods.values():
            pod.ready = pod.ready if (pod.ready or 0) <= version else None
        self.version = version

    def rests(self) -> bool:
        """Whether all that was asked is done, and the overlap is over."""
        body = self.space.cluster.get(self.space.managed)
        status = body.get("status") or {}
        return (
            status.get("observedGeneration") == body["metadata"]["generation"]
            and status.get("lastTrigger") == self.trigger
            and self.space.is_at(int(status.get("revision") or 0))
            and _PREVIOUS not in values_of(self.space.cluster.get(self.space.target))
        )

    def judge(self) -> None:
        """Judge what is there at rest: each revision has one value and a cause, each restart a revision."""
        end, status = self.space.snapshot(), self.space.status()
        stored = self.recorder.stored[f"{self.space.namespace}/{NAME}-keyturn"]
        reasons = {entry["reason"] for entry in status["history"]}
        facts = {
            f"revision {end.revision} is not what the record has": end.values == end.recorded[end.revision],
            f"{end.revision} revisions have {self.causes} causes": end.revision <= self.causes,
            f"the reasons are {sorted(reasons)}": reasons <= _REASONS,
            "a revision has two values": all(len(values) == 1 for values in stored.values()),
            "the bystander is restarted": end.generations[BYSTANDER] == 1,
        }
        for name in CONSUMERS:
            restarts = end.generations[name] - 1 - self.scaled[name]
            facts[f"{name} is restarted {restarts} times in {end.revision} revisions"] = (
                restarts < end.revision
            )
        self.wrong += [f"{self.space.namespace}: {text}" for text, holds in facts.items() if not holds]


@dataclass(slots=True)
class Churn:
    """What users, the machine and the network do, drawn by one seed."""

    cluster: Cluster
    recorder: Recorder
    records: list[Record]
    replicas: list[Operator]
    draw: random.Random
    folder: Path
    done: Counter[str] = field(default_factory=Counter)

    def run(self, seconds: float) -> None:
        """Do each thing once while everything rotates, and after that whatever is drawn, for so many seconds."""
        deeds: dict[Callable[[], None], int] = {
            self.rotate: 10,
            self.lengthen: 3,
            self.scale: 3,
            self.kill: 4,
            self.stop: 2,
            self.freeze: 3,
            self.harm: 6,
            self.break_watches: 2,
            self.restart_api_server: 1,
            self.lose_history: 1,
            self.restore: 1,
        }
        for deed in self.draw.sample(list(deeds), len(deeds)):
            self.rotate()
            self.do(deed)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.do(*self.draw.choices(list(deeds), list(deeds.values())))

    def do(self, deed: Callable[[], None]) -> None:
        deed()
        self.done[deed.__name__] += 1
        self.watch(self.draw.uniform(0.2, 2.0))

    def watch(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.look()
            time.sleep(0.05)  # not a wait: the look of before is of the past by now

    def look(self) -> None:
        """Look at every namespace, and start each replica that has ended, as a kubelet does."""
        for record in self.records:
            with suppress(Refused, HTTPError, OSError):
                record.look()
        for replica in self.replicas:
            if replica.returncode is not None:
                replica.kill()  # closes its log
                replica.begin()

    def signal(self, number: int) -> None:
        for replica in self.replicas:
            _signal(replica.pid, number)

    def rotate(self) -> None:
        record = self.draw.choice(self.records)
        record.causes += 1
        record.trigger = f"request {record.causes}"
        record.space.trigger(record.trigger)

    def lengthen(self) -> None:
        """Want a longer password, which the present one does not satisfy."""
        record = self.draw.choice(self.records)
        record.causes += 1

        def change(body: Any) -> None:
            body["spec"]["data"][1]["generate"]["password"]["length"] += 1

        self.cluster.edit(record.space.managed, change)

    def scale(self) -> None:
        record, name = self.draw.choice(self.records), self.draw.choice(CONSUMERS)
        before = self.cluster.get(record.space.deployment(name))["spec"]["replicas"]
        record.scaled[name] += 1
        record.space.scale(name, before % 3 + 1)

    def kill(self) -> None:
        self.draw.choice(self.replicas).kill()

    def stop(self) -> None:
        """Ask a replica to end, as a kubelet does; one that leads gives its Lease back."""
        _signal(self.draw.choice(self.replicas).pid, signal.SIGTERM)

    def freeze(self) -> None:
        """Freeze a replica that leads: the first time beyond the term of its Lease, later for as long or less."""
        leading = [replica for replica in self.replicas if replica.lines('"leading"')]
        pid = self.draw.choice(leading or self.replicas).pid
        _signal(pid, signal.SIGSTOP)
        seconds = self.draw.uniform(0.1 if self.done["freeze"] else _TERM + 2, _TERM + 4)
        thaw = Timer(seconds, _signal, [pid, signal.SIGCONT])
        thaw.daemon = True
        thaw.start()

    def harm(self) -> None:
        """Harm some of the next requests of one kind."""
        part = self.draw.choice(["/secrets", "/deployments", "/managedsecrets", "/leases", "/pods", "/"])
        acts = [
            drop,
            lose,
            delay(self.draw.uniform(0.1, 2.0)),
            refuse(503, "ServiceUnavailable"),
            refuse(429, "TooManyRequests", Retry_After="1"),
            refuse(500, "InternalError"),
        ]
        act, times = self.draw.choice(acts), self.draw.randint(1, 12)
        self.recorder.rule(lambda asked: part in asked.path and not asked.is_watch, act, times)

    def break_watches(self) -> None:
        self.recorder.rule(lambda asked: asked.is_watch, end_watch(410, "Expired"), self.draw.randint(1, 4))
        self.recorder.cut_all()

    def restart_api_server(self) -> None:
        self.cluster.plane.stop_apiserver()
        time.sleep(self.draw.uniform(0.1, 4.0))
        self.cluster.plane.start_apiserver()

    def lose_history(self) -> None:
        """Compact etcd, so that no watch can go on where it was."""
        with self.cluster.plane.watch_gap():
            pass

    def restore(self) -> None:
        """Take a backup of etcd, and go back to it after some more work."""
        backup = self.folder / f"backup-{self.done['restore']}"
        self.signal(signal.SIGSTOP)
        eventually(lambda: not self.recorder.pending, "an answer to each write", _REST)
        # Others write meanwhile, and a version that is later than the backup's would be given twice.
        version = int(self.cluster.get("/api/v1/pods?limit=1")["metadata"]["resourceVersion"])
        self.cluster.plane.back_up(backup)
        kept = [(record.trigger, record.scaled.copy()) for record in self.records]
        self.signal(signal.SIGCONT)
        for deed in (self.rotate, self.lengthen, self.rotate):
            deed()
            self.watch(self.draw.uniform(0.5, 3.0))
        self.recorder.is_away = True
        self.cluster.plane.restore(backup)
        self.recorder.go_back(version)
        for record, (trigger, scaled) in zip(self.records, kept, strict=True):
            record.go_back(version, trigger, scaled)
        self.recorder.is_away = False

    def settle(self) -> None:
        """End every fault, and wait until all that was asked is done."""
        self.recorder.rules.clear()
        self.signal(signal.SIGCONT)

        def rests() -> bool:
            self.look()
            return all(record.rests() for record in self.records)

        eventually(rests, f"rest after {dict(self.done)}, seed {SEED}", _REST)


def _held(pod: Pod, contents: list[tuple[int, str, bool]]) -> set[str]:
    """Return what it may have read: the last value before it was created, and each one until it was ready."""
    known = [one for one in contents if one[0] <= (pod.ready or 0)]
    first = max((version for version, _, is_sure in known if is_sure and version <= pod.after), default=None)
    # Without a first one it is older than the Secret.
    return set() if first is None else {value for version, value, _ in known if version >= first}


def _signal(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


@pytest.fixture
def churn(cluster: Cluster, accounts: Callable[[str], Path], tmp_path: Path) -> Iterator[Churn]:
    stage = workload_namespaces(cluster, _OBJECTS)
    serving = [f"--namespace={space.namespace}" for space in stage]
    with Recorder(cluster, tmp_path) as recorder, ExitStack() as stack:
        replicas = [
            stack.enter_context(
                Operator(
                    recorder.kubeconfig(accounts(name)),
                    tmp_path / f"{name}.log",
                    *serving,
                    env={"POD_NAMESPACE": stage[0].namespace},
                    start_timeout=60.0,
                )
            )
            for name in _REPLICAS
        ]
        for space in stage:
            space.create(data=_ITEMS, rotation={"only": [ROTATED], "trigger": "at-creation", "overlap": "1s"})
        for space in stage:
            space.wait_for(1)
        records = [Record(space, recorder) for space in stage]
        yield Churn(cluster, recorder, records, replicas, chance(), tmp_path)


def test_nothing_is_lost_and_nobody_is_restarted_in_vain(churn: Churn) -> None:
    churn.run(_SECONDS)
    churn.settle()
    for record in churn.records:
        record.judge()
    logs = {replica.log.stem: replica.log.read_text() for replica in churn.replicas}
    crashes = [f"{name} crashed" for name, text in logs.items() if any(crash in text for crash in _CRASHES)]
    wrong = [text for record in churn.records for text in record.wrong]
    wrong = [*dict.fromkeys(wrong), *churn.recorder.strange_writes(), *crashes]

    story = f"seed {SEED}, {dict(churn.done)}, {len(churn.recorder.written)} writes"
    assert not wrong, "\n".join([story, *wrong])
