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
        NoBackup: The namespace has some already, or a creation failed; created ones were deleted again, or are named.
    """
    if there := await states_of(api, namespace):
        raise NoBackup(
            f"namespace {namespace} has values of Keyturn already, such as {there[0]['metadata']['name']};"
            " nothing is written over them: name an empty namespace"
        )
    made: dict[str, str] = {}
    name = ""
    try:
        for name in sorted(backup.states):
            body = await api.create(paths.secrets(namespace), backup.body(name, namespace))
            made[name] = body["metadata"]["uid"]
    except BaseException as error:  # also Ctrl-C
        await _undo(api, backup, namespace, made, name)
        if not isinstance(error, errors.ApiError):
            raise
        refused = error
    else:
        return made
    raise NoBackup(
        f"the Secret {name} cannot be created in namespace {namespace} ({refused.reason});"
        " nothing is left of what was restored before it"
    )


async def _undo(api: Api, backup: Backup, namespace: str, made: dict[str, str], last: str) -> None:
    """Delete what was created, also a Secret whose creation was executed and not answered.

    Raises:
        NoBackup: Some Secrets remain, or may remain.
    """
    unknown = ""
    if last not in made:
        try:
            body = await api.get(paths.secret(namespace, last))
            if body.get("data") == backup.body(last, namespace)["data"]:
                made[last] = body["metadata"]["uid"]
        except errors.NotFound:
            pass
        except errors.ApiError as error:
            unknown = (
                f"the Secret {last} may be in namespace {namespace}, which cannot be read ({error.reason});"
                " delete it if it has the values of the backup"
            )
    try:
        await take_away(api, namespace, made)
    except NoBackup as problem:
        raise NoBackup("; ".join(filter(None, (str(problem), unknown)))) from None
    if unknown:
        raise NoBackup(unknown)


async def take_away(api: Api, namespace: str, made: dict[str, str]) -> None:
    """Delete what `put_back` has created.

    Raises:
        NoBackup: Some Secrets remain.
    """
    left, reason = [], ""
    for name, uid in made.items():
        try:
            await api.delete(paths.secret(namespace, name), {"uid": uid})
        except errors.ApiError as error:
            left.append(name)
            reason = error.reason
    if left:
        raise NoBackup(
            f"restored Secrets cannot be deleted from namespace {namespace} ({reason}); they have the values of"
            f" the backup: delete them, {', '.join(left)}"
        )
