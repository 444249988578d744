"""One target: its engine, opened again when the Secrets that its settings refer to change, and its health.

The health check is a login of the administrator every minute, and earlier after a failure. A server that was
started at another time was restarted, or replaced in a failover, and may have lost changes. That counts as a
recovery, after which the accounts of the target are probed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Final

import structlog

from keyturn.core.keys import TargetKey
from keyturn.core.observation.external import Health, HealthEvents, reported
from keyturn.core.reasons import TargetReason
from keyturn.core.times import backoff
from keyturn.kube.client import Api
from keyturn.runtime import logs
from keyturn.runtime.clock import jittered, loop_time
from keyturn.runtime.concurrency import KeyedLimiter, Tasks
from keyturn.stores.providers import errors as store_errors
from keyturn.stores.settings import LOGIN_NOT_FOUND, Credentials, read_references

from .base import Engine, Limits, Server
from .errors import (
    DatabaseError,
    Denied,
    Forbidden,
    Missing,
    ReadOnly,
    RefusedByPolicy,
    Unauthorized,
    Unreachable,
)
from .settings import HOST_NOT_ALLOWED, HOST_NOT_FOUND, INVALID_SETTINGS, Hosts, TargetSettings

_UNLIMITED: Final = "; the administrator is a superuser, whom no grant limits: use one with CREATEROLE"
_CERTIFICATE: Final = "Certificate"
_SETUP: Final = frozenset({"NoTls", "TlsFailed", "NoScram", "DatabaseMissing"})
"""Codes of a server that answers, and needs a change of the spec or of itself."""


def health_of_server(server: Server) -> Health:
    """Return the health for what a server answered."""
    if not server.lacks:
        return Health(
            is_ready=True,
            reason=TargetReason.VALID,
            message="the last check of the server succeeded"
            + (_UNLIMITED if server.is_admin_unlimited else ""),
            version=server.version,
            started=server.started,
        )
    lacking = "; ".join(f"{lack.sentence}: {lack.statement}" for lack in server.lacks)
    return Health(is_ready=False, reason=TargetReason.MISSING_GRANT, message=lacking, version=server.version)


def health_of(error: DatabaseError) -> Health:
    """Return the health for an error."""
    reason, passes = _reason_of(error)
    return Health(is_ready=False, reason=reason, message=error.message, passes=passes)


def _reason_of(error: DatabaseError) -> tuple[TargetReason, bool]:
    match error:
        case Unauthorized(code=code):
            found = code != LOGIN_NOT_FOUND
            return TargetReason.AUTHENTICATION_FAILED if found else TargetReason.LOGIN_NOT_FOUND, False
        case Denied():
            return TargetReason.MISSING_GRANT, False
        case Forbidden() | Missing():
            is_host = error.code == HOST_NOT_ALLOWED
            return TargetReason.HOST_NOT_ALLOWED if is_host else TargetReason.INVALID_SETTINGS, False
        case RefusedByPolicy(code=code) | ReadOnly(code=code):
            return TargetReason.READ_ONLY if code == "ReadOnly" else TargetReason.UNSUPPORTED_SERVER, False
        case Unreachable(code=code):
            return _of_silence(code)
        case _:
            return TargetReason.UNREACHABLE, True


def _of_silence(code: str) -> tuple[TargetReason, bool]:
    if code == HOST_NOT_FOUND:
        return TargetReason.HOST_NOT_FOUND, False
    if code.startswith(_CERTIFICATE):
        return TargetReason.CERTIFICATE_INVALID, False
    if code in _SETUP:
        return TargetReason.UNSUPPORTED_SERVER, False
    return TargetReason.UNREACHABLE, True


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
            return await read_references(self.settings.needs, self._namespace, self._api)
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


_INTERVAL: Final = 60.0
"""Seconds between two checks of a server that is ready."""
_MIN_INTERVAL: Final = 5.0
_MAX_INTERVAL: Final = 300.0
_MAX_OUTAGE_INTERVAL: Final = 45.0
"""Seconds between two checks of a server that cannot be used: its accounts resume within a minute of its return."""
_MAX_CORRECTION_INTERVAL: Final = 15.0
"""Seconds between two reads of a credential that is refused or missing, or two checks for a right that is granted.

