"""How many logins may be tried: a few a minute from one address, and not many more from all together."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Final

__all__ = ["Throttle"]

_WINDOW: Final = 60.0
_OF_ONE: Final = 10
_OF_ALL: Final = 100
_MOST_ADDRESSES: Final = 1_000
_EVERYBODY: Final = ""


@dataclass(slots=True)
class Throttle:
    """Counts tries that were not good, by the clock of the event loop."""

    _tries: OrderedDict[str, deque[float]] = field(default_factory=OrderedDict)

    def wait(self, address: str, now: float) -> float:
        """Return how many seconds a try has to wait; 0 where it may be made, and then it is counted."""
        mine, all_of_them = self._lately(_place(address), now), self._lately(_EVERYBODY, now)
        waits = [
            tries[0] + _WINDOW - now
            for tries, most in ((mine, _OF_ONE), (all_of_them, _OF_ALL))
            if len(tries) >= most
        ]
        if not waits:
            mine.append(now)
            all_of_them.append(now)
        return max(waits, default=0.0)

    def forgive(self, address: str) -> None:
        """Take back the last try: it was a good one."""
        for place in (_place(address), _EVERYBODY):
            if tries := self._tries.get(place):
                tries.pop()

    def _lately(self, place: str, now: float) -> deque[float]:
        tries = self._tries.setdefault(place, deque())
        self._tries.move_to_end(place)
        while tries and tries[0] <= now - _WINDOW:
            tries.popleft()
        while len(self._tries) > _MOST_ADDRESSES:
            self._tries.popitem(last=False)
        return tries


def _place(address: str) -> str:
    """Take a network of IPv6 for one address: who has one of its addresses has all of them."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)
