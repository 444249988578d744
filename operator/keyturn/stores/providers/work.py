"""Runs work for a store in the threads of its tenant, with errors of stores."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from keyturn.runtime import threadpools

from .errors import Refused

P = ParamSpec("P")
T = TypeVar("T")


async def run(owner: str, doing: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
    """Run a function that the settings or responses of a store make necessary.

    Raises:
        Refused: It takes too long, or work of this owner did before.
    """
    try:
        return await threadpools.run_for_tenant(owner, doing, *args, **named)
    except threadpools.TookTooLong as error:
        refusal = Refused(error.reason, error.message)
    # Outside the except block, so that the timeout is not the context.
    raise refusal