Not each read is followed by a login.
"""
_CORRECTED_SOON: Final = frozenset({LOGIN_NOT_FOUND, TargetReason.MISSING_GRANT})
"""Reasons that end when a person has done what the message says."""
_TIMEOUT: Final = 30.0

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Refused:
    """A credential that the server refused: more failed logins could lock the account."""

    versions: frozenset[str]
    until: float
    health: Health
    """What it means, also after a check that failed for another reason."""

    def holds(self, versions: frozenset[str]) -> bool:
        return versions == self.versions and loop_time() < self.until


class TargetCheck:
    """Health of one target; unknown before the first result."""

    def __init__(
        self,
        key: TargetKey,
        client: TargetClient,
        tasks: Tasks,
        health_events: Callable[[], HealthEvents[TargetKey]],
        turns: KeyedLimiter,
        started: str | None = None,
    ) -> None:
        """`turns` limits the checks of a namespace and of all targets; `started` is when its server was, as known."""
        self.health: Health | None = None
        """None while unknown."""
        self.recoveries = 0
        self._key, self._client, self._tasks = key, client, tasks
        self._health_events, self._turns = health_events, turns
        self._doubted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._refused: _Refused | None = None
        self._started = started

    def look(self) -> None:
        """Start the checks, once."""
        if self._task is None:
            self._task = self._tasks.start(self._run())

    def doubt(self) -> None:
        """Check soon: an operation failed."""
        self._doubted.set()

    def close(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        failures = 0
        while True:
            async with self._turns.hold(self._key.namespace):
                health = await self._check()
            failures = 0 if health and health.is_ready else failures + 1
            if health:
                self._record(health)
            await self._pause(failures)

    async def _pause(self, failures: int) -> None:
        """Wait until the next check; a doubt shortens the wait, but not below the minimum."""
        await asyncio.sleep(_MIN_INTERVAL)
        if failures:
            rest = backoff(_MIN_INTERVAL, failures, self._longest) - _MIN_INTERVAL
        else:
            rest = jittered(_INTERVAL, 0.8)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(rest):
                await self._doubted.wait()
        self._doubted.clear()

    @property
    def _longest(self) -> float:
        is_corrected_soon = self._refused is not None or (
            self.health is not None and self.health.reason in _CORRECTED_SOON
        )
        return _MAX_CORRECTION_INTERVAL if is_corrected_soon else _MAX_OUTAGE_INTERVAL

    async def _check(self) -> Health | None:
        """Return the health; None after an error of this process, which says nothing about the server."""
        self._client.doubt()  # each check reads the Secrets, so that a new credential is found
        try:
            async with asyncio.timeout(_TIMEOUT):
                return await self._ask()
        except TimeoutError:
            return health_of(Unreachable("Timeout", "the server did not answer in time"))
        except DatabaseError as error:
            return health_of(error.with_traceback(None))
        except Exception as error:  # noqa: BLE001  # such as too many open files; the next check may succeed
            _log.error("target not checked", target=str(self._key), **logs.describe(error))
            return None

    async def _ask(self) -> Health:
        engine = await self._client.engine()
        if self._refused is not None and self._refused.holds(self._client.versions):
            return self._refused.health
        try:
            server: Server = await engine.check()
        except Unauthorized as refusal:
            health = health_of(refusal.with_traceback(None))
            self._refused = _Refused(self._client.versions, loop_time() + _MAX_INTERVAL, health)
            return health
        self._refused = None
        return health_of_server(server)

    def _record(self, health: Health) -> None:
        before, was_started = self.health, self._started
        if (health := reported(before, health)) == before:
            return
        self.health, self._started = health, health.started or was_started
        self._health_events().turned(self._key)
        is_replaced = was_started is not None and self._started != was_started
        if health.is_ready and (before or is_replaced):
            self.recoveries += 1
            self._health_events().recovered(self._key)
