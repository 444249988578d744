"""In which namespace the operator is: where its Deployment is found, unless somebody names it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from keyturn.kube import errors

if TYPE_CHECKING:
    from keyturn.kube.client import Api

__all__ = ["USUAL", "found_in"]

USUAL: Final = "keyturn-system"
_DEPLOYMENTS: Final = "/apis/apps/v1/deployments"
_OURS: Final = {"labelSelector": "app.kubernetes.io/name=keyturn"}


async def found_in(api: Api) -> str:
    """Return the namespace of the only Deployment of the operator; the usual one where that does not tell.

    Anybody may put the label on a Deployment, so of several none is believed.
    """
    found: set[str] = set()
    try:
        async for page in api.pages(_DEPLOYMENTS, _OURS, metadata_only=True):
            found |= {one["metadata"]["namespace"] for one in page.items}
    except errors.ApiError:
        return USUAL
    return found.pop() if len(found) == 1 else USUAL
