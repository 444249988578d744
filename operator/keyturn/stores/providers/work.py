"""What of a store's work is done in the threads of its owner, and told as errors of stores."""

from __future__ import annotations

from typing import TYPE_CHECKING, ParamSpec, TypeVar

from keyturn.runtime import threadpools as threads

from .errors import Refused

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["done"]

P = ParamSpec("P")
T = TypeVar("T")


async def done(owner: str, doing: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
    """Do what the settings or the answers of a store make us do.

    Raises:
        Refused: It takes too long, or what its owner has us do has done so before.
    """
    try:
        return await threads.for_tenant(owner, doing, *args, **named)
    except threads.TookTooLong as error:
        refusal = Refused(error.reason, error.message)
    # Out here, so that what took too long is no context of ours.
    raise refusal
