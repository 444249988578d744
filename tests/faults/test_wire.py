"""The network of the tests around a database: it carries all, nothing for a while, or is cut."""

from __future__ import annotations

import socket
from contextlib import suppress
from threading import Thread
from typing import TYPE_CHECKING

import pytest

from tests.faults.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def wire() -> Iterator[Wire]:
    """A network before a server that answers with what it gets."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        Thread(target=_answer_all, args=(listener,), daemon=True).start()
        with Wire(*listener.getsockname()) as wire:
            yield wire


def _answer_all(listener: socket.socket) -> None:
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        Thread(target=_answer, args=(client,), daemon=True).start()


def _answer(client: socket.socket) -> None:
    with client, suppress(OSError):  # a cut
        while data := client.recv(100):
            client.sendall(data)


def _connect(wire: Wire, timeout: float = 10.0) -> socket.socket:
    return socket.create_connection(("127.0.0.1", wire.port), timeout=timeout)


def test_it_carries_both_ways(wire: Wire) -> None:
    with _connect(wire) as client:
        client.sendall(b"hello")
        assert client.recv(100) == b"hello"


def test_what_is_sent_in_silence_arrives_at_its_end(wire: Wire) -> None:
    with _connect(wire) as client:
        client.sendall(b"first")
        assert client.recv(100) == b"first"
        wire.silence()
        client.sendall(b"second")
        client.settimeout(0.2)
        with pytest.raises(TimeoutError):
            client.recv(100)
        client.settimeout(10.0)
        wire.restore()
        assert client.recv(100) == b"second"


def test_a_cut_ends_each_connection_and_each_new_one_until_it_is_restored(wire: Wire) -> None:
    with _connect(wire) as client:
        client.sendall(b"first")
        assert client.recv(100) == b"first"
        wire.cut()
        assert _ends(client)
        assert _is_refused(wire)
    wire.restore()
    test_it_carries_both_ways(wire)


def _is_refused(wire: Wire) -> bool:
    try:
        with _connect(wire) as late:
            return _ends(late)
    except ConnectionError:  # reset before the connection was established on this side
        return True


def _ends(client: socket.socket) -> bool:
    try:
        return client.recv(100) == b""
    except ConnectionResetError:
        return True
