"""The network between an operator and a database server, which can lose an answer."""

import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from threading import Lock, Thread
from types import TracebackType
from typing import Self

_RECEIVE = 65_536
_TIMEOUT = 10.0
_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER that closes a connection by a reset."""


class Wire:
    """Listens on a port of its own, and carries each connection to a server; use it as a context manager."""

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._is_lost: Callable[[int], bool] = lambda _: False
        self._open: set[socket.socket] = set()
        self._lock = Lock()

    def __enter__(self) -> Self:
        Thread(target=self._listen, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            left = list(self._open)
        for one in left:
            _reset(one)

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def lose_answers(self, is_lost: Callable[[int], bool]) -> None:
        """Reset a connection in place of what the server sends, if `is_lost` says so of its port at the server."""
        self._is_lost = is_lost

    def _listen(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # closed
            Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(self._server, timeout=_TIMEOUT)
        except OSError:
            _reset(client)
            return
        server.settimeout(None)
        with self._lock:
            self._open |= {client, server}
        back = Thread(target=self._carry, args=(server, client, server.getsockname()[1]), daemon=True)
        back.start()
        self._carry(client, server)
        back.join()
        with self._lock:
            self._open -= {client, server}
        client.close()
        server.close()

    def _carry(self, source: socket.socket, sink: socket.socket, port: int | None = None) -> None:
        """Carry what one end sends to the other one; `port` is that of a connection at the server that sends."""
        with suppress(OSError):
            while data := source.recv(_RECEIVE):
                if port is not None and self._is_lost(port):
                    _reset(sink)
                    _reset(source)
                    return
                sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)


def _reset(one: socket.socket) -> None:
    """Close a connection so that both ends notice; one that is closed is success."""
    with suppress(OSError):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        one.shutdown(socket.SHUT_RDWR)
    one.close()
