"""Whether the API server's discovery names every kind of ours: kopf asks once, and never watches what it lacked then.

Separate controllers of the API server serve a new CRD's objects and publish its kind, so that the lists of a fresh
installation can succeed before discovery is complete: https://kubernetes.io/docs/concepts/overview/kubernetes-api/
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from keyturn.api import GROUP, VERSION
from keyturn.installation.crds.definition import KINDS
from keyturn.kube import errors

if TYPE_CHECKING:
    from keyturn.kube.client import Api

__all__ = ["unnamed"]

_GROUPS: Final = "/apis"
_PLURALS: Final = tuple(kind.plural for kind in KINDS)


async def unnamed(api: Api) -> list[str]:
    """Return the plurals of ours that discovery does not name yet; all of them while it lacks the group.

    Raises:
        ApiError: The API server does not tell.
    """
    groups = (await api.get(_GROUPS)).get("groups") or ()
    versions = {one["groupVersion"] for group in groups for one in group.get("versions") or ()}
    if f"{GROUP}/{VERSION}" not in versions:
        return list(_PLURALS)
    try:
        found = (await api.get(f"{_GROUPS}/{GROUP}/{VERSION}")).get("resources") or ()
    except errors.NotFound:
        return list(_PLURALS)
    named = {one["name"] for one in found}
    return [plural for plural in _PLURALS if plural not in named]
