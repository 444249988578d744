"""Proof that an old login is refused: one failed login alone can have another cause."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .base import ANSWERS_DIFFER, Answer, Verdict

if TYPE_CHECKING:
    from .base import Endpoint, Engine, Login

PUBLISHED_REFUSED: Final = "CurrentNotAccepted"
"""Why nothing is known about the old login: the server refuses the current one too."""


async def prove_refused(engine: Engine, old: Login, current: Login, endpoint: Endpoint) -> Verdict:
    """Return REFUSED if the current login is accepted at an endpoint before and after the old one is refused there.

    The old login is tried once. ACCEPTED means that the old login still works, such as at a pooler with its own list
    of users. UNKNOWN and LOCKED have a reason, which may be that the current login does not work.
    """
    before = await engine.prove(current, endpoint)
    if before.answer is not Answer.ACCEPTED:
        return _unknown(before)
    verdict = await engine.prove(old, endpoint)
    if verdict.answer is not Answer.REFUSED:
        return verdict
    after = await engine.prove(current, endpoint)
    return verdict if after.answer is Answer.ACCEPTED else _unknown(after)


def _unknown(of_current: Verdict) -> Verdict:
    """Return that nothing is known about the old login, because the current one does not work."""
    if of_current.answer is Answer.UNKNOWN and of_current.reason != ANSWERS_DIFFER:
        return of_current
    return Verdict(
        Answer.UNKNOWN, PUBLISHED_REFUSED, "the current login is not accepted at the same endpoint"
    )
