"""Discovery: the optional kinds of workload that the API server has and the operator may list and watch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog

from keyturn.core.observation.workload_kinds import OPTIONAL_TYPES, REQUIRED_TYPES
from keyturn.installation.checks import rights
from keyturn.installation.checks.rights import Place
from keyturn.kube import errors

if TYPE_CHECKING:
    from keyturn.core.observation.workload_kinds import WorkloadType
    from keyturn.kube.client import Api

_GROUPS: Final = "/apis"

_log = structlog.get_logger()


async def find_named_types(api: Api) -> tuple[WorkloadType, ...]:
    """Return the optional kinds of workload that discovery names.

    Raises:
        ApiError: Discovery failed.
    """
    versions = await _read_versions(api)
    return tuple(
        [row for row in OPTIONAL_TYPES if row.plural in await _find_names(api, row.api_version, versions)]
    )


async def find_watchable(api: Api, namespaces: tuple[str, ...] | None) -> tuple[WorkloadType, ...]:
    """Return the optional kinds of workload that discovery names and the operator may list and watch.

    Selected namespaces without the rights on kinds that every cluster has, such as a deleted one, do not count.

    Raises:
        ApiError: Discovery or a review failed.
    """
    named = await find_named_types(api)
    if named and namespaces is not None:
        namespaces = await _find_served(api, namespaces) or namespaces
    found = []
    for row in named:
        missing = await rights.missing(api, rights.rights_on(row, Place("", namespaces)), None)
        if missing:
            _log.info("kind not watched", kind=row.kind, permission=str(missing[0]), hint=missing[0].manifest)
        else:
            found.append(row)
    return tuple(found)


async def _find_served(api: Api, namespaces: tuple[str, ...]) -> tuple[str, ...]:
    """Return the namespaces in which the operator may list and watch the first kind that every cluster has."""
    kind = REQUIRED_TYPES[0]
    return tuple(
        [
            namespace
            for namespace in namespaces
            if not await rights.missing(api, rights.rights_on(kind, Place("", (namespace,))), None)
        ]
    )


async def _read_versions(api: Api) -> set[str]:
    """Return the versions of all groups."""
    groups = (await api.get(_GROUPS)).get("groups") or ()
    return {version["groupVersion"] for group in groups for version in group.get("versions") or ()}


async def _find_names(api: Api, version: str, versions: set[str]) -> set[str]:
    """Return the plurals that discovery names in a version of a group."""
    if version not in versions:
        return set()
    try:
        resources = (await api.get(f"{_GROUPS}/{version}")).get("resources") or ()
    except errors.NotFound:
        return set()
    return {resource["name"] for resource in resources}
