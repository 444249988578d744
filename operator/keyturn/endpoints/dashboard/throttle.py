"""Rate limits: 10 logins per minute from one address, 100 in total, and 5 pages per second of one viewer."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Final

__all__ = ["PageLimit", "Throttle"]

_WINDOW: Final = 60.0
_MAX_PER_ADDRESS: Final = 10
_MAX_TOTAL: Final = 100
_MAX_ADDRESSES: Final = 1_000
_TOTAL: Final = ""
_PAGES_PER_SECOND: Final = 5.0
_MAX_PAGES_AT_ONCE: Final = 30.0
_MAX_VIEWERS: Final = 1_000


@dataclass(slots=True)
class Throttle:
    """Counts failed attempts by the clock of the event loop."""

    _tries: OrderedDict[str, deque[float]] = field(default_factory=OrderedDict)

    def wait(self, address: str, now: float) -> float:
        """Return the seconds that an attempt has to wait; 0 if it may proceed, which counts it."""
        mine, all_of_them = self._lately(_network_of(address), now), self._lately(_TOTAL, now)
        waits = [
            tries[0] + _WINDOW - now
            for tries, most in ((mine, _MAX_PER_ADDRESS), (all_of_them, _MAX_TOTAL))
            if len(tries) >= most
        ]
        if not waits:
            mine.append(now)
            all_of_them.append(now)
        return max(waits, default=0.0)

    def forgive(self, address: str) -> None:
        """Remove the last attempt from the count after a success."""
        for place in (_network_of(address), _TOTAL):
            if tries := self._tries.get(place):
                tries.pop()

    def _lately(self, place: str, now: float) -> deque[float]:
        tries = self._tries.setdefault(place, deque())
        self._tries.move_to_end(place)
        while tries and tries[0] <= now - _WINDOW:
            tries.popleft()
        while len(self._tries) > _MAX_ADDRESSES:
            self._tries.popitem(last=False)
        return tries


@dataclass(slots=True)
class PageLimit:
    """A token bucket per viewer, for all of the viewer's sessions."""

    _buckets: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict)
    """Tokens of each viewer, and the loop time at which they were counted."""

    def wait(self, viewer: str, now: float) -> float:
        """Return the seconds until a viewer may open the next page; 0 if at once, which counts it."""
        tokens, counted = self._buckets.pop(viewer, (_MAX_PAGES_AT_ONCE, now))
        tokens = min(_MAX_PAGES_AT_ONCE, tokens + (now - counted) * _PAGES_PER_SECOND)
        self._buckets[viewer] = tokens - 1 if tokens >= 1 else tokens, now
        while len(self._buckets) > _MAX_VIEWERS:
            self._buckets.popitem(last=False)
        return max(0.0, (1 - tokens) / _PAGES_PER_SECOND)


def _network_of(address: str) -> str:
    """Return the address, or the /64 network of an IPv6 address: one client has all of its addresses."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)
