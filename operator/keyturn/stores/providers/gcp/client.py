"""Secret Manager client over gRPC: Google's client on connections to admitted addresses.

gRPC connects itself, so it gets the addresses that the guard admitted, and the host name only to verify the
certificate. Proxies, settings in DNS and retries are off.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import ssl
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from keyturn.runtime import build, threadpools
from keyturn.stores.providers import errors

from .login import GcpLogin

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from yarl import URL

    from keyturn.stores.providers.base import ProviderContext
    from keyturn.stores.providers.guard import Guard

    from .login import GcpAuth

_ADDRESS_SECONDS: Final = 600.0
"""Seconds for which a resolved address is used."""
_IDLE_MS: Final = 120_000
_MAX_RETRY_AFTER: Final = 86400.0

_MEANINGS: Final[Mapping[str, type[errors.StoreError]]] = {
    "ABORTED": errors.Conflict,
    "ALREADY_EXISTS": errors.Conflict,
    "FAILED_PRECONDITION": errors.Refused,
    "INVALID_ARGUMENT": errors.Refused,
    "NOT_FOUND": errors.NotFound,
    "OUT_OF_RANGE": errors.Refused,
    "PERMISSION_DENIED": errors.Denied,
    "RESOURCE_EXHAUSTED": errors.Throttled,
    "UNAUTHENTICATED": errors.Unauthorized,
    "UNIMPLEMENTED": errors.Refused,
}
_WITHOUT_VALUE: Final = re.compile(r"Secret Version \[[^\]]*\] is in (DISABLED|DESTROYED) state")


class SecretManager:
    """The service at one address, with one credential."""

    def __init__(self, address: str, auth: GcpAuth, given: ProviderContext) -> None:
        self._address = address
        self._given = given
        self._login = GcpLogin(auth, given)
        self._opening = asyncio.Lock()
        self._line: _Line | None = None

    async def call(self, method: str, request: Mapping[str, Any]) -> Any:
        """Call a method with a result, by its name in Google's client, such as access_secret_version."""
        answer = await self.send(method, request)
        if answer is None:  # the client returns None for what it cannot parse
            raise errors.Unreachable("MalformedAnswer")
        return answer

    async def send(self, method: str, request: Mapping[str, Any]) -> Any:
        """Call a method whose result may be empty."""
        guard = self._given.network
        url = guard.admit(self._address)
        async with self._use_line(guard, url) as line:
            token = await self._login.token()
            try:
                return await line.call(method, request, token.reveal().decode("ascii"), guard.limits.seconds)
            except _errors_of_the_client() as error:
                refusal = _meaning(error)
        if type(refusal) is errors.Unauthorized:
            self._login.forget()
        if isinstance(refusal, errors.Unreachable):
            line.ends = 0.0
        # Outside the except block, so that Google's message is not the context.
        raise refusal.with_traceback(None)

    async def close(self) -> None:
        async with self._opening:
            await self._let_go()

    async def _let_go(self) -> None:
        if self._line is not None:
            await self._line.retire()
            self._line = None

    @asynccontextmanager
    async def _use_line(self, guard: Guard, url: URL) -> AsyncIterator[_Line]:
        async with self._opening:
            line = self._line
            if line is None or time.monotonic() >= line.ends:
                await self._let_go()
                addresses = await guard.addresses(url)
                line = self._line = await _connect(url, addresses, guard.limits.size)
            line.users += 1
        try:
            yield line
        finally:
            await line.release()


class _Line:
    """A connection that closes once it is retired and unused.

    To close one during a call would look like a cancellation to the calling task.
    """

    def __init__(self, client: Any) -> None:
        self.ends = time.monotonic() + _ADDRESS_SECONDS
        self.users = 0
        self._client = client
        self._is_retired = False

    async def call(self, method: str, request: Mapping[str, Any], token: str, seconds: float) -> Any:
        return await getattr(self._client, method)(
            request=dict(request),
            retry=None,  # the operator decides about retries
            timeout=seconds,
            metadata=(("authorization", f"Bearer {token}"),),
        )

    async def retire(self) -> None:
        self._is_retired = True
        await self._close_if_unused()

    async def release(self) -> None:
        self.users -= 1
        await self._close_if_unused()

    async def _close_if_unused(self) -> None:
        if self._is_retired and not self.users:
            await self._client.transport.close()


