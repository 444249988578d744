"""Which curve of TLS a server takes, where that is not the one which nearly all take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from keyturn.runtime.tls import CURVES, has_no_common_curve

from .errors import Unreachable

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Curves", "Server", "failed_for_want_of_a_curve"]

_NO_COMMON_CURVE: Final = (
    "its TLS takes none of the curves P-256, X25519 and P-384 with ECDHE and AES-GCM, ChaCha20 or AES, or it wants a"
    " client certificate; let it take P-256"
)
_MOST: Final = 1000
"""Servers that are remembered."""


class Server(NamedTuple):
    """What one owner has asked; the failures of another's requests change nothing for it."""

    owner: str
    host: str
    port: int


class Curves:
    """Remembers the curve of each server that takes another one than the first."""

    def __init__(self) -> None:
        self._known: dict[Server, str] = {}

    def for_server(self, server: Server) -> Iterator[str]:
        """Give each curve once, the one that was taken last before the others."""
        known = self._known.get(server, CURVES[0])
        yield known
        yield from (curve for curve in CURVES if curve != known)

    def took(self, server: Server, curve: str) -> None:
        """Note that a server has answered over a curve."""
        self._known.pop(server, None)
        if curve == CURVES[0]:
            return
        if len(self._known) >= _MOST:
            del self._known[next(iter(self._known))]
        self._known[server] = curve


def failed_for_want_of_a_curve(error: OSError) -> Unreachable | None:
    """Say what is wrong if a handshake has failed as it does over a curve that the server does not take."""
    if has_no_common_curve(error):
        return Unreachable("NoCommonCurve", _NO_COMMON_CURVE)
    if isinstance(error, ConnectionResetError):  # some servers hang up without an alert
        return Unreachable("ConnectionResetError")
    return None
