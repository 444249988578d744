"""Guard of outgoing requests: checks a tenant's URL and address, follows no redirect, bounds size and time.

The address is decided once per connection: aiohttp connects to the address that our resolver admitted, so DNS
rebinding gains nothing.
"""

import asyncio
import copy
import ipaddress
import re
import socket
import ssl
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from math import inf
from types import MappingProxyType
from typing import Final, Self

import aiohttp
from aiohttp.abc import AbstractResolver
from multidict import CIMultiDictProxy
from yarl import URL

from keyturn.kube.session import FencedBody
from keyturn.runtime import build, tls
from keyturn.runtime.reach import (
    Address,
    Admitting,
    AllowedHost,
    Lookups,
    Network,
    asking_for,
    has_no_host,
    is_private,
    is_public,
    plain,
    unwrapped,
)

from .errors import NO_HOST, UNTRUSTED, Refused, StoreError, Unreachable, raise_alone

# Codes of OpenSSL (X509_V_ERR_…).
_CERTIFICATES: Final[Mapping[int, str]] = MappingProxyType(
    {
        9: "CertificateNotYetValid",
        10: "CertificateExpired",
        18: "CertificateSelfSigned",
        19: "CertificateUnknownAuthority",
        20: "CertificateUnknownAuthority",
        21: "CertificateUnknownAuthority",
        62: "CertificateOtherName",
        64: "CertificateOtherName",
    }
)


_NO_COMMON_CURVE: Final = (
    "its TLS supports no P-256 with ECDHE and AES-GCM, ChaCha20 or AES, needs a client certificate, or has TLS 1.2"
    " and a certificate on another curve; enable P-256 and TLS 1.3"
)


def of_connection(error: Exception, host: str) -> Unreachable:
    """Return the error of a request that got no answer; it has no text of the server."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        cause = error.certificate_error
        code = cause.verify_code if isinstance(cause, ssl.SSLCertVerificationError) else 0
        return Unreachable(_CERTIFICATES.get(code, UNTRUSTED), host=host)
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if has_no_host(cause):
        return Unreachable(NO_HOST, host=host)
    if isinstance(cause, ConnectionRefusedError):
        return Unreachable("ConnectionRefusedError", host=host)
    if isinstance(cause, ssl.SSLError) and cause.reason in tls.NOTHING_IN_COMMON:
        return Unreachable("NoCommonCurve", _NO_COMMON_CURVE)
    return Unreachable(type(error).__name__, host=host)


# Guard

PERMIT: Final[ContextVar[Callable[[], float]]] = ContextVar("permit", default=lambda: inf)
"""Returns the loop time until which the change in progress may send the body of a request."""

_PORTS: Final = {"https": 443, "http": 80}
_CHUNK: Final = 2**16
_MAX_REQUESTS: Final = 2000
"""More than the total limit of store requests (`stores.login`), so that no request waits here."""
_MAX_REQUESTS_PER_OWNER: Final = 50
"""Concurrent requests of one tenant, more than its stores may have: bounds what a hanging server takes."""

_PRIVATE_ENDPOINTS: Final = re.compile(
    r"(secretsmanager|ssm|sts)(-fips)?[.][a-z0-9-]+[.]amazonaws[.]com([.]cn)?"
    r"|[a-z0-9-]{1,24}[.]vault[.](azure[.](net|cn)|usgovcloudapi[.]net)"
    r"|(sts|iamcredentials|secretmanager([.][a-z0-9-]+[.]rep)?|[a-z0-9-]+[.]p)[.]googleapis[.]com"
)
"""Services with private endpoints; their certificates prove the server."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one response."""

    size: int = 2 * 1024 * 1024
    """Bytes of the body: a value of 1 MiB in base64, with some overhead."""
    seconds: float = 20.0
    """From the lookup of the name to the last byte."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A response; its body is never logged."""

    status: int
    headers: CIMultiDictProxy[str] = field(repr=False)
    body: bytes = field(repr=False)


