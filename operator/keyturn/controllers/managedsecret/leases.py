"""Dynamic credentials of one ManagedSecret: one lease per key, renewed at half of its duration, then replaced.

An acquired credential stays in memory until a revision records it, so that a cancelled read acquires none twice.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

import structlog

from keyturn.controllers.background import InHand, Taking, begin, lent, loan_of
from keyturn.core.errors import Stalled
from keyturn.core.rotation import transitions
from keyturn.stores.providers.errors import StoreError, Throttled, Unreachable

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from keyturn.controllers.background import BackgroundWork
    from keyturn.controllers.context import Context
    from keyturn.core.keys import ObjectKey
    from keyturn.core.rotation import steps
    from keyturn.core.spec.desired import Desired
    from keyturn.core.spec.store_refs import Source
    from keyturn.core.state.lease import StoreLease
    from keyturn.core.state.revision import ItemValues
    from keyturn.core.state.state import State
    from keyturn.stores import Failure, Stores
    from keyturn.stores.providers.base import RemoteValue

__all__ = ["Borrowed", "LeaseManager", "given_back"]

_log = structlog.get_logger()

_RETRY_DELAY: Final = timedelta(seconds=30)
_MAX_RETRY_DELAY: Final = timedelta(minutes=5)


class Borrowed(NamedTuple):
    """A leased credential, or a plain value if the store has no lease for it."""

    loan: StoreLease | None
    found: RemoteValue | None
    """None if the current revision has its values."""


class LeaseManager:
    """Leases of one ManagedSecret during one read."""

    def __init__(
        self,
        key: ObjectKey,
        desired: Desired,
        state: State | None,
        outside: BackgroundWork,
        stores: Stores,
        now: Callable[[], datetime],
        *,
        reissue: bool,
    ) -> None:
        """With `reissue`, recorded leases are not reused."""
        self._key, self._wanted, self._state = key, desired, state
        self._outside, self._stores, self._now, self._reissue = outside, stores, now, reissue
        self._asked: dict[str, asyncio.Task[Borrowed | Failure]] = {}

    @property
    def loans(self) -> tuple[StoreLease, ...]:
        """Leases of this read, once all requests have ended."""
        results = (task.result() for task in self._asked.values() if task.done() and not task.cancelled())
        return tuple(result.loan for result in results if isinstance(result, Borrowed) and result.loan)

    async def borrowed(self, source: Source) -> Borrowed:
        """Return the credential of a key; all items that read the key share it.

        Raises:
            Stalled: The store does not exist, or is not permitted for this namespace.
            StoreError: The store issued no credential.
        """
        place = source.place
        if place not in self._asked:
            self._asked[place] = asyncio.ensure_future(self._acquire_or_error(source))
        await asyncio.wait([self._asked[place]])
        outcome = self._asked[place].result()
        if isinstance(outcome, StoreError):
            raise type(outcome)(outcome.code, outcome.hint, retry_after=outcome.retry_after)
        if isinstance(outcome, Stalled):
            raise Stalled(outcome.reason, outcome.message)
        return outcome

    def recorded(self, name: str) -> ItemValues:
        """Return the values of an item in the current revision, whose lease continues."""
        if self._state is None:
            raise LookupError(name)
        return self._state.current.values[name]

    def close(self) -> None:
        for task in self._asked.values():
            task.cancel()

    async def _acquire_or_error(self, source: Source) -> Borrowed | Failure:
        try:
            return await self._acquire_or_renew(source)
        except (StoreError, Stalled) as error:
            return error.with_traceback(None)

    async def _acquire_or_renew(self, source: Source) -> Borrowed:
        held = self._in_hand(source) or self._current(source)
        if held is None or held.loan is None:
            return await self._acquire(source)
        loan = held.loan
        if self._now() < loan.due:
            return held
        try:
            renewed = await self._renew(source, loan)
            if renewed is not None:
                return self._keep_in_hand(source, held._replace(loan=renewed))
            return await self._acquire(source)
        except (Throttled, Unreachable):
            if self._now() >= loan.ends:
                raise
            return held

    def _in_hand(self, source: Source) -> Borrowed | None:
        held = self._outside.in_hand.get(source.place)
        return Borrowed(held.loan, held.found) if held else None

    def _current(self, source: Source) -> Borrowed | None:
        """Return the recorded lease, if all items that read the key have their value from it."""
        if self._state is None or self._reissue:
            return None
        kept = [
            (item, self._state.current.values.get(item.name))
            for item in self._wanted.pulled
            if item.source and item.source.place == source.place
        ]
        if not all(one and item.source and one.recipe == item.source.text for item, one in kept):
            return None
        names = {one.loan for _, one in kept if one}
        loan = next((loan for loan in self._state.facts.loans if {loan.id} == names), None)
        return Borrowed(loan, None) if loan else None

    async def _renew(self, source: Source, loan: StoreLease) -> StoreLease | None:
        """Renew a lease; None if the rest of its duration is not extended beyond its half."""
        asked = self._now()
        left = await self._stores.extend(source.ref, self._key.namespace, source.key, lent(loan))
        renewed = replace(loan, ends=asked + left) if left else None
        return renewed if renewed and asked < renewed.due else None

    async def _acquire(self, source: Source) -> Borrowed:
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
        taken = self._keep_in_hand(source, Borrowed(loan, outcome))
        # It may be old, if it was acquired for a read that was cancelled.
        return await self._acquire_or_renew(source) if was_asked_before and self._now() >= loan.due else taken

    def _keep_in_hand(self, source: Source, borrowed: Borrowed) -> Borrowed:
        if borrowed.loan and borrowed.found:
            self._outside.in_hand[source.place] = InHand(borrowed.loan, borrowed.found)
        return borrowed


# Revocation


async def given_back(step: steps.GiveBack, key: ObjectKey, state: State, context: Context) -> State | None:
    """Revoke a lease; return the state without it, or None if the revocation is to be retried.

    An expired lease needs no revocation. One that the store refuses to revoke is dropped and expires.
    """
    loan, outside = step.loan, context.memory(key).outside
    if context.now() < loan.ends and not await _revoke(loan, key, context):
        return None
    outside.returns.pop(loan.id, None)
    outside.returning.pop(loan.id, None)
    return state.with_facts(transitions.give_back(step, state.facts))


async def _revoke(loan: StoreLease, key: ObjectKey, context: Context) -> bool:
    outside = context.memory(key).outside
    job = outside.returning.get(loan.id)
    if job is None:
        job = await begin(loan.id, _send_revocation(loan, key, context), lambda: _wake(loan, key, context))
        outside.returning[loan.id] = job
    if not job.task.done():
        outside.returns[loan.id] = loan.ends
        return False
    del outside.returning[loan.id]
    failure = job.task.result()
    if failure is None:
        return True
    name = str(loan.where)
    if isinstance(failure, Throttled | Unreachable):
        outside.returns[loan.id] = _again(failure, context)
        _log.warning("lease revocation postponed", secret=str(key), lease=name, code=failure.code)
        return False
    code = failure.reason if isinstance(failure, Stalled) else failure.code
    _log.warning("lease revocation refused", secret=str(key), lease=name, code=code)
    return True


async def _send_revocation(loan: StoreLease, key: ObjectKey, context: Context) -> Failure | None:
    where = loan.where
    try:
        await context.stores.give_back(where.ref, key.namespace, where.key, lent(loan))
    except (StoreError, Stalled) as error:
        return error.with_traceback(None)
    return None


def _wake(loan: StoreLease, key: ObjectKey, context: Context) -> None:
    """Wake the object when the revocation ends."""
    context.memory(key).outside.returns.pop(loan.id, None)
    context.wake(key)


def _again(failure: StoreError, context: Context) -> datetime:
    wish = timedelta(seconds=failure.retry_after or 0)
    return context.now() + min(max(wish, _RETRY_DELAY), _MAX_RETRY_DELAY)
