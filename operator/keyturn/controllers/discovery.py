"""Discovery check: which kinds of Keyturn the API server does not name yet. kopf asks once and never again.

After an installation, lists of a kind can succeed before discovery names it, because separate controllers of the API
server serve both: https://kubernetes.io/docs/concepts/overview/kubernetes-api/
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from keyturn.api import GROUP, VERSION
from keyturn.installation.crds.definition import KINDS
from keyturn.kube import errors

if TYPE_CHECKING:
    from keyturn.kube.client import Api

__all__ = ["find_unnamed"]

_GROUPS: Final = "/apis"
_PLURALS: Final = tuple(kind.plural for kind in KINDS)


async def find_unnamed(api: Api) -> list[str]:
    """Return the plurals of the kinds that discovery does not name yet; all of them if it lacks the group.

    Raises:
        ApiError: Discovery failed.
    """
    groups = (await api.get(_GROUPS)).get("groups") or ()
    versions = {version["groupVersion"] for group in groups for version in group.get("versions") or ()}
    if f"{GROUP}/{VERSION}" not in versions:
        return list(_PLURALS)
    try:
        resources = (await api.get(f"{_GROUPS}/{GROUP}/{VERSION}")).get("resources") or ()
    except errors.NotFound:
        return list(_PLURALS)
    named = {resource["name"] for resource in resources}
    return [plural for plural in _PLURALS if plural not in named]
