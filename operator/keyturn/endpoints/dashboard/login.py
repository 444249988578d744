"""Who somebody is: whoever the API server says that a token, made for this page, belongs to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from keyturn.kube.callers import caller_of

if TYPE_CHECKING:
    from keyturn.kube.callers import Caller
    from keyturn.kube.client import Api

__all__ = ["AUDIENCE", "viewer_of"]

AUDIENCE: Final = "keyturn-ui"
"""A token for something else is none for this page, so that nobody shows it one that opens more."""


async def viewer_of(token: str, api: Api) -> Caller | None:
    """Ask whose token it is; None where it is nobody's, or not for this page.

    Raises:
        ApiError: That is not known now.
    """
    return await caller_of(token, {AUDIENCE}, api)
