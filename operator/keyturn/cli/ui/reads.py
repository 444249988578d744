"""What the pages read from the API server; what may not be read is a sentence, and the rest is shown."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import pydantic

from keyturn.api.emergency import EmergencyRotation
from keyturn.cli import managed, status
from keyturn.cli.cluster import sentence
from keyturn.core import keys
from keyturn.kube import errors, paths
from keyturn.kube.cache.parsing import parse
from keyturn.runtime.clock import loop_time

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from datetime import datetime

    from keyturn.cli.cluster import Cluster
    from keyturn.cli.managed import FoundManagedSecret
    from keyturn.cli.status import Leadership
    from keyturn.kube.wire import Body

_Item = TypeVar("_Item")
_LEADER_SECONDS: Final = 30.0
"""How long the state of the Lease is shown: whether a silent leader lives takes six seconds to find out."""


@dataclass(frozen=True, slots=True)
class Section(Generic[_Item]):
    """Objects of one kind, and why some or all are missing."""

    items: tuple[_Item, ...]
    notes: tuple[str, ...] = ()

    def __add__(self, other: Section[_Item]) -> Section[_Item]:
        return Section(self.items + other.items, self.notes + other.notes)


@dataclass(frozen=True, slots=True)
class Overview:
    """Content of the first page."""

    secrets: Section[FoundManagedSecret]
    emergencies: Section[EmergencyRotation]
    leader: Leadership
    now: datetime
    """The time by the API server's clock."""


class Reads:
    """Reads with the rights of the user, in one namespace or in all."""

    def __init__(self, cluster: Cluster, *, everywhere: bool) -> None:
        self.cluster = cluster
        self.namespace = None if everywhere else cluster.namespace
        """None for all namespaces."""
        self._leader: Leadership | None = None
        self._leader_until = 0.0

    async def overview(self) -> Overview:
        """Read in two lists, and the Lease."""
        secrets, emergencies, leader = await asyncio.gather(
            self._section(managed.all_of(self.cluster, self.namespace)),
            self._emergencies(),
            self._leadership(),
        )
        return Overview(secrets, emergencies, leader, self.cluster.now())

    async def connections(self) -> dict[str, Section[Body]]:
        """Read stores, targets and classes in five lists."""
        place = self.namespace
        stores, all_stores, targets, all_targets, classes = await asyncio.gather(
            self._section(self._bodies(paths.externals(keys.SECRET_STORE, place))),
            self._section(self._bodies(paths.externals(keys.CLUSTER_SECRET_STORE))),
            self._section(self._bodies(paths.externals(keys.DATABASE_TARGET, place))),
            self._section(self._bodies(paths.externals(keys.CLUSTER_DATABASE_TARGET))),
            self._section(self._bodies(paths.secret_classes())),
        )
        return {"Stores": stores + all_stores, "Database targets": targets + all_targets, "Classes": classes}

    async def secret(self, namespace: str, name: str) -> FoundManagedSecret:
        return managed.found_in(await self.cluster.api.get(paths.managed_secret(namespace, name)))

    async def emergency(self, namespace: str, name: str) -> EmergencyRotation:
        return parse(EmergencyRotation, await self.cluster.api.get(paths.emergency_rotation(namespace, name)))

    async def _emergencies(self) -> Section[EmergencyRotation]:
        bodies = await self._section(self._bodies(paths.emergency_rotations(self.namespace)))
        found, notes = [], list(bodies.notes)
        for body in bodies.items:
            try:
                found.append(parse(EmergencyRotation, body))
            except pydantic.ValidationError:
                place = f"{body['metadata']['namespace']}/{body['metadata']['name']}"
                notes.append(f"this version of keyturn cannot read EmergencyRotation {place}")
        return Section(tuple(found), tuple(notes))

    async def _leadership(self) -> Leadership:
        if self._leader is None or loop_time() >= self._leader_until:
            self._leader = await status.leadership(self.cluster)
            self._leader_until = loop_time() + _LEADER_SECONDS
        return self._leader

    async def _section(self, reading: Awaitable[list[Any]]) -> Section[Any]:
        try:
            return Section(tuple(await reading))
        except errors.ApiError as error:
            return Section((), (sentence(error, self.cluster.server),))

    async def _bodies(self, path: str) -> list[Body]:
        found: list[Body] = []
        async for page in self.cluster.api.pages(path):
            if page.first:
                found.clear()
            found += page.items
        return found
