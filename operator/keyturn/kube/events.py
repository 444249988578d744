"""What we tell people about an object with `kubectl describe`: few words, in their time, never in the way.

Posting only puts an event into a short queue, so a slow or absent API server costs no reconcile anything.
What does not fit, what the server does not want, and what was said a moment ago is dropped: the status of the
object says it too.
"""

import asyncio
import contextlib
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from time import monotonic
from typing import Final

import structlog

from keyturn.runtime import metrics

from . import errors, paths
from .client import Api, Body

CONTROLLER: Final = "keyturn.dev/keyturn"

_REPEAT_AFTER: Final = 600.0
"""Seconds in which the same event about the same object is not told again."""
_REMEMBERED: Final = 4096
_LONGEST_HOLD: Final = 10.0
"""Seconds for which an event waits at most while there is work to do."""
_LOOK_AGAIN: Final = 0.1
_LONGEST_NOTE: Final = 1024
"""Bytes, as the API server counts them."""
_LONGEST_NAME: Final = 220
"""Characters of an object's name that fit into the name of its event, beside the time."""

_log = structlog.get_logger()


class EventType(StrEnum):
    """Whether all is well."""

    NORMAL = "Normal"
    WARNING = "Warning"


@dataclass(frozen=True, slots=True)
class ObjectRef:
    """The object that an event is about; without a namespace for a cluster-scoped one."""

    api_version: str
    kind: str
    namespace: str | None
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class _Event:
    regarding: ObjectRef
    type: EventType
    reason: str
    note: str
    time: datetime
    posted: float
    """By the monotonic clock, in seconds."""


class Events:
    """The events of one process: a queue, and the task that empties it."""

    def __init__(
        self,
        api: Api,
        instance: str,
        *,
        size: int = 1024,
        rate: float = 20.0,
        burst: int = 50,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        is_busy: Callable[[], bool] = lambda: False,
    ) -> None:
        """Take `instance` as the name of this process; after a `burst`, `rate` events are sent per second.

        As long as `is_busy` each waits for a while: the API server is needed elsewhere.
        """
        self.dropped = 0
        self._api = api
        self._instance = instance
        self._size = size
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._is_busy = is_busy
        self._queue: deque[_Event] = deque()
        self._waiting = asyncio.Event()
        self._sending = asyncio.Lock()
        self._told: OrderedDict[int, float] = OrderedDict()

    def post(
        self,
        regarding: ObjectRef,
        reason: str,
        note: str,
        type: EventType = EventType.NORMAL,  # noqa: A002
    ) -> None:
        """Tell `note`, a fixed sentence that may carry names, revisions and reasons, and never a value.

        Never blocks and never raises: the event is told when there is time, and dropped when there is not.
        """
        if self._was_told(hash((regarding.uid, type, reason, note))):
            return
        if len(self._queue) >= self._size and not self._makes_room(type):
            return
        self._queue.append(_Event(regarding, type, reason, note, self._clock(), monotonic()))
        self._waiting.set()

    async def run(self) -> None:
        """Send what is posted, one at a time and not faster than the rate, until cancelled."""
        budget, counted_at = float(self._burst), monotonic()
        while True:
            await self._waiting.wait()
            if self._is_held():
                await asyncio.sleep(_LOOK_AGAIN)
                continue
            now = monotonic()
            budget, counted_at = min(self._burst, budget + (now - counted_at) * self._rate), now
            if budget < 1:
                await asyncio.sleep((1 - budget) / self._rate)
                continue
            budget -= 1
            if not await self._send_next():
                self._waiting.clear()

    async def flush(self, seconds: float = 2.0) -> None:
        """Send what is left for at most `seconds`; for the way out, while writing is still allowed."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while await self._send_next():
                    pass

    def _is_held(self) -> bool:
        """Say whether what is to be told gives way to what is to be done."""
        return bool(self._queue) and monotonic() < self._queue[0].posted + _LONGEST_HOLD and self._is_busy()

    async def _send_next(self) -> bool:
        """Send the oldest event, after the one that is being sent; say whether there was one."""
        async with self._sending:
            if not self._queue:
                return False
            event = self._queue.popleft()
            namespace = event.regarding.namespace or "default"
            try:
                await self._api.create(paths.events(namespace), self._body(event, namespace))
            except errors.ApiError as error:
                self._drop()
                _log.warning("event not told", reason=event.reason, object=event.regarding.name, error=error)
            return True

    def _was_told(self, key: int) -> bool:
        """Say whether this was told lately; if not, it is now."""
        now = monotonic()
        if now < self._told.get(key, -_REPEAT_AFTER) + _REPEAT_AFTER:
            return True
        self._told[key] = now
        self._told.move_to_end(key)
        if len(self._told) > _REMEMBERED:
            self._told.popitem(last=False)
        return False

    def _makes_room(self, coming: EventType) -> bool:
        """Drop the oldest good news; bad news make place for bad news only, the oldest first."""
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
        return {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": _name(event), "namespace": namespace},
            "eventTime": event.time.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "reportingController": CONTROLLER,
            "reportingInstance": self._instance[:128],
            "action": event.reason,
            "reason": event.reason,
            "type": event.type.value,
            "note": event.note.encode()[:_LONGEST_NOTE].decode(errors="ignore"),
            "regarding": {
                "apiVersion": regarding.api_version,
                "kind": regarding.kind,
                "name": regarding.name,
                "uid": regarding.uid,
                **({"namespace": regarding.namespace} if regarding.namespace else {}),
            },
        }


def _name(event: _Event) -> str:
    """Name an event as client-go does: its object's name and the nanosecond."""
    nanoseconds = int(event.time.timestamp() * 1_000_000) * 1_000
    return f"{event.regarding.name[:_LONGEST_NAME].rstrip('-.')}.{nanoseconds:x}"
