"""What a server is not asked again for a minute: refused credentials of administrators, and silent addresses.

Every step of every account needs the administrator, whom so many failed logins could lock. A network that drops
packets makes each attempt last until its time limit, and a step at a server has several logins.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Hashable
from typing import Final, NamedTuple

from keyturn.runtime.clock import loop_time

from .errors import Unauthorized

_PAUSE: Final = 60.0
"""Seconds between two logins with a credential that was refused."""
_KEY: Final = secrets.token_bytes(32)
"""Of this process, so that a digest is of no use elsewhere."""


class _Refusal(NamedTuple):
    """What the server said, without the frames of an error, which hold values."""

    code: str
    message: str
    again: float
    """When the next login may begin."""


class RefusedAdmins:
    """Credentials that one server refused, each by its digest."""

    def __init__(self) -> None:
        self._refused: dict[bytes, _Refusal] = {}

    def check(self, credential: bytes) -> None:
        """Raise if the login of the administrator must not begin; after a pause one begins.

        Raises:
            Unauthorized: The server refused it in the last minute, or is being asked again.
        """
        known, now = self._refused.get(credential), loop_time()
        if known is None:
            return
        if now < known.again:
            raise Unauthorized(known.code, known.message)
        self._refused[credential] = known._replace(again=now + _PAUSE)

    def note(self, credential: bytes, error: Unauthorized) -> None:
        """Record that the server refused it, and drop those that were not tried again."""
        now = loop_time()
        self._refused = {one: kept for one, kept in self._refused.items() if now < kept.again}
        self._refused[credential] = _Refusal(error.code, error.message, now + _PAUSE)

    def forget(self, credential: bytes) -> None:
        """Record that the server accepted it."""
        self._refused.pop(credential, None)


def digest(*parts: bytes) -> bytes:
    """Return the digest of all that a server judges a credential by; only the last part may have a zero byte."""
    return hmac.digest(_KEY, b"\0".join(parts), "sha256")


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
