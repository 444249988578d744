"""How a connection is opened: its steps run in threads, are ended in time, and compute no proof that takes long."""

from __future__ import annotations

import base64
import binascii
import ctypes
import functools
import importlib
import re
import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Final

from psycopg import OperationalError, pq, waiting

from keyturn.databases.base import Salt
from keyturn.databases.errors import Unreachable
from keyturn.runtime import threadpools

INTERVAL: Final = 60.0
"""Seconds between two checks of a socket without an event; time limits are elsewhere."""
MOST_ITERATIONS: Final = 65_536
"""Hashes per password, of which 4,096 are usual and take milliseconds."""
_PATIENCE: Final = 0.01
"""Seconds that a thread waits for an answer, if no other login is in progress.

A server in the same network answers a step within milliseconds, and a change of threads costs more than the wait.
"""
_LONGEST: Final = 0.03
"""Seconds after which a thread begins no further step."""
_SQLSTATE: Final = 3
"""PQERRORS_SQLSTATE."""
_DIGITS: Final = 9
_ITERATIONS: Final = re.compile(rb",i=\s*+\+?+0*+(\d*+)")
"""In the first answer of a server during SCRAM; a nonce and a salt have no comma."""
_SALT: Final = re.compile(rb",s=([^,]*+),i=\s*+\+?+0*+(\d++)")
"""In the same answer."""
_ACCEPTED: Final = re.compile(rb"R.{4}\0\0\0\x0cv=", re.DOTALL)
"""The last answer of a server during SCRAM, which it sends to a client that knows the password."""
_RECORD: Final = 16_384
"""Bytes of a TLS record, of which libpq reads one at a time."""
_MOST_HEARD: Final = 8_192
"""Bytes of a login up to the iterations, which take some hundreds."""
_MOST_BYTES: Final = 1_048_576
"""Bytes that a server may send to one connection, TLS included; the answers to all our queries are some kilobytes."""
_BUFFER: Final = 65_536
"""Bytes that the kernel keeps of a connection, and so about as many as libpq reads at a time."""
_TCP_BYTES_RECEIVED: Final = struct.Struct("@128xQ")
"""tcpi_bytes_received of Linux, from 4.1 on."""
_WAITS: Final[Mapping[int, waiting.Wait]] = {
    pq.PollingStatus.READING: waiting.Wait.R,
    pq.PollingStatus.WRITING: waiting.Wait.W,
}
_EVENTS: Final[Mapping[int, int]] = {
    pq.PollingStatus.READING: select.POLLIN,
    pq.PollingStatus.WRITING: select.POLLOUT,
}


class OtherSalt(Exception):  # noqa: N818  # it says what happened
    """The server has the password with another salt than the keys of this login, so nothing was proven."""


class Opening:
    """A connection that is being opened; its steps run in threads.

    The server chooses how often the proof of a password is hashed, and libpq has no limit for that. So each step
    looks at what libpq is about to read, and computes no proof that takes long. It holds neither the event loop nor
    Python's lock, and a connection that is left is closed when its step ends.
    """

    def __init__(self, information: Callable[[], bytes], expected: Salt | None = None) -> None:
        """`information` returns the parameters of libpq, in a thread; `expected` is the salt of keys among them."""
        self.salt: Salt | None = None
        """What the server said during the login; None before that."""
        self._information: Callable[[], bytes] | None = information
        self._expected = expected
        self._connection: pq.abc.PGconn | None = None
        self._address: int | None = None
        self._step = threading.Lock()
        self._is_left = False
        self._heard = b""
        self._state: int = pq.PollingStatus.WRITING

    @property
    def connection(self) -> pq.abc.PGconn:
        """The connection of libpq.

        Raises:
            OperationalError: It was left before its first step.
        """
        if self._connection is None:
            raise OperationalError
        return self._connection

    @property
    def has_begun(self) -> bool:
        """Whether the first step has begun; until then it waits for a thread."""
        return self._information is None

    @property
    def was_accepted(self) -> bool:
        """Whether the server has said that the password is right, whatever it answered after that."""
        return bool(_ACCEPTED.search(self._heard))

    @property
    def is_of_salt(self) -> bool:
        """Whether the server has said that keys of this login are of its salt; true without keys."""
        return self._expected is None or self.salt == self._expected

    def advance(self, patience: float) -> int:
        """Do what the socket is ready for, and each step that follows within `patience`; return what to wait for.

        Raises:
            Unreachable: The server wants the password hashed so often that it takes the processor for long, or it
                sends more than any answer has.
            OtherSalt: No password was tried.
        """
        end = time.monotonic() + _LONGEST
        try:
            with self._step:
                continues = self._advances() if self._connection else self._starts()
                while continues and time.monotonic() < end and self._is_ready(patience):
                    continues = self._advances()
        finally:
            if self._is_left:
                self.leave()
        return self._state

    def _starts(self) -> bool:
        """Begin to connect; return whether a step follows."""
        information, self._information = self._information, None
        if information is None or self._is_left:
            self._state = pq.PollingStatus.FAILED
            return False
        self._connection = pq.PGconn.connect_start(information())
        self._address = self._connection.pgconn_ptr  # type: ignore[attr-defined]  # of the protocol alone
        _libpq().PQsetErrorVerbosity(ctypes.c_void_p(self._address), _SQLSTATE)
        if self._connection.status == pq.ConnStatus.BAD:
            self._state = pq.PollingStatus.FAILED
        return self._state in _EVENTS

    def _advances(self) -> bool:
        """Do one step; return whether another one follows."""
        if self._is_left:
            self._state = pq.PollingStatus.FAILED
            return False
        check_received(self.connection.socket)
        if self._looks_ahead():
            self._state = _libpq().PQconnectPoll(ctypes.c_void_p(self._address))
        return self._state in _EVENTS

    def _is_ready(self, patience: float) -> bool:
        """Wait for the socket, which changes with the address."""
        events = select.poll()
        events.register(self.connection.socket, _EVENTS[self._state])
        return bool(events.poll(patience * 1000))

    def _looks_ahead(self) -> bool:
        """Return whether libpq may continue; not while it waits for a TLS record of which only a part is there."""
        if self._state != pq.PollingStatus.READING:
            return True  # a look would take the error of a connection that is refused
        if len(self._heard) > _MOST_HEARD:
            return True  # it is past the proof
        next_bytes = _peek(self._address, self.connection)
        if next_bytes is None:
            return False
        self._heard += next_bytes
        found = _ITERATIONS.findall(self._heard)
        if not found and len(self._heard) > _MOST_HEARD:
            raise Unreachable(
                "TooMuch", "the server sends more than a login needs; check the host of the target"
            )
        if any(len(one) > _DIGITS or int(one or b"0") > MOST_ITERATIONS for one in found):
            raise Unreachable(
                "TooManyIterations",
                f"the server wants a password hashed more than {MOST_ITERATIONS} times; lower scram_iterations, and"
                " set the password again",
            )
        self._check_salt()
        return True

    def _check_salt(self) -> None:
        found = _SALT.search(self._heard)
        if self.salt or not found:
            return
        with suppress(binascii.Error):
            self.salt = Salt(base64.b64decode(found[1]), int(found[2]))
        if not self.is_of_salt:
            raise OtherSalt

    def leave(self) -> None:
        """Close it, now or at the end of the step that is in progress."""
        self._is_left = True
        if self._step.acquire(blocking=False):
            try:
                if self._connection is not None:
                    self._connection.finish()
            finally:
                self._step.release()


