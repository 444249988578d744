"""Authentication by a TokenReview with the dashboard's own audience."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from keyturn.kube.callers import caller_of

if TYPE_CHECKING:
    from keyturn.kube.callers import Caller
    from keyturn.kube.client import Api

__all__ = ["AUDIENCE", "viewer_of"]

AUDIENCE: Final = "keyturn-ui"
"""Audience of tokens: a token for the dashboard opens nothing else."""


async def viewer_of(token: str, api: Api) -> Caller | None:
    """Return the subject of a token; None if it is invalid or has another audience.

    Raises:
        ApiError: The review failed.
    """
    return await caller_of(token, {AUDIENCE}, api)
