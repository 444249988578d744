"""Attacks on the operator's ports, by any pod."""

import contextlib
import socket
from collections.abc import Iterator
from typing import Final

from tests.redteam.attack import attack
from tests.redteam.target import AttackTarget

_HALF: Final = b"GET /metrics HTTP/1.1\r\nHost: keyturn\r\nX-Slow: "
_EACH: Final = 400


@attack("F11")
def half_requests(target: AttackTarget) -> Iterator[None]:
    """800 requests that never end are held open at both ports, and again each second."""
    ports = target.operator.wait_for_log("started")
    held: list[socket.socket] = []

    def come() -> None:
        _close(held)
        for port in (ports["metrics_port"], ports["health_port"]):
            held.extend(_half(port) for _ in range(_EACH))

    try:
        come()
        with target.meanwhile(come):
            yield
            for _ in range(5):
                assert target.operator.get("/livez", health=True)[0] == 200, "/livez does not answer"
                assert target.operator.get("/metrics")[0] == 200, "/metrics does not answer"
    finally:
        _close(held)


def _half(port: int) -> socket.socket:
    client = socket.socket()
    client.settimeout(1.0)
    with contextlib.suppress(OSError):  # refused or closed is what it may be
        client.connect(("127.0.0.1", port))
        client.sendall(_HALF)
    return client


def _close(held: list[socket.socket]) -> None:
    while held:
        held.pop().close()
