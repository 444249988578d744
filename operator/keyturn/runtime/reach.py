"""What connections to stores and database servers may reach, and the DNS lookups behind them.

**Addresses** are public or private by a table of our own, because Python's differs between releases: 3.11 treats
the local NAT64 prefix as public. The rows are those of the IANA IPv4 and IPv6 Special-Purpose Address Registries,
including those that are "globally reachable" for a service that has no secrets, and some more; the source follows
each row.

**Lookups** run in threads and are limited per owner, since a name server may never answer. A lookup of the system's
resolver cannot be cancelled, so it counts until it ends, not until its caller gives up, which is after 3 s. Its
thread does not delay the end of the process.
"""

import asyncio
import contextlib
import ipaddress
import os
import re
import socket
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from threading import Thread
from typing import Any, Final, Self, TypeAlias

from aiohttp.abc import AbstractResolver, ResolveResult

from .concurrency import KeyedLimiter

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address


def _networks(*written: str) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(one) for one in written)


PRIVATE: Final = _networks(
    "10.0.0.0/8",  # private use, RFC 1918
    "172.16.0.0/12",  # private use, RFC 1918
    "192.168.0.0/16",  # private use, RFC 1918
    "fc00::/7",  # unique local, RFC 4193
)
_MACHINES: Final = _networks(
    "168.63.129.16/32",  # the machine that we run on answers: Azure's wire server, documentation of Azure
    "fd00:ec2::/32",  # metadata, name and time servers of instances, documentation of AWS
    "fd20:ce::254/128",  # metadata server of instances, documentation of Google Cloud
)
"""Special addresses of cloud machines within private ranges; never a private endpoint."""
FORBIDDEN: Final = (
    *PRIVATE,
    *_MACHINES,
    *_networks(
        "0.0.0.0/8",  # this network, RFC 791
        "100.64.0.0/10",  # shared address space, RFC 6598; Alibaba's metadata server 100.100.100.200
        "127.0.0.0/8",  # loopback, RFC 1122
        "169.254.0.0/16",  # link-local, RFC 3927; metadata servers of most clouds
        "192.0.0.0/24",  # IETF protocol assignments, RFC 6890; Oracle's metadata server 192.0.0.192
        "192.0.2.0/24",  # TEST-NET-1, RFC 5737
        "192.31.196.0/24",  # AS112-v4, RFC 7535
        "192.52.193.0/24",  # AMT, RFC 7450
        "192.88.99.0/24",  # 6to4 relay anycast, deprecated by RFC 7526
        "192.175.48.0/24",  # direct delegation AS112, RFC 7534
        "198.18.0.0/15",  # benchmarking, RFC 2544
        "198.51.100.0/24",  # TEST-NET-2, RFC 5737
        "203.0.113.0/24",  # TEST-NET-3, RFC 5737
        "224.0.0.0/4",  # multicast, RFC 5771
        "240.0.0.0/4",  # reserved, RFC 1112; the limited broadcast address, RFC 919
        "2001::/23",  # IETF protocol assignments, RFC 2928: Teredo, benchmarking, AMT, AS112, ORCHID, DRIP
        "2001:db8::/32",  # documentation, RFC 3849
        "2620:4f:8000::/48",  # direct delegation AS112, RFC 7534
        "3fff::/20",  # documentation, RFC 9637
    ),
)
_GLOBAL_UNICAST: Final = ipaddress.IPv6Network("2000::/3")
"""The only part of IPv6 that IANA gives out as global unicast addresses (RFC 4291, IANA IPv6 Address Space).

Outside of it lie ::/128, ::1/128 (RFC 4291), ::/96 (IPv4-compatible, RFC 4291), ::ffff:0:0:0/96 (IPv4-translated,
RFC 2765), 64:ff9b:1::/48 (local NAT64, RFC 8215), 100::/64 (discard-only, RFC 6666), 100:0:0:1::/64 (dummy prefix,
RFC 9780), 5f00::/16 (SRv6 SIDs, RFC 9602), fe80::/10 (link-local, RFC 4291), fec0::/10 (site-local, RFC 3879) and
ff00::/8 (multicast, RFC 4291).
"""
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
"""IPv4-IPv6 translation, RFC 6052: what DNS64 answers in a cluster of IPv6 alone."""


def unwrapped(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 address embeds, or the address itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address  # RFC 4291, RFC 3056


def is_public(address: Address) -> bool:
    """Whether a server on the internet may have the address."""
    if isinstance(address, ipaddress.IPv6Address) and address not in _GLOBAL_UNICAST:
        return False
    return not any(address in network for network in FORBIDDEN)


def is_private(address: Address) -> bool:
    """Whether the address is of a private network, and not a service of the cloud machine."""
    return any(address in one for one in PRIVATE) and not any(address in one for one in _MACHINES)


_owner: ContextVar[str] = ContextVar("owner", default="")

_MAX_LOOKUPS: Final = 64
_MAX_LOOKUPS_PER_OWNER: Final = 4
_MAX_FIRST_LOOKUPS: Final = 192
"""Owners that may exceed the total limit by one lookup each; a thread takes some 100 KiB."""
_LOOKUP_TIMEOUT: Final = 3.0
"""Seconds of a lookup; a name server in the same network answers within milliseconds."""
# EAI_NODATA is absent from some systems.
_NO_SUCH_NAME: Final = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)})


