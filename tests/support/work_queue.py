"""A work queue whose keys a test takes, instead of a worker."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from keyturn.controllers.workqueue import Priority, WorkQueue


class Recorded(WorkQueue[Any]):
    """Calls `added` for each key that is added, and `timed` for each that is put at a time."""

    def __init__(
        self, added: Callable[[Any], object], timed: Callable[[Any, datetime], object] = lambda *_: None
    ) -> None:
        super().__init__()
        self._added, self._timed = added, timed

    def add(self, key: Any, _: Priority = Priority.FRESH) -> None:
        self._added(key)

    def put(self, key: Any, due: datetime) -> None:
        self._timed(key, due)
