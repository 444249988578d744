"""Name server of a node: has the addresses of the plane's Services, such as `db.shop.svc.cluster.local`.

It runs in the node's namespaces, as a script with the standard library only, and reads a Service from the API server
when its name is asked for. Names outside of the cluster's domain are refused, because the node has no way out.
Headless Services and ExternalNames have no address here.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import socket
import socketserver
import ssl
import struct
import sys
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

DOMAIN = "cluster.local"
_PORT = 53
_SECONDS = 5
"""How long an answer is good for, here and in who asked."""
_TIMEOUT = 3.0
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_HEAD, _QUESTION = struct.Struct("!HHHHHH"), struct.Struct("!HH")
_RECORD = struct.Struct("!HHHIH4s")
_ADDRESS, _INTERNET = 1, 1
_ANSWERED = 0x8400
"""Flags of an authoritative answer."""
_RECURSION = 0x0100
_NO_ERROR, _SERVER_FAILURE, _NO_SUCH_NAME, _REFUSED = 0, 2, 3, 5
_FIRST_NAME = 0xC00C
"""A pointer to the name of the question."""


def answer(query: bytes, address_of: Callable[[str, str], str | None]) -> bytes:
    """Answer one query; `address_of` takes the name and namespace of a Service.

    Raises:
        ValueError: It is no query with one question.
    """
    try:
        number, flags, questions, *_ = _HEAD.unpack_from(query)
        labels, end = _labels(query)
        kind, family = _QUESTION.unpack_from(query, end)
    except (struct.error, IndexError, UnicodeDecodeError):
        raise ValueError("no query") from None
    if flags & 0x8000 or questions != 1:
        raise ValueError("no query with one question")
    code, address = _look_up(labels, address_of)
    records = b""
    if address and (kind, family) == (_ADDRESS, _INTERNET):
        records = _RECORD.pack(_FIRST_NAME, kind, family, _SECONDS, 4, socket.inet_aton(address))
    told = _ANSWERED | flags & _RECURSION | code
    head = _HEAD.pack(number, told, 1, len(records) // _RECORD.size, 0, 0)
    return head + query[_HEAD.size : end + _QUESTION.size] + records


def _labels(query: bytes) -> tuple[list[str], int]:
    """Return the labels of the name that a query asks for, and where its name ends."""
    labels, at = [], _HEAD.size
    while length := query[at]:
        labels.append(query[at + 1 : at + 1 + length].decode("ascii").lower())
        at += 1 + length
    return labels, at + 1


def _look_up(labels: list[str], address_of: Callable[[str, str], str | None]) -> tuple[int, str | None]:
    domain = DOMAIN.split(".")
    if len(labels) <= 1 or labels[-1] == "svc":  # tried last, without the domain
        return _NO_SUCH_NAME, None
    if labels[-len(domain) :] != domain:
        return _REFUSED, None
    match labels[: -len(domain)]:
        case [name, namespace, "svc"] if _LABEL.fullmatch(name) and _LABEL.fullmatch(namespace):
            try:
                return _NO_ERROR, address_of(name, namespace)
            except LookupError:
                return _NO_SUCH_NAME, None
            except (OSError, http.client.HTTPException, ValueError):
                return _SERVER_FAILURE, None
    return _NO_SUCH_NAME, None


class _Services:
    """The Services of the plane, each read when it is asked for and kept for some seconds."""

    def __init__(self, server: str, authority: str, certificate: str, key: str) -> None:
        self._server = urlsplit(server).netloc
        self._context = ssl.create_default_context(cafile=authority)
        self._context.load_cert_chain(certificate, key)
        self._known: dict[tuple[str, str], tuple[float, str | None]] = {}

    def address_of(self, name: str, namespace: str) -> str | None:
        """Return the address of a Service; None if it has none of its own.

        Raises:
            LookupError: There is no such Service.
        """
        now = time.monotonic()
        until, address = self._known.get((name, namespace), (now, None))
        if until <= now:
            body = self._read(f"/api/v1/namespaces/{namespace}/services/{name}")
            found = body["spec"].get("clusterIP")
            address = None if found == "None" else found
            self._known[name, namespace] = (now + _SECONDS, address)
        return address

    def _read(self, path: str) -> dict[str, Any]:
        with contextlib.closing(
            http.client.HTTPSConnection(self._server, timeout=_TIMEOUT, context=self._context)
        ) as connection:
            connection.request("GET", path)
            response = connection.getresponse()
            content = response.read()
        if response.status == http.HTTPStatus.NOT_FOUND:
            raise LookupError(path)
        if response.status != http.HTTPStatus.OK:
            raise OSError(f"the API server answers {response.status}")
        body: dict[str, Any] = json.loads(content)
        return body


def main(address: str, *plane: str) -> None:
    """Answer until this process is ended."""
    services = _Services(*plane)

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            query, listener = self.request
            with contextlib.suppress(ValueError, OSError):  # no query, or its sender is gone
                listener.sendto(answer(query, services.address_of), self.client_address)

    with socketserver.ThreadingUDPServer((address, _PORT), Handler) as server:
        server.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main(*sys.argv[1:])