class _Logins:
    """Counts logins in progress: a thread waits for the server only if no other login could use it."""

    def __init__(self) -> None:
        self._count = 0

    @property
    def patience(self) -> float:
        return _PATIENCE if self._count == 1 else 0.0

    @contextmanager
    def one(self) -> Iterator[None]:
        self._count += 1
        try:
            yield
        finally:
            self._count -= 1


_LOGINS: Final = _Logins()


async def advance(opening: Opening, owner: str) -> None:
    """Advance a login with each event of its socket, which changes with the address."""
    with _LOGINS.one():
        while wait := _WAITS.get(await threadpools.run_for_tenant(owner, opening.advance, _LOGINS.patience)):
            await waiting.wait_async(_once(wait), opening.connection.socket, INTERVAL)


def _once(wait: waiting.Wait) -> Generator[waiting.Wait, waiting.Ready | int, None]:
    """Wait for one event."""
    yield wait


@functools.cache
def _libpq() -> ctypes.CDLL:
    """Return the library that psycopg is linked with, for the functions that psycopg does not offer as they are."""
    return ctypes.CDLL(importlib.import_module(pq.PGconn.__module__).__file__)


def _peek(address: int | None, connection: pq.abc.PGconn) -> bytes | None:
    """Return what libpq reads next of a login, and leave it there; None if TLS has only a part of it."""
    library, buffer = _libpq(), ctypes.create_string_buffer(_RECORD)
    library.PQgetssl.restype = ctypes.c_void_p
    tls = ctypes.c_void_p(library.PQgetssl(ctypes.c_void_p(address)))
    if tls and not library.SSL_is_init_finished(tls):
        return b""
    if tls:
        count = library.SSL_peek(tls, buffer, _RECORD)
        is_incomplete = count <= 0 and library.SSL_get_error(tls, count) == ssl.SSL_ERROR_WANT_READ
        return None if is_incomplete else buffer.raw[: max(count, 0)]
    with suppress(OSError, OperationalError):
        plain = socket.socket(fileno=connection.socket)
        try:
            return plain.recv(_RECORD, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        finally:
            plain.detach()
    return b""


def check_received(file: int) -> None:
    """Check how much a server has sent, whatever it is: rows, notices, settings or half a message.

    Raises:
        Unreachable: It is more than any answer to our queries.
    """
    # Named, or Python asks the kernel three times; the family does not matter to an option of TCP.
    connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM, fileno=file)
    try:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        information = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_BYTES_RECEIVED.size)
    finally:
        connection.detach()
    if len(information) < _TCP_BYTES_RECEIVED.size:
        return  # another kernel; the limits of time remain
    (count,) = _TCP_BYTES_RECEIVED.unpack(information)
    if count > _MOST_BYTES:
        raise too_much()


def too_much() -> Unreachable:
    return Unreachable(
        "TooMuch", "the server sends more than the answer to any query of ours; check the host of the target"
    )
