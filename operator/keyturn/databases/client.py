"""One target: its engine, opened with the Secrets that its settings refer to, and opened again when these change."""

from __future__ import annotations

import asyncio
from math import inf
from typing import TYPE_CHECKING, Final

from keyturn.runtime.clock import loop_time
from keyturn.stores import credentials
from keyturn.stores.providers import errors as store_errors

from .errors import DatabaseError, Forbidden, Unauthorized, Unreachable
from .health import LOGIN_NOT_FOUND
from .settings import INVALID_SETTINGS

if TYPE_CHECKING:
    from keyturn.kube.client import Api
    from keyturn.stores.credentials import Credentials

    from .base import Engine, Limits
    from .hosts import Hosts
    from .settings import TargetSettings

API_SERVER_UNAVAILABLE: Final = "ApiServerUnavailable"
_REREAD_AFTER: Final = 60.0
"""Seconds for which Secrets that were read are used; no watch shows their changes."""


class TargetClient:
    """The engine of one target in one generation of its spec."""

    def __init__(
        self, identity: str, settings: TargetSettings, hosts: Hosts, namespace: str, api: Api, limits: Limits
    ) -> None:
        """`namespace` is that of the referred Secrets."""
        self.identity = identity
        self.settings = settings
        self.limits = limits
        self.versions: frozenset[str] = frozenset()
        """The resource versions of the Secrets that the engine has; empty before it is opened."""
        self._hosts, self._namespace, self._api = hosts, namespace, api
        self._engine: Engine | None = None
        self._read_at = -inf
        self._turn = asyncio.Lock()

    async def engine(self) -> Engine:
        """Return the engine with the current Secrets.

        Raises:
            Unauthorized: A Secret or key does not exist (`LoginNotFound`).
            Forbidden: A Secret cannot be used.
            Unreachable: The API server did not answer.
        """
        async with self._turn:
            if self._engine is None or loop_time() - self._read_at > _REREAD_AFTER:
                await self._open()
            return self._checked()

    def doubt(self) -> None:
        """Read the Secrets again at the next use."""
        self._read_at = -inf

    async def close(self) -> None:
        if self._engine is not None:
            await self._engine.close()
            self._engine = None

    async def _open(self) -> None:
        found = await self._look()
        if self._engine is None or found.versions != self.versions:
            await self.close()
            self._engine = self.settings.open(
                found.referred, self._hosts.resolve, self.limits, self._namespace
            )
            self.versions = found.versions
        self._read_at = loop_time()

    async def _look(self) -> Credentials:
        failure: DatabaseError
        try:
            return await credentials.look_at(self.settings.needs, self._namespace, self._api)
        except store_errors.Unauthorized as error:
            failure = Unauthorized(LOGIN_NOT_FOUND, error.hint)
        except store_errors.Refused as error:
            failure = Forbidden(INVALID_SETTINGS, error.hint)
        except store_errors.StoreError:
            failure = Unreachable(API_SERVER_UNAVAILABLE, "the API server does not answer; retried")
        raise failure  # outside the except block, so that it has no context

    def _checked(self) -> Engine:
        if self._engine is None:  # closed while it was opened
            raise Unreachable("Closed", "the operator ends")
        return self._engine
