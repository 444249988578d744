"""Recorder of Kubernetes Events: rate-limited, deduplicated, and never blocking a reconcile.

`record` only appends to a queue. Events that exceed the queue, that the server rejects, or that repeat one within 10
minutes are dropped; the object's status has the same facts.
"""

import asyncio
import contextlib
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from time import monotonic
from typing import Final, TypeAlias

import structlog

from keyturn.api import (
    API_VERSION,
    ClusterDatabaseTarget,
    ClusterSecretStore,
    DatabaseTarget,
    EmergencyRotation,
    ManagedSecret,
    SecretClass,
    SecretStore,
)
from keyturn.core.labels import CONTROLLER
from keyturn.core.observation.workload import Workload
from keyturn.core.observation.workload_kinds import type_of
from keyturn.kube.wire import Body
from keyturn.runtime import metrics

from . import errors, paths
from .client import Api

_REPEAT_AFTER: Final = 600.0
"""Seconds within which an equal event about the same object is not repeated."""
_MAX_REMEMBERED: Final = 4096
_MAX_QUEUED: Final = 1024
_BURST: Final = 50
_RATE: Final = 20.0
"""Events per second that are sent after a burst."""
_MAX_DELAY: Final = 10.0
"""Maximum seconds for which an event is delayed while the work queue has work."""
_BUSY_POLL_INTERVAL: Final = 0.1
_MAX_NOTE_BYTES: Final = 1024
"""Bytes, as the API server counts them."""
_MAX_NAME_LENGTH: Final = 220
"""Characters of the object's name in the event's name, which leaves room for the time."""

_log = structlog.get_logger()


class EventType(StrEnum):
    """The types of an Event."""

    NORMAL = "Normal"
    WARNING = "Warning"


@dataclass(frozen=True, slots=True)
class ObjectRef:
    """The object of an event; `namespace` is None for a cluster-scoped one."""

    api_version: str
    kind: str
    namespace: str | None
    name: str
    uid: str


About: TypeAlias = (
    ManagedSecret
    | SecretClass
    | EmergencyRotation
    | SecretStore
    | ClusterSecretStore
    | DatabaseTarget
    | ClusterDatabaseTarget
    | Workload
    | ObjectRef
)
"""What an event can be about."""


@dataclass(frozen=True, slots=True)
class _Event:
    regarding: ObjectRef
    type: EventType
    reason: str
    note: str
    time: datetime
    posted: float
    """Monotonic time in seconds."""


