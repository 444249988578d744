"""How a store is: checked until it is in order, found out of order by who uses it, and told when that turns."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Final

from .connections import NO_ACCOUNT, NO_RIGHT
from .consent import NO_CONSENT
from .credentials import LOGIN_NOT_FOUND
from .health import IN_USE, VALID, health_of
from .providers.errors import (
    Conflict,
    Denied,
    NotFound,
    Refused,
    StoreError,
    Throttled,
    Unauthorized,
    Unreachable,
)
from .request_metrics import tell
from .single_flight import again

if TYPE_CHECKING:
    from collections.abc import Callable

    from keyturn.core.keys import StoreKey
    from keyturn.runtime.background_tasks import Tasks
    from keyturn.runtime.concurrency import KeyedLimiter

    from .circuit_breaker import Breaker
    from .connections import ConnectionPool, StoreConnection
    from .health import Health
    from .settings import StoreSettings

__all__ = ["HealthCheck", "StoreEvents"]

_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 30.0
_LONGEST_LOOK: Final = 15.0
"""Seconds between two looks at a login that is not taken, or not there."""
_TRY_AGAIN: Final = 300.0
"""Seconds after which a login that has not changed is tried again, and settings that cannot be followed."""
_PATIENCE: Final = 10.0
_OF_THE_CLUSTER: Final = frozenset({NO_ACCOUNT, NO_CONSENT, NO_RIGHT})
"""What keeps a login from being made, so that looking again costs the store nothing."""


@dataclass(frozen=True, slots=True)
class StoreEvents:
    """Who wants to know."""

    turned: Callable[[StoreKey], None] = lambda _: None
    """Another thing is to be said of a store."""
    recovered: Callable[[StoreKey], None] = lambda _: None
    """A store can be used again, so its users are to be looked at."""


class HealthCheck:
    """What is known of one store. It is in order as soon as anything works, and not before something did."""

    def __init__(
        self,
        plan: StoreSettings,
        doors: ConnectionPool,
        breaker: Breaker,
        tasks: Tasks,
        news: Callable[[], StoreEvents],
        checks: KeyedLimiter,
    ) -> None:
        """Take `checks` as the turns of the checks of all stores."""
        self.health: Health | None = None
        """None as long as nothing is known."""
        self._plan, self._doors, self._breaker, self._tasks = plan, doors, breaker, tasks
        self._news, self._checks = news, checks
        self._trouble: StoreError | None = None
        self._silence: Unreachable | None = None
        self._wish: Throttled | None = None
        # Nobody can say more of one that each namespace logs into by itself.
        self._works = plan.is_personal
        self._user = None if plan.is_personal else plan.key.namespace
        """Through whose door the store can be checked."""
        self._tried: tuple[frozenset[str], float] | None = None
        """The login that was checked last, and when."""
        self._tending: asyncio.Task[None] | None = None
        self._is_closed = False

    def look(self) -> None:
        """Have the store checked until it is in order; nothing where that goes on already."""
        if not self._is_closed and (self._tending is None or self._tending.done()):
            self._tending = self._tasks.start(self._tend())

    def close(self) -> None:
        self._is_closed = True
        if self._tending is not None:
            self._tending.cancel()

    def hold_login(self) -> None:
        """Spare the API server a look for a login that was not there a moment ago.

        Raises:
            Unauthorized: It was not.
        """
        if self._trouble is not None and self._trouble.code == LOGIN_NOT_FOUND:
            raise again(self._trouble)

    def heard(self, error: StoreError | None, user: str, *, of_check: bool = False) -> None:
        """Take in how a request ended that was made through the door of `user`."""
        was_open, self._user = self._breaker.is_open, user
        self._breaker.heard(error, _now(), of_check=of_check)
        match error:
            case None | NotFound() | Denied() | Conflict():
                self._trouble, self._works = None, True
            case Unreachable():
                self._silence = error
            case Throttled():
                self._wish = error
            case Unauthorized() if not self._plan.is_personal:
                self._trouble = error
            case Refused() if of_check:
                self._trouble = error
        self._judge(was_open=was_open)

    def not_opened(self, error: StoreError) -> None:
        """Take in that the settings refer to what is not there, or to what cannot be used."""
        if isinstance(error, Unauthorized | Refused):
            self._trouble = error
            self._judge(was_open=self._breaker.is_open)

    def _judge(self, *, was_open: bool) -> None:
        before, after = self.health, self._found()
        # What passes by itself is told once: its code may be another one each time.
        if before and after and after.passes and before.reason == after.reason:
            after = before
        if after and after != before:
            self.health = after
            self._news().turned(self._plan.key)
        is_well = not self._breaker.is_open and bool(after and after.is_ready)
        if is_well and (was_open or (before and not before.is_ready)):
            self._news().recovered(self._plan.key)
        if not is_well or self._breaker.is_doubted:
            self.look()

    def _found(self) -> Health | None:
        if self._trouble is not None:
            return health_of(self._trouble)
        if self._silence is not None and self._breaker.is_down:
            return health_of(self._silence)
        if self._wish is not None and self._breaker.is_throttled:
            return health_of(self._wish)
        if self._works:
            return IN_USE if self._plan.is_personal else VALID
        return self.health if self._breaker.is_open else None

    # Checks

    async def _tend(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            await self._check()
            in_order = self.health is not None and self.health.is_ready
            if in_order and not self._breaker.is_open and not self._breaker.is_doubted:
                return
            await asyncio.sleep(max(min(pause, self._longest), self._breaker.quiet(_now())))
            pause *= 2

    @property
    def _longest(self) -> float:
        match self._trouble:
            case None:
                return min(_LONGEST_PAUSE, self._plan.min_interval)
            case Unauthorized():
                return _LONGEST_LOOK
            case _:
                return _LONGEST_LOOK if self._doors.needs_something else _TRY_AGAIN

    async def _check(self) -> None:
        user = self._user
        if user is None:  # nobody has come yet through whose door it could be checked
            self._judge(was_open=False)
            return
        try:
            door = await self._doors.door(user, _now())
        except StoreError as missing:
            self.not_opened(missing)
            return
        if self._was_tried(door):
            return
        async with self._checks.taken(self._plan.whose(user)):
            began = _now()
            error = await _checked(door)
        self._tried = (door.login.versions, _now())
        tell(self._plan.provider.kind, "check", error, _now() - began)
        self.heard(error, user, of_check=True)

    def _was_tried(self, door: StoreConnection) -> bool:
        """Say whether the store has refused this very login not long ago."""
        if self._trouble is not None and self._trouble.code in _OF_THE_CLUSTER:
            return False
        tried, at = self._tried or (None, -inf)
        return self._trouble is not None and tried == door.login.versions and _now() < at + _TRY_AGAIN


async def _checked(door: StoreConnection) -> StoreError | None:
    try:
        async with asyncio.timeout(_PATIENCE), door.entered() as provider:
            await provider.check()
    except TimeoutError:
        return Unreachable("Timeout")
    except StoreError as error:
        return error.with_traceback(None)
    return None


def _now() -> float:
    return asyncio.get_running_loop().time()
