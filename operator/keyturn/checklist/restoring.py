"""Reads state Secrets for a backup, and creates them in another namespace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from keyturn.core.labels import STATE_TYPE
from keyturn.kube import errors, paths

from .backup import Backup, NoBackup

if TYPE_CHECKING:
    from datetime import datetime

    from keyturn.kube.client import Api, Body

__all__ = ["put_back", "states_of", "take", "take_away"]

_ONLY_STATES: Final = {"fieldSelector": f"type={STATE_TYPE}"}
_PAGE_SIZE: Final = 50


async def states_of(api: Api, namespace: str) -> list[Body]:
    """Read the state Secrets of a namespace."""
    found: list[Body] = []
    async for page in api.pages(paths.secrets(namespace), _ONLY_STATES, limit=_PAGE_SIZE):
        if page.first:
            found.clear()
        found += page.items
    return found


async def take(api: Api, namespace: str, now: datetime) -> Backup:
    """Take a backup of a namespace.

    Raises:
        NoBackup: It has no state Secrets.
    """
    bodies = await states_of(api, namespace)
    if not bodies:
        raise NoBackup(
            f"namespace {namespace} has no values that Keyturn made; another one is named with --namespace"
        )
    return Backup.of(namespace, now, bodies)


async def put_back(api: Api, backup: Backup, namespace: str) -> dict[str, str]:
    """Create every state Secret; return their UIDs by name.

    Raises:
        NoBackup: The namespace has some already, or a creation failed; created ones were deleted again.
    """
    if there := await states_of(api, namespace):
        raise NoBackup(
            f"namespace {namespace} has values of Keyturn already, such as {there[0]['metadata']['name']};"
            " nothing is written over them: name an empty namespace"
        )
    made: dict[str, str] = {}
    for name in sorted(backup.states):
        try:
            body = await api.create(paths.secrets(namespace), backup.body(name, namespace))
        except errors.ApiError as error:
            refused = error
            break
        made[name] = body["metadata"]["uid"]
    else:
        return made
    await take_away(api, namespace, made)
    raise NoBackup(
        f"the Secret {name} cannot be created in namespace {namespace} ({refused.reason});"
        " nothing is left of what was restored before it"
    )


async def take_away(api: Api, namespace: str, made: dict[str, str]) -> None:
    """Delete what `put_back` has created."""
    for name, uid in made.items():
        await api.delete(paths.secret(namespace, name), {"uid": uid})
