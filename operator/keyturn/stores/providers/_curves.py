"""Remembers which elliptic curve a TLS server accepts, if not the default one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from keyturn.runtime.tls import CURVES, has_no_common_curve

from .errors import Unreachable

if TYPE_CHECKING:
    from collections.abc import Iterator

_NO_COMMON_CURVE: Final = (
    "its TLS supports none of the curves P-256, X25519 and P-384 with ECDHE and AES-GCM, ChaCha20 or AES, or needs a"
    " client certificate; enable P-256"
)
_MAX_SERVERS: Final = 1000
"""Maximum remembered servers."""


class Server(NamedTuple):
    """A server per owner, so that one tenant's failures change nothing for another."""

    owner: str
    host: str
    port: int


class Curves:
    """The curve of each server that does not accept the first one."""

    def __init__(self) -> None:
        self._known: dict[Server, str] = {}

    def for_server(self, server: Server) -> Iterator[str]:
        """Yield each curve once, the last accepted one first."""
        known = self._known.get(server, CURVES[0])
        yield known
        yield from (curve for curve in CURVES if curve != known)

    def took(self, server: Server, curve: str) -> None:
        """Record that a server accepts a curve."""
        self._known.pop(server, None)
        if curve == CURVES[0]:
            return
        if len(self._known) >= _MAX_SERVERS:
            del self._known[next(iter(self._known))]
        self._known[server] = curve


def curve_mismatch(error: OSError) -> Unreachable | None:
    """Return an error if a handshake failed as it does without a common curve."""
    if has_no_common_curve(error):
        return Unreachable("NoCommonCurve", _NO_COMMON_CURVE)
    if isinstance(error, ConnectionResetError):  # some servers close the connection without an alert
        return Unreachable("ConnectionResetError")
    return None
