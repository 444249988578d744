"""Which addresses of an endpoint a connection is made to: the first that answers, or each one for a proof."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from .base import ANSWERS_DIFFER, NO_CONNECTION_LEFT, Answer, Endpoint, EngineSettings, Verdict
from .errors import SilentFamilies, Unreachable

MOST: Final = 16
"""Addresses of one endpoint at which a login is proven."""
TIMEOUT: Final = "Timeout"
"""Reason of the verdict if an address did not answer in time."""
_WORDS: Final = {
    Answer.ACCEPTED: "accepts the login",
    Answer.REFUSED: "refuses it",
    Answer.LOCKED: "has it locked",
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where one connection is opened: at the first of the addresses that answers."""

    endpoint: Endpoint
    addresses: tuple[str, ...]
    is_one_of_many: bool = False

    @property
    def family(self) -> socket.AddressFamily:
        return socket.AF_INET6 if ":" in self.addresses[0] else socket.AF_INET

    def __str__(self) -> str:
        """Return it for messages, with the address if the endpoint has others."""
        return f"{self.endpoint} ({self.addresses[0]})" if self.is_one_of_many else str(self.endpoint)


async def prove_at_each(
    settings: EngineSettings, endpoint: Endpoint, prove_at: Callable[[Place], Awaitable[Verdict]]
) -> Verdict:
    """Log in at the server, or at each address of another endpoint.

    A driver would stop at the first that answers, and another may be a replica or pooler that answers otherwise. The
    addresses of the server are those of one primary, of which some may not answer.
    """
    if endpoint == settings.endpoint:
        return await prove_at(await first_place(settings, endpoint))
    places = await each_place(settings, endpoint)
    if len(places) > MOST:
        return too_many(endpoint, len(places))
    verdicts = await _prove_together(to_try(places, settings.silent), prove_at)
    note_silence(verdicts, settings.silent)
    return overall(verdicts)


async def _prove_together(
    places: tuple[Place, ...], prove_at: Callable[[Place], Awaitable[Verdict]]
) -> dict[Place, Verdict]:
    """Log in at all places at once, as each one that does not answer lasts until its time limit.

    Several may be of one server with one free connection, such as its two families; each is then tried alone.
    """
    found = await asyncio.gather(*map(prove_at, places), return_exceptions=True)
    verdicts: dict[Place, Verdict] = {}
    for place, verdict in zip(places, found, strict=True):
        if isinstance(verdict, BaseException):
            raise verdict
        verdicts[place] = verdict
    for place in places if len(places) > 1 else ():
        if verdicts[place].reason == NO_CONNECTION_LEFT:
            verdicts[place] = await prove_at(place)
    return verdicts


async def first_place(settings: EngineSettings, endpoint: Endpoint) -> Place:
    """Return where a session is opened.

    Raises:
        DatabaseError: The host has no address that may be connected to.
    """
    return Place(endpoint, await _addresses(settings, endpoint))


async def each_place(settings: EngineSettings, endpoint: Endpoint) -> tuple[Place, ...]:
    """Return every place where a login is proven: each address, as they may be of different servers.

    Raises:
        DatabaseError: The host has no address that may be connected to.
    """
    every = await _addresses(settings, endpoint)
    return tuple(Place(endpoint, (one,), len(every) > 1) for one in every)


async def _addresses(settings: EngineSettings, endpoint: Endpoint) -> tuple[str, ...]:
    if settings.resolve is not None:
        return await settings.resolve(endpoint)
    loop, found = asyncio.get_running_loop(), []
    with suppress(OSError):  # and TimeoutError
        async with asyncio.timeout(settings.connect_timeout):
            found = await loop.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
    if not found:
        raise Unreachable(
            "HostNotFound", f"DNS has no address of {endpoint.host}; correct the host of the target"
        )
    return tuple(dict.fromkeys(str(address[0]) for *_, address in found))


def to_try(places: tuple[Place, ...], silent: SilentFamilies) -> tuple[Place, ...]:
    """Return the places where a login is tried: not those of a silent family, unless no other one is left."""
    return tuple(one for one in places if _of_family(one.family, places) not in silent) or places


def note_silence(verdicts: Mapping[Place, Verdict], silent: SilentFamilies) -> None:
    """Keep the families of which no address has answered, and one only after its time limit."""
    answering = {place.family for place, verdict in verdicts.items() if not verdict.is_silence}
    for family in {place.family for place in verdicts} - answering if answering else ():
        members = _of_family(family, verdicts)
        if any(verdicts[one].reason == TIMEOUT for one in members):
            silent.note(members)


def overall(verdicts: Mapping[Place, Verdict]) -> Verdict:
    """Return the verdict of all addresses that were tried.

    A family none of whose addresses answers, such as IPv6 without a route, counts for nothing beside another one.
    """
    answered = {place: verdict for place, verdict in verdicts.items() if not verdict.is_silence}
    families = {place.family for place in answered}
    for place, verdict in verdicts.items():
        if verdict.is_silence and (place.family in families or not families):
            return verdict
    for verdict in answered.values():
        if verdict.answer is Answer.UNKNOWN:
            return verdict
    (first, verdict), *others = answered.items()
    for place, other in others:
        if other.answer is not verdict.answer:
            words = f"{first} {_WORDS[verdict.answer]}, and {place} {_WORDS[other.answer]}"
            return Verdict(Answer.UNKNOWN, ANSWERS_DIFFER, words)
    return verdict


def too_many(endpoint: Endpoint, count: int) -> Verdict:
    """Return that nothing is proven, because not every address was tried."""
    return Verdict(
        Answer.UNKNOWN,
        "TooManyAddresses",
        f"{endpoint} has {count} addresses, and a login is tried at {MOST} at most; write a host that has fewer",
    )


def _of_family(family: socket.AddressFamily, places: Iterable[Place]) -> frozenset[Place]:
    return frozenset(one for one in places if one.family == family)
