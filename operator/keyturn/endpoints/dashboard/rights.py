"""Permissions of a viewer: the namespaces in which the API server permits `list`."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog

from keyturn.api import GROUP
from keyturn.kube import errors
from keyturn.kube.callers import is_allowed
from keyturn.runtime.clock import loop_time

if TYPE_CHECKING:
    from collections.abc import Iterable

    from keyturn.kube.callers import Caller
    from keyturn.kube.client import Api

    from .sessions import Answers, Session

__all__ = ["Rights", "Unknown", "VisibleNamespaces"]

_CACHE_SECONDS: Final = 30.0
"""Seconds until a revoked permission takes effect."""
_MAX_CONCURRENT: Final = 8
_REQUEST_TIMEOUT: Final = 10.0
_EVERYWHERE: Final = ""
_MAX_NAMED: Final = 100
"""Permissions for namespaces of requests that a session caches at most."""
_SECRETS, _EMERGENCIES = "managedsecrets", "emergencyrotations"

_log = structlog.get_logger()


class Unknown(Exception):  # noqa: N818  # it says what it is
    """The API server did not answer an access review."""


@dataclass(frozen=True, slots=True)
class VisibleNamespaces:
    """Namespaces whose objects of each kind a viewer may list."""

    secrets: frozenset[str]
    emergencies: frozenset[str]

    @property
    def namespaces(self) -> frozenset[str]:
        return self.secrets | self.emergencies


class Rights:
    """Sends access reviews, and caches their results for 30 s."""

    def __init__(self, api: Api) -> None:
        self._api = api
        # Reconciles use the same connections.
        self._turns = asyncio.Semaphore(_MAX_CONCURRENT)

    async def scope(
        self, session: Session, secrets: Iterable[str], emergencies: Iterable[str]
    ) -> VisibleNamespaces:
        """Return which of the namespaces with such objects a viewer may list.

        Raises:
            Unknown: The API server did not answer.
        """
        return await self._scope(session.viewer, session.answers, secrets, emergencies)

    async def of_namespace(self, session: Session, namespace: str) -> VisibleNamespaces:
        """Return whether a viewer may list the objects of a namespace that a request names, whether it exists or not.

        Results have a cache of their own: that of `scope` has the namespaces with objects, also hidden ones.

        Raises:
            Unknown: The API server did not answer.
        """
        found = await self._scope(session.viewer, session.named, {namespace}, {namespace})
        for key in list(session.named)[:-_MAX_NAMED]:
            del session.named[key]
        return found

    async def _scope(
        self, viewer: Caller, known: Answers, secrets: Iterable[str], emergencies: Iterable[str]
    ) -> VisibleNamespaces:
        try:
            async with asyncio.timeout(_REQUEST_TIMEOUT):
                return VisibleNamespaces(
                    await self._visible(viewer, known, _SECRETS, secrets),
                    await self._visible(viewer, known, _EMERGENCIES, emergencies),
                )
        except TimeoutError:
            raise Unknown from None

    async def _visible(
        self, viewer: Caller, known: Answers, resource: str, namespaces: Iterable[str]
    ) -> frozenset[str]:
        asked = frozenset(namespaces)
        if await self._may(viewer, known, resource, _EVERYWHERE):
            return asked
        cached = {one: _cached(known, resource, one) for one in asked}
        unknown = sorted(one for one, may in cached.items() if may is None)
        answers = await asyncio.gather(*(self._may(viewer, known, resource, one) for one in unknown))
        cached.update(zip(unknown, answers, strict=True))
        return frozenset(one for one, may in cached.items() if may)

    async def _may(self, viewer: Caller, known: Answers, resource: str, namespace: str) -> bool:
        cached = _cached(known, resource, namespace)
        if cached is not None:
            return cached
        async with self._turns:
            may = await self._ask(viewer, resource, namespace)
        known[resource, namespace] = may, loop_time() + _CACHE_SECONDS
        return may

    async def _ask(self, viewer: Caller, resource: str, namespace: str) -> bool:
        place = {"namespace": namespace} if namespace else {}
        asked = {"verb": "list", "group": GROUP, "resource": resource, **place}
        try:
            return await is_allowed(viewer, {"resourceAttributes": asked}, self._api)
        except errors.ApiError as error:
            _log.warning("viewer permissions unknown", error=error)
            raise Unknown from None


def _cached(known: Answers, resource: str, namespace: str) -> bool | None:
    answer = known.get((resource, namespace))
    return answer[0] if answer and loop_time() < answer[1] else None