class Events:
    """Event recorder of one process: a queue, and the task that sends from it."""

    def __init__(self, api: Api, instance: str, *, is_busy: Callable[[], bool] = lambda: False) -> None:
        """`instance` is the name of this process.

        While `is_busy`, events are delayed up to 10 s, so the API server serves reconciles first.
        """
        self.dropped = 0
        self._api = api
        self._instance = instance
        self._is_busy = is_busy
        self._queue: deque[_Event] = deque()
        self._waiting = asyncio.Event()
        self._sending = asyncio.Lock()
        self._posted: OrderedDict[int, float] = OrderedDict()

    def record(
        self,
        about: About,
        reason: str,
        note: str,
        type: EventType = EventType.NORMAL,  # noqa: A002
        *,
        skipped_in_bulk: bool = False,
    ) -> None:
        """Queue an event about an object.

        `note` is a fixed sentence with names, revisions and reasons, never a value. It never blocks and never raises:
        the event is sent later, or dropped. One that is `skipped_in_bulk` is not queued behind a burst of others: of
        1,000 new objects, 1,000 events would cost the API server as much as their Secrets, and of 1,000 rotations
        those that say most would be dropped.
        """
        if skipped_in_bulk and len(self._queue) >= _BURST:
            return
        regarding = ref_of(about)
        if self._is_repeated(hash((regarding.uid, type, reason, note))):
            return
        if len(self._queue) >= _MAX_QUEUED and not self._make_room(type):
            return
        self._queue.append(_Event(regarding, type, reason, note, datetime.now(UTC), monotonic()))
        self._waiting.set()

    async def run(self) -> None:
        """Send queued events, one at a time within the rate, until cancelled."""
        budget, counted_at = float(_BURST), monotonic()
        while True:
            await self._waiting.wait()
            is_due = not self._queue or monotonic() >= self._queue[0].posted + _MAX_DELAY
            if not is_due and self._is_busy():  # the work queue goes first
                await asyncio.sleep(_BUSY_POLL_INTERVAL)
                continue
            now = monotonic()
            budget, counted_at = min(_BURST, budget + (now - counted_at) * _RATE), now
            if budget < 1:
                await asyncio.sleep((1 - budget) / _RATE)
                continue
            budget -= 1
            if not await self._send_next():
                self._waiting.clear()

    async def flush(self, seconds: float) -> None:
        """Send what is queued for at most `seconds`, at shutdown while writes are still allowed."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while await self._send_next():
                    pass

    async def _send_next(self) -> bool:
        """Send the oldest event; return whether there was one."""
        async with self._sending:
            if not self._queue:
                return False
            event = self._queue.popleft()
            namespace = event.regarding.namespace or "default"
            try:
                await self._api.create(paths.events(namespace), self._body(event, namespace))
            except errors.ApiError as error:
                self._drop()
                _log.warning(
                    "event not recorded", reason=event.reason, object=event.regarding.name, error=error
                )
            return True

    def _is_repeated(self, key: int) -> bool:
        """Whether an equal event was posted within _REPEAT_AFTER; record it if not."""
        now = monotonic()
        if now < self._posted.get(key, -_REPEAT_AFTER) + _REPEAT_AFTER:
            return True
        self._posted[key] = now
        self._posted.move_to_end(key)
        if len(self._posted) > _MAX_REMEMBERED:
            self._posted.popitem(last=False)
        return False

    def _make_room(self, coming: EventType) -> bool:
        """Drop an event to make room for another: the oldest normal one, or for a warning the oldest warning."""
        self._drop()
        good_news = (at for at, event in enumerate(self._queue) if event.type is EventType.NORMAL)
        oldest = next(good_news, None)
        if oldest is None and coming is EventType.NORMAL:
            return False
        del self._queue[oldest or 0]
        return True

    def _drop(self) -> None:
        self.dropped += 1
        metrics.EVENTS_DROPPED.inc()

    def _body(self, event: _Event, namespace: str) -> Body:
        regarding = event.regarding
        # As client-go names it: object name and nanoseconds in hexadecimal.
        nanoseconds = int(event.time.timestamp() * 1_000_000) * 1_000
        name = f"{regarding.name[:_MAX_NAME_LENGTH].rstrip('-.')}.{nanoseconds:x}"
        return {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": namespace},
            "eventTime": event.time.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "reportingController": CONTROLLER,
            "reportingInstance": self._instance[:128],
            "action": event.reason,
            "reason": event.reason,
            "type": event.type.value,
            "note": event.note.encode()[:_MAX_NOTE_BYTES].decode(errors="ignore"),
            "regarding": {
                "apiVersion": regarding.api_version,
                "kind": regarding.kind,
                "name": regarding.name,
                "uid": regarding.uid,
                **({"namespace": regarding.namespace} if regarding.namespace else {}),
            },
        }


def ref_of(about: About) -> ObjectRef:
    """Return the reference to a workload, or to an object of a kind of ours, whose model has the kind's name."""
    if isinstance(about, ObjectRef):
        return about
    if isinstance(about, Workload):
        api_version = type_of(about.key.kind).api_version
        return ObjectRef(api_version, about.key.kind, about.key.namespace, about.key.name, about.uid)
    metadata = about.metadata
    return ObjectRef(
        API_VERSION, type(about).__name__, metadata.namespace or None, metadata.name, metadata.uid
    )
