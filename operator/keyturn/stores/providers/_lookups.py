"""How names of hosts are looked up: each in a thread, and few for one owner, since a name server may never answer.

The system's resolver cannot be stopped, so a lookup counts until it ends and not until nobody waits for it, which is
three seconds. Its thread keeps no process from ending.
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

from keyturn.runtime.concurrency import KeyedLimiter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from ipaddress import IPv4Address, IPv6Address

__all__ = ["Admitting", "Lookups", "asking_for"]

_owner: ContextVar[str] = ContextVar("owner", default="")

_AT_ONCE: Final = 64
_OF_ONE: Final = 4
_FIRSTS: Final = 192
"""Owners of which each has a lookup more than all may have: a thread takes some 100 KiB."""
_PATIENCE: Final = 3.0
"""Seconds that a lookup may take; a name server in the same network takes some thousandths of one."""


@asynccontextmanager
async def asking_for(owner: str) -> AsyncIterator[None]:
    """Let what is looked up meanwhile count for `owner`."""
    before = _owner.set(owner)
    try:
        yield
    finally:
        _owner.reset(before)


class Admitting(AbstractResolver):
    """Looks names up and hands on addresses only when every one of them may be connected to."""

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
    """Asks the system's resolver."""

    def __init__(self) -> None:
        self._turns = KeyedLimiter(_OF_ONE, _AT_ONCE, firsts=_FIRSTS)
        # Each thread reads this at its first lookup: one that nobody waits for any more is to end soon after.
        os.environ.setdefault("RES_OPTIONS", "timeout:1 attempts:2")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        owner = _owner.get()
        await self._turns.take(owner)
        answer = self._begun(lambda: _addresses(host, port, family), owner)
        async with asyncio.timeout(
            _PATIENCE
        ):  # whose error is an OSError, as that of a name without addresses
            return await answer

    def _begun(
        self, looking: Callable[[], list[ResolveResult]], owner: str
    ) -> asyncio.Future[list[ResolveResult]]:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[ResolveResult]] = loop.create_future()

        def ended(found: list[ResolveResult] | OSError) -> None:
            self._turns.give_back(owner)
            if answer.done():  # nobody waits for it any more
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
        except RuntimeError:  # there can be no more threads, for now
            self._turns.give_back(owner)
            raise OSError("no thread for a lookup") from None
        return answer

    async def close(self) -> None:
        """Leave to themselves those that never end."""


def _addresses(host: str, port: int, family: socket.AddressFamily) -> list[ResolveResult]:
    found = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    return [
        ResolveResult(
            hostname=host,
            host=_written(address),
            port=int(address[1]),
            family=kind,
            proto=proto,
            flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
        )
        for kind, _, proto, _, address in found
        if kind in {socket.AF_INET, socket.AF_INET6}
    ]


def _written(address: tuple[Any, ...]) -> str:
    """Write an address, with the interface that a link-local one belongs to."""
    scope = address[3] if len(address) > 3 else 0  # noqa: PLR2004  # those of IPv6 have four parts
    return f"{address[0]}%{scope}" if scope else str(address[0])