async def _connect(url: URL, addresses: list[tuple[str, int]], size: int) -> _Line:
    await threadpools.run_own(_load)
    from google.cloud.secretmanager_v1 import SecretManagerServiceAsyncClient  # noqa: PLC0415  # is loaded now
    from google.cloud.secretmanager_v1.services.secret_manager_service import transports  # noqa: PLC0415
    from grpc import aio, ssl_channel_credentials  # noqa: PLC0415

    target, options = _target(addresses), _options(url, size)
    if url.scheme == "https":
        channel = aio.secure_channel(target, ssl_channel_credentials(), options)
    else:  # the administrator allows it for this host
        channel = aio.insecure_channel(target, options)
    # With a channel the transport asks for no credentials of the environment.
    transport = transports.SecretManagerServiceGrpcAsyncIOTransport(channel=channel)
    return _Line(SecretManagerServiceAsyncClient(transport=transport))


def _load() -> None:
    """Import Google's client, in a thread: it takes 0.5 s."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # its core writes to stderr without a logger
    # Trust Python's CAs; given to each connection instead, they would take 1 MB each time.
    if authorities := ssl.get_default_verify_paths().cafile:
        os.environ.setdefault("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", authorities)

    import google.cloud.secretmanager_v1  # noqa: PLC0415

    # At DEBUG it logs requests and responses, and gRPC logs an error for each invalid one.
    logging.getLogger(google.cloud.secretmanager_v1.__name__).setLevel(logging.WARNING)
    logging.getLogger("grpc").setLevel(logging.CRITICAL)


def _target(addresses: list[tuple[str, int]]) -> str:
    """Format addresses for gRPC: those of one family, the system's preferred one."""
    is_v6 = ":" in addresses[0][0]
    same = [(host, port) for host, port in addresses if (":" in host) is is_v6]
    if is_v6:
        return "ipv6:" + ",".join(f"[{host}]:{port}" for host, port in same)
    return "ipv4:" + ",".join(f"{host}:{port}" for host, port in same)


def _options(url: URL, size: int) -> list[tuple[str, str | int]]:
    host = str(url.host)
    return [
        ("grpc.ssl_target_name_override", host),
        ("grpc.default_authority", host if url.is_default_port() else f"{host}:{url.port}"),
        ("grpc.enable_http_proxy", 0),
        ("grpc.enable_retries", 0),
        ("grpc.service_config_disable_resolution", 1),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.client_idle_timeout_ms", _IDLE_MS),
        ("grpc.max_receive_message_length", size),
        ("grpc.primary_user_agent", build.user_agent()),
    ]


def _errors_of_the_client() -> tuple[type[Exception], ...]:
    """Return the exceptions of Google's client, and of its parsers for malformed input."""
    from google.api_core.exceptions import GoogleAPIError  # noqa: PLC0415  # is loaded now
    from google.protobuf.message import Error  # noqa: PLC0415
    from grpc import RpcError  # noqa: PLC0415

    return (GoogleAPIError, RpcError, Error, ValueError, TypeError, AttributeError, LookupError)


def _meaning(error: Exception) -> errors.StoreError:
    """Map an error by its status; its text tells only cases apart that share a status."""
    status = getattr(getattr(error, "grpc_status_code", None), "name", None)
    if not isinstance(status, str):
        return errors.Unreachable("MalformedAnswer")
    message = str(getattr(error, "message", ""))
    # Our own size limit: gRPC has one status for it and for the service's quota.
    if status == "RESOURCE_EXHAUSTED" and "larger than max" in message:
        return errors.Refused("TooLarge", "an answer is too large")
    # A disabled KMS key has the same status.
    if status == "FAILED_PRECONDITION" and _WITHOUT_VALUE.match(message):
        return errors.UnusableError(
            "Disabled", "the version is disabled or destroyed; enable it or add another"
        )
    code = "".join(part.capitalize() for part in status.split("_"))
    return _MEANINGS.get(status, errors.Unreachable)(code, retry_after=_retry_after(error))


def _retry_after(error: Exception) -> float | None:
    for detail in getattr(error, "details", None) or ():
        if type(detail).__name__ == "RetryInfo":
            return min(max(float(detail.retry_delay.seconds), 1.0), _MAX_RETRY_AFTER)
    return None
