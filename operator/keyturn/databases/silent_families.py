"""Addresses of one family, such as IPv6, none of which answers: they are waited for once a minute.

A network that drops packets makes each attempt last until its time limit, and a step at a server has several logins.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from keyturn.runtime.clock import loop_time

if TYPE_CHECKING:
    from collections.abc import Hashable

_PAUSE: Final = 60.0
"""Seconds after which they are tried again."""


class SilentFamilies:
    """Families of addresses that did not answer in time, while another family of the same host did."""

    def __init__(self) -> None:
        self._until: dict[frozenset[Hashable], float] = {}

    def __contains__(self, family: frozenset[Hashable]) -> bool:
        return loop_time() < self._until.get(family, 0.0)

    def note(self, family: frozenset[Hashable]) -> None:
        """Record that none of these addresses has answered, and drop what is out of date."""
        now = loop_time()
        self._until = {one: until for one, until in self._until.items() if now < until}
        self._until[family] = now + _PAUSE