def has_no_host(error: BaseException) -> bool:
    """Whether DNS answered that a host does not exist; false if DNS itself failed."""
    return isinstance(error, socket.gaierror) and error.errno in _NO_SUCH_NAME


def plain(host: str) -> str:
    """Return the name of a host in lower case, without the final dot."""
    return host.lower().rstrip(".")


@asynccontextmanager
async def asking_for(owner: str) -> AsyncIterator[None]:
    """Count lookups in this context for `owner`."""
    before = _owner.set(owner)
    try:
        yield
    finally:
        _owner.reset(before)


class Admitting(AbstractResolver):
    """Resolves a name, and returns its addresses only if all of them are allowed."""

    def __init__(
        self, names: AbstractResolver, admit: Callable[[str, int, IPv4Address | IPv6Address], None]
    ) -> None:
        self._names = names
        self._admit = admit

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._names.resolve(host, port, family)
        for one in found:
            self._admit(host, port, ipaddress.ip_address(one["host"].partition("%")[0]))
        return found

    async def close(self) -> None:
        await self._names.close()


class Lookups(AbstractResolver):
    """Resolver of the system."""

    def __init__(self) -> None:
        self._turns = KeyedLimiter(_MAX_LOOKUPS_PER_OWNER, _MAX_LOOKUPS, firsts=_MAX_FIRST_LOOKUPS)
        # Read by each thread at its first lookup: a lookup that was given up ends soon.
        os.environ.setdefault("RES_OPTIONS", "timeout:1 attempts:2")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        with contextlib.suppress(ValueError):
            ipaddress.ip_address(host)
            return _addresses(host, port, family)  # without a name server, and so without a thread
        owner = _owner.get()
        await self._turns.take(owner)
        answer = self._begin(lambda: _addresses(host, port, family), owner)
        async with asyncio.timeout(
            _LOOKUP_TIMEOUT
        ):  # the error is an OSError, as for a name without addresses
            return await answer

    def _begin(
        self, looking: Callable[[], list[ResolveResult]], owner: str
    ) -> asyncio.Future[list[ResolveResult]]:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[ResolveResult]] = loop.create_future()

        def ended(found: list[ResolveResult] | OSError) -> None:
            self._turns.release(owner)
            if answer.done():  # the caller has given up
                return
            answer.set_exception(found) if isinstance(found, OSError) else answer.set_result(found)

        def look() -> None:
            found: list[ResolveResult] | OSError
            try:
                found = looking()
            except (OSError, UnicodeError) as error:
                found = error if isinstance(error, OSError) else OSError("no name of a host")
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(ended, found)

        try:
            Thread(target=look, name="lookup", daemon=True).start()
        except RuntimeError:  # no further thread can start now
            self._turns.release(owner)
            raise OSError("no thread for a lookup") from None
        return answer

    async def close(self) -> None:
        """Leave lookups that never end."""


def _addresses(host: str, port: int, family: socket.AddressFamily) -> list[ResolveResult]:
    found = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    return [
        ResolveResult(
            hostname=host,
            host=_format(address),
            port=int(address[1]),
            family=kind,
            proto=proto,
            flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
        )
        for kind, _, proto, _, address in found
        if kind in {socket.AF_INET, socket.AF_INET6}
    ]


def _format(address: tuple[Any, ...]) -> str:
    """Format an address, with the interface of a link-local one."""
    scope = address[3] if len(address) > 3 else 0  # noqa: PLR2004  # those of IPv6 have four parts
    return f"{address[0]}%{scope}" if scope else str(address[0])


@dataclass(frozen=True, slots=True)
class AllowedHost:
    """A host that the administrator allows with plain HTTP and at private addresses."""

    name: str
    port: int | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse HOST[:PORT], with an IPv6 address in brackets.

        Raises:
            ValueError: The text has another form.
        """
        found = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:([0-9]{1,5}))?", text)
        if not found or int(found[3] or 1) not in range(1, 65536):
            raise ValueError("write HOST or HOST:PORT, such as vault.shop.svc:8200 or [fd00::1]:8200")
        return cls(found[1].strip("[]").lower(), int(found[3]) if found[3] else None)

    def covers(self, host: str, port: int) -> bool:
        return self.name == plain(host) and self.port in {None, port}


@dataclass(frozen=True, slots=True)
class Reach:
    """Addresses, files and accounts; private addresses only if the administrator allows them."""

    namespace: str = ""
    """The operator's own namespace, which has the credentials of ClusterSecretStores."""
    files_root: Path | None = None
    allowed: Collection[AllowedHost] = ()
    inside: Collection[Network] = ()
    our_audiences: Callable[[], Collection[str]] = tuple
    """Audiences of the operator's own token; stores get no token with one of them."""
