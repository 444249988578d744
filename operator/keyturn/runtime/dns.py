"""DNS resolver: each lookup in a thread, limited per owner, since a name server may never answer.

A lookup of the system's resolver cannot be cancelled, so it counts until it ends, not until its caller gives up,
which is after 3 s. Its thread does not delay the end of the process.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import socket
from contextlib import asynccontextmanager
from contextvars import ContextVar
from threading import Thread
from typing import TYPE_CHECKING, Any, Final

from aiohttp.abc import AbstractResolver, ResolveResult

from .concurrency import KeyedLimiter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from ipaddress import IPv4Address, IPv6Address

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
        if _is_address(host):
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


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


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
