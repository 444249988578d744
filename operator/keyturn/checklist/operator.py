"""Finds the namespace of the operator by its Deployment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from keyturn.kube import errors

if TYPE_CHECKING:
    from keyturn.kube.client import Api

__all__ = ["USUAL", "find_namespace"]

USUAL: Final = "keyturn-system"
_DEPLOYMENTS: Final = "/apis/apps/v1/deployments"
_OURS: Final = {"labelSelector": "app.kubernetes.io/name=keyturn"}


async def find_namespace(api: Api) -> str:
    """Return the namespace of the only Deployment of the operator, or the default one.

    Any user can label a Deployment, so several give the default namespace.
    """
    found: set[str] = set()
    try:
        async for page in api.pages(_DEPLOYMENTS, _OURS, metadata_only=True):
            found |= {one["metadata"]["namespace"] for one in page.items}
    except errors.ApiError:
        return USUAL
    return found.pop() if len(found) == 1 else USUAL