class Guard:
    """Sends requests to servers that tenants name; one per process, opened inside the event loop."""

    def __init__(
        self,
        allowed: Collection[AllowedHost] = (),
        inside: Collection[Network] = (),
        *,
        resolver: AbstractResolver | None = None,
        limits: Limits = Limits(),
    ) -> None:
        """`inside` are the ranges of the cluster's pods, services and nodes that have public addresses."""
        self.limits = limits
        self._allowed = frozenset(allowed)
        self._inside = tuple(inside)
        self._trust = tls.client_context()
        self._owner = ""
        self._turns: defaultdict[str, asyncio.Semaphore] = defaultdict(
            partial(asyncio.Semaphore, _MAX_REQUESTS_PER_OWNER)
        )
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                resolver=Admitting(resolver or Lookups(), self.admit_address),
                use_dns_cache=False,  # each connection is checked
                limit=_MAX_REQUESTS,
                ssl=self._trust,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": build.user_agent(), "Accept-Encoding": "identity"},
            auto_decompress=False,  # a small body could unpack to any size
            trust_env=False,
            timeout=aiohttp.ClientTimeout(),
        )

    async def close(self) -> None:
        await self._session.close()

    def of(self, owner: str) -> Self:
        """Return the same guard, with requests counted for `owner`."""
        twin = copy.copy(self)
        twin._owner = owner  # noqa: SLF001  # it is one of us
        return twin

    def admit(self, url: str | URL) -> URL:
        """Parse a tenant's URL, and reject one that is not permitted.

        Raises:
            Refused: The message has the rule; it does not quote the URL.
        """
        try:
            parsed: URL | None = URL(url)
        except (ValueError, TypeError):
            parsed = None
        if parsed is None or parsed.scheme not in _PORTS or not parsed.host or not parsed.port:
            raise Refused("InvalidUrl", "write a URL such as https://vault.example.com:8200")
        if parsed.user is not None or parsed.password is not None:
            raise Refused("InvalidUrl", "a URL carries no login; write it under auth")
        if parsed.scheme != "https" and not self.allows(parsed.host, parsed.port):
            raise Refused("PlainHttp", "write https; plain http needs --allow-host of an administrator")
        literal = _address(parsed.host)
        if literal is not None:
            self.admit_address(parsed.host, parsed.port, literal)
        return parsed

    def allows(self, host: str, port: int) -> bool:
        return any(one.covers(host, port) for one in self._allowed)

    def admit_address(self, host: str, port: int, address: Address) -> None:
        """Reject a private address, unless the administrator allows its host.

        Raises:
            Refused: It is loopback, link-local, private, of the cluster, or reserved.
        """
        if self.allows(host, port):
            return
        leads_to = unwrapped(address)
        if not self._is_of_the_cluster(address) and not self._is_of_the_cluster(leads_to):
            if is_public(leads_to):
                return
            if _PRIVATE_ENDPOINTS.fullmatch(plain(host)) and is_private(leads_to):
                return
        raise Refused(
            "InsideAddress",
            "the host has a private or loopback address, which stores may not use;"
            " an administrator can allow it with --allow-host",
        )

    async def ask(
        self,
        method: str,
        url: str | URL,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        trust: ssl.SSLContext | None = None,
    ) -> Answer:
        """Send one request and read the whole response, whatever its status, except a redirect.

        Raises:
            Refused: URL or response is not permitted.
            Unreachable: There was no whole response in time.
        """
        admitted = self.admit(url)
        try:
            async with (
                asyncio.timeout(self.limits.seconds),
                self._turns[self._owner],
                asking_for(self._owner),
            ):
                return await self._send(method, admitted, headers, body, trust)
        except StoreError as error:
            raise_alone(error.with_traceback(None))
        except TimeoutError:
            raise_alone(Unreachable("Timeout", host=str(admitted.host)))
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise_alone(of_connection(error, str(admitted.host)))

    async def _send(
        self,
        method: str,
        url: URL,
        headers: Mapping[str, str] | None,
        body: bytes | None,
        trust: ssl.SSLContext | None,
    ) -> Answer:
        data = body and FencedBody(body, PERMIT.get())
        async with self._session.request(
            method, url, headers=headers, data=data, ssl=trust or self._trust, allow_redirects=False
        ) as response:
            if HTTPStatus.MULTIPLE_CHOICES <= response.status < HTTPStatus.BAD_REQUEST:
                raise Refused("Redirected", "the server redirects; write the URL of its final target")
            if response.headers.get("Content-Encoding", "identity").lower() != "identity":
                raise Refused("Compressed", "the server sends a compressed response, which is not supported")
            return Answer(response.status, response.headers, await self._body(response))

    async def _body(self, response: aiohttp.ClientResponse) -> bytes:
        length = response.content_length or 0
        read = bytearray()
        while length <= self.limits.size and len(read) <= self.limits.size:
            chunk = await response.content.read(_CHUNK)
            if not chunk:
                return bytes(read)
            read += chunk
        response.close()  # the rest stays unread
        raise Refused("TooLarge", f"an answer may have {self.limits.size} bytes")

    def _is_of_the_cluster(self, address: Address) -> bool:
        return any(address in network for network in self._inside)


def _address(host: str) -> Address | None:
    """Parse a host that is an address, also as `inet_aton` does: 127.1, 0x7f.1 and 2130706433 are loopback."""
    with suppress(ValueError):
        return ipaddress.ip_address(host.partition("%")[0])
    if not re.fullmatch(r"[0-9a-fA-FxX.]+", host):
        return None
    try:
        return ipaddress.ip_address(socket.inet_aton(host))
    except OSError:
        return None
