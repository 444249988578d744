"""How what stores lend is kept: one loan of each key for one managed secret, renewed in time, then replaced.

What was taken stays in hand until a revision holds it, so that a reading which is broken off takes nothing twice.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

import structlog

from keyturn.controllers.background import InHand, Taking, begin, lent, loan_of
from keyturn.core.errors import Stalled
from keyturn.stores.providers.errors import StoreError, Throttled, Unreachable

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from keyturn.controllers.background import BackgroundWork
    from keyturn.controllers.context import Context
    from keyturn.core.keys import ObjectKey
    from keyturn.core.rotation.steps import GiveBack
    from keyturn.core.spec.desired import Desired
    from keyturn.core.spec.store_refs import Source
    from keyturn.core.state.lease import StoreLease
    from keyturn.core.state.revision import ItemValues
    from keyturn.core.state.state import State
    from keyturn.stores import Failure, Stores
    from keyturn.stores.providers.base import RemoteValue

__all__ = ["Borrowed", "LeaseManager", "given_back"]

_log = structlog.get_logger()

_LATER: Final = timedelta(seconds=30)
_LONGEST_WAIT: Final = timedelta(minutes=5)


class Borrowed(NamedTuple):
    """What is lent of a key, or read there where its store lends nothing after all."""

    loan: StoreLease | None
    found: RemoteValue | None
    """None where the current revision has its values."""


class LeaseManager:
    """What one managed secret is lent, while one reading lasts."""

    def __init__(
        self,
        key: ObjectKey,
        desired: Desired,
        state: State | None,
        outside: BackgroundWork,
        stores: Stores,
        now: Callable[[], datetime],
        *,
        anew: bool,
    ) -> None:
        """Take `anew` where others are wanted than those that are recorded."""
        self._key, self._wanted, self._state = key, desired, state
        self._outside, self._stores, self._now, self._anew = outside, stores, now, anew
        self._asked: dict[str, asyncio.Task[Borrowed | Failure]] = {}

    @property
    def loans(self) -> tuple[StoreLease, ...]:
        """What was lent, after all that was asked for is there."""
        results = (task.result() for task in self._asked.values() if task.done() and not task.cancelled())
        return tuple(one.loan for one in results if isinstance(one, Borrowed) and one.loan)

    async def borrowed(self, source: Source) -> Borrowed:
        """Give what is lent of a key: the same for all items that take something of it.

        Raises:
            Stalled: There is no such store, or not for this namespace.
            StoreError: The store did not lend it.
        """
        place = source.place
        if place not in self._asked:
            self._asked[place] = asyncio.ensure_future(self._outcome(source))
        await asyncio.wait([self._asked[place]])
        outcome = self._asked[place].result()
        if isinstance(outcome, StoreError):
            raise type(outcome)(outcome.code, outcome.hint, retry_after=outcome.retry_after)
        if isinstance(outcome, Stalled):
            raise Stalled(outcome.reason, outcome.message)
        return outcome

    def recorded(self, name: str) -> ItemValues:
        """Return what the current revision holds of an item whose loan goes on."""
        if self._state is None:
            raise LookupError(name)
        return self._state.current.values[name]

    def close(self) -> None:
        for task in self._asked.values():
            task.cancel()

    async def _outcome(self, source: Source) -> Borrowed | Failure:
        try:
            return await self._found(source)
        except (StoreError, Stalled) as error:
            return error.with_traceback(None)

    async def _found(self, source: Source) -> Borrowed:
        there = self._in_hand(source) or self._current(source)
        if there is None or there.loan is None:
            return await self._taken(source)
        loan = there.loan
        if self._now() < loan.due:
            return there
        try:
            longer = await self._renewed(source, loan)
            if longer is not None:
                return self._noted(source, there._replace(loan=longer))
            return await self._taken(source)
        except (Throttled, Unreachable):
            if self._now() >= loan.ends:
                raise
            return there

    def _in_hand(self, source: Source) -> Borrowed | None:
        there = self._outside.in_hand.get(source.place)
        return Borrowed(there.loan, there.found) if there else None

    def _current(self, source: Source) -> Borrowed | None:
        """Return the loan that every item which takes something of the key has its value from."""
        if self._state is None or self._anew:
            return None
        kept = [
            (item, self._state.current.values.get(item.name))
            for item in self._wanted.pulled
            if item.source and item.source.place == source.place
        ]
        if not all(one and item.source and one.recipe == item.source.text for item, one in kept):
            return None
        names = {one.loan for _, one in kept if one}
        loan = next((loan for loan in self._state.loans if {loan.id} == names), None)
        return Borrowed(loan, None) if loan else None

    async def _renewed(self, source: Source, loan: StoreLease) -> StoreLease | None:
        """Renew a loan; None where that brings it no new half of its time."""
        asked = self._now()
        left = await self._stores.extend(source.ref, self._key.namespace, source.key, lent(loan))
        longer = replace(loan, ends=asked + left) if left else None
        return longer if longer and asked < longer.due else None

    async def _taken(self, source: Source) -> Borrowed:
        place, taking = source.place, self._outside.taking
        was_asked_before = place in taking
        if not was_asked_before:
            task = self._stores.borrow(source.ref, self._key.namespace, source.key)
            taking[place] = Taking(self._now(), task)
        asked, task = taking[place]
        await asyncio.wait([task])
        taking.pop(place, None)
        if task.cancelled():
            raise Unreachable("Closed", "the operator ends")
        outcome = task.result()
        if isinstance(outcome, StoreError | Stalled):
            raise outcome
        if outcome.lent is None:
            return Borrowed(None, outcome)
        loan = loan_of(place, outcome.lent, asked)
        taken = self._noted(source, Borrowed(loan, outcome))
        # It may have lain there for long, taken for a reading that was broken off.
        return await self._found(source) if was_asked_before and self._now() >= loan.due else taken

    def _noted(self, source: Source, borrowed: Borrowed) -> Borrowed:
        if borrowed.loan and borrowed.found:
            self._outside.in_hand[source.place] = InHand(borrowed.loan, borrowed.found)
        return borrowed


# Back


async def given_back(step: GiveBack, key: ObjectKey, state: State, context: Context) -> State | None:
    """Have a store take back what it has lent; return the state that no longer knows it, None if it is not done.

    What has ended is gone, and what a store does not take back ends by itself.
    """
    loan, outside = step.loan, context.memory(key).outside
    if context.now() < loan.ends and not await _is_back(loan, key, context):
        return None
    outside.returns.pop(loan.id, None)
    outside.returning.pop(loan.id, None)
    return state.without_loan(loan.id)


async def _is_back(loan: StoreLease, key: ObjectKey, context: Context) -> bool:
    outside = context.memory(key).outside
    errand = outside.returning.get(loan.id)
    if errand is None:
        errand = await begin(loan.id, _returned(loan, key, context), lambda: _ended(loan, key, context))
        outside.returning[loan.id] = errand
    if not errand.task.done():
        outside.returns[loan.id] = loan.ends
        return False
    del outside.returning[loan.id]
    failure = errand.task.result()
    if failure is None:
        return True
    name = str(loan.where)
    if isinstance(failure, Throttled | Unreachable):
        outside.returns[loan.id] = _again(failure, context)
        _log.warning("what was lent is not given back yet", secret=str(key), lent=name, code=failure.code)
        return False
    code = failure.reason if isinstance(failure, Stalled) else failure.code
    _log.warning("what was lent is not taken back, and ends by itself", secret=str(key), lent=name, code=code)
    return True


async def _returned(loan: StoreLease, key: ObjectKey, context: Context) -> Failure | None:
    where = loan.where
    try:
        await context.stores.give_back(where.ref, key.namespace, where.key, lent(loan))
    except (StoreError, Stalled) as error:
        return error.with_traceback(None)
    return None


def _ended(loan: StoreLease, key: ObjectKey, context: Context) -> None:
    """Have its end looked at."""
    context.memory(key).outside.returns.pop(loan.id, None)
    context.wake(key)


def _again(failure: StoreError, context: Context) -> datetime:
    wish = timedelta(seconds=failure.retry_after or 0)
    return context.now() + min(max(wish, _LATER), _LONGEST_WAIT)
