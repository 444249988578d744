"""Size limit of the state Secret: the oldest parts are dropped until it fits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keyturn.core.errors import Stalled
from keyturn.core.reasons import ErrorReason

from .state_secret import state_body
from .target_secret import LARGEST, size_of

if TYPE_CHECKING:
    from keyturn.core.keys import ObjectKey
    from keyturn.core.state.state import State

    from .client import Body

__all__ = ["fitted", "too_large"]


def fitted(key: ObjectKey, state: State, version: str | None, binder: str = "") -> tuple[State, Body]:
    """Return the state without its oldest parts, so that it fits into a Secret; rollbacks are sacrificed first.

    Raises:
        Stalled: TooLarge: the current values alone exceed the limit.
    """
    body = state_body(key, state, version, binder)
    while size_of(body) > LARGEST:
        state = _shorten(state)
        body = state_body(key, state, version, binder)
    return state, body


def _shorten(state: State) -> State:
    older = len(state.facts.older)
    shorter = state.facts.with_older(older // 2) if older else state.facts.without_oldest()
    if shorter is None:
        raise too_large()
    return state.with_facts(shorter)


def too_large() -> Stalled:
    return Stalled(
        ErrorReason.TOO_LARGE,
        f"the values exceed the {LARGEST // 1024} KiB that a Secret can hold;"
        " split them over several ManagedSecrets",
    )
